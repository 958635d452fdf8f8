"""A verdict as an EAT attestation result: one appraisal for each piece of evidence.

The claims-set only; whoever issues it signs it or not (`mifeng.cli.ear` does, on request). A claim
of the vector is made only where something was compared: without a policy nothing is known about
software, and with `enrolled: any` nothing about the machine.

Source: draft-ietf-rats-ear-04 (claims, JSON names, profile); draft-ietf-rats-ar4si §2.3 (values).
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .claims import Claims, Tier
from .errors import (
    AttestationError,
    EvidenceUnsupportedError,
    EvidenceUnverifiedError,
    Finding,
    PolicyViolatedError,
)
from .evidence import EvidenceKind
from .judge import UP_TO_DATE
from .policy import Policy
from .report import claims_json, finding_json

PROFILE: Final = "tag:ietf.org,2026:rats/ear#04"
BUILT_IN: Final = "mifeng:built-in"
"""Policy id where none was given: only what code refuses under every policy."""

_NO_CLAIM, _AFFIRMING, _WARNING, _CONTRAINDICATED, _BAD_CRYPTO = 0, 2, 32, 96, 99
_STATUS: Final = ((96, "contraindicated"), (32, "warning"), (2, "affirming"))
"""Lowest value of each tier, worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraised:
    """Claims of one piece of evidence, and what was found to fall short."""

    claims: Claims
    refused: tuple[Finding, ...] = ()
    unchecked: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """Who says it, when, under which rules, about which nonce."""

    now: int
    """Unix seconds of the verdict."""

    build: str
    """Version of this software."""

    policy: Policy | None
    nonce: bytes | None = None
    """What the evidence was compared with and holds, 8 to 64 bytes; None if it was not."""


def accepted(appraised: Sequence[Appraised], issue: Issue) -> dict[str, object]:
    """Return the result over evidence that is authentic, whatever was found; at least one."""
    submods = {
        f"{index}:{each.claims.kind.value}": _appraisal(each, issue.policy)
        for index, each in enumerate(appraised)
    }
    return _result(submods, issue)


def failed(
    error: type[AttestationError], findings: Sequence[Finding], issue: Issue
) -> dict[str, object]:
    """Return the result over evidence that gave no claims at all.

    Args:
        error: which kind of failure; what cannot be decided is no verdict against the attester.
        findings: why.
        issue: see `Issue`.
    """
    if issubclass(error, EvidenceUnverifiedError | EvidenceUnsupportedError):
        value = _NO_CLAIM
    elif issubclass(error, PolicyViolatedError):
        value = _CONTRAINDICATED
    else:
        value = _BAD_CRYPTO
    appraisal = _with_status(dict.fromkeys(("instance-identity", "hardware"), value))
    appraisal |= _policy_ids(issue.policy)
    appraisal["ear_verifier_claims"] = {"findings": [finding_json(each) for each in findings]}
    return _result({"0:evidence": appraisal}, issue)


def _result(submods: dict[str, dict[str, object]], issue: Issue) -> dict[str, object]:
    result: dict[str, object] = {
        "eat_profile": PROFILE,
        "iat": issue.now,
        "ear_verifier_id": {"developer": "mifeng", "build": issue.build},
        "submods": submods,
    }
    if issue.nonce is not None:
        result["eat_nonce"] = urlsafe_b64encode(issue.nonce).rstrip(b"=").decode()
    return result


def _appraisal(each: Appraised, policy: Policy | None) -> dict[str, object]:
    claims = each.claims
    appraisal = _with_status(_vector(each, policy), undecided=bool(each.unchecked))
    appraisal |= _policy_ids(policy)
    appraisal["ear_attester_claims"] = claims_json(claims)
    appraisal["ear_verifier_claims"] = {
        "tier": claims.tier.label,
        "simulated": claims.kind is EvidenceKind.SIMULATED,
        "findings": [finding_json(found) for found in (*each.refused, *each.unchecked)],
    }
    return appraisal


def _vector(each: Appraised, policy: Policy | None) -> dict[str, int]:
    claims = each.claims
    if each.refused:
        hardware = _CONTRAINDICATED
    elif claims.tier < Tier.TEE or claims.status.tcb not in (None, UP_TO_DATE):
        hardware = _WARNING
    else:
        hardware = _AFFIRMING
    rule = None if policy is None else policy.rules.get(claims.kind)
    listed = rule is not None and rule.enrolled is not None
    measured = rule is not None and bool(rule.references)
    good = not each.refused
    return {
        "instance-identity": _AFFIRMING if good and listed else _NO_CLAIM,
        "configuration": _CONTRAINDICATED if claims.debug else _NO_CLAIM,
        "executables": _AFFIRMING if good and measured else _NO_CLAIM,
        "hardware": _NO_CLAIM if good and each.unchecked else hardware,
    }


def _with_status(vector: dict[str, int], *, undecided: bool = False) -> dict[str, object]:
    """Return vector and status: the worst of its claims, or none if nothing is decided."""
    worst = max(vector.values())
    status = next((word for least, word in _STATUS if worst >= least), "none")
    if undecided and status != "contraindicated":
        status = "none"
    return {"ear_status": status, "ear_trustworthiness_vector": vector}


def _policy_ids(policy: Policy | None) -> dict[str, object]:
    ids = [BUILT_IN] if policy is None else [policy.name, f"sm3:{policy.digest.hex()}"]
    return {"ear_appraisal_policy_ids": ids}
