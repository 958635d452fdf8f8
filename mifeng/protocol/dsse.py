"""DSSE envelopes: signed bytes that carry their type, with exactly one signature.

The signature covers the pre-authentication encoding (PAE) of payload type and payload, so a
statement of one type never counts as another. Narrower than the specification in three points,
each so that one value has one spelling: canonical JSON, standard padded base64, one signature
whose `keyid` must be the id of the key that verifies it (DSSE leaves `keyid` unauthenticated).

Source: DSSE v1.0.2 (secure-systems-lab/dsse, protocol.md and envelope.md); docs/spec/log.md §2.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mifeng.crypto import sm3
from mifeng.crypto.errors import SignatureError
from mifeng.crypto.signatures import SigningKey, VerifyKey, failing
from mifeng.errors import MalformedError, PeerError

from .jsonc import Fields, Json, dumps, loads, to_base64

SIGNATURE_BYTES: Final = 64
MAX_PAYLOAD: Final = 1 << 20
_MAX_TYPE: Final = 128
_FORM: Final = b'{"payload":"%b","payloadType":"%b","signatures":[{"keyid":"%b","sig":"%b"}]}'
_PLAIN: Final = re.compile(r"[ !#-\[\]-~]*")
"""What JSON writes as it stands: printable ASCII without quotation mark and backslash."""
_MAX_ENVELOPE: Final = MAX_PAYLOAD // 3 * 4 + 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A parsed envelope. Nothing about its signature has been checked."""

    payload: bytes
    payload_type: str
    """1 … 128 printable ASCII characters, e.g. `application/vnd.mifeng.receipt+json`."""

    keyid: str
    signature: bytes
    """64 bytes, r ‖ s."""

    def encode(self) -> bytes:
        """Return the one JSON form of this envelope."""
        if _PLAIN.fullmatch(self.payload_type) and _PLAIN.fullmatch(self.keyid):
            return _FORM % (
                b64encode(self.payload),
                self.payload_type.encode(),
                self.keyid.encode(),
                b64encode(self.signature),
            )
        return dumps(self.to_json())

    def to_json(self) -> dict[str, Json]:
        """Return the envelope as an object that can stand inside another one."""
        return {
            "payload": to_base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": self.keyid, "sig": to_base64(self.signature)}],
        }


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed. Lengths are decimal byte counts (protocol.md)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(alg: str, public: bytes) -> str:
    """Return the name of a key in envelopes: algorithm, colon, SM3 of the public bytes."""
    return f"{alg}:{sm3(public).hex()}"


def parse(data: bytes, *, limit: int = _MAX_ENVELOPE) -> Envelope:
    """Return the envelope `data` encodes, unverified.

    For whoever only stores or routes it; use `verify` before believing the payload.

    Args:
        data: untrusted; any bytes.
        limit: longest envelope accepted, bytes.

    Raises:
        MalformedError: not the canonical form of an envelope with one signature.
    """
    return from_json(loads(data, limit=limit))


def from_json(value: Json) -> Envelope:
    """Return the envelope that a decoded canonical JSON value holds; see `parse`."""
    fields = Fields(value, "dsse")
    payload = fields.base64("payload", limit=MAX_PAYLOAD)
    payload_type = fields.text("payloadType", limit=_MAX_TYPE)
    signatures = fields.array("signatures", limit=1)
    fields.end()
    if not (payload_type.isascii() and payload_type.isprintable()):
        raise MalformedError("dsse: payloadType is not printable ASCII")
    if len(signatures) != 1:
        raise MalformedError("dsse: not exactly one signature")
    inner = Fields(signatures[0], "dsse.signatures")
    keyid = inner.text("keyid", limit=_MAX_TYPE)
    signature = inner.base64("sig", limit=SIGNATURE_BYTES)
    inner.end()
    if len(signature) != SIGNATURE_BYTES:
        raise MalformedError(f"dsse: a signature of {len(signature)} bytes")
    return Envelope(payload=payload, payload_type=payload_type, keyid=keyid, signature=signature)


def sign(payload: bytes, payload_type: str, signer: SigningKey) -> bytes:
    """Return an envelope around `payload`, signed by `signer`, in its canonical form."""
    return sign_many([(payload_type, payload)], signer)[0]


def sign_many(statements: Sequence[tuple[str, bytes]], signer: SigningKey) -> list[bytes]:
    """Return what `sign` makes of each (payload type, payload), in order."""
    keyid = key_id(signer.alg, signer.public_bytes)
    signatures = signer.sign_many([pae(*each) for each in statements])
    return [
        Envelope(
            payload=payload, payload_type=payload_type, keyid=keyid, signature=signature
        ).encode()
        for (payload_type, payload), signature in zip(statements, signatures, strict=True)
    ]


def verify(envelope: bytes, payload_type: str, key: VerifyKey) -> bytes:
    """Return the payload of `envelope` if `key` signed it as `payload_type`.

    Proves who signed what, not when, nor that it was meant for this exchange: the payload says.

    Raises:
        MalformedError: not an envelope.
        PeerError: another type, another key, or a signature that does not verify.
    """
    return verify_parsed(parse(envelope), payload_type, key)


def verify_parsed(envelope: Envelope, payload_type: str, key: VerifyKey) -> bytes:
    """Do what `verify` does for an envelope that was parsed already."""
    _compare(envelope, payload_type, key)
    try:
        key.verify(envelope.signature, pae(payload_type, envelope.payload))
    except SignatureError as exc:
        raise PeerError("dsse: signature does not verify") from exc
    return envelope.payload


def verify_each(claims: Sequence[tuple[Envelope, str, VerifyKey]]) -> list[bytes | PeerError]:
    """Return for each claim what `verify_parsed` returns or raises; SM2's are checked in lanes."""
    results = [_compared(*claim) for claim in claims]
    places = [place for place, found in enumerate(results) if isinstance(found, bytes)]
    signed = [
        (key, envelope.signature, pae(payload_type, envelope.payload))
        for envelope, payload_type, key in (claims[place] for place in places)
    ]
    for place in failing(signed):
        results[places[place]] = PeerError("dsse: signature does not verify")
    return results


def _compared(envelope: Envelope, payload_type: str, key: VerifyKey) -> bytes | PeerError:
    try:
        _compare(envelope, payload_type, key)
    except PeerError as exc:
        return exc
    return envelope.payload


def _compare(envelope: Envelope, payload_type: str, key: VerifyKey) -> None:
    """Raise `PeerError` unless the envelope claims to be of this type and by this key."""
    if envelope.payload_type != payload_type:
        raise PeerError(f"dsse: is {envelope.payload_type}, not {payload_type}")
    if envelope.keyid != key_id(key.alg, key.public_bytes):
        raise PeerError(f"dsse: signed by {envelope.keyid}, another key")
