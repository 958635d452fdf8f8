"""The attestation document of the Nitro Security Module: COSE_Sign1 around a map.

`parse` splits and checks forms; `verifier` believes.

Source: AWS, "Attestation process" (aws-nitro-enclaves-nsm-api `docs/attestation_process.md`);
RFC 9052 §4.2, §4.4 (COSE_Sign1, Sig_structure).
"""

from dataclasses import dataclass
from typing import Final

from attestation.errors import EvidenceMalformedError, malformed

from . import cbor
from .cbor import Cbor, Label, Tagged

_CODE: Final = "aws-nitro.document"
MAX_SIZE: Final = 1 << 16
COSE_SIGN1_TAG: Final = 18
_PARTS: Final = 4
_PROTECTED: Final = bytes.fromhex("a1013822")
"""`{1: -35}`: ES384 and nothing else, in its only encoding."""
_CONTEXT: Final = bytes.fromhex("846a5369676e617475726531") + b"\x44" + _PROTECTED + b"\x40"
"""Sig_structure up to the payload: `["Signature1", protected, h'', …`."""
SIGNATURE_SIZE: Final = 96
_DIGEST: Final = "SHA384"
PCR_SIZE: Final = 48
_MAX_PCR: Final = 31
_MAX_BUNDLE: Final = 8
_SHORT_LENGTH: Final = 24
# SCALE: version 0, variant 2 (Nitro enclave).
_DSTACK_PREFIX: Final = b"\x00\x02"
_TWO_BYTE_FORM: Final = 0b01


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document, split into fields and not yet believed."""

    signed: bytes
    """The exact bytes the signature is over (Sig_structure)."""
    signature: bytes
    module_id: str
    timestamp_ms: int
    pcrs: dict[int, bytes]
    certificate: bytes
    cabundle: tuple[bytes, ...]
    """Root first."""
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None


def parse(raw: bytes) -> Document:
    """Split exactly one document, with or without the COSE_Sign1 tag, or in a dstack envelope.

    Raises:
        EvidenceMalformedError: not this structure, another algorithm, or a field of another
            type, size or name.
    """
    if len(raw) > MAX_SIZE:
        raise malformed(f"{_CODE}.size", "document", f"at most {MAX_SIZE} bytes", len(raw))
    outer = cbor.decode(_unwrap(raw), what="document", code=_CODE)
    if isinstance(outer, Tagged) and outer.tag == COSE_SIGN1_TAG:
        outer = outer.value
    if not isinstance(outer, list) or len(outer) != _PARTS:
        raise _bad("COSE_Sign1", "an array of 4", type(outer).__name__)
    protected, unprotected, payload, signature = outer
    if protected != _PROTECTED:
        raise _bad("protected header", "ES384 alone", repr(protected)[:64])
    if unprotected != {}:
        raise _bad("unprotected header", "empty", repr(unprotected)[:64])
    if not isinstance(payload, bytes) or not payload:
        raise _bad("payload", "bytes", type(payload).__name__)
    if not isinstance(signature, bytes) or len(signature) != SIGNATURE_SIZE:
        raise _bad("signature", f"{SIGNATURE_SIZE} bytes", type(signature).__name__)
    fields = cbor.decode(payload, what="payload", code=_CODE)
    if not isinstance(fields, dict):
        raise _bad("payload", "a map", type(fields).__name__)
    return _document(fields, _CONTEXT + _byte_string(payload), signature)


def _unwrap(raw: bytes) -> bytes:
    """Return the document of a dstack envelope; what follows it there is unsigned and dropped."""
    if raw[: len(_DSTACK_PREFIX)] != _DSTACK_PREFIX:
        return raw
    # SCALE compact length, two-byte form: documents are between 64 bytes and 16 KiB.
    length = int.from_bytes(raw[2:4], "little")
    if length & 0b11 != _TWO_BYTE_FORM:
        raise _bad("envelope", "a length of two bytes", f"{length:#06x}")
    start, size = 4, length >> 2
    return raw[start : start + size]


def _document(fields: dict[Label, Cbor], signed: bytes, signature: bytes) -> Document:
    module_id, timestamp = fields.get("module_id"), fields.get("timestamp")
    if not isinstance(module_id, str) or not module_id:
        raise _bad("module_id", "text", repr(module_id)[:64])
    if type(timestamp) is not int or timestamp <= 0:
        raise _bad("timestamp", "milliseconds", repr(timestamp)[:64])
    if fields.get("digest") != _DIGEST:
        raise _bad("digest", _DIGEST, repr(fields.get("digest"))[:64])
    bundle = fields.get("cabundle")
    if not isinstance(bundle, list) or not 1 <= len(bundle) <= _MAX_BUNDLE:
        raise _bad("cabundle", f"1 to {_MAX_BUNDLE} certificates", type(bundle).__name__)
    return Document(
        signed=signed,
        signature=signature,
        module_id=module_id,
        timestamp_ms=timestamp,
        pcrs=_pcrs(fields.get("pcrs")),
        certificate=_bytes(fields.get("certificate"), "certificate"),
        cabundle=tuple(_bytes(each, "cabundle") for each in bundle),
        public_key=_optional(fields, "public_key"),
        user_data=_optional(fields, "user_data"),
        nonce=_optional(fields, "nonce"),
    )


def _pcrs(value: Cbor) -> dict[int, bytes]:
    if not isinstance(value, dict) or not value:
        raise _bad("pcrs", "a map", type(value).__name__)
    found = {}
    for index, data in value.items():
        if not isinstance(index, int) or not 0 <= index <= _MAX_PCR:
            raise _bad("PCR index", f"0 to {_MAX_PCR}", repr(index)[:32])
        if not isinstance(data, bytes) or len(data) != PCR_SIZE:
            raise _bad(f"PCR {index}", f"{PCR_SIZE} bytes", type(data).__name__)
        found[index] = data
    if 0 not in found:
        raise _bad("pcrs", "PCR 0", "absent")
    return found


def _optional(fields: dict[Label, Cbor], name: str) -> bytes | None:
    value = fields.get(name)
    return None if value is None else _bytes(value, name)


def _bytes(value: Cbor, name: str) -> bytes:
    if not isinstance(value, bytes):
        raise _bad(name, "bytes", type(value).__name__)
    return value


def _bad(claim: str, required: str, found: object) -> EvidenceMalformedError:
    return malformed(f"{_CODE}.field", claim, required, found)


def _byte_string(data: bytes) -> bytes:
    """Return `data` as a CBOR byte string; documents are below 64 KiB."""
    size = len(data)
    if size < _SHORT_LENGTH:
        return bytes([0x40 + size]) + data
    if size < 1 << 8:
        return bytes([0x58, size]) + data
    return b"\x59" + size.to_bytes(2) + data
