"""The blob that Azure's paravisor (HCL) leaves in the vTPM: a hardware report and runtime claims.

The report data of the hardware report is the hash of the claims' exact bytes; the claims name
the vTPM's attestation key. Neither is fresh: the same blob serves for the life of the VM.

Source: Microsoft, "Guest attestation for confidential VMs" (HCL report); little-endian.
"""

import hashlib
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from attestation import json_strict
from attestation.errors import EvidenceUnsupportedError, Finding, malformed
from attestation.layout import Field, le, split

_CODE: Final = "azure-vtpm.hcl"
MAGIC: Final = b"HCLA"
HEADER_SIZE: Final = 1236
_LAYOUT: Final = (
    Field("magic", 0, 4),
    Field("version", 4, 4),
    Field("report_size", 8, 4),
    Field("request_type", 12, 4),
    Field("status", 16, 16),
    Field("hardware_report", 32, 1184),
    Field("data_size", 1216, 4),
    Field("data_version", 1220, 4),
    Field("report_type", 1224, 4),
    Field("hash_type", 1228, 4),
    Field("variable_data_size", 1232, 4),
)
_REQUEST_SIZE: Final = 20
_PREFIX_SIZE: Final = HEADER_SIZE - _REQUEST_SIZE
_VERSIONS: Final = (1, 2)
_MAX_SIZE: Final = 1 << 16
_HASHES: Final = {1: "sha256", 2: "sha384", 3: "sha512"}
REPORT_DATA_SIZE: Final = 64

_TDREPORT_SIZE: Final = 1024
_TDREPORT_DATA: Final = slice(128, 192)
_TDREPORT_MRTD: Final = slice(528, 576)

AK_NAME: Final = "HCLAkPub"
_MIN_MODULUS_BITS: Final = 2048
_MAX_MODULUS_BITS: Final = 4096
_MAX_EXPONENT_SIZE: Final = 4


class ReportType(IntEnum):
    """Which hardware signed the report."""

    SNP = 2
    TDX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class HclReport:
    """One blob, split and not yet believed."""

    report_type: ReportType
    hardware_report: bytes
    """SNP: 1184 bytes. TDX: the TDREPORT, 1024 bytes."""
    report_data: bytes
    """What the hardware report must hold: the claims' hash, zero-filled to 64 bytes."""
    ak: RSAPublicKey
    claims: dict[str, object]
    """The runtime claims: `keys`, `vm-configuration`, `user-data`."""

    @property
    def td_report_data(self) -> bytes:
        """Report data of the (locally signed) TDREPORT."""
        return self.hardware_report[_TDREPORT_DATA]

    @property
    def td_mrtd(self) -> bytes:
        """MRTD of the TDREPORT."""
        return self.hardware_report[_TDREPORT_MRTD]


def parse(raw: bytes) -> HclReport:
    """Split exactly one blob, with or without the zero padding of its NV index.

    Raises:
        EvidenceMalformedError: sizes disagree, reserved bytes are set, or the claims do not
            name exactly one RSA attestation key.
        EvidenceUnsupportedError: a version, report type or hash this module does not know.
    """
    if len(raw) > _MAX_SIZE:
        raise malformed(f"{_CODE}.size", "HCL blob", f"at most {_MAX_SIZE} bytes", len(raw))
    head = split(_LAYOUT, raw[:HEADER_SIZE], size=HEADER_SIZE, what="HCL blob", code=_CODE)
    if head["magic"] != MAGIC:
        raise malformed(f"{_CODE}.magic", "signature", MAGIC.hex(), head["magic"].hex())
    number = {name: le(value) for name, value in head.items() if len(value) <= 4}  # noqa: PLR2004
    if number["version"] not in _VERSIONS:
        raise _unsupported("version", "1 or 2", number["version"])
    size = number["variable_data_size"]
    data, padding = raw[HEADER_SIZE : HEADER_SIZE + size], raw[HEADER_SIZE + size :]
    sizes = (len(data), number["data_size"], number["report_size"])
    expected = (size, _REQUEST_SIZE + size, _PREFIX_SIZE + _REQUEST_SIZE + size)
    if sizes != expected:
        raise malformed(f"{_CODE}.size", "sizes in the header", expected, sizes)
    if any(padding) or any(head["status"]):
        raise malformed(f"{_CODE}.reserved", "status and padding", "zero", "other bytes")
    hash_name = _HASHES.get(number["hash_type"])
    if hash_name is None:
        raise _unsupported("hash-type", "1, 2 or 3", number["hash_type"])
    kind, report = _hardware(number["report_type"], head["hardware_report"])
    claims = json_strict.parse_object(data, what="HCL runtime claims", code=f"{_CODE}.claims")
    return HclReport(
        report_type=kind,
        hardware_report=report,
        report_data=hashlib.new(hash_name, data).digest().ljust(REPORT_DATA_SIZE, b"\0"),
        ak=_ak(claims),
        claims=claims,
    )


def _unsupported(field: str, required: str, found: int) -> EvidenceUnsupportedError:
    return EvidenceUnsupportedError(
        Finding(f"{_CODE}.{field}", f"HCL {field}", required, str(found))
    )


def _hardware(number: int, field: bytes) -> tuple[ReportType, bytes]:
    if number == ReportType.SNP:
        return ReportType.SNP, field
    if number != ReportType.TDX:
        raise _unsupported("report-type", "2 (SNP) or 4 (TDX)", number)
    if any(field[_TDREPORT_SIZE:]):
        raise malformed(f"{_CODE}.reserved", "bytes after the TDREPORT", "zero", "other bytes")
    return ReportType.TDX, field[:_TDREPORT_SIZE]


def _ak(claims: dict[str, object]) -> RSAPublicKey:
    code = f"{_CODE}.ak"
    keys = claims.get("keys")
    if not isinstance(keys, list) or not all(isinstance(each, dict) for each in keys):
        raise malformed(code, "keys", "a list of keys", type(keys).__name__)
    named = [each for each in keys if each.get("kid") == AK_NAME]
    if len(named) != 1:
        raise malformed(code, f"keys named {AK_NAME}", 1, len(named))
    if named[0].get("kty") != "RSA":
        raise malformed(code, "key type", "RSA", repr(named[0].get("kty"))[:32])
    n, e = (int.from_bytes(_number(named[0].get(name), name)) for name in ("n", "e"))
    if not _MIN_MODULUS_BITS <= n.bit_length() <= _MAX_MODULUS_BITS or e >> 8 * _MAX_EXPONENT_SIZE:
        raise malformed(code, "RSA modulus", "2048 to 4096 bits", n.bit_length())
    try:
        return RSAPublicNumbers(e, n).public_key()
    except ValueError as exc:
        raise malformed(code, "RSA key", "a valid public key", exc) from exc


def _number(value: object, name: str) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise malformed(f"{_CODE}.ak", name, "base64url", type(value).__name__)
    try:
        return urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except ValueError as exc:
        raise malformed(f"{_CODE}.ak", name, "base64url", exc) from exc
