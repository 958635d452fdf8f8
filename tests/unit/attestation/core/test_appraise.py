"""Appraisal of whole nodes: honest ones are minted a key, each lie is refused by name."""

import copy
import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import pytest

from attestation import (
    AttestationError,
    AttestedKey,
    Bundle,
    Claims,
    Collateral,
    Device,
    Evidence,
    EvidenceKind,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
    Finding,
    Freshness,
    KindRule,
    Policy,
    PolicyViolatedError,
    Reference,
    Role,
    Status,
    Tier,
    appraise,
    raise_floors,
)
from attestation.judge import builtin_findings, judge
from attestation.result import MINT
from attestation.simulated import MAX_LIFE_S, Component, SimulatedVerifier, published_root
from attestation.verifier import Verifier
from mifeng.crypto import sm3
from tests.harness.tee.simulated import (
    CHALLENGE,
    EIGHT,
    HONEST,
    KEYSET,
    MEASUREMENT,
    NOW,
    SimulatedNode,
)

NONCE32 = Freshness(kind=1, x=CHALLENGE).nonce32
SIMULATED = EvidenceKind.SIMULATED
RULE = KindRule(
    references={"measurement": (Reference(value=MEASUREMENT, not_after=NOW + 10_000),)},
    unsafe_any_measurement=False,
    tcb_statuses=frozenset(),
    advisories=frozenset(),
    minimums={"svn": 1},
    values={},
    enrolled=None,
    denied=frozenset(),
    conditions=(),
)
POLICY = Policy(
    name="test",
    digest=bytes(32),
    rules={SIMULATED: RULE},
    accelerators={},
    min_tier=Tier.SIMULATED,
    max_evidence_age_s=600,
    max_keyset_life_s=3600,
    unsafe_allow_simulated=True,
)
FOR_EIGHT = replace(POLICY, accelerators={SIMULATED: 8})


def with_rule(**changes: object) -> Policy:
    """Return the policy with its one rule changed."""
    return replace(POLICY, rules={SIMULATED: replace(RULE, **changes)})  # type: ignore[arg-type]


def attempt(node: SimulatedNode, policy: Policy = POLICY, *, now: int = NOW) -> AttestedKey:
    """Appraise a node as its challenger would."""
    return appraise(node.bundle(), policy, nonce32=NONCE32, now=now)


def codes(error: AttestationError) -> list[str]:
    """Return the codes of an error's findings."""
    return [finding.code for finding in error.findings]


def test_an_honest_node_is_attested() -> None:
    """The key names keyset, policy, evidence and the earliest expiry of all it rests on."""
    bundle = HONEST.bundle()
    key = appraise(bundle, POLICY, nonce32=NONCE32, now=NOW)
    assert (key.keyset, key.keyset_digest) == (KEYSET, sm3(KEYSET))
    assert (key.policy_name, key.policy_digest) == ("test", bytes(32))
    assert key.evidence_digest == sm3(bundle.evidence_encoding())
    assert key.nonce32 == NONCE32
    assert key.valid_until == NOW + 3600
    assert (key.tier, key.simulated) == (Tier.SIMULATED, True)
    assert [each.kind for each in key.claims] == [SIMULATED]


def test_a_reference_value_ends_the_verdict_with_it() -> None:
    """A verdict lives no longer than the reference value it matched."""
    soon = with_rule(
        references={"measurement": (Reference(value=MEASUREMENT, not_after=NOW + 60),)}
    )
    assert attempt(HONEST, soon).valid_until == NOW + 60


def test_evidence_ends_the_verdict_with_it() -> None:
    """A verdict lives no longer than the evidence does."""
    old = HONEST.but(issued_at=NOW - MAX_LIFE_S + 100)
    patient = replace(POLICY, max_evidence_age_s=MAX_LIFE_S)
    assert attempt(old, patient).valid_until == NOW + 100


def test_eight_accelerators_are_attested_in_the_order_of_their_ids() -> None:
    """Claims come CPU first, then by device id, however the bundle lists them."""
    shuffled = EIGHT.but(shown=lambda devices: devices[::-1])
    key = attempt(shuffled, FOR_EIGHT)
    assert [each.hardware_id for each in key.claims[1:]] == [
        (bytes([n]) * 32).hex() for n in range(1, 9)
    ]


def drop(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """Return all devices but the last."""
    return devices[:-1]


def duplicate(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """Return the first device's evidence in the last one's place."""
    return (*devices[:-1], replace(devices[-1], evidence=devices[0].evidence))


def foreign(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """Return genuine evidence of another host's device, same nonce, in the first place."""
    other = EIGHT.but(device_hardware_ids={0: b"\xee" * 32}).accelerators()[0]
    return (other, *devices[1:])


def same_name(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """Return two devices of one name."""
    return (*devices, devices[0])


def flipped(at: int) -> object:
    """Return a function that flips a bit of one byte."""
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


class Lie(NamedTuple):
    """What a node shows, and how it is refused."""

    node: SimulatedNode
    error: type[AttestationError]
    code: str
    policy: Policy = POLICY
    now: int = NOW


OTHER = Freshness(kind=1, x=bytes(32))
UNTRUSTED, MALFORMED, VIOLATED = (
    EvidenceUntrustedError,
    EvidenceMalformedError,
    PolicyViolatedError,
)
LIES: Mapping[str, Lie] = {
    "another challenge": Lie(HONEST.but(freshness=OTHER), UNTRUSTED, "binding.nonce"),
    "a note instead of the challenge": Lie(
        HONEST.but(freshness=Freshness(kind=2, x=CHALLENGE)), UNTRUSTED, "binding.nonce"
    ),
    "a swapped keyset": Lie(HONEST.but(bound_keyset=b"other"), UNTRUSTED, "binding.report-data"),
    "a swapped keyset, with devices": Lie(
        EIGHT.but(bound_keyset=b"other"), UNTRUSTED, "binding.device-nonce", FOR_EIGHT
    ),
    "a device asked with another nonce": Lie(
        EIGHT.but(device_nonce=bytes(32)), UNTRUSTED, "binding.device-nonce", FOR_EIGHT
    ),
    "a dropped GPU of eight": Lie(
        EIGHT.but(shown=drop), UNTRUSTED, "binding.report-data", FOR_EIGHT
    ),
    "a GPU of another host": Lie(
        EIGHT.but(shown=foreign), UNTRUSTED, "binding.report-data", FOR_EIGHT
    ),
    "a GPU copied after the fact": Lie(
        EIGHT.but(shown=duplicate), UNTRUSTED, "binding.report-data", FOR_EIGHT
    ),
    "two devices of one name": Lie(
        EIGHT.but(shown=same_name), UNTRUSTED, "composite.device-id-duplicated", FOR_EIGHT
    ),
    "a GPU committed to twice": Lie(
        EIGHT.but(device_hardware_ids={7: b"\1" * 32}),
        VIOLATED,
        "composite.device-duplicated",
        FOR_EIGHT,
    ),
    "seven GPUs of eight": Lie(EIGHT.but(devices=7), VIOLATED, "composite.device-count", FOR_EIGHT),
    "nine GPUs of eight": Lie(EIGHT.but(devices=9), VIOLATED, "composite.device-count", FOR_EIGHT),
    "a GPU nobody asked for": Lie(EIGHT.but(devices=1), VIOLATED, "composite.device-count", POLICY),
    "an accelerator as the CPU": Lie(
        HONEST.but(cpu_component=Component.ACCELERATOR), UNTRUSTED, "binding.report-data"
    ),
    "debug": Lie(HONEST.but(debug=True), VIOLATED, "simulated.debug"),
    "other software": Lie(HONEST.but(measurement=bytes(48)), VIOLATED, "policy.measurement"),
    "an old security version": Lie(HONEST.but(svn=0), VIOLATED, "policy.minimum"),
    "old evidence": Lie(HONEST.but(issued_at=NOW - 601), VIOLATED, "policy.age"),
    "evidence from the future": Lie(HONEST.but(issued_at=NOW + 301), VIOLATED, "policy.age"),
    "evidence past its life": Lie(
        HONEST.but(issued_at=NOW - MAX_LIFE_S), UNTRUSTED, "simulated.expired"
    ),
    "an expired reference value": Lie(
        HONEST, VIOLATED, "policy.reference-expired", POLICY, NOW + 10_000
    ),
    "hardware that is not enrolled": Lie(
        HONEST, VIOLATED, "policy.hw-not-enrolled", with_rule(enrolled=frozenset({"ff"}))
    ),
    "hardware that is denied": Lie(
        HONEST, VIOLATED, "policy.hw-denied", with_rule(denied=frozenset({"00" * 32}))
    ),
    "a claim of another value": Lie(
        HONEST, VIOLATED, "policy.value", with_rule(values={"component": frozenset({"gpu"})})
    ),
    "a claim that is absent": Lie(
        HONEST, VIOLATED, "policy.value", with_rule(values={"vmpl": frozenset({0})})
    ),
    "a minimum of an absent claim": Lie(
        HONEST, VIOLATED, "policy.minimum", with_rule(minimums={"build": 1})
    ),
    "a measurement the evidence has not": Lie(
        HONEST, VIOLATED, "policy.measurement", with_rule(references={"rtmr0": ()})
    ),
    "no reference values at all": Lie(
        HONEST, VIOLATED, "policy.measurement", with_rule(references={})
    ),
    "a policy without simulated evidence": Lie(
        HONEST, VIOLATED, "policy.simulated", replace(POLICY, unsafe_allow_simulated=False)
    ),
    "a kind the policy does not know": Lie(
        HONEST, VIOLATED, "policy.kind", replace(POLICY, rules={})
    ),
    "a tier too low": Lie(HONEST, VIOLATED, "policy.tier", replace(POLICY, min_tier=Tier.TEE)),
    "a bent magic": Lie(HONEST.but(bend_cpu=flipped(0)), MALFORMED, "simulated.magic"),
    "an unknown component": Lie(HONEST.but(bend_cpu=flipped(9)), MALFORMED, "simulated.component"),
    "an unknown flag": Lie(HONEST.but(bend_cpu=flipped(0x19)), MALFORMED, "simulated.flags"),
    "a reserved byte": Lie(
        HONEST.but(bend_cpu=flipped(0xB3)), MALFORMED, "simulated.report.reserved"
    ),
    "a bent measurement": Lie(HONEST.but(bend_cpu=flipped(0x90)), UNTRUSTED, "simulated.signature"),
    "a bent signature": Lie(HONEST.but(bend_cpu=flipped(0xC1)), UNTRUSTED, "simulated.signature"),
    "a byte too many": Lie(
        HONEST.but(bend_cpu=lambda raw: raw + b"\0"), MALFORMED, "simulated.report.size"
    ),
    "a byte too few": Lie(
        HONEST.but(bend_cpu=lambda raw: raw[:-1]), MALFORMED, "simulated.report.size"
    ),
    "a device with a longer nonce": Lie(
        EIGHT.but(bend_device=flipped(0x7F)), MALFORMED, "simulated.report-data", FOR_EIGHT
    ),
    "a device with a bent signature": Lie(
        EIGHT.but(bend_device=flipped(0xC1)), UNTRUSTED, "simulated.signature", FOR_EIGHT
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_one_lie_is_refused_by_name(name: str) -> None:
    """Each lie is refused with its own code, first among its findings or among all of them."""
    lie = LIES[name]
    with pytest.raises(lie.error) as caught:
        attempt(lie.node, lie.policy, now=lie.now)
    assert lie.code in codes(caught.value)


def test_all_shortfalls_are_reported_together() -> None:
    """Three things wrong are three findings."""
    node = HONEST.but(svn=0, measurement=bytes(48), issued_at=NOW - 601)
    with pytest.raises(PolicyViolatedError) as caught:
        attempt(node)
    assert codes(caught.value) == ["policy.age", "policy.measurement", "policy.minimum"]


def test_a_bundle_of_wrong_kinds_is_refused_before_anything_is_verified() -> None:
    """A GPU is no CPU, and a CPU no GPU."""
    evidence = Evidence(EvidenceKind.NVIDIA_GPU, b"")
    device = Device(
        device_id="cpu",
        evidence=Evidence(EvidenceKind.INTEL_TDX, b""),
        collateral=Collateral(),
    )
    bundle = replace(HONEST.bundle(), cpu=evidence, accelerators=(device,))
    with pytest.raises(EvidenceUntrustedError) as caught:
        appraise(bundle, POLICY, nonce32=NONCE32, now=NOW)
    assert codes(caught.value) == ["composite.cpu-kind", "composite.device-kind"]


def test_simulated_evidence_takes_no_collateral() -> None:
    """Collateral beside simulated evidence means nothing and is refused."""
    bundle = replace(HONEST.bundle(), cpu_collateral=Collateral(((Role.OCSP, b""),)))
    with pytest.raises(EvidenceMalformedError) as caught:
        appraise(bundle, POLICY, nonce32=NONCE32, now=NOW)
    assert codes(caught.value) == ["simulated.collateral"]


def test_an_unsupported_device_is_never_accepted() -> None:
    """No verifier, no verdict."""

    def nobody(kind: EvidenceKind) -> Verifier:
        """Refuse every kind."""
        raise EvidenceUnsupportedError(Finding("x.unsupported", kind, "a verifier", "none"))

    with pytest.raises(EvidenceUnsupportedError):
        appraise(HONEST.bundle(), POLICY, nonce32=NONCE32, now=NOW, verifier_for=nobody)


class Stub:
    """A verifier that returns claims it was given, bound to what the bundle binds."""

    def __init__(self, **changes: object) -> None:
        """Keep what to change."""
        self._real = SimulatedVerifier((published_root(),))
        self._changes = changes

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """Return the simulated claims with some fields different."""
        claims = self._real.verify(raw, collateral, now=now)
        return replace(claims, **self._changes)  # type: ignore[arg-type]


def attempt_as(
    policy: Policy = POLICY, floors: Mapping[str, int] | None = None, **changes: object
) -> AttestedKey:
    """Appraise the honest node with some of its claims different."""
    return appraise(
        HONEST.bundle(),
        policy,
        nonce32=NONCE32,
        now=NOW,
        floors=floors or {},
        verifier_for=lambda _: Stub(**changes),
    )


def test_what_could_not_be_checked_mints_nothing() -> None:
    """Missing collateral is unverified, and is listed beside refusals."""
    unchecked = (Finding("x.revocation", "revocation", "a CRL", "none"),)
    with pytest.raises(EvidenceUnverifiedError) as caught:
        attempt_as(unchecked=unchecked)
    assert codes(caught.value) == ["x.revocation"]
    with pytest.raises(PolicyViolatedError) as refused:
        attempt_as(with_rule(minimums={"svn": 2}), unchecked=unchecked)
    assert codes(refused.value) == ["policy.minimum", "x.revocation"]


def test_claims_past_their_end_are_refused() -> None:
    """A verifier that forgot to look at the clock is caught here."""
    with pytest.raises(PolicyViolatedError) as caught:
        attempt_as(valid_until=NOW)
    assert codes(caught.value) == ["policy.expired"]


def test_debug_is_refused_even_if_a_verifier_did_not() -> None:
    """Debug is refused in code, under every policy."""
    with pytest.raises(PolicyViolatedError) as caught:
        attempt_as(debug=True)
    assert codes(caught.value) == ["policy.debug"]


def test_a_status_word_must_be_listed_and_its_advisories_too() -> None:
    """A status passes only by name; beside UpToDate advisories say nothing."""
    changes = {
        "status": Status(tcb="SWHardeningNeeded"),
        "details": {"svn": 1, "advisory_ids": ("INTEL-SA-1", "INTEL-SA-2")},
    }
    with pytest.raises(PolicyViolatedError) as caught:
        attempt_as(**changes)
    assert codes(caught.value) == ["policy.tcb-status", "policy.advisory", "policy.advisory"]
    listed = with_rule(
        tcb_statuses=frozenset({"SWHardeningNeeded"}),
        advisories=frozenset({"INTEL-SA-1", "INTEL-SA-2"}),
    )
    assert attempt_as(listed, **changes).tier is Tier.SIMULATED
    fine = with_rule(tcb_statuses=frozenset({"UpToDate"}))
    changes["status"] = Status(tcb="UpToDate")
    assert attempt_as(fine, **changes).claims[0].status.tcb == "UpToDate"


def test_a_conditional_refusal_is_lifted_by_naming_its_measurement() -> None:
    """A service TD passes only under a policy that lists its measurement."""
    finding = Finding("x.service-td", "service TD", "none", "one")
    changes = {
        "measurements": {"measurement": MEASUREMENT, "service": b"\1"},
        "conditional": {"service": finding},
    }
    with pytest.raises(PolicyViolatedError) as caught:
        attempt_as(**changes)
    assert codes(caught.value) == ["x.service-td"]
    named = with_rule(
        references={
            **RULE.references,
            "service": (Reference(value=b"\1", not_after=NOW + 9),),
        }
    )
    assert attempt_as(named, **changes).valid_until == NOW + 9


def test_evidence_without_an_age_and_claims_of_accepted_values_pass() -> None:
    """An age is judged where one is signed; listed values are accepted exactly."""
    listed = with_rule(values={"component": frozenset({"cpu"}), "svn": frozenset({1})})
    assert attempt_as(listed, issued_at=None).valid_until == NOW + 3600


class Never:
    """A condition that never holds."""

    def check(self, claims: Claims) -> tuple[Finding, ...]:
        """Return one finding."""
        return (Finding("policy.condition", "never", "true", claims.kind),)


def test_conditions_are_judged_with_the_rest() -> None:
    """A condition's finding refuses like any other."""
    with pytest.raises(PolicyViolatedError) as caught:
        attempt(HONEST, with_rule(conditions=(Never(),)))
    assert codes(caught.value) == ["policy.condition"]


def test_a_device_without_an_identity_cannot_be_counted() -> None:
    """Uniqueness needs a signed identity."""
    with pytest.raises(PolicyViolatedError) as caught:
        appraise(
            EIGHT.but(devices=1).bundle(),
            replace(POLICY, accelerators={SIMULATED: 1}),
            nonce32=NONCE32,
            now=NOW,
            verifier_for=lambda _: Stub(hardware_id=None),
        )
    assert codes(caught.value) == ["composite.device-anonymous"]


@pytest.mark.parametrize("issued_at", [NOW - 600, NOW, NOW + 300])
def test_an_age_at_the_limit_passes(issued_at: int) -> None:
    """The oldest accepted age, and the furthest accepted clock, are accepted."""
    assert attempt(HONEST.but(issued_at=issued_at)).valid_until


def test_a_cpu_alone_proves_no_more_than_itself() -> None:
    """The tier of accelerators takes accelerators."""
    assert attempt_as(tier=Tier.TEE).tier is Tier.TEE
    assert attempt_as(tier=Tier.MEASURED_BOOT).tier is Tier.MEASURED_BOOT


def test_bound_accelerators_raise_the_tier_of_real_hardware_only() -> None:
    """CPU TEE and accelerators together prove more than the CPU alone; simulated ones do not."""
    one = replace(POLICY, accelerators={SIMULATED: 1})
    bundle = EIGHT.but(devices=1).bundle()
    real = appraise(
        bundle, one, nonce32=NONCE32, now=NOW, verifier_for=lambda _: Stub(tier=Tier.TEE)
    )
    assert real.tier is Tier.TEE_ACCELERATOR_SOFTWARE_BOUND
    assert real.tier.label == "tee+accelerator(software-bound)"
    assert appraise(bundle, one, nonce32=NONCE32, now=NOW).tier is Tier.SIMULATED


def test_older_collateral_than_already_seen_is_a_downgrade() -> None:
    """Floors rise with what was accepted and refuse what is behind them."""
    first = attempt_as(ratchets={"a": 5, "b": 1})
    floors = raise_floors({"a": 3, "c": 9}, first.claims)
    assert dict(floors) == {"a": 5, "b": 1, "c": 9}
    assert attempt_as(floors=floors, ratchets={"a": 5}).valid_until
    with pytest.raises(PolicyViolatedError) as caught:
        attempt_as(floors=floors, ratchets={"a": 4, "d": 0})
    assert codes(caught.value) == ["policy.downgrade"]
    assert raise_floors(floors, first.claims) == floors


def test_single_evidence_can_be_judged_without_binding() -> None:
    """`judge` looks at claims alone; built-in rules need no policy."""
    claims = attempt(HONEST).claims[0]
    assert judge(claims, POLICY, now=NOW) == []
    assert [f.code for f in builtin_findings(claims)] == ["policy.simulated"]
    late = replace(claims, kind=EvidenceKind.TPM2, status=Status(tcb="OutOfDate"), debug=True)
    assert [f.code for f in builtin_findings(late)] == ["policy.debug", "tpm2.tcb.status"]


def test_only_appraisal_makes_an_attested_key() -> None:
    """A key cannot be built, changed, copied or pickled by anybody else."""
    key = attempt(HONEST)
    fields = {name: getattr(key, name) for name in key.__slots__}
    with pytest.raises(TypeError):
        AttestedKey(**fields, mint=object())
    with pytest.raises(TypeError):
        copy.copy(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(AttributeError):
        key.simulated = False  # type: ignore[misc]
    assert AttestedKey(**fields, mint=MINT) == key


def test_every_bent_byte_of_a_bundle_is_refused() -> None:
    """Of an encoded bundle, every byte counts."""
    raw = EIGHT.but(devices=1).bundle().encode()
    policy = replace(POLICY, accelerators={SIMULATED: 1})
    bundle = Bundle.decode(raw)
    assert appraise(bundle, policy, nonce32=NONCE32, now=NOW).valid_until
    names = raw.index(b"gpu0")
    for at in range(0, len(raw), 3):
        bent = raw[:at] + bytes([raw[at] ^ 0x40]) + raw[at + 1 :]
        if names <= at < names + 4:
            continue  # a device's name orders devices and proves nothing
        with pytest.raises(AttestationError):
            appraise(Bundle.decode(bent), policy, nonce32=NONCE32, now=NOW)
