"""Look at one file of evidence, alone, and say everything about it.

This is what `mifeng evidence verify` and the auditor's tools print. It is not appraisal: no
keyset is bound, no composition judged, and no `AttestedKey` comes out. Whatever happens, the
answer is a `Verdict`; nothing is raised for bad evidence.

Source: docs/spec/appraisal.md §5.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest

from .claims import Claims, Tier
from .containers import normalise
from .ear import Appraised
from .errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
    Finding,
)
from .evidence import Collateral, Evidence, EvidenceKind
from .judge import builtin_findings, judge, revocation_last
from .policy import Policy
from .registry import verifier_for
from .report import claims_json, finding_json, status_json


class Decision(StrEnum):
    """The words a verdict is given in; the value is what JSON says."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    UNTRUSTED = "untrusted"
    UNVERIFIED = "unverified"
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"


class Freshness(StrEnum):
    """Whether the evidence was compared with something the verifier chose."""

    NOT_CHECKED = "not-checked"
    MATCH = "match"
    MISMATCH = "mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the signed free field must hold, byte for byte; None where nothing is expected."""

    nonce: bytes | None = None
    report_data: bytes | None = None

    def mismatches(self, claims: Claims) -> list[Finding]:
        """Return a finding for each expectation the evidence does not meet.

        The whole field is compared at its full length: a shorter expectation matches nothing.
        """
        nonce = claims.details.get("nonce")
        fields = (
            (self.nonce, "nonce", nonce if isinstance(nonce, bytes) else claims.report_data),
            (self.report_data, "report-data", claims.report_data),
        )
        return [
            Finding(f"binding.{name}", f"{claims.kind} {name}", wanted.hex(), found.hex())
            for wanted, name, found in fields
            if wanted is not None and not compare_digest(wanted, found)
        ]

    @property
    def anything(self) -> bool:
        """Whether there is something to compare with."""
        return self.nonce is not None or self.report_data is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Everything there is to say about one file."""

    kind: EvidenceKind
    decision: Decision
    claims: tuple[Claims, ...]
    """Of every device in the file; empty unless all of it is authentic."""

    findings: tuple[Finding, ...]
    freshness: Freshness
    appraised: tuple[Appraised, ...] = ()
    """Claims of every device, each with what was found about it."""

    @property
    def authentic(self) -> bool:
        """Whether signature and chain lead from the evidence to a pinned root."""
        return bool(self.claims)

    @property
    def code(self) -> str:
        """The first finding's code, or `accepted`."""
        return self.findings[0].code if self.findings else self.decision.value

    @property
    def tier(self) -> Tier | None:
        """The least any device proves; None if nothing is authentic."""
        return min((each.tier for each in self.claims), default=None)

    def to_json(self) -> dict[str, object]:
        """Return the stable JSON form that scripts depend on."""
        single = self.claims[0] if len(self.claims) == 1 else None
        status: dict[str, str | None] = {**status_json(self._worst()), "freshness": self.freshness}
        devices = [claims_json(each) for each in self.claims]
        several: dict[str, object] = {"devices": devices} if devices else {}
        return {
            "kind": self.kind.value,
            "authentic": self.authentic,
            "verdict": self.decision.value,
            "code": self.code,
            "findings": [finding_json(finding) for finding in self.findings],
            "claims": several if single is None else claims_json(single),
            "status": status,
            "tier": None if self.tier is None else self.tier.label,
        }

    def _worst(self) -> Claims | None:
        """Return the claims whose status stands for all: the first with one that is not fine."""
        flagged = [each for each in self.claims if each.status.tcb not in (None, "UpToDate")]
        return next(iter(flagged or self.claims), None)


_DECISIONS: Sequence[tuple[type[AttestationError], Decision]] = (
    (EvidenceMalformedError, Decision.MALFORMED),
    (EvidenceUnsupportedError, Decision.UNSUPPORTED),
    (EvidenceUntrustedError, Decision.UNTRUSTED),
    (EvidenceUnverifiedError, Decision.UNVERIFIED),
)
"""Several devices may fail differently: the first of these that occurs is the verdict."""


def examine(
    evidence: Evidence,
    collateral: Collateral,
    *,
    expected: Expected,
    policy: Policy | None,
    now: int,
) -> Verdict:
    """Return the verdict on one file of evidence.

    Args:
        evidence: as delivered, wrapper included; untrusted.
        collateral: as delivered; untrusted.
        expected: nonce or report data the caller chose.
        policy: judges the claims; with None the built-in refusals do, and no software is
            expected, so acceptance says only that the machine is genuine and current.
        now: Unix seconds of the instant the verdict is for.
    """
    failures: list[AttestationError] = []
    claims: list[Claims] = []
    try:
        verifier = verifier_for(evidence.kind)
        units = normalise(evidence, collateral)
    except AttestationError as exc:
        return _failed(evidence.kind, [exc])
    for unit in units:
        try:
            claims.append(verifier.verify(unit.evidence.raw, unit.collateral, now=now))
        except AttestationError as exc:
            failures.append(exc)
    if failures:
        return _failed(evidence.kind, failures)
    return _judged(evidence.kind, claims, expected=expected, policy=policy, now=now)


def _failed(kind: EvidenceKind, failures: Sequence[AttestationError]) -> Verdict:
    matching = (word for error, word in _DECISIONS if any(isinstance(f, error) for f in failures))
    decision = next(matching, Decision.UNTRUSTED)
    return Verdict(
        kind=kind,
        decision=decision,
        claims=(),
        findings=tuple(finding for failure in failures for finding in failure.findings),
        freshness=Freshness.NOT_CHECKED,
    )


def _judged(
    kind: EvidenceKind,
    claims: Sequence[Claims],
    *,
    expected: Expected,
    policy: Policy | None,
    now: int,
) -> Verdict:
    unbound_of = [expected.mismatches(each) for each in claims]
    copies = _duplicates(claims)
    refused_of = [
        builtin_findings(each) if policy is None else judge(each, policy, now=now)
        for each in claims
    ]
    unbound = [finding for each in unbound_of for finding in each]
    refused = copies + [finding for each in refused_of for finding in each]
    unchecked = revocation_last(finding for each in claims for finding in each.unchecked)
    freshness = Freshness.NOT_CHECKED
    if expected.anything:
        freshness = Freshness.MISMATCH if unbound else Freshness.MATCH
    decision = Decision.ACCEPTED
    if unbound:
        decision = Decision.UNTRUSTED
    elif refused:
        decision = Decision.REJECTED
    elif unchecked:
        decision = Decision.UNVERIFIED
    return Verdict(
        kind=kind,
        decision=decision,
        claims=tuple(claims),
        findings=(*unbound, *refused, *unchecked),
        freshness=freshness,
        appraised=tuple(
            Appraised(claims=each, refused=(*unmet, *copies, *found), unchecked=each.unchecked)
            for each, unmet, found in zip(claims, unbound_of, refused_of, strict=True)
        ),
    )


def _duplicates(claims: Sequence[Claims]) -> list[Finding]:
    """Report copies: N times one device's evidence is one device."""
    seen = Counter(each.hardware_id for each in claims if each.hardware_id is not None)
    return [
        Finding("composite.device-duplicated", f"device {identity}", "once", f"{count} times")
        for identity, count in seen.items()
        if count > 1
    ]
