"""Feed a million inputs to every parser the gateway completes bundles with; print what came out.

    nice -n 10 python -m tests.fuzz.collateral [INPUTS_PER_TARGET] [SEED] [TARGET...]

What vendors answer is read for its age, what nodes present for what to ask vendors; neither is
verified yet. docs/collateral.md §8 records the last run.
"""

import sys
from collections.abc import Mapping
from typing import Final

from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from gateway.collateral import age
from gateway.collateral.sources import Urls, plan, second
from tests.fuzz.drive import Target, main
from tests.harness.tee import azure, hygon, intel, nvidia, snp

_URLS: Final = Urls()
_GPU = nvidia.gpu()
_GPU_ITEMS = nvidia.gpu_collateral(_GPU)
_OLD = snp.SnpPlatform()


def _age(role: Role, valid: bytes) -> Target:
    """Return a target that reads how new collateral of one role is."""
    return Target(run=lambda data: age.mark(role, data), valid=valid)


def _plan(kind: EvidenceKind, valid: bytes, collateral: Collateral | None = None) -> Target:
    """Return a target that plans what to ask about one kind of evidence."""
    given = collateral or Collateral()
    return Target(
        run=lambda data: (
            plan(Evidence(kind, data), given, _URLS),
            second(Evidence(kind, data), given, _URLS),
        ),
        valid=valid,
    )


def _chain(data: bytes) -> object:
    """Plan what to ask about an honest GPU that came with this chain."""
    given = nvidia.replaced(_GPU_ITEMS, Role.CERT_CHAIN, data)
    evidence = Evidence(EvidenceKind.NVIDIA_GPU, _GPU.report())
    return plan(evidence, given, _URLS), second(evidence, given, _URLS)


def _only(items: Collateral, role: Role) -> bytes:
    """Return the one item of a role, or the first."""
    return items.all(role)[0]


TARGETS: Mapping[str, Target] = {
    "age-tcb-info": _age(Role.TCB_INFO, intel.TD.tcb_info_json()),
    "age-qe-identity": _age(Role.QE_IDENTITY, intel.TD.qe_identity_json()),
    "age-crl": _age(Role.SNP_CRL, _OLD.crl(9)),
    "age-ocsp": _age(Role.OCSP, _only(_GPU_ITEMS, Role.OCSP)),
    "plan-tdx": _plan(EvidenceKind.INTEL_TDX, intel.TD.quote()),
    "plan-snp": _plan(EvidenceKind.AMD_SNP, _OLD.report()),
    "plan-csv": _plan(EvidenceKind.HYGON_CSV, hygon.Psp(version=2).report()),
    "plan-dcu": _plan(EvidenceKind.HYGON_DCU, hygon.dcu_report()),
    "plan-azure": _plan(EvidenceKind.AZURE_VTPM, azure.AzureVm().evidence()),
    "plan-gpu": _plan(
        EvidenceKind.NVIDIA_GPU,
        _GPU.report(),
        Collateral(((Role.CERT_CHAIN, _only(_GPU_ITEMS, Role.CERT_CHAIN)),)),
    ),
    "plan-gpu-chain": Target(run=_chain, valid=_only(_GPU_ITEMS, Role.CERT_CHAIN)),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
