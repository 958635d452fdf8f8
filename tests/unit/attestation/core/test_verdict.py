"""Verdicts over single evidence, the registry that finds verifiers, and reports of claims."""

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest

from attestation import (
    AttestationError,
    Claims,
    Collateral,
    Evidence,
    EvidenceKind,
    EvidenceUnsupportedError,
    Finding,
    Status,
    Tier,
    registry,
    verdict,
)
from attestation.containers import Unit
from attestation.report import claims_json, plain, status_json
from attestation.simulated import Component, SimulatedVerifier, forge
from attestation.verdict import Decision, Expected, Freshness, Verdict, examine
from policies import shipped
from tests.harness.tee.simulated import MEASUREMENT, NOW

SIMULATED = EvidenceKind.SIMULATED
NOTHING = Expected()


def report(**changes: object) -> bytes:
    """Return one simulated report."""
    given: dict[str, object] = {
        "report_data": bytes(64),
        "measurement": MEASUREMENT,
        "issued_at": NOW,
        "hardware_id": bytes(32),
        **changes,
    }
    return forge(**given)  # type: ignore[arg-type]


def look(
    raw: bytes, *, policy: str | None = "unsafe-simulated", expected: Expected = NOTHING
) -> Verdict:
    """Examine one simulated report."""
    return examine(
        Evidence(SIMULATED, raw),
        Collateral(),
        expected=expected,
        policy=None if policy is None else shipped(policy),
        now=NOW,
    )


def test_each_decision_is_reached() -> None:
    """Accepted, rejected, untrusted, malformed and unsupported, each with its code."""
    good = report()
    bent = good[:-1] + bytes([good[-1] ^ 1])
    kind = Evidence(EvidenceKind.ASCEND_NPU, b"x")
    ascend = examine(kind, Collateral(), expected=NOTHING, policy=None, now=NOW)
    assert look(bent).to_json()["tier"] is None
    assert look(bent).to_json()["claims"] == {}
    assert look(good).to_json()["tier"] == "simulated"
    found = [
        (each.decision, each.code, each.authentic)
        for each in (
            look(good),
            look(report(svn=0)),
            look(good, policy=None),
            look(report(debug=True)),
            look(bent),
            look(b"x"),
            ascend,
        )
    ]
    assert found == [
        (Decision.ACCEPTED, "accepted", True),
        (Decision.REJECTED, "policy.minimum", True),
        (Decision.REJECTED, "policy.simulated", True),
        (Decision.REJECTED, "simulated.debug", True),
        (Decision.UNTRUSTED, "simulated.signature", False),
        (Decision.MALFORMED, "simulated.container.text", False),
        (Decision.UNSUPPORTED, "ascend-npu.unsupported", False),
    ]


@pytest.mark.parametrize("name", ["nonce", "report_data"])
def test_expectations_are_compared_in_full(name: str) -> None:
    """The whole field matches or nothing does: no prefix, no padding, nothing empty."""
    raw = report(report_data=b"\1" + bytes(63))
    assert look(raw).freshness is Freshness.NOT_CHECKED
    match = look(raw, expected=Expected(**{name: b"\1" + bytes(63)}))
    assert (match.decision, match.freshness) == (Decision.ACCEPTED, Freshness.MATCH)
    for wrong in (b"\1", b"", b"\1" + bytes(64), bytes(64)):
        found = look(raw, expected=Expected(**{name: wrong}))
        assert (found.decision, found.freshness) == (Decision.UNTRUSTED, Freshness.MISMATCH)
        assert found.code == f"binding.{name.replace('_', '-')}"
        assert found.authentic


def claims(**changes: object) -> Claims:
    """Return claims of an accelerator."""
    raw = report(report_data=bytes(32), component=Component.ACCELERATOR)
    found = registry.verifier_for(SIMULATED).verify(raw, Collateral(), now=NOW)
    return replace(found, **{"kind": EvidenceKind.NVIDIA_GPU, **changes})  # type: ignore[arg-type]


def examine_devices(monkeypatch: pytest.MonkeyPatch, *outcomes: object) -> Verdict:
    """Examine a file of several devices whose verifier returns or raises what is given."""
    left = list(outcomes)

    class Scripted:
        """Plays back outcomes."""

        def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
            """Return or raise the next outcome."""
            outcome = left.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            assert isinstance(outcome, Claims)
            return outcome

    unit = Unit(evidence=Evidence(EvidenceKind.NVIDIA_GPU, b""), collateral=Collateral())
    monkeypatch.setattr(verdict, "verifier_for", lambda _: Scripted())
    monkeypatch.setattr(verdict, "normalise", lambda *_: (unit,) * len(outcomes))
    evidence = Evidence(EvidenceKind.NVIDIA_GPU, b"")
    return examine(evidence, Collateral(), expected=NOTHING, policy=None, now=NOW)


def test_several_devices_share_one_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weakest tier and the first bad status stand for all; one bad device spoils the file."""
    two = (
        claims(hardware_id="a", tier=Tier.TEE, status=Status(tcb="UpToDate")),
        claims(hardware_id="b", tier=Tier.MEASURED_BOOT, status=Status(tcb="OutOfDate")),
    )
    found = examine_devices(monkeypatch, *two)
    assert (found.decision, found.code) == (Decision.REJECTED, "nvidia-gpu.tcb.status")
    assert found.tier is Tier.MEASURED_BOOT
    shown = found.to_json()
    assert shown["status"] == {
        "tcb": "OutOfDate",
        "platform": None,
        "module": None,
        "qe": None,
        "freshness": "not-checked",
    }
    devices = shown["claims"]
    assert isinstance(devices, dict)
    assert [each["hardware_id"] for each in devices["devices"]] == ["a", "b"]


def test_copies_of_one_device_are_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same hardware twice is refused; devices that sign no identity cannot be compared."""
    same = claims(hardware_id="a")
    found = examine_devices(monkeypatch, same, same)
    assert found.code == "composite.device-duplicated"
    anonymous = claims(hardware_id=None)
    assert examine_devices(monkeypatch, anonymous, anonymous).decision is Decision.ACCEPTED


def test_the_worst_failure_of_several_names_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """All findings are listed, whichever device they come from."""

    def failure(kind: type[AttestationError], code: str) -> AttestationError:
        """Return an error of one finding."""
        return kind(Finding(code, "x", "x", "x"))

    found = examine_devices(
        monkeypatch,
        failure(verdict.EvidenceUnverifiedError, "x.unverified"),
        claims(),
        failure(verdict.EvidenceUntrustedError, "x.untrusted"),
    )
    assert (found.decision, found.authentic) == (Decision.UNTRUSTED, False)
    assert [finding.code for finding in found.findings] == ["x.unverified", "x.untrusted"]
    odd = examine_devices(monkeypatch, failure(AttestationError, "x.odd"))
    assert odd.decision is Decision.UNTRUSTED


def test_what_is_missing_leaves_it_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchecked findings alone are unverified, authentic all the same."""
    missing = claims(unchecked=(Finding("x.revocation", "x", "x", "x"),))
    found = examine_devices(monkeypatch, missing)
    assert (found.decision, found.code, found.authentic) == (
        Decision.UNVERIFIED,
        "x.revocation",
        True,
    )


def test_a_nonce_of_its_own_is_preferred() -> None:
    """Kinds that sign a nonce beside report data say so among their claims."""
    each = claims(details={"nonce": b"\7"})
    assert Expected(nonce=b"\7").mismatches(each) == []
    assert Expected(nonce=bytes(32)).mismatches(each)


def test_the_registry_finds_every_kind_and_none_that_it_has_not() -> None:
    """Each kind of the table has a verifier bound to roots; one without a format has none."""
    with pytest.raises(EvidenceUnsupportedError) as caught:
        registry.verifier_for(EvidenceKind.ASCEND_NPU)
    assert caught.value.findings[0].code == "ascend-npu.unsupported"
    assert isinstance(registry.verifier_for(SIMULATED), SimulatedVerifier)
    for kind in (EvidenceKind.INTEL_TDX, EvidenceKind.INTEL_SGX):
        verifier = registry.verifier_for(kind)
        with pytest.raises(AttestationError):
            verifier.verify(b"", Collateral(), now=NOW)


def test_a_verifier_that_is_not_installed_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is a clear refusal, not an exception of the import system."""
    home = registry._Home("attestation.absent", "Absent")
    monkeypatch.setattr(registry, "_HOMES", {EvidenceKind.TPM2: home})
    with pytest.raises(EvidenceUnsupportedError):
        registry.verifier_for.__wrapped__(EvidenceKind.TPM2)


def test_only_the_registry_binds_roots() -> None:
    """No other module passes roots to a verifier, so nothing can be configured to trust one."""
    names = {home.verifier for home in registry._HOMES.values()} | {"SimulatedVerifier"}
    packages = ("attestation", "mifeng", "policies", "enclave", "gateway", "accel_backends")
    callers = set()
    for package in packages:
        for source in Path(package).rglob("*.py"):
            for node in ast.walk(ast.parse(source.read_bytes())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                    if name in names:
                        callers.add(source.as_posix())
    assert callers <= {"attestation/registry.py", *INNER}


INNER = {
    "attestation/azure_vtpm/verifier.py",
    "attestation/azure_vtpm/roots.py",
}
"""A vTPM's hardware report is verified under the same pinned roots, bound in its `roots`."""


def test_only_appraisal_mints_keys() -> None:
    """`mint=MINT` occurs in one file."""
    found = [
        source.as_posix()
        for source in Path("attestation").rglob("*.py")
        if b"mint=MINT" in source.read_bytes()
    ]
    assert found == ["attestation/appraise.py"]


def test_topology_is_judged_where_a_kind_calls_for_it() -> None:
    """Without NVIDIA devices nothing is judged; one GPU alone has no topology."""
    assert registry.judge_topology(()) == ([], frozenset())
    found, answered = registry.judge_topology((claims(),))
    assert found == []
    assert answered
    found, answered = registry.judge_topology(
        (claims(kind=EvidenceKind.NVIDIA_NVSWITCH, details={}),)
    )
    assert found
    assert not answered


def test_claims_become_plain_json() -> None:
    """Bytes are hex, containers lists and objects, the rest text; it survives a round trip."""
    shown = plain(
        {
            "a": b"\1",
            "b": (1, None, True, 1.5, "x"),
            3: {"c": memoryview(b"\2")},
            "d": object(),
        }
    )
    assert isinstance(shown, dict)
    assert shown["a"] == "01"
    assert shown["b"] == [1, None, True, 1.5, "x"]
    assert shown["3"] == {"c": "02"}
    assert "object" in shown["d"]
    each = claims(status=Status(tcb="UpToDate"))
    assert json.loads(json.dumps(claims_json(each))) == claims_json(each)
    assert status_json(None)["tcb"] is None
    assert status_json(each)["tcb"] == "UpToDate"


@pytest.mark.parametrize(
    "changes",
    [
        {"report_data": bytes(63)},
        {"measurement": b""},
        {"hardware_id": bytes(33)},
        {"svn": -1},
        {"svn": 1 << 32},
        {"issued_at": 1 << 63},
    ],
)
def test_forging_needs_fields_of_the_right_size(changes: dict[str, object]) -> None:
    """What does not fit the format is the caller's mistake."""
    with pytest.raises(ValueError, match=r"need|range"):
        report(**changes)


def test_tiers_are_ordered_and_named() -> None:
    """Labels are the specification's, in the specification's order."""
    assert [tier.label for tier in sorted(Tier)] == [
        "simulated",
        "endorsed-by-caller",
        "measured-boot",
        "tee",
        "tee+accelerator(software-bound)",
    ]
