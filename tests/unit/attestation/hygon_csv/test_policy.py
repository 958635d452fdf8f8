"""What a policy must require of a CSV machine, with claims of a SIMULATED processor."""

from dataclasses import replace

import pytest

from attestation.claims import Claims, Tier
from attestation.evidence import EvidenceKind
from attestation.hygon_csv.verifier import HygonCsvVerifier
from attestation.judge import judge
from attestation.policy import KindRule, Policy, Reference
from mifeng.crypto import sm3
from tests.harness.tee.hygon import (
    GOOD_POLICY,
    MEASURE,
    REPORT_DATA,
    Psp,
    endorsed,
    key,
    roots,
    shifted,
)

NOW = 1_760_000_000
CHIP = sm3(key("cek").public_key().to_bytes()).hex()
RULE = KindRule(
    references={"measure": (Reference(value=MEASURE, not_after=NOW + 1),)},
    unsafe_any_measurement=False,
    tcb_statuses=frozenset(),
    advisories=frozenset(),
    minimums={"policy_api_major": 1},
    values={"policy_noks": frozenset({1}), "policy_asid_reuse": frozenset({0})},
    enrolled=frozenset({CHIP}),
    denied=frozenset(),
    conditions=(),
)


def claims(raw: bytes) -> Claims:
    """Verify with the simulated root pinned."""
    return HygonCsvVerifier(roots()).verify(raw, endorsed(), now=NOW)


def found(raw: bytes, rule: KindRule = RULE) -> list[str]:
    """Return the codes that a policy with this rule reports."""
    policy = Policy(
        name="test",
        digest=bytes(32),
        rules={EvidenceKind.HYGON_CSV: rule},
        accelerators={},
        min_tier=Tier.TEE,
        max_evidence_age_s=3600,
        max_keyset_life_s=3600,
        unsafe_allow_simulated=False,
    )
    return [finding.code for finding in judge(claims(raw), policy, now=NOW)]


ANY = replace(RULE, references={}, unsafe_any_measurement=True)


def test_a_masked_report_needs_its_launch_digest_compared() -> None:
    """Version 1 under a policy that accepts any software is refused; version 2 is not masked."""
    assert found(Psp().report(), ANY) == ["policy.masked-report"]
    assert found(Psp(version=2).report(), ANY) == []
    other = {"host_data": (Reference(value=bytes(32), not_after=NOW + 1),)}
    codes = found(Psp().report(), replace(ANY, references=other))
    assert codes == ["policy.masked-report", "policy.measurement"]
    assert found(Psp().report(), replace(ANY, references={"measure": ()})) == ["policy.measurement"]


@pytest.mark.parametrize("version", [1, 2])
def test_the_honest_machine_passes(version: int) -> None:
    """Enrolled hardware, known software and a strict guest policy pass."""
    assert found(Psp(version=version).report()) == []


def test_a_chosen_debug_bit_does_not_survive_the_launch_digest() -> None:
    """A debug guest re-masked to look right has another launch digest, and is refused for it."""
    delta = b"\1\0\0\0"
    hidden: dict[str, bytes | int] = {
        "user_pubkey_digest": sm3(b"owner"),
        "vm_id": b"prepared",
        "policy": GOOD_POLICY & ~1,
        "report_data": bytes(a ^ b for a, b in zip(REPORT_DATA, delta * 16, strict=True)),
    }
    raw = shifted(Psp(fields=hidden).report(), delta)
    read = claims(raw)
    assert (read.report_data, read.debug, read.refused) == (REPORT_DATA, False, ())
    assert found(raw) == ["policy.measurement"]


@pytest.mark.parametrize(
    ("rule", "fields", "code"),
    [
        (RULE, {"policy": GOOD_POLICY & ~1}, "hygon-csv.debug"),
        (RULE, {"policy": GOOD_POLICY & ~2}, "policy.value"),
        (RULE, {"policy": GOOD_POLICY | 0x80}, "policy.value"),
        (RULE, {"policy": GOOD_POLICY & ~0xFF0000}, "policy.minimum"),
        (RULE, {"measure": bytes(32)}, "policy.measurement"),
        (replace(RULE, enrolled=frozenset()), {}, "policy.hw-not-enrolled"),
        (replace(RULE, denied=frozenset({CHIP})), {}, "policy.hw-denied"),
        (replace(RULE, values={"report_version": frozenset({2})}), {}, "policy.value"),
        (replace(RULE, minimums={"build": 2337}), {}, "policy.minimum"),
    ],
    ids=[
        "debug",
        "key-sharing",
        "asid-reuse",
        "old-interface",
        "software",
        "unknown-chip",
        "denied-chip",
        "version-1",
        "no-build",
    ],
)
def test_a_policy_refuses(rule: KindRule, fields: dict[str, bytes | int], code: str) -> None:
    """One thing wrong, one finding."""
    assert found(Psp(fields=fields).report(), rule) == [code]
