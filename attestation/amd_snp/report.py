"""AMD SEV-SNP ATTESTATION_REPORT: the layout as a table, and its strict reading.

Bytes in, a `Report` out; nothing here is trusted until `verifier` has checked the signature over
`Report.signed`. Which product wrote the report, and so how its TCB words are laid out, is decided
in `product`.

Source: AMD 56860 (SEV-SNP firmware ABI), table "ATTESTATION_REPORT Structure", versions 2 to 5.
Integers are little-endian. Bytes that no row names are reserved and must be zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from attestation.errors import EvidenceUnsupportedError, Finding, malformed
from attestation.layout import Field, le, read

SIZE: Final = 0x4A0
SIGNED_SIZE: Final = 0x2A0
SCALAR_SIZE: Final = 48
"""Bytes of r and of s for P-384; each sits little-endian in a field of `_SCALAR_FIELD_SIZE`."""
_SCALAR_FIELD_SIZE: Final = 72

SIGNATURE_ECDSA_P384_SHA384: Final = 1


_LAYOUT_2: Final = (
    Field("version", 0x000, 4),
    Field("guest_svn", 0x004, 4),
    Field("policy", 0x008, 8),
    Field("family_id", 0x010, 16),
    Field("image_id", 0x020, 16),
    Field("vmpl", 0x030, 4),
    Field("signature_algo", 0x034, 4),
    Field("current_tcb", 0x038, 8),
    Field("platform_info", 0x040, 8),
    Field("signer_info", 0x048, 4),
    Field("report_data", 0x050, 64),
    Field("measurement", 0x090, 48),
    Field("host_data", 0x0C0, 32),
    Field("id_key_digest", 0x0E0, 48),
    Field("author_key_digest", 0x110, 48),
    Field("report_id", 0x140, 32),
    Field("report_id_ma", 0x160, 32),
    Field("reported_tcb", 0x180, 8),
    Field("chip_id", 0x1A0, 64),
    Field("committed_tcb", 0x1E0, 8),
    Field("current_version", 0x1E8, 3),
    Field("committed_version", 0x1EC, 3),
    Field("launch_tcb", 0x1F0, 8),
    Field("signature_r", 0x2A0, _SCALAR_FIELD_SIZE),
    Field("signature_s", 0x2E8, _SCALAR_FIELD_SIZE),
)
_LAYOUT_3: Final = (*_LAYOUT_2, Field("cpuid", 0x188, 3))
_LAYOUT_5: Final = (
    *_LAYOUT_3,
    Field("launch_mit_vector", 0x1F8, 8),
    Field("current_mit_vector", 0x200, 8),
)
LAYOUTS: Final[Mapping[int, tuple[Field, ...]]] = {
    2: _LAYOUT_2,
    3: _LAYOUT_3,
    4: _LAYOUT_3,
    5: _LAYOUT_5,
}
"""By report version: 3 added the processor it comes from, 5 the mitigation vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report, split into fields and not yet believed."""

    signed: bytes
    """The exact bytes the signature is over: [0, 0x2A0)."""
    r: int
    s: int
    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    platform_info: int
    signer_info: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    cpuid: bytes | None
    """Family, model, stepping, one byte each; None in version 2, which does not say."""
    chip_id: bytes
    current_tcb: bytes
    reported_tcb: bytes
    committed_tcb: bytes
    launch_tcb: bytes
    current_version: str
    """Firmware as `major.minor.build`."""
    committed_version: str
    launch_mit_vector: int | None
    current_mit_vector: int | None


def parse(raw: bytes) -> Report:
    """Split exactly one report of `SIZE` bytes into its fields.

    Raises:
        EvidenceMalformedError: wrong length, a reserved byte is set, or a signature half does not
            fit a P-384 scalar.
        EvidenceUnsupportedError: a version or signature algorithm this module does not know.
    """
    version = le(raw[0:4])
    if len(raw) == SIZE and version not in LAYOUTS:
        raise EvidenceUnsupportedError(
            Finding("amd-snp.version", "report version", "2 to 5", str(version))
        )
    fields = read(
        LAYOUTS.get(version, _LAYOUT_2), raw, size=SIZE, what="SNP report", code="amd-snp.report"
    )
    algo = le(fields["signature_algo"])
    if algo != SIGNATURE_ECDSA_P384_SHA384:
        raise EvidenceUnsupportedError(
            Finding("amd-snp.signature-algo", "signature algorithm", "1 (ECDSA P-384)", str(algo))
        )
    launch, current = fields.get("launch_mit_vector"), fields.get("current_mit_vector")
    return Report(
        signed=raw[:SIGNED_SIZE],
        r=_scalar(fields["signature_r"], "r"),
        s=_scalar(fields["signature_s"], "s"),
        version=version,
        guest_svn=le(fields["guest_svn"]),
        policy=le(fields["policy"]),
        family_id=fields["family_id"],
        image_id=fields["image_id"],
        vmpl=le(fields["vmpl"]),
        platform_info=le(fields["platform_info"]),
        signer_info=le(fields["signer_info"]),
        report_data=fields["report_data"],
        measurement=fields["measurement"],
        host_data=fields["host_data"],
        id_key_digest=fields["id_key_digest"],
        author_key_digest=fields["author_key_digest"],
        report_id=fields["report_id"],
        report_id_ma=fields["report_id_ma"],
        cpuid=fields.get("cpuid"),
        chip_id=fields["chip_id"],
        current_tcb=fields["current_tcb"],
        reported_tcb=fields["reported_tcb"],
        committed_tcb=fields["committed_tcb"],
        launch_tcb=fields["launch_tcb"],
        current_version=_firmware(fields["current_version"]),
        committed_version=_firmware(fields["committed_version"]),
        launch_mit_vector=None if launch is None else le(launch),
        current_mit_vector=None if current is None else le(current),
    )


def _firmware(field: bytes) -> str:
    build, minor, major = field
    return f"{major}.{minor}.{build}"


def _scalar(field: bytes, name: str) -> int:
    if any(field[SCALAR_SIZE:]):
        raise malformed("amd-snp.signature.padding", f"padding of {name}", "zero", "other bytes")
    return le(field[:SCALAR_SIZE])
