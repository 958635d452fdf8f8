"""Verify an RFC 3161 timestamp of a note offline: at its own instant, against pinned certificates.

The token carries no certificates; the auditor has them. Signature, chain, extended key usage and
SHA-256 imprint are `rfc3161-client`'s business, ours is that the authority's certificate was valid
at the instant and that the imprint is of this note.

Source: RFC 3161 §2.4.2; docs/spec/anchor.md §3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.x509 import Certificate, InvalidVersion

from mifeng.errors import MalformedError, MifengError, PeerError
from mifeng.protocol.jsonc import Fields, Json, to_base64

from .record import AnchorRecord

MAX_TOKEN: Final = 64 << 10


class StampLibraryMissingError(MifengError):
    """`rfc3161-client` is not installed: timestamps cannot be verified here."""

    code = "anchor.library"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A timestamp authority as an auditor knows it."""

    certificate: Certificate
    """Of the authority itself."""
    chain: Sequence[Certificate]
    """Up to its root; the certificate itself if nobody issued it."""


def document(response: bytes) -> dict[str, Json]:
    """Return `proof` of kind `rfc3161` for the authority's answer, DER."""
    return {"response": to_base64(response)}


def response_of(record: AnchorRecord) -> bytes:
    """Return the answer in a record, unverified; raises `MalformedError`."""
    fields = Fields(record.proof, "anchor.proof")
    response = fields.base64("response", limit=MAX_TOKEN)
    fields.end()
    return response


def verify(response: bytes, note: bytes, authority: Authority) -> int:
    """Return the instant, in Unix seconds, at which an authority had seen a note.

    Args:
        response: untrusted; any bytes.
        note: whose timestamp it should be.
        authority: believed.

    Raises:
        MalformedError: not a timestamp response.
        PeerError: not granted, of another authority, of another note, or with a certificate that
            was not valid then.
        StampLibraryMissingError: see there.
    """
    try:
        from rfc3161_client import VerificationError, VerifierBuilder, decode_timestamp_response
    except ImportError as exc:
        raise StampLibraryMissingError("timestamps: install mifeng[anchors]") from exc
    try:
        answer = decode_timestamp_response(response)
        verifier = VerifierBuilder(
            tsa_certificate=authority.certificate, roots=list(authority.chain)
        ).build()
        verifier.verify_message(answer, note)
        imprint = answer.tst_info.message_imprint.hash_algorithm.dotted_string
        instant = answer.tst_info.gen_time
    except VerificationError as exc:
        raise PeerError(f"timestamp: {exc}") from exc
    except (ValueError, TypeError, OverflowError, InvalidVersion) as exc:
        # A token may bring certificates that nobody signed for; they are parsed all the same.
        raise MalformedError("timestamp: not a response") from exc
    if imprint != _SHA256:
        raise PeerError("timestamp: its imprint is not SHA-256")
    certificate = authority.certificate
    if not certificate.not_valid_before_utc <= instant <= certificate.not_valid_after_utc:
        raise PeerError("timestamp: the authority's certificate was not valid at the instant")
    return int(instant.timestamp())


_SHA256: Final = "2.16.840.1.101.3.4.2.1"
