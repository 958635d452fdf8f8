"""Threats 1-5, 8, 9, 11, 28, 31: machines that pretend, judged in their vendors' own formats.

SIMULATED Intel, AMD and NVIDIA hardware under test roots plays the attacker's machine; policies
are the shipped production profiles, filled in for that machine.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from attestation import (
    AttestationError,
    AttestedKey,
    Bundle,
    Collateral,
    Device,
    Evidence,
    EvidenceKind,
    EvidenceMalformedError,
    EvidenceUntrustedError,
    Freshness,
    KindRule,
    Policy,
    Reference,
    Role,
    Tier,
    appraise,
    binding,
    raise_floors,
)
from attestation.amd_snp.product import Product
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.intel_sgx.verifier import IntelSgxVerifier
from attestation.intel_tdx.verifier import IntelTdxVerifier
from attestation.judge import builtin_findings, judge
from attestation.nvidia_gpu.verifier import NvidiaGpuVerifier
from attestation.nvidia_nvswitch.verifier import NvidiaNvswitchVerifier
from attestation.verifier import Verifier
from mifeng.crypto import sm3
from policies import SHIPPED, shipped
from tests.harness.tee import intel, nvidia, snp
from tests.harness.tee.intel import DAY, TD, IntelWorld

TDX, SNP, GPU = EvidenceKind.INTEL_TDX, EvidenceKind.AMD_SNP, EvidenceKind.NVIDIA_GPU
NOW = nvidia.NOW
CHALLENGE = Freshness(kind=1, x=bytes(range(32)))
KEYSET = b'{"keyset":1}'
ROOTS = ((nvidia.device_root(),), (nvidia.rim_root(),))
WINDOW = {"begin": NOW - DAY, "end": NOW + 29 * DAY}
DATES = {"issueDate": intel.utc(NOW - DAY), "nextUpdate": intel.utc(NOW + 29 * DAY)}
HOST = TD.but(
    tcb_info=intel.tcb_info(**DATES),
    qe_identity=intel.qe_identity(tcbEvaluationDataNumber=18, **DATES),
    root_crl=WINDOW,
    pck_crl=WINDOW,
)
PPID = bytes(range(16)).hex()


def verifier_for(kind: EvidenceKind) -> Verifier:
    """Return verifiers that trust the test roots, and only those."""
    table: dict[EvidenceKind, Verifier] = {
        TDX: IntelTdxVerifier(TD.anchors()),
        EvidenceKind.INTEL_SGX: IntelSgxVerifier(TD.anchors()),
        SNP: AmdSnpVerifier(snp.SnpPlatform(product=Product.GENOA).roots),
        GPU: NvidiaGpuVerifier(*ROOTS),
        EvidenceKind.NVIDIA_NVSWITCH: NvidiaNvswitchVerifier(*ROOTS),
    }
    return table[kind]


@cache
def gpu(serial: int, nonce: bytes) -> Device:
    """Return a GPU's evidence and everything its vendor says about it."""
    device = replace(nvidia.gpu(serial), nonce=nonce)
    return Device(
        device_id=f"gpu{serial}",
        evidence=Evidence(GPU, device.report()),
        collateral=nvidia.gpu_collateral(device),
    )


def gpus(*serials: int, keyset: bytes = KEYSET) -> tuple[Device, ...]:
    """Return GPUs that were asked with the nonce of a keyset."""
    nonce = binding.device_nonce(nonce32=CHALLENGE.nonce32, keyset_digest=sm3(keyset))
    return tuple(gpu(serial, nonce) for serial in serials)


def node(
    committed: Sequence[Device], shown: Sequence[Device] | None = None, host: IntelWorld = HOST
) -> Bundle:
    """Return a TDX node's bundle; what it shows may differ from what its CPU committed to."""
    data = binding.report_data(
        nonce32=CHALLENGE.nonce32, keyset_digest=sm3(KEYSET), accelerators=committed
    )
    world = host.but(body={**host.body, "report_data": data})
    return Bundle(
        keyset=KEYSET,
        freshness=CHALLENGE,
        cpu=Evidence(TDX, world.quote()),
        cpu_collateral=world.collateral(),
        accelerators=tuple(committed if shown is None else shown),
    )


def reference(value: bytes) -> tuple[Reference, ...]:
    """Return one reference value that outlives the tests."""
    return (Reference(value=value, not_after=NOW + 9 * DAY),)


def filled(devices: int = 1, **changes: object) -> Policy:
    """Return production-h100-tdx with the SIMULATED machine filled in."""
    policy = shipped("production-h100-tdx")
    fields = intel.TD_FIELDS
    cpu = replace(
        policy.rules[TDX],
        references={
            "mrtd": reference(fields["mr_td"]),
            "rtmr0": reference(fields["rtmr0"]),
            "rtmr1": reference(fields["rtmr1"]),
            "rtmr2": reference(fields["rtmr2"]),
            "mrconfigid": reference(bytes(48)),
        },
        enrolled=frozenset({PPID}),
    )
    owned = frozenset(str(serial) for serial in range(1001, 1010))
    rules = {TDX: replace(cpu, **changes), GPU: replace(policy.rules[GPU], enrolled=owned)}  # type: ignore[arg-type]
    return replace(policy, rules=rules, accelerators={GPU: devices})


def look(bundle: Bundle, policy: Policy, **more: object) -> AttestedKey:
    """Appraise under the test roots."""
    return appraise(
        bundle,
        policy,
        nonce32=CHALLENGE.nonce32,
        now=NOW,
        verifier_for=verifier_for,
        **more,  # type: ignore[arg-type]
    )


def refused(bundle: Bundle, policy: Policy, **more: object) -> set[str]:
    """Return the codes a bundle is refused with."""
    with pytest.raises(AttestationError) as caught:
        look(bundle, policy, **more)
    return {finding.code for finding in caught.value.findings}


def test_an_honest_node_in_vendors_formats_is_attested() -> None:
    """TDX and an H100, bound both ways, under the production profile."""
    key = look(node(gpus(1001)), filled())
    assert key.tier is Tier.TEE_ACCELERATOR_SOFTWARE_BOUND
    assert not key.simulated
    assert [each.hardware_id for each in key.claims] == [PPID, "1001"]


def test_threat_01_a_stolen_attestation_key_is_not_on_the_list() -> None:
    """A valid quote of a machine nobody enrolled, or of one that was lost, is refused."""
    bundle = node(gpus(1001))
    assert refused(bundle, filled(enrolled=frozenset({"ff" * 16}))) == {"policy.hw-not-enrolled"}
    assert refused(bundle, filled(denied=frozenset({PPID}))) == {"policy.hw-denied"}
    assert refused(node(gpus(1100)), filled()) == {"policy.hw-not-enrolled"}


def snp_rule(platform: snp.SnpPlatform) -> tuple[Policy, KindRule]:
    """Return production-h100-snp with a SIMULATED processor filled in."""
    policy = shipped("production-h100-snp")
    rule = replace(
        policy.rules[SNP],
        references={"launch": reference(b"\xa5" * 48), "host_data": reference(b"\x5a" * 32)},
        enrolled=frozenset({platform.chip_id.hex()}),
    )
    return replace(policy, rules={SNP: rule}), rule


def snp_codes(platform: snp.SnpPlatform, **bend: bytes) -> list[str]:
    """Return what the profile has against a processor."""
    verifier = AmdSnpVerifier(platform.roots)
    claims = verifier.verify(platform.report(**bend), platform.collateral(), now=snp.NOW)
    return [finding.code for finding in judge(claims, snp_rule(platform)[0], now=snp.NOW)]


def test_threat_02_unchecked_memory_aliases_and_milan_are_refused() -> None:
    """Without ALIAS_CHECK_COMPLETE, or on a product whose keys leaked, nothing is accepted."""
    genoa = snp.SnpPlatform(product=Product.GENOA)
    assert snp_codes(genoa) == []
    assert snp_codes(genoa, platform_info=(0x05).to_bytes(8, "little")) == ["policy.minimum"]
    assert snp_codes(snp.SnpPlatform(product=Product.MILAN)) == ["policy.value"]


def test_threat_03_older_collateral_is_a_downgrade() -> None:
    """Still in date, but older than what was accepted before, or than the policy's floor."""
    seen = look(node(gpus(1001)), filled())
    floors = raise_floors({}, seen.claims)
    older = HOST.but(tcb_info=intel.tcb_info(**{**DATES, "issueDate": intel.utc(NOW - 2 * DAY)}))
    assert look(node(gpus(1001), host=older), filled()).valid_until
    assert refused(node(gpus(1001), host=older), filled(), floors=floors) == {"policy.downgrade"}
    low = HOST.but(tcb_info=intel.tcb_info(tcbEvaluationDataNumber=17, **DATES))
    assert refused(node(gpus(1001), host=low), filled()) == {"policy.minimum"}


def test_threat_03_an_outdated_platform_is_refused() -> None:
    """The certificate's patch level counts, not what the machine says of itself."""
    old = intel.replace(intel.LEAF, extension=intel.sgx_extension(pce_svn=6))
    codes = refused(node(gpus(1001), host=HOST.but(leaf=old)), filled())
    assert codes == {"policy.tcb-status", "policy.advisory"}


def test_threat_04_a_patch_level_must_be_the_certificates() -> None:
    """A report that claims more than its key was derived from is not authentic."""
    genoa = snp.SnpPlatform(product=Product.GENOA)
    better = snp.tcb(Product.GENOA, {**snp.LEVELS, "microcode": 0xFF})
    with pytest.raises(EvidenceUntrustedError) as caught:
        snp_codes(genoa, reported_tcb=better, committed_tcb=better, current_tcb=better)
    assert caught.value.findings[0].code == "amd-snp.tcb.mismatch"


def test_threat_05_debug_is_refused_in_every_format() -> None:
    """Each vendor's debug bit refuses with no policy at all, so under any."""
    td = HOST.but(body={"td_attributes": b"\1\0\0\x10" + bytes(4)})
    enclave = intel.ENCLAVE.but(body={"attributes": b"\7" + bytes(15)})
    genoa = snp.SnpPlatform(product=Product.GENOA)
    debug = genoa.report(policy=(0xB001F).to_bytes(8, "little"))
    found = (
        verifier_for(TDX).verify(td.quote(), td.collateral(), now=NOW),
        verifier_for(EvidenceKind.INTEL_SGX).verify(
            enclave.quote(), enclave.collateral(), now=intel.NOW
        ),
        verifier_for(SNP).verify(debug, genoa.collateral(), now=snp.NOW),
    )
    for claims in found:
        assert claims.debug
        assert f"{claims.kind.value}.debug" in {f.code for f in builtin_findings(claims)}


def test_threat_08_accelerators_of_another_host_are_refused() -> None:
    """Eight GPUs: one from elsewhere, one dropped, one copied, one asked for another keyset."""
    eight = gpus(*range(1001, 1009))
    policy = filled(8)
    assert look(node(eight), policy).tier is Tier.TEE_ACCELERATOR_SOFTWARE_BOUND
    elsewhere = (*eight[:7], replace(gpus(1009)[0], device_id=eight[7].device_id))
    assert refused(node(eight, elsewhere), policy) == {"binding.report-data"}
    assert refused(node(eight, eight[:7]), policy) == {"binding.report-data"}
    assert refused(node(eight[:7]), policy) == {"composite.device-count"}
    copied = (*eight[:7], replace(eight[0], device_id="gpu1008"))
    assert refused(node(eight, copied), policy) == {"binding.report-data"}
    assert refused(node(copied), policy) == {"composite.device-duplicated"}
    other = gpus(1008, keyset=b"other")
    assert refused(node((*eight[:7], *other)), policy) == {"binding.device-nonce"}


def test_threat_09_no_anchor_no_verdict() -> None:
    """A verifier without roots trusts nobody, and no shipped profile can name one."""
    for verifier in (IntelTdxVerifier(()), AmdSnpVerifier(()), NvidiaGpuVerifier((), ())):
        evidence = {
            IntelTdxVerifier: (HOST.quote(), HOST.collateral()),
            AmdSnpVerifier: (snp.SnpPlatform().report(), snp.SnpPlatform().collateral()),
            NvidiaGpuVerifier: (
                gpus(1001)[0].evidence.raw,
                gpus(1001)[0].collateral,
            ),
        }
        raw, collateral = evidence[type(verifier)]
        with pytest.raises(AttestationError):
            verifier.verify(raw, collateral, now=NOW)
    for name in SHIPPED:
        assert not any("root" in field for field in shipped(name).__slots__)


def test_threat_09_shipped_verifiers_trust_no_test_root() -> None:
    """Honest SIMULATED hardware in every vendor's format is refused by what we ship."""
    for bundle in (node(gpus(1001)), node(())):
        with pytest.raises(EvidenceUntrustedError):
            appraise(bundle, filled(), nonce32=CHALLENGE.nonce32, now=NOW)


def test_threat_11_each_certificate_counts_at_the_instant() -> None:
    """Expired, not yet valid, swapped or endless chains are refused."""
    for cert in (
        HOST.but(ca=intel.replace(intel.CA, end=NOW - 1)),
        HOST.but(ca=intel.replace(intel.CA, begin=NOW + 1)),
        HOST.but(chain=lambda parts: parts[1] + parts[0] + parts[2]),
    ):
        with pytest.raises(EvidenceUntrustedError):
            look(node((), host=cert), filled(0))
    huge = Collateral(((Role.CERT_CHAIN, intel.CA.pem() * 15_000),))
    with pytest.raises(EvidenceMalformedError):
        verifier_for(TDX).verify(HOST.quote(), huge, now=NOW)


def test_threat_28_a_changed_configuration_changes_a_register() -> None:
    """Another command line is another RTMR, another launch configuration another MRCONFIGID."""
    for field in ("mr_td", "rtmr0", "rtmr1", "rtmr2", "mr_config_id"):
        changed = HOST.but(body={field: b"\xee" * 48})
        assert refused(node((), host=changed), filled(0)) >= {"policy.measurement"}


def test_threat_31_an_old_verdict_is_made_again_years_later() -> None:
    """The archived bytes decide as of the recorded instant, with no network and no clock."""
    archived = node(gpus(1001)).encode()
    first = look(Bundle.decode(archived), filled())
    again = look(Bundle.decode(archived), filled())
    assert (again.evidence_digest, again.valid_until) == (first.evidence_digest, first.valid_until)
    with pytest.raises(AttestationError):
        appraise(
            Bundle.decode(archived),
            filled(),
            nonce32=CHALLENGE.nonce32,
            now=NOW + 730 * DAY,
            verifier_for=verifier_for,
        )
