"""Compare authentic claims with what is required: one machine at a time.

Every comparison adds a finding, none stops at the first. What no policy can allow comes with the
claims (`refused`); what a policy must name to allow, too (`conditional`).

Source: docs/spec/appraisal.md §2, §3.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from .claims import Claims
from .errors import Finding
from .evidence import EvidenceKind
from .policy import MASKED, SELF_REFERENCED, KindRule, Policy

MAX_CLOCK_SKEW_S: Final = 300
"""How far ahead of ours an attester's own clock may be, seconds."""

UP_TO_DATE: Final = "UpToDate"
"""The status word that passes without a policy."""

NO_FLOORS: Final[Mapping[str, int]] = MappingProxyType({})


def judge(
    claims: Claims, policy: Policy, *, now: int, floors: Mapping[str, int] = NO_FLOORS
) -> list[Finding]:
    """Return where one piece of authentic evidence falls short of `policy`; empty is a pass.

    It judges neither binding nor composition: alone it is for looking at single evidence.

    Args:
        claims: from a verifier, and from nowhere else.
        policy: what we require.
        now: Unix seconds at which the verdict must hold.
        floors: highest ratchet numbers already seen; older is a downgrade.
    """
    kind = claims.kind
    found = list(claims.refused)
    if claims.debug and not found:
        found.append(Finding("policy.debug", f"{kind} debug", "off", "on"))
    if kind is EvidenceKind.SIMULATED and not policy.unsafe_allow_simulated:
        found.append(Finding("policy.simulated", "evidence", "real hardware", "SIMULATED"))
    if now >= claims.valid_until:
        until = str(claims.valid_until)
        found.append(Finding("policy.expired", f"{kind} valid until", f"after {now}", until))
    found += _judge_age(claims, policy, now)
    found += [
        Finding("policy.downgrade", name, f">= {floors[name]}, already seen", str(number))
        for name, number in claims.ratchets.items()
        if number < floors.get(name, number)
    ]
    rule = policy.rules.get(kind)
    if rule is None:
        names = ", ".join(sorted(policy.rules)) or "none"
        found.append(Finding("policy.kind", "evidence kind", names, kind.value))
        return found
    return found + _judge_rule(claims, rule, now)


def _judge_age(claims: Claims, policy: Policy, now: int) -> list[Finding]:
    if claims.issued_at is None:
        return []
    age_s = now - claims.issued_at
    if -MAX_CLOCK_SKEW_S <= age_s <= policy.max_evidence_age_s:
        return []
    required = f"{-MAX_CLOCK_SKEW_S} … {policy.max_evidence_age_s} s"
    return [Finding("policy.age", f"{claims.kind} age", required, f"{age_s} s")]


def _judge_rule(claims: Claims, rule: KindRule, now: int) -> list[Finding]:
    """Compare with what the policy says of this kind."""
    kind = claims.kind
    found = _judge_measurements(claims, rule, now)
    status = claims.status.tcb
    if status is not None and status not in rule.tcb_statuses:
        allowed = ", ".join(sorted(rule.tcb_statuses)) or "none"
        found.append(Finding("policy.tcb-status", f"{kind} TCB status", allowed, status))
    found += _judge_advisories(claims, rule)
    found += [each for name, each in claims.conditional.items() if name not in rule.references]
    for name, least in rule.minimums.items():
        value = claims.details.get(name)
        if not isinstance(value, int) or value < least:
            found.append(Finding("policy.minimum", f"{kind} {name}", f">= {least}", str(value)))
    for name, accepted in rule.values.items():
        value = claims.details.get(name)
        if not isinstance(value, str | int) or value not in accepted:
            required = ", ".join(sorted(map(str, accepted))) or "nothing"
            found.append(Finding("policy.value", f"{kind} {name}", required, str(value)))
    identity = claims.hardware_id
    if rule.enrolled is not None and identity not in rule.enrolled:
        found.append(
            Finding("policy.hw-not-enrolled", f"{kind} hardware", "enrolled", str(identity))
        )
    if identity in rule.denied:
        found.append(Finding("policy.hw-denied", f"{kind} hardware", "not denied", str(identity)))
    for condition in rule.conditions:
        found += condition.check(claims)
    return found


def _judge_advisories(claims: Claims, rule: KindRule) -> list[Finding]:
    """Advisories count only beside a status that says something is open."""
    stated = claims.details.get("advisory_ids", ())
    if claims.status.tcb == UP_TO_DATE or not isinstance(stated, list | tuple):
        return []
    allowed = ", ".join(sorted(rule.advisories)) or "none"
    return [
        Finding("policy.advisory", f"{claims.kind} open advisory", allowed, str(each))
        for each in stated
        if each not in rule.advisories
    ]


def builtin_findings(claims: Claims) -> list[Finding]:
    """Return what speaks against authentic evidence when no policy was given.

    For looking at single evidence: without a policy no software is expected, so a pass says
    that the machine is genuine and current, and nothing about what it runs.
    """
    found = [*claims.refused, *claims.conditional.values()]
    if claims.debug and not found:
        found.append(Finding("policy.debug", f"{claims.kind} debug", "off", "on"))
    if claims.kind is EvidenceKind.SIMULATED:
        found.append(Finding("policy.simulated", "evidence", "real hardware", "SIMULATED"))
    status = claims.status.tcb
    if status is not None and status != UP_TO_DATE:
        code = f"{claims.kind.value}.tcb.status"
        found.append(Finding(code, f"{claims.kind} TCB status", UP_TO_DATE, status))
    return found


def _judge_masked(claims: Claims, rule: KindRule) -> list[Finding]:
    """Refuse a masked report whose decisive measurement the policy leaves open."""
    claim, version, measurement = MASKED.get(claims.kind, ("", 0, ""))
    if claims.details.get(claim) != version or measurement in rule.references:
        return []
    required = f"reference values for {measurement}, or another {claim}"
    return [Finding("policy.masked-report", f"{claims.kind} {claim} {version}", required, "none")]


def _judge_measurements(claims: Claims, rule: KindRule, now: int) -> list[Finding]:
    found = _judge_masked(claims, rule)
    if not (rule.references or rule.unsafe_any_measurement or claims.kind in SELF_REFERENCED):
        found.append(
            Finding("policy.measurement", f"{claims.kind} measurements", "reference values", "none")
        )
    for name, accepted in rule.references.items():
        value = claims.measurements.get(name)
        same = [reference for reference in accepted if reference.value == value]
        what = f"{claims.kind} {name}"
        if not same:
            shown = "absent" if value is None else value.hex()
            found.append(Finding("policy.measurement", what, "a reference value", shown))
        elif all(reference.not_after <= now for reference in same):
            latest = max(reference.not_after for reference in same)
            required = f"a reference value that holds after {now}"
            found.append(Finding("policy.reference-expired", what, required, str(latest)))
    return found


def revocation_last(unchecked: Iterable[Finding]) -> list[Finding]:
    """Order what could not be checked so that the first is about revocation only if all are.

    Scripts look at the first code: a missing status is another matter than missing collateral.
    """
    return sorted(unchecked, key=lambda finding: "revocation" in finding.code)
