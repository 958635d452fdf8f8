"""What we require of a machine. Every field is stated: there is no "unset, so unchecked".

Policies are written as YAML and read by `policies.load`; this module is what they become. The
pins of the audit log are not here: they belong to the client's configuration, not to a
machine's measurements.

Source: docs/spec/appraisal.md §2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from .claims import Claims, Tier
from .errors import Finding
from .evidence import EvidenceKind

SELF_REFERENCED: Final = frozenset({EvidenceKind.NVIDIA_GPU, EvidenceKind.NVIDIA_NVSWITCH})
"""Kinds whose verifier already compared every measurement with the vendor's signed manifest."""

MASKED: Final[Mapping[EvidenceKind, tuple[str, int, str]]] = {
    EvidenceKind.HYGON_CSV: ("report_version", 1, "measure"),
}
"""Formats (kind, claim, its value) whose fields whoever presents them can shift together, and the
one measurement that shows it when it is compared in full (docs/attestation/hygon-csv.md §2)."""


class Condition(Protocol):
    """One further rule over claims, e.g. a CEL expression (`policies.conditions`)."""

    def check(self, claims: Claims) -> tuple[Finding, ...]:
        """Return what falls short; nothing when the condition holds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One accepted value of a named measurement."""

    value: bytes
    not_after: int
    """Unix seconds after which this value counts no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRule:
    """What evidence of one kind must say."""

    references: Mapping[str, tuple[Reference, ...]]
    """By measurement name; each named measurement must equal one unexpired value."""

    unsafe_any_measurement: bool
    """Accept any software. Laboratories, and kinds in `SELF_REFERENCED`, which need it not."""

    tcb_statuses: frozenset[str]
    """Vendor status words that pass, verbatim; a kind without such words needs none."""

    advisories: frozenset[str]
    """Security advisories whose open state passes, where the vendor names them with a status."""

    minimums: Mapping[str, int]
    """Lowest accepted value of integer claims, by their name in `Claims.details`."""

    values: Mapping[str, frozenset[str | int]]
    """Accepted values of other claims, by their name in `Claims.details`; exact, no patterns."""

    enrolled: frozenset[str] | None
    """Accepted hardware identities; None only where the policy says `any`."""

    denied: frozenset[str]
    """Hardware identities refused even if enrolled."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Reference values and limits one appraisal is judged against.

    No field has a default, so a policy document that forgets one does not load,
    and adding a check here breaks every caller that has not thought about it.
    """

    name: str
    """Recorded in receipts, so an auditor knows which rules were in force."""

    digest: bytes
    """SM3 of the policy document's exact bytes, 32 bytes."""

    rules: Mapping[EvidenceKind, KindRule]
    """The accepted kinds, and only those."""

    accelerators: Mapping[EvidenceKind, int]
    """Exact number of accelerators of each kind; empty means none may be present."""

    min_tier: Tier

    max_evidence_age_s: int
    """How old evidence may be, seconds since the instant its freshness proves."""

    max_keyset_life_s: int
    """Longest time a keyset may be used after that instant, seconds."""

    unsafe_allow_simulated: bool
    """Accept evidence that anyone can forge. Laboratories only."""
