"""SIMULATED machines of every kind and nodes made of them, for `attestation`.

Each simulator has collateral around an instant of its own; a node's verifiers judge each part at
its instant.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from attestation import binding
from attestation.amd_snp.product import Product
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.arm_cca.verifier import ArmCcaVerifier
from attestation.aws_nitro.roots import pin as nitro_pin
from attestation.aws_nitro.verifier import AwsNitroVerifier
from attestation.azure_vtpm.verifier import AzureVtpmVerifier
from attestation.bundle import Bundle, Device, Freshness
from attestation.claims import Claims, Tier
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.huawei.roots import pin as huawei_pin
from attestation.huawei_itrustee.verifier import HuaweiItrusteeVerifier
from attestation.huawei_virtcca.verifier import HuaweiVirtccaVerifier
from attestation.hygon_csv.verifier import HygonCsvVerifier
from attestation.hygon_dcu.verifier import HygonDcuVerifier
from attestation.intel_sgx.verifier import IntelSgxVerifier
from attestation.intel_tdx.verifier import IntelTdxVerifier
from attestation.nvidia_gpu.verifier import NvidiaGpuVerifier
from attestation.nvidia_nvswitch.verifier import NvidiaNvswitchVerifier
from attestation.policy import KindRule, Policy, Reference
from attestation.simulated import SimulatedVerifier, published_root
from attestation.tpm2.roots import pin as tpm_pin
from attestation.tpm2.verifier import Tpm2Verifier
from attestation.verifier import Verifier
from mifeng.crypto import sm3
from tests.harness.tee import (
    azure,
    cca,
    hygon,
    intel,
    itrustee,
    nitro,
    nvidia,
    simulated,
    snp,
    tpm2,
    virtcca,
)

_BOTH: Final = 64
_NONCE: Final = 32
_FAR: Final = 1 << 40
_GPUS: Final = 8
_PDIS: Final = tuple(b"SWITCH-%d" % number for number in range(4))
Make = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One machine: who judges it, and evidence over any signed field."""

    verifier: Verifier
    collateral: Collateral
    now: int
    make: Make
    """Evidence whose signed free field holds these bytes, `size` of them."""

    size: int = _BOTH

    def evidence(self, nonce: bytes) -> bytes:
        """Return evidence for a 32-byte nonce."""
        return self.make(nonce.ljust(self.size, b"\x5a"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A bundle, and what an operator who owns the machine would ask of it."""

    bundle: Bundle
    policy: Policy
    now: int
    verifier_for: Callable[[EvidenceKind], Verifier]

    @property
    def evidence_bytes(self) -> int:
        """All evidence together."""
        return sum(len(each.raw) for each in self._parts())

    @property
    def collateral_bytes(self) -> int:
        """All collateral together."""
        lists = [self.bundle.cpu_collateral, *(d.collateral for d in self.bundle.accelerators)]
        return sum(len(data) for each in lists for _, data in each.items)

    def _parts(self) -> list[Evidence]:
        return [self.bundle.cpu, *(device.evidence for device in self.bundle.accelerators)]


@dataclass(frozen=True, slots=True)
class _At:
    """A verifier at its simulator's instant."""

    verifier: Verifier
    instant: int

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`."""
        del now
        return self.verifier.verify(raw, collateral, now=self.instant)


def subjects() -> dict[str, Subject]:
    """Return a machine of every kind that has a format."""
    return {**_intel_and_amd(), **_virtual(), **_chinese_and_arm(), **_devices()}


def _intel_and_amd() -> dict[str, Subject]:
    genoa = snp.SnpPlatform(product=Product.GENOA)
    return {
        "intel-tdx": _intel(IntelTdxVerifier(intel.TD.anchors()), intel.TD),
        "intel-sgx": _intel(IntelSgxVerifier(intel.ENCLAVE.anchors()), intel.ENCLAVE),
        "amd-snp": Subject(
            verifier=AmdSnpVerifier(genoa.roots),
            collateral=genoa.collateral(),
            now=snp.NOW,
            make=lambda data: genoa.report(report_data=data),
        ),
    }


def _intel(verifier: Verifier, world: intel.IntelWorld) -> Subject:
    return Subject(
        verifier=verifier,
        collateral=world.collateral(),
        now=intel.NOW,
        make=lambda data: world.but(body={**world.body, "report_data": data}).quote(),
    )


def _virtual() -> dict[str, Subject]:
    vm, machine, node = azure.AzureVm(), tpm2.Tpm(), simulated.SimulatedNode()
    items = [(Role.AK_CERT, tpm2.ak_certificate()), (Role.AK_CERT, tpm2.intermediate())]
    items += [(Role.ROOT_CRL, data) for data in tpm2.crls()]
    return {
        "aws-nitro": Subject(
            verifier=AwsNitroVerifier((nitro_pin(nitro.root()),)),
            collateral=Collateral(),
            now=nitro.NOW,
            make=lambda data: nitro.bend(nonce=data),
        ),
        "tpm2": Subject(
            verifier=Tpm2Verifier((tpm_pin(tpm2.root()),)),
            collateral=Collateral(tuple(items)),
            now=tpm2.NOW,
            make=lambda data: replace(machine, nonce=data).evidence(),
            size=_NONCE,
        ),
        "azure-vtpm": Subject(
            verifier=AzureVtpmVerifier(vm.roots()),
            collateral=vm.collateral(),
            now=snp.NOW,
            make=lambda data: replace(vm, tpm=replace(vm.tpm, nonce=data)).evidence(),
            size=_NONCE,
        ),
        "simulated": Subject(
            verifier=SimulatedVerifier((published_root(),)),
            collateral=Collateral(),
            now=simulated.NOW,
            make=lambda data: node.but(keyset=data).bundle().cpu.raw,
        ),
    }


def _chinese_and_arm() -> dict[str, Subject]:
    huawei = (huawei_pin(virtcca.root()),)
    chain = ((Role.CERT_CHAIN, virtcca.product()),)
    lists = ((Role.ROOT_CRL, virtcca.root_crl()), (Role.ROOT_CRL, virtcca.product_crl()))
    return {
        "hygon-csv": Subject(
            verifier=HygonCsvVerifier(hygon.roots()),
            collateral=hygon.endorsed(),
            now=0,
            make=lambda data: hygon.Psp(version=2, fields={"report_data": data}).report(),
        ),
        "hygon-dcu": Subject(
            verifier=HygonDcuVerifier(hygon.roots()),
            collateral=hygon.endorsed(),
            now=0,
            make=lambda data: hygon.dcu_report(user_data=data),
        ),
        "arm-cca": Subject(
            verifier=ArmCcaVerifier(()),
            collateral=Collateral(((Role.CPAK, cca.pem("cpak")),)),
            now=0,
            make=lambda data: cca.CcaMachine(realm={10: data}).token(),
        ),
        "huawei-virtcca": Subject(
            verifier=HuaweiVirtccaVerifier(huawei),
            collateral=Collateral(((Role.DEV_CERT, virtcca.device()), *chain, *lists)),
            now=virtcca.NOW,
            make=lambda data: virtcca.VirtccaMachine(claims={10: data}).token(),
        ),
        "huawei-itrustee": Subject(
            verifier=HuaweiItrusteeVerifier(huawei),
            collateral=Collateral((*chain, *lists)),
            now=virtcca.NOW,
            make=lambda data: itrustee.Trustzone(payload={"nonce": itrustee.url(data)}).report(),
        ),
    }


def _devices() -> dict[str, Subject]:
    gpu, switch = nvidia.gpu(1001), nvidia.switch(3001)
    roots = (nvidia.device_root(),), (nvidia.rim_root(),)
    return {
        "nvidia-gpu": _nvidia(NvidiaGpuVerifier(*roots), gpu, nvidia.gpu_collateral(gpu)),
        "nvidia-nvswitch": _nvidia(
            NvidiaNvswitchVerifier(*roots), switch, nvidia.switch_collateral(switch)
        ),
    }


def _nvidia(verifier: Verifier, device: nvidia.Device, collateral: Collateral) -> Subject:
    return Subject(
        verifier=verifier,
        collateral=collateral,
        now=nvidia.NOW,
        make=lambda data: replace(device, nonce=data).report(),
        size=_NONCE,
    )


def nodes(machines: Mapping[str, Subject]) -> dict[str, Callable[[bytes], Node]]:
    """Return shapes of nodes by name; each makes the bundle of a fresh challenge."""
    gpu, dcu = machines["nvidia-gpu"], machines["hygon-dcu"]
    verifier = gpu.verifier
    board: list[tuple[str, Subject]] = []
    for number in range(_GPUS):
        each = nvidia.gpu(1101 + number, protected=True, switches=_PDIS)
        board.append(("nvidia-gpu", _nvidia(verifier, each, nvidia.gpu_collateral(each))))
    judge = machines["nvidia-nvswitch"].verifier
    for number, pdi in enumerate(_PDIS):
        wired = nvidia.switch(3101 + number, pdi=pdi)
        board.append(("nvidia-nvswitch", _nvidia(judge, wired, nvidia.switch_collateral(wired))))
    shapes: dict[str, tuple[str, list[tuple[str, Subject]]]] = {
        "intel-tdx, 1 nvidia-gpu": ("intel-tdx", [("nvidia-gpu", gpu)]),
        "intel-tdx, 8 nvidia-gpu, 4 nvidia-nvswitch": ("intel-tdx", board),
        "amd-snp, 1 nvidia-gpu": ("amd-snp", [("nvidia-gpu", gpu)]),
        "hygon-csv, 1 hygon-dcu": ("hygon-csv", [("hygon-dcu", dcu)]),
    }
    alone = ("intel-tdx", "amd-snp", "hygon-csv", "azure-vtpm", "aws-nitro", "huawei-virtcca")
    shapes |= {name: (name, []) for name in alone}
    return {name: _maker(machines, cpu, devices) for name, (cpu, devices) in shapes.items()}


def _maker(
    machines: Mapping[str, Subject], cpu: str, devices: list[tuple[str, Subject]]
) -> Callable[[bytes], Node]:
    table = {
        EvidenceKind(kind): _At(machines[kind].verifier, machines[kind].now) for kind in machines
    }
    host, kind = machines[cpu], EvidenceKind(cpu)
    policy: list[Policy] = []
    now = min(host.now, *(each.now for _, each in devices)) if devices else host.now

    def make(challenge: bytes) -> Node:
        freshness, keyset = Freshness(kind=1, x=challenge), b"keyset " + challenge
        digest = sm3(keyset)
        nonce = binding.device_nonce(nonce32=freshness.nonce32, keyset_digest=digest)
        accelerators = tuple(
            Device(
                device_id=f"{each}-{index}",
                evidence=Evidence(
                    EvidenceKind(each),
                    device.make(binding.DEVICE_FIELDS[EvidenceKind(each)].fill(nonce)),
                ),
                collateral=device.collateral,
            )
            for index, (each, device) in enumerate(devices)
        )
        data = binding.report_data(
            nonce32=freshness.nonce32, keyset_digest=digest, accelerators=accelerators
        )
        bundle = Bundle(
            keyset=keyset,
            freshness=freshness,
            cpu=Evidence(kind, host.make(binding.CPU_FIELDS[kind].fill(data))),
            cpu_collateral=host.collateral,
            accelerators=accelerators,
        )
        if not policy:
            policy.append(_owned(bundle, table))
        return Node(bundle=bundle, policy=policy[0], now=now, verifier_for=table.__getitem__)

    return make


def _owned(bundle: Bundle, table: Mapping[EvidenceKind, Verifier]) -> Policy:
    """Return a policy whose lists hold exactly what this node measures and is."""
    found = [table[bundle.cpu.kind].verify(bundle.cpu.raw, bundle.cpu_collateral, now=0)]
    found += [
        table[each.evidence.kind].verify(each.evidence.raw, each.collateral, now=0)
        for each in bundle.accelerators
    ]
    kinds = {each.kind for each in found}
    devices = [each.kind for each in found[1:]]
    return Policy(
        name="benchmark",
        digest=bytes(32),
        rules={kind: _rule([each for each in found if each.kind is kind]) for kind in kinds},
        accelerators={kind: devices.count(kind) for kind in set(devices)},
        min_tier=Tier.ENDORSED_BY_CALLER,
        max_evidence_age_s=_FAR,
        max_keyset_life_s=3600,
        unsafe_allow_simulated=False,
    )


def _rule(claims: list[Claims]) -> KindRule:
    first = claims[0]
    return KindRule(
        references={
            name: (Reference(value=value, not_after=_FAR),)
            for name, value in first.measurements.items()
        }
        if len(claims) == 1
        else {},
        unsafe_any_measurement=False,
        tcb_statuses=frozenset({first.status.tcb or ""}),
        advisories=frozenset(),
        minimums={},
        values={},
        enrolled=_identities(claims),
        denied=frozenset(),
        conditions=(),
    )


def _identities(claims: list[Claims]) -> frozenset[str] | None:
    """Return what these chips are called, or None where a kind names none."""
    names = [each.hardware_id for each in claims]
    return frozenset(name for name in names if name is not None) if all(names) else None
