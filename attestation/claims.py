"""What a verifier read from evidence whose signature and chain it has checked.

A `Claims` exists only if the hardware signature verified up to a pinned root. What is wrong
with the machine (`refused`) and what could not be checked (`unchecked`) ride along, so that a
report can list everything at once; `appraise` mints no key while either is non-empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from .errors import Finding
from .evidence import EvidenceKind


class Tier(IntEnum):
    """How much the evidence can prove at best; ordered, higher proves more (appraisal.md)."""

    SIMULATED = 0
    ENDORSED_BY_CALLER = 1
    """Authentic only under a key the caller vouched for (a CPAK handed in by hand)."""
    MEASURED_BOOT = 2
    TEE = 3
    TEE_ACCELERATOR_SOFTWARE_BOUND = 4

    @property
    def label(self) -> str:
        """The name shown to people and written to JSON, e.g. `tee+accelerator(software-bound)`."""
        return _LABELS[self]


_LABELS = {
    Tier.SIMULATED: "simulated",
    Tier.ENDORSED_BY_CALLER: "endorsed-by-caller",
    Tier.MEASURED_BOOT: "measured-boot",
    Tier.TEE: "tee",
    Tier.TEE_ACCELERATOR_SOFTWARE_BOUND: "tee+accelerator(software-bound)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Vendor status words, verbatim (e.g. Intel's `UpToDate`), or None where the kind has none."""

    tcb: str | None = None
    platform: str | None = None
    module: str | None = None
    qe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Authentic claims of one piece of evidence, vendor-neutral where vendors agree."""

    kind: EvidenceKind

    report_data: bytes
    """The whole field the guest (or verifier) had signed: 64 bytes for CPU TEEs, 32 for NVIDIA."""

    hardware_id: str | None
    """Stable identity of the silicon, lower-case hex or vendor text; None where none is signed."""

    measurements: Mapping[str, bytes]
    """Named digests that reference values are compared with, e.g. `mrtd`, `launch`, `pcr4`."""

    debug: bool
    """The machine can be inspected by its owner. Always also a finding in `refused`."""

    tier: Tier
    valid_until: int
    """Unix seconds: the earliest expiry of anything this verdict relied on."""

    status: Status = field(default_factory=Status)
    details: Mapping[str, object] = field(default_factory=dict)
    """Every other signed field by its specification's name: JSON-able, for people and policies."""

    issued_at: int | None = None
    """Unix seconds the evidence says it was made at, where the format has such a field.

    It comes from the attester's own clock, so it can only shorten trust, never extend it.
    """

    ratchets: Mapping[str, int] = field(default_factory=dict)
    """Numbers that never go back in genuine, current collateral (an evaluation number, a CRL
    number), by a name that says which series, e.g. `intel/tcb-info/00806f050000`."""

    conditional: Mapping[str, Finding] = field(default_factory=dict)
    """Refusals by measurement name, each lifted only by a policy that names that measurement."""

    refused: tuple[Finding, ...] = ()
    unchecked: tuple[Finding, ...] = ()
