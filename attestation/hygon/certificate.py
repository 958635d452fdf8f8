"""Hygon's own certificates: HRK and HSK (832 bytes), CEK and PEK (2084 bytes), SM2 throughout.

A certificate states the identifier (`uid`) its key signs under, which is not the one SM2 takes by
default. There are no dates and no serial numbers in it. Parsing decides forms only; whom to
believe is `chain`'s business.

Source: openanolis/csv-rs `src/certs/{ca,csv}` (layouts, usages), checked against real
certificates; GB/T 32918.2 (SM2); docs/attestation/hygon-csv.md §3.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

from attestation.errors import malformed
from attestation.layout import Field, le, read
from mifeng.crypto import KeyFormatError, SignatureError, Sm2PublicKey

CA_SIZE: Final = 832
CSV_SIZE: Final = 2084
SM2_SIGN: Final = 4
"""The algorithm number of SM2 signatures with SM3."""
_CURVE: Final = 3
_NUMBER: Final = 72
_USED: Final = 32
_KEY_ID: Final = 16


class Usage(IntEnum):
    """What a key is for; the numbers stand in certificates, reports and signatures."""

    HRK = 0x0000
    HSK = 0x0013
    INVALID = 0x1000
    OCA = 0x1001
    PEK = 0x1002
    CEK = 0x1004

    @property
    def uid(self) -> bytes:
        """The identifier that keys of this usage sign under."""
        return f"HYGON-SSD-{self.name}".encode()


CA_LAYOUT: Final = (
    Field("version", 0, 4),
    Field("key_id", 4, 16),
    Field("certifying_id", 20, 16),
    Field("key_usage", 36, 4),
    Field("signed_reserved", 40, 24),
    Field("curve", 64, 4),
    Field("x", 68, 72),
    Field("y", 140, 72),
    Field("uid_len", 212, 2),
    Field("uid", 214, 254),
    Field("signed_reserved_2", 468, 108),
    Field("r", 576, 72),
    Field("s", 648, 72),
    # 720 … 831 reserved, not signed
)
CSV_LAYOUT: Final = (
    Field("version", 0, 4),
    Field("api_major", 4, 1),
    Field("api_minor", 5, 1),
    Field("signed_reserved", 6, 2),
    Field("key_usage", 8, 4),
    Field("algorithm", 12, 4),
    Field("curve", 16, 4),
    Field("x", 20, 72),
    Field("y", 92, 72),
    Field("uid_len", 164, 2),
    Field("uid", 166, 254),
    Field("issuer_id", 420, 16),
    Field("signed_reserved_2", 436, 608),
    Field("usage_1", 1044, 4),
    Field("algorithm_1", 1048, 4),
    Field("r_1", 1052, 72),
    Field("s_1", 1124, 72),
    # 1196 … 1563 reserved, not signed
    Field("usage_2", 1564, 4),
    Field("algorithm_2", 1568, 4),
    Field("r_2", 1572, 72),
    Field("s_2", 1644, 72),
    # 1716 … 2083 reserved, not signed
)
_CA_SIGNED: Final = slice(0, 576)
_CSV_SIGNED: Final = slice(0, 1044)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One SM2 signature and what it says of its signer; not checked."""

    usage: int
    algorithm: int
    value: bytes
    """r ‖ s, big-endian, 64 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One certificate, split into fields and not yet believed."""

    raw: bytes
    usage: Usage
    version: int
    key_id: bytes
    """HRK and HSK: 16 bytes; CEK and PEK have none."""

    issuer_id: bytes
    """HSK: the HRK's key id. CEK: the HSK's, or zero. PEK: zero. 16 bytes."""

    point: bytes
    """Public key, 04 ‖ X ‖ Y, 65 bytes, on the curve."""

    api: tuple[int, int] | None
    """Firmware interface the certificate was made under, (major, minor); CEK and PEK only."""

    signed: bytes
    signatures: tuple[Signature, ...]


def number(field: bytes, *, what: str, code: str) -> bytes:
    """Return the big-endian 32 bytes of a little-endian 72-byte field, the rest of it zero.

    Raises:
        EvidenceMalformedError: a byte beyond the curve's size is set (code `<code>.number`).
    """
    if any(field[_USED:]):
        required = f"{_USED} bytes and {_NUMBER - _USED} zeros"
        raise malformed(f"{code}.number", what, required, "more bytes set")
    return field[:_USED][::-1]


def signature_value(r: bytes, s: bytes, *, what: str, code: str) -> bytes:
    """Return r ‖ s, 64 bytes, from two 72-byte fields; raises as `number`."""
    return number(r, what=what, code=code) + number(s, what=what, code=code)


@lru_cache(maxsize=1024)
def parse_ca(raw: bytes, *, expected: Usage, code: str) -> Certificate:
    """Return an HRK or HSK certificate.

    Args:
        raw: untrusted; any bytes.
        expected: the usage it must state.
        code: prefix of the finding's code, e.g. `hygon-csv.hsk`.

    Raises:
        EvidenceMalformedError: another size, usage, curve or identifier; a reserved byte set; a
            point off the curve.
    """
    what = f"{expected.name} certificate"
    fields = read(CA_LAYOUT, raw, size=CA_SIZE, what=what, code=code)
    value = signature_value(fields["r"], fields["s"], what=f"{what} signature", code=code)
    return Certificate(
        raw=raw,
        usage=_usage(fields, expected, code=code),
        version=le(fields["version"]),
        key_id=fields["key_id"],
        issuer_id=fields["certifying_id"],
        point=_point(fields, what=what, code=code),
        api=None,
        signed=raw[_CA_SIGNED],
        signatures=(Signature(usage=Usage.HRK, algorithm=SM2_SIGN, value=value),),
    )


@lru_cache(maxsize=1024)
def parse_csv(raw: bytes, *, expected: Usage, code: str) -> Certificate:
    """Return a CEK or PEK certificate; arguments and errors as `parse_ca`."""
    what = f"{expected.name} certificate"
    fields = read(CSV_LAYOUT, raw, size=CSV_SIZE, what=what, code=code)
    if le(fields["algorithm"]) != SM2_SIGN:
        raise malformed(f"{code}.algorithm", what, SM2_SIGN, le(fields["algorithm"]))
    return Certificate(
        raw=raw,
        usage=_usage(fields, expected, code=code),
        version=le(fields["version"]),
        key_id=b"",
        issuer_id=fields["issuer_id"],
        point=_point(fields, what=what, code=code),
        api=(le(fields["api_major"]), le(fields["api_minor"])),
        signed=raw[_CSV_SIGNED],
        signatures=tuple(
            Signature(
                usage=le(fields[f"usage_{slot}"]),
                algorithm=le(fields[f"algorithm_{slot}"]),
                value=signature_value(
                    fields[f"r_{slot}"], fields[f"s_{slot}"], what=f"{what} signature", code=code
                ),
            )
            for slot in (1, 2)
        ),
    )


def _usage(fields: dict[str, bytes], expected: Usage, *, code: str) -> Usage:
    """Check usage, and the identifier that belongs to it."""
    what = f"{expected.name} certificate"
    usage = le(fields["key_usage"])
    if usage != expected:
        raise malformed(f"{code}.usage", what, f"usage {expected:#x}", f"{usage:#x}")
    uid = fields["uid"][: le(fields["uid_len"])]
    if uid != expected.uid or any(fields["uid"][len(uid) :]):
        raise malformed(f"{code}.uid", what, expected.uid.decode(), fields["uid"][:16].hex())
    return expected


def _point(fields: dict[str, bytes], *, what: str, code: str) -> bytes:
    if le(fields["curve"]) != _CURVE:
        raise malformed(f"{code}.curve", what, _CURVE, le(fields["curve"]))
    raw = b"\x04" + b"".join(number(fields[axis], what=what, code=code) for axis in ("x", "y"))
    try:
        return Sm2PublicKey.from_bytes(raw).to_bytes()
    except KeyFormatError as exc:
        raise malformed(f"{code}.point", what, "a point of the SM2 curve", str(exc)) from exc


@lru_cache(maxsize=4096)
def is_signed_by(point: bytes, uid: bytes, signed: bytes, value: bytes) -> bool:
    """Whether `value` is a signature over `signed`. Pure, so a cache is only speed.

    Args:
        point: the signer's public key, on the curve.
        uid: the identifier it signs under.
        signed: the exact bytes.
        value: r ‖ s, 64 bytes, untrusted.
    """
    try:
        Sm2PublicKey.from_bytes(point).verify(value, signed, uid=uid)
    except SignatureError:
        return False
    return True
