"""Attestation results: every claim follows from something that was compared."""

from base64 import urlsafe_b64decode

import pytest

from attestation import (
    AttestationError,
    Claims,
    Collateral,
    Evidence,
    EvidenceKind,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
    Finding,
    KindRule,
    Policy,
    PolicyViolatedError,
    Reference,
    Status,
    Tier,
    ear,
)
from attestation.ear import Appraised, Issue
from attestation.verdict import Expected, examine
from tests.harness.tee.simulated import HONEST, NOW

GPU, TDX = EvidenceKind.NVIDIA_GPU, EvidenceKind.INTEL_TDX
BAD = Finding("x.code", "a claim", "this", "that")


def claims(kind: EvidenceKind = TDX, **changes: object) -> Claims:
    """Return claims of a machine that is in order."""
    fields: dict[str, object] = {
        "kind": kind,
        "report_data": bytes(64),
        "hardware_id": "01",
        "measurements": {"mrtd": bytes(48)},
        "debug": False,
        "tier": Tier.TEE,
        "valid_until": NOW + 1,
        **changes,
    }
    return Claims(**fields)  # type: ignore[arg-type]


def policy(*, listed: bool = True, measured: bool = True) -> Policy:
    """Return a policy that says something of machines and software, or not."""
    rule = KindRule(
        references={"mrtd": (Reference(value=bytes(48), not_after=NOW + 1),)} if measured else {},
        unsafe_any_measurement=not measured,
        tcb_statuses=frozenset({"UpToDate"}),
        advisories=frozenset(),
        minimums={},
        values={},
        enrolled=frozenset({"01"}) if listed else None,
        denied=frozenset(),
        conditions=(),
    )
    return Policy(
        name="rules",
        digest=bytes(32),
        rules={TDX: rule},
        accelerators={},
        min_tier=Tier.TEE,
        max_evidence_age_s=1,
        max_keyset_life_s=1,
        unsafe_allow_simulated=False,
    )


def issue(rules: Policy | None, nonce: bytes | None = None) -> Issue:
    """Return who says it."""
    return Issue(now=NOW, build="9", policy=rules, nonce=nonce)


def submod(each: Appraised, rules: Policy | None) -> tuple[object, object]:
    """Return status and vector of a result over one piece of evidence."""
    submods = ear.accepted([each], issue(rules))["submods"]
    assert isinstance(submods, dict)
    (only,) = submods.values()
    return only["ear_status"], only["ear_trustworthiness_vector"]


def vector(identity: int, configuration: int, executables: int, hardware: int) -> dict[str, int]:
    """Return a trustworthiness vector."""
    return {
        "instance-identity": identity,
        "configuration": configuration,
        "executables": executables,
        "hardware": hardware,
    }


def test_the_envelope_is_the_profile_s() -> None:
    """Profile, verifier, time, policy by name and digest, nonce as EAT spells it."""
    found = ear.accepted([Appraised(claims=claims())], issue(policy(), bytes(range(32))))
    assert found["eat_profile"] == "tag:ietf.org,2026:rats/ear#04"
    assert (found["iat"], found["ear_verifier_id"]) == (NOW, {"developer": "mifeng", "build": "9"})
    nonce = str(found["eat_nonce"])
    assert urlsafe_b64decode(nonce + "=") == bytes(range(32))
    submods = found["submods"]
    assert isinstance(submods, dict)
    only = submods["0:intel-tdx"]
    assert only["ear_appraisal_policy_ids"] == ["rules", f"sm3:{bytes(32).hex()}"]
    assert only["ear_attester_claims"]["measurements"] == {"mrtd": bytes(48).hex()}
    assert only["ear_verifier_claims"] == {"tier": "tee", "simulated": False, "findings": []}
    assert "eat_nonce" not in ear.accepted([Appraised(claims=claims())], issue(None))


def test_only_what_was_compared_is_claimed() -> None:
    """Software and machine are affirmed by lists, never by their absence."""
    good = Appraised(claims=claims())
    assert submod(good, policy()) == ("affirming", vector(2, 0, 2, 2))
    assert submod(good, policy(listed=False)) == ("affirming", vector(0, 0, 2, 2))
    assert submod(good, policy(measured=False)) == ("affirming", vector(2, 0, 0, 2))
    assert submod(good, None) == ("affirming", vector(0, 0, 0, 2))
    assert submod(Appraised(claims=claims(GPU)), policy()) == ("affirming", vector(0, 0, 0, 2))


def test_status_is_the_worst_of_the_vector() -> None:
    """A lesser tier or an open status warns; a refusal contraindicates."""
    weak = Appraised(claims=claims(tier=Tier.MEASURED_BOOT))
    assert submod(weak, policy()) == ("warning", vector(2, 0, 2, 32))
    stale = Appraised(claims=claims(status=Status(tcb="OutOfDate")))
    assert submod(stale, policy()) == ("warning", vector(2, 0, 2, 32))
    current = Appraised(claims=claims(status=Status(tcb="UpToDate")))
    assert submod(current, policy()) == ("affirming", vector(2, 0, 2, 2))
    refused = Appraised(claims=claims(debug=True), refused=(BAD,))
    assert submod(refused, policy()) == ("contraindicated", vector(0, 96, 0, 96))


def test_what_is_not_decided_is_none() -> None:
    """Unchecked revocation is neither for nor against; a refusal beside it is."""
    open_ = Appraised(claims=claims(), unchecked=(BAD,))
    assert submod(open_, policy()) == ("none", vector(2, 0, 2, 0))
    both = Appraised(claims=claims(), refused=(BAD,), unchecked=(BAD,))
    assert submod(both, policy()) == ("contraindicated", vector(0, 0, 0, 96))


@pytest.mark.parametrize(
    ("error", "status", "value"),
    [
        (EvidenceUntrustedError, "contraindicated", 99),
        (EvidenceMalformedError, "contraindicated", 99),
        (PolicyViolatedError, "contraindicated", 96),
        (EvidenceUnverifiedError, "none", 0),
        (EvidenceUnsupportedError, "none", 0),
    ],
)
def test_without_claims_the_failure_decides(
    error: type[AttestationError], status: str, value: int
) -> None:
    """What cannot be decided is no verdict against the attester; bad cryptography is."""
    submods = ear.failed(error, [BAD], issue(None))["submods"]
    assert submods == {
        "0:evidence": {
            "ear_status": status,
            "ear_trustworthiness_vector": {"instance-identity": value, "hardware": value},
            "ear_appraisal_policy_ids": ["mifeng:built-in"],
            "ear_verifier_claims": {
                "findings": [
                    {"code": "x.code", "claim": "a claim", "required": "this", "found": "that"}
                ]
            },
        }
    }


def test_each_submodule_has_its_own_findings() -> None:
    """Of two devices in one file, one refused, the other is not blamed."""
    fine, other = Appraised(claims=claims()), Appraised(claims=claims(GPU), refused=(BAD,))
    submods = ear.accepted([fine, other], issue(policy()))["submods"]
    assert isinstance(submods, dict)
    assert [each["ear_status"] for each in submods.values()] == ["affirming", "contraindicated"]
    assert list(submods) == ["0:intel-tdx", "1:nvidia-gpu"]


def test_a_verdict_carries_what_belongs_to_each_piece() -> None:
    """A wrong nonce is a finding of the evidence that carries it."""
    verdict = examine(
        Evidence(EvidenceKind.SIMULATED, HONEST.bundle().cpu.raw),
        Collateral(),
        expected=Expected(nonce=b"x"),
        policy=None,
        now=NOW,
    )
    (only,) = verdict.appraised
    assert [finding.code for finding in only.refused] == ["binding.nonce", "policy.simulated"]
