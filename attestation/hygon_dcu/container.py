"""Hygon DCU evidence as guest-components and trustee write it: one JSON list, one entry a device.

Source: confidential-containers `attester/src/hygon_dcu`; openanolis/csv-rs
`src/api/dcu/types.rs` (serde names).
"""

from collections.abc import Mapping
from typing import Final

from attestation.containers import Unit
from attestation.errors import malformed
from attestation.evidence import Collateral, Evidence, EvidenceKind
from attestation.hygon import json_pack

_CODE: Final = "hygon-dcu.container"
_REPORT: Final = (
    ("body.version", 4),
    ("body.chip_id", 16),
    ("body.user_data", 64),
    ("body.measure", 32),
    ("body.reserved", 128),
    ("body.sig_usage", 4),
    ("body.sig_algo", 4),
    ("sig.r", 72),
    ("sig.s", 72),
)


def unpack(value: object, collateral: Collateral) -> tuple[Unit, ...]:
    """Return the report of each device; all of them get all of `collateral`.

    Raises:
        EvidenceMalformedError: no list of reports, or a member of another form.
    """
    reports = value.get("attestation_reports") if isinstance(value, Mapping) else value
    if not isinstance(reports, list):
        raise malformed(f"{_CODE}.json", "evidence", "a list of reports", type(reports).__name__)
    return tuple(
        Unit(
            evidence=Evidence(
                EvidenceKind.HYGON_DCU,
                json_pack.pack(each, _REPORT, what="report", code=_CODE),
            ),
            collateral=collateral,
        )
        for each in reports
    )
