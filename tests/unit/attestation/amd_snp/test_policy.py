"""What a policy can require of an SNP machine, with claims of a SIMULATED processor."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from attestation.amd_snp.product import Product
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.appraise import judge
from attestation.claims import Tier
from attestation.evidence import EvidenceKind
from attestation.policy import KindRule, Policy, Reference
from tests.harness.tee.snp import NOW, SnpPlatform, tcb

MILAN = SnpPlatform()
NEW = {**MILAN.levels}


RULE = KindRule(
    references={"launch": (Reference(value=b"\xa5" * 48, not_after=NOW + 1),)},
    unsafe_any_measurement=False,
    tcb_statuses=frozenset(),
    advisories=frozenset(),
    minimums={"alias_check_complete": 1, "committed_tcb_snp": 23, "reported_tcb_microcode": 0xDB},
    values={},
    enrolled=frozenset({MILAN.chip_id.hex()}),
    denied=frozenset(),
    conditions=(),
)


def found(
    platform: SnpPlatform, rule: KindRule = RULE, bend: Mapping[str, bytes] | None = None
) -> list[str]:
    """Return the codes that a policy with this rule reports."""
    claims = AmdSnpVerifier(platform.roots).verify(
        platform.report(**(bend or {})), platform.collateral(), now=NOW
    )
    policy = Policy(
        name="test",
        digest=bytes(32),
        rules={EvidenceKind.AMD_SNP: rule},
        accelerators={},
        min_tier=Tier.TEE,
        max_evidence_age_s=3600,
        max_keyset_life_s=3600,
        unsafe_allow_simulated=False,
    )
    return [finding.code for finding in judge(claims, policy, now=NOW)]


def test_the_honest_machine_passes() -> None:
    """Enrolled hardware with current firmware, checked memory and known software passes."""
    assert found(MILAN) == []


@pytest.mark.parametrize(
    ("platform", "bend", "code"),
    [
        (MILAN, {"platform_info": (0x05).to_bytes(8, "little")}, "policy.minimum"),
        (replace(MILAN, levels={**NEW, "snp": 22}), {}, "policy.minimum"),
        (replace(MILAN, levels={**NEW, "microcode": 0xDA}), {}, "policy.minimum"),
        (replace(MILAN, chip_id=b"\x07" * 64), {}, "policy.hw-not-enrolled"),
        (MILAN, {"measurement": bytes(48)}, "policy.measurement"),
        (MILAN, {"policy": (0x3001F | 1 << 19).to_bytes(8, "little")}, "amd-snp.debug"),
    ],
    ids=["aliases-unchecked", "old-snp", "old-microcode", "unknown-chip", "software", "debug"],
)
def test_a_policy_refuses(platform: SnpPlatform, bend: dict[str, bytes], code: str) -> None:
    """BadRAM, old firmware, a chip nobody enrolled, other software and debug are refused."""
    assert found(platform, bend=bend) == [code]


def test_milan_can_be_refused_altogether() -> None:
    """A list of accepted products refuses every Milan and no Genoa."""
    rule = replace(RULE, values={"product": frozenset({"Genoa", "Turin"})})
    assert found(MILAN, rule) == ["policy.value"]
    assert found(SnpPlatform(product=Product.GENOA), rule) == []


def test_a_fleet_key_without_chip_is_not_enrolled() -> None:
    """VLEK evidence that hides the chip fails where hardware must be enrolled."""
    fleet, hidden = SnpPlatform(kind="VLEK"), {"chip_id": bytes(64)}
    assert found(fleet, bend=hidden) == ["policy.hw-not-enrolled"]
    assert found(fleet, replace(RULE, enrolled=None), hidden) == []


def test_committed_firmware_counts_not_current() -> None:
    """Firmware that is loaded but not committed can be rolled back; the minimum asks for commit."""
    newer = tcb(Product.MILAN, {**NEW, "snp": 24})
    rule = replace(RULE, minimums={"committed_tcb_snp": 24})
    assert found(MILAN, rule, {"current_tcb": newer}) == ["policy.minimum"]
    assert found(MILAN, rule, {"current_tcb": newer, "committed_tcb": newer}) == []
