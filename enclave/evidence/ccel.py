"""The event log of a confidential guest's boot, as firmware leaves it beside the ACPI table CCEL.

A verifier believes a log only if it replays to the registers that hardware signed, so a log that
does not, because something extends registers without writing it down, is left out here.

Source: UEFI 2.10 §38.4; Linux `Documentation/ABI/testing/sysfs-firmware-acpi` (tables/data).
"""

from pathlib import Path
from typing import Final

from attestation.dcap.quote import TDX
from attestation.dcap.quote import parse as parse_quote
from attestation.errors import AttestationError
from attestation.eventlog import tcg2
from attestation.eventlog.bind import bind_csv, bind_tdx
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.hygon_csv.report import parse as parse_report

from . import AttesterError

CCEL: Final = Path("/sys/firmware/acpi/tables/data/CCEL")
_REGISTERS: Final = tuple(f"rtmr{index}" for index in range(4))


def with_events(evidence: Evidence, collateral: Collateral, *, ccel: Path = CCEL) -> Collateral:
    """Return collateral with the boot's events, if the evidence vouches for them.

    Args:
        evidence: just made by this machine; of a kind with runtime registers, or any other.
        collateral: what came with it.
        ccel: the log; firmware need not provide one.

    Raises:
        AttesterError: there is a log that cannot be read, or that is none.
    """
    if evidence.kind not in (EvidenceKind.INTEL_TDX, EvidenceKind.HYGON_CSV):
        return collateral
    try:
        raw = ccel.read_bytes()
    except FileNotFoundError:
        return collateral
    except OSError as exc:
        raise AttesterError(f"CCEL: {exc}") from exc
    try:
        log = tcg2.used(raw)
    except AttestationError as exc:
        raise AttesterError(f"CCEL: {exc}") from exc
    if not _replays(evidence, log):
        return collateral
    return Collateral((*collateral.items, (Role.EVENT_LOG, log)))


def _replays(evidence: Evidence, log: bytes) -> bool:
    code = evidence.kind.value
    try:
        if evidence.kind is EvidenceKind.INTEL_TDX:
            body = parse_quote(evidence.raw, tee_type=TDX, kind=code).body
            bind_tdx([log], [body[name] for name in _REGISTERS], code=code)
            return True
        report = parse_report(evidence.raw)
        if report.version > 1:
            bind_csv([log], report.fields, code=code)
        return report.version > 1
    except AttestationError:
        return False
