"""The attestation report of one Hygon DCU, 396 bytes, alone or in the driver's response.

A DCU report is told from a CPU's by its size and by the key that signs it (CEK, not PEK), so
that neither is ever parsed as the other.

Source: openanolis/csv-rs `src/api/dcu/types.rs`; no real report has been seen;
docs/attestation/hygon-dcu.md §3.
"""

from dataclasses import dataclass
from typing import Final

from attestation.errors import malformed
from attestation.hygon.certificate import signature_value
from attestation.layout import Field, le, split

_CODE: Final = "hygon-dcu.report"
SIZE: Final = 396
LAYOUT: Final = (
    Field("version", 0, 4),
    Field("chip_id", 4, 16),
    Field("user_data", 20, 64),
    Field("measure", 84, 32),
    Field("reserved", 116, 128),
    Field("sig_usage", 244, 4),
    Field("sig_algo", 248, 4),
    Field("r", 252, 72),
    Field("s", 324, 72),
)
_SIGNED: Final = slice(0, 252)
_HEADER: Final = SIZE.to_bytes(4, "little") + bytes(28)
"""The driver's response: size of the report, 28 reserved bytes."""
_PAGE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report, split into fields and not yet believed."""

    fields: dict[str, bytes]
    version: int
    chip_id: str
    """1 … 16 printable ASCII characters."""

    sig_usage: int
    sig_algo: int
    signed: bytes
    signature: bytes


def parse(raw: bytes) -> Report:
    """Split one report.

    Raises:
        EvidenceMalformedError: another size, or a chip id that is not printable text.
    """
    fields = split(LAYOUT, _unwrap(raw), size=SIZE, what="DCU report", code=_CODE)
    chip_id = fields["chip_id"].rstrip(b"\0")
    if not chip_id or not all(0x21 <= byte <= 0x7E for byte in chip_id):  # noqa: PLR2004 - ASCII
        raise malformed(f"{_CODE}.chip-id", "chip_id", "printable ASCII", fields["chip_id"].hex())
    return Report(
        fields=fields,
        version=le(fields["version"]),
        chip_id=chip_id.decode(),
        sig_usage=le(fields["sig_usage"]),
        sig_algo=le(fields["sig_algo"]),
        signed=_unwrap(raw)[_SIGNED],
        signature=signature_value(fields["r"], fields["s"], what="report signature", code=_CODE),
    )


def _unwrap(raw: bytes) -> bytes:
    """Return the report inside the driver's page, or `raw` if it is none."""
    start = len(_HEADER)
    if raw[:start] != _HEADER or len(raw) > _PAGE or any(raw[start + SIZE :]):
        return raw
    return raw[start : start + SIZE]
