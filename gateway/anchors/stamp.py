"""Anchor `rfc3161`: a timestamp authority signs the SHA-256 of the note with its own clock.

The request asks for no certificates: the auditor has them. What comes back is checked before it is
kept: granted, of this note, of this request; its signature too where the operator pins the
authority's certificate.

Source: RFC 3161 §2.4, §3.4; docs/spec/anchor.md §3.
"""

from dataclasses import dataclass
from typing import Final

import httpx

from mifeng.audit.anchors import stamp as verifying
from mifeng.audit.anchors.stamp import MAX_TOKEN, Authority
from mifeng.crypto.sha256 import sha256
from mifeng.errors import PeerError
from mifeng.protocol.jsonc import Json

from .kinds import AnchorRefusedError, AnchorUnavailableError, Note

QUERY: Final = "application/timestamp-query"
REPLY: Final = "application/timestamp-reply"
_OK: Final = 200
_NONCE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class StampAnchor:
    """See the module; implements `kinds.Anchor`."""

    name: str
    url: str
    timeout_s: float
    authority: Authority | None
    kind: str = "rfc3161"

    def prepare(self, note: Note, old: bytes) -> bytes:
        """Return the request's nonce and the request, DER."""
        from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

        del old
        builder = TimestampRequestBuilder().data(note.data).hash_algorithm(HashAlgorithm.SHA256)
        request = builder.nonce(nonce=True).cert_request(cert_request=False).build()
        return (request.nonce or 0).to_bytes(_NONCE, "big") + request.as_bytes()

    def submit(self, note: Note, ticket: bytes) -> dict[str, Json]:
        """Ask; asking twice yields two timestamps, of which one is kept. See `kinds.Anchor`."""
        headers = {"Content-Type": QUERY, "Accept": REPLY}
        try:
            with (
                httpx.Client(trust_env=False, timeout=self.timeout_s) as client,
                client.stream(
                    "POST", self.url, content=ticket[_NONCE:], headers=headers
                ) as response,
            ):
                if response.status_code != _OK:
                    raise AnchorUnavailableError("rfc3161", f"status {response.status_code}")
                body = bytearray()
                for part in response.iter_raw():
                    body += part
                    if len(body) > MAX_TOKEN:
                        raise AnchorUnavailableError("rfc3161", "answer too long")
        except httpx.HTTPError as exc:
            raise AnchorUnavailableError("rfc3161", type(exc).__name__) from exc
        self._check(bytes(body), note, ticket)
        return verifying.document(bytes(body))

    def close(self) -> None:
        """Do nothing."""

    def _check(self, response: bytes, note: Note, ticket: bytes) -> None:
        from rfc3161_client import PKIStatus, decode_timestamp_response

        try:
            answer = decode_timestamp_response(response)
            granted = PKIStatus(answer.status) is PKIStatus.GRANTED
            nonce = int.from_bytes(ticket[:_NONCE], "big")
            same = granted and answer.tst_info.nonce == nonce
            imprint = answer.tst_info.message_imprint.message if granted else b""
        except (ValueError, TypeError) as exc:
            raise AnchorUnavailableError("rfc3161", "not a timestamp response") from exc
        if not granted:
            raise AnchorUnavailableError("rfc3161", f"status {answer.status}")
        if not same or imprint != sha256(note.data):
            raise AnchorUnavailableError("rfc3161", "an answer to another request")
        if self.authority is not None:
            try:
                verifying.verify(response, note.data, self.authority)
            except PeerError as exc:
                raise AnchorRefusedError("rfc3161.authority", str(exc)[:120]) from exc
