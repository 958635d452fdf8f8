"""Feed a million inputs to every Azure parser and print what came out.

    nice -n 10 python -m tests.fuzz.azure_vtpm [INPUTS_PER_TARGET] [SEED]

docs/attestation/azure-vtpm.md records the last run.
"""

import sys

from attestation.azure_vtpm import hcl
from attestation.azure_vtpm.verifier import AzureVtpmVerifier
from tests.fuzz.drive import Target, main
from tests.harness.tee.azure import AzureVm
from tests.harness.tee.snp import NOW

_SNP = AzureVm()
_TDX = AzureVm(tdx=True)
_VERIFIER = AzureVtpmVerifier(_SNP.roots())
_SNP_COLLATERAL, _TDX_COLLATERAL = _SNP.collateral(), _TDX.collateral()

TARGETS = {
    "blob": Target(run=hcl.parse, valid=_SNP.blob()),
    "td-blob": Target(run=hcl.parse, valid=_TDX.blob()),
    "snp-evidence": Target(
        run=lambda data: _VERIFIER.verify(data, _SNP_COLLATERAL, now=NOW),
        valid=_SNP.evidence(),
        cost=20,
    ),
    "tdx-evidence": Target(
        run=lambda data: _VERIFIER.verify(data, _TDX_COLLATERAL, now=NOW),
        valid=_TDX.evidence(),
        cost=20,
    ),
    "blob-alone": Target(
        run=lambda data: _VERIFIER.verify(data, _SNP_COLLATERAL, now=NOW), valid=_SNP.blob()
    ),
}

if __name__ == "__main__":
    sys.exit(main(TARGETS))
