"""The shape of a policy document. Unknown keys are errors; security fields have no default."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from attestation import EvidenceKind, Tier

_TIERS = {tier.label: tier for tier in Tier}


def _tier(value: object) -> Tier:
    if not isinstance(value, str) or value not in _TIERS:
        raise ValueError(f"need one of {', '.join(_TIERS)}")
    return _TIERS[value]


def _hex(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError("need hex in quotes: a bare number loses its leading zeros")  # noqa: TRY004
    return bytes.fromhex(value)


def _kind(value: object) -> EvidenceKind:
    if not isinstance(value, str):
        raise ValueError("need the name of an evidence kind")  # noqa: TRY004 - pydantic's contract
    return EvidenceKind(value)


Hex = Annotated[bytes, BeforeValidator(_hex)]
TierName = Annotated[Tier, BeforeValidator(_tier)]
Kind = Annotated[EvidenceKind, BeforeValidator(_kind)]
Seconds = Annotated[int, Field(gt=0, le=366 * 86400)]
Count = Annotated[int, Field(ge=0, le=64)]


class _Strict(BaseModel):
    """Nothing unknown, nothing coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ReferenceDocument(_Strict):
    """One accepted value of one measurement."""

    value: Hex
    not_after: AwareDatetime
    why: Annotated[str, Field(min_length=1)]
    """Which build this is, and who checked it; for reviewers."""


class ConditionDocument(_Strict):
    """A CEL expression over `claims` that must be true."""

    expression: Annotated[str, Field(min_length=1, max_length=2000)]
    why: Annotated[str, Field(min_length=1)]


class KindDocument(_Strict):
    """What evidence of one kind must say."""

    references: dict[str, list[ReferenceDocument]]
    unsafe_any_measurement: bool
    tcb_statuses: list[str]
    advisories: list[str]
    minimums: dict[str, int]
    values: dict[str, list[str | int]]
    enrolled: list[str] | Literal["any"]
    denied: list[str]
    conditions: list[ConditionDocument]


class CaseClaims(_Strict):
    """Claims as a test case states them; what is left out is unremarkable."""

    kind: Kind
    tier: TierName
    measurements: dict[str, Hex] = {}
    hardware_id: str | None = None
    tcb_status: str | None = None
    details: dict[str, object] = {}
    debug: bool = False


class CaseDocument(_Strict):
    """One inline test: claims, an instant, and the codes the policy must answer with."""

    name: Annotated[str, Field(min_length=1)]
    at: AwareDatetime
    claims: CaseClaims
    expect: list[str]
    """Codes of all findings, in any order; empty when the claims are accepted."""


class PolicyDocument(_Strict):
    """The whole document, in form 1.

    Policies are logged, and auditors read them years later. A document says its form; a later
    form is a class of its own beside this one, which stays.
    """

    form: Annotated[int, Field(ge=1, le=1)]
    name: Annotated[str, Field(min_length=1, max_length=128)]
    unsafe_allow_simulated: bool
    min_tier: TierName
    max_evidence_age_s: Seconds
    max_keyset_life_s: Seconds
    post_quantum: Literal["allow", "prefer", "require"]
    """Whether clients use suite `sm-pq`, which is experimental: see `policies.suites`."""
    accelerators: dict[Kind, Count]
    kinds: dict[Kind, KindDocument]
    tests: list[CaseDocument]


def unix(instant: datetime) -> int:
    """Return an aware instant as Unix seconds, rounded down."""
    return int(instant.timestamp())
