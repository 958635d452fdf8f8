"""The verifiers we ship, and the roots they trust. A table, not discovery.

A verifier takes its roots as its only constructor argument, and this is the only place that
passes them, so nothing in a deployed system can be configured to trust another root (a test
counts the call sites). Verifiers are built when first asked for: a client that appraises
one kind of evidence does not load the others.

Convention of the table: `attestation.<kind>.verifier` holds the verifier class and
`attestation.<kind>.roots` the value `ROOTS` it is given; `attestation.<kind>.topology`, where
a kind has one, judges several devices of one node together: `findings(claims)` says what is
wrong, and `RESOLVES` names the unchecked findings of single devices that its silence answers.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Final, NamedTuple, Protocol, cast

from .claims import Claims
from .errors import EvidenceUnsupportedError, Finding
from .evidence import EvidenceKind
from .simulated import SimulatedVerifier, published_root
from .verifier import Verifier


class _Home(NamedTuple):
    """Where one kind's verifier lives."""

    package: str
    verifier: str


class _Topology(Protocol):
    RESOLVES: frozenset[str]

    def findings(self, claims: Sequence[Claims], /) -> Sequence[Finding]: ...


_HOMES: Final[Mapping[EvidenceKind, _Home]] = {
    EvidenceKind.INTEL_TDX: _Home("attestation.intel_tdx", "IntelTdxVerifier"),
    EvidenceKind.INTEL_SGX: _Home("attestation.intel_sgx", "IntelSgxVerifier"),
    EvidenceKind.AMD_SNP: _Home("attestation.amd_snp", "AmdSnpVerifier"),
    EvidenceKind.HYGON_CSV: _Home("attestation.hygon_csv", "HygonCsvVerifier"),
    EvidenceKind.HYGON_DCU: _Home("attestation.hygon_dcu", "HygonDcuVerifier"),
    EvidenceKind.NVIDIA_GPU: _Home("attestation.nvidia_gpu", "NvidiaGpuVerifier"),
    EvidenceKind.NVIDIA_NVSWITCH: _Home("attestation.nvidia_nvswitch", "NvidiaNvswitchVerifier"),
    EvidenceKind.AZURE_VTPM: _Home("attestation.azure_vtpm", "AzureVtpmVerifier"),
    EvidenceKind.TPM2: _Home("attestation.tpm2", "Tpm2Verifier"),
    EvidenceKind.ARM_CCA: _Home("attestation.arm_cca", "ArmCcaVerifier"),
    EvidenceKind.HUAWEI_VIRTCCA: _Home("attestation.huawei_virtcca", "HuaweiVirtccaVerifier"),
    EvidenceKind.HUAWEI_ITRUSTEE: _Home("attestation.huawei_itrustee", "HuaweiItrusteeVerifier"),
    EvidenceKind.AWS_NITRO: _Home("attestation.aws_nitro", "AwsNitroVerifier"),
}
"""`ascend-npu` is absent: its vendor publishes no evidence format."""

_TOPOLOGIES: Final[Mapping[str, frozenset[EvidenceKind]]] = {
    "attestation.nvidia_nvswitch.topology": frozenset(
        {EvidenceKind.NVIDIA_GPU, EvidenceKind.NVIDIA_NVSWITCH}
    ),
    "attestation.hygon_dcu.topology": frozenset({EvidenceKind.HYGON_DCU}),
}
"""Judges of several devices, and the kinds whose presence calls for them."""


@cache
def verifier_for(kind: EvidenceKind) -> Verifier:
    """Return the verifier of one kind, bound to its pinned roots.

    Raises:
        EvidenceUnsupportedError: nothing here can verify this kind; it is never accepted.
    """
    if kind is EvidenceKind.SIMULATED:
        return SimulatedVerifier((published_root(),))
    home = _HOMES.get(kind)
    if home is None:
        raise _unsupported(kind, "a published evidence format")
    try:
        module = import_module(f"{home.package}.verifier")
        roots = import_module(f"{home.package}.roots").ROOTS
    except ModuleNotFoundError as exc:
        raise _unsupported(kind, "a verifier in this installation") from exc
    return cast("Verifier", getattr(module, home.verifier)(roots))


def judge_topology(claims: Sequence[Claims]) -> tuple[list[Finding], frozenset[str]]:
    """Return what is wrong with the way a node's devices are connected, and what was answered.

    Args:
        claims: of every accelerator of one node; each already authentic and bound.

    Returns: findings, and the codes of unchecked findings that need no answer any more.
    """
    present = {each.kind for each in claims}
    found: list[Finding] = []
    resolved: set[str] = set()
    for name, kinds in _TOPOLOGIES.items():
        if not kinds & present:
            continue
        judge = cast("_Topology", import_module(name))
        wrong = judge.findings(claims)
        found += wrong
        if not wrong:
            resolved |= judge.RESOLVES
    return found, frozenset(resolved)


def _unsupported(kind: EvidenceKind, required: str) -> EvidenceUnsupportedError:
    return EvidenceUnsupportedError(
        Finding(f"{kind.value}.unsupported", "evidence kind", required, "none")
    )
