"""NVIDIA's attestation report: an SPDM 1.1 GET_MEASUREMENTS request and its response.

The request rides in front because the device signs both: the nonce in it is the verifier's.
Parsing checks the frame; what the opaque fields mean is `opaque`'s, who signed is
`certificates`'.

Source: DMTF DSP0274 1.1 §10.11 (request table 34, response table 36, block table 38).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from attestation.errors import malformed, untrusted

MAX_REPORT_BYTES: Final = 64 * 1024
NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 96
DIGEST_BYTES: Final = 48

_REQUEST_HEAD: Final = bytes.fromhex("11e001ff")
"""SPDM 1.1, GET_MEASUREMENTS, signature requested, all blocks."""
_SLOT: Final = b"\0"
_RESPONSE_HEAD: Final = bytes.fromhex("11600000")
"""SPDM 1.1, MEASUREMENTS, reserved, slot 0."""
_SPECIFICATION_DMTF: Final = 1
_VALUE_HEAD_BYTES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that parsed; nothing in it is authentic before `verify` returned."""

    nonce: bytes
    """32 bytes the verifier chose."""

    measurements: Mapping[int, bytes]
    """Runtime values by RIM index, 0-based: block 1 is index 0."""

    responder_nonce: bytes
    opaque: bytes
    signed: bytes
    """Exactly the bytes parsed, up to the signature."""

    signature: bytes
    """r ‖ s, each 48 bytes, big-endian."""


def decode(raw: bytes) -> Report:
    """Return the report in `raw`.

    Zero bytes after the signature are padding of the platform's buffer and are ignored; any
    other trailing byte is refused.

    Raises:
        EvidenceMalformedError: any other bytes (codes `nvidia.report.*`).
    """
    if len(raw) > MAX_REPORT_BYTES:
        raise malformed("nvidia.report.size", "report", f"<= {MAX_REPORT_BYTES} B", len(raw))
    cursor = _Cursor(raw)
    cursor.expect(_REQUEST_HEAD, "SPDM request header")
    nonce = cursor.take(NONCE_BYTES, "request nonce")
    cursor.expect(_SLOT, "request slot")
    cursor.expect(_RESPONSE_HEAD, "SPDM response header")
    count = cursor.number(1, "number of blocks")
    record = cursor.take(cursor.number(3, "record length"), "measurement record")
    responder_nonce = cursor.take(NONCE_BYTES, "responder nonce")
    opaque = cursor.take(cursor.number(2, "opaque length"), "opaque data")
    signed = raw[: cursor.at]
    signature = cursor.take(SIGNATURE_BYTES, "signature")
    if any(raw[cursor.at :]):
        raise malformed("nvidia.report.trailing", "bytes after the signature", "zero", "data")
    return Report(
        nonce=nonce,
        measurements=_blocks(record, count),
        responder_nonce=responder_nonce,
        opaque=opaque,
        signed=signed,
        signature=signature,
    )


def verify(report: Report, key: ec.EllipticCurvePublicKey) -> None:
    """Check the device's signature over request and response.

    Raises:
        EvidenceUntrustedError: `key` did not sign this report (`nvidia.report.signature`).
    """
    half = SIGNATURE_BYTES // 2
    r = int.from_bytes(report.signature[:half])
    s = int.from_bytes(report.signature[half:])
    try:
        key.verify(encode_dss_signature(r, s), report.signed, ec.ECDSA(SHA384()))
    except InvalidSignature as exc:
        raise untrusted(
            "nvidia.report.signature", "report signature", "by the leaf certificate", "invalid"
        ) from exc


def _blocks(record: bytes, count: int) -> Mapping[int, bytes]:
    """Return the values of `count` blocks, which fill `record` and are numbered 1 … count."""
    cursor = _Cursor(record)
    values = {}
    for index in range(1, count + 1):
        cursor.expect(bytes([index, _SPECIFICATION_DMTF]), f"head of block {index}")
        size = cursor.number(2, "measurement size")
        cursor.number(1, "value type")
        value_size = cursor.number(2, "value size")
        if size != value_size + _VALUE_HEAD_BYTES:
            required = f"{value_size} + {_VALUE_HEAD_BYTES}"
            raise malformed("nvidia.report.block", f"size of block {index}", required, size)
        values[index - 1] = cursor.take(value_size, f"value of block {index}")
    if cursor.at != len(record):
        raise malformed("nvidia.report.block", "measurement record", cursor.at, len(record))
    return MappingProxyType(values)


class _Cursor:
    """Reads a report front to back; never past its end."""

    __slots__ = ("_raw", "at")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.at = 0

    def take(self, size: int, what: str) -> bytes:
        taken = self._raw[self.at : self.at + size]
        if len(taken) != size:
            raise malformed("nvidia.report.truncated", what, f"{size} bytes", len(taken))
        self.at += size
        return taken

    def number(self, size: int, what: str) -> int:
        return int.from_bytes(self.take(size, what), "little")

    def expect(self, constant: bytes, what: str) -> None:
        found = self.take(len(constant), what)
        if found != constant:
            raise malformed("nvidia.report.header", what, constant.hex(), found.hex())
