"""Every kind has at least twenty ways to lie, each a case of its own with its verdict.

The tables are those the kinds' own tests run; here they are only counted.
"""

from importlib import import_module

import pytest

from attestation import EvidenceKind

LEAST = 20
TABLES = {
    "intel-tdx": ("intel.test_quotes", ("LIES",)),
    "intel-sgx": ("intel.test_quotes", ("ENCLAVE_LIES",)),
    "amd-snp": ("amd_snp.test_verifier", ("BENT_REPORTS", "REFUSED", "CHAINS")),
    "azure-vtpm": ("azure_vtpm.test_verifier", ("BENT", "DOCUMENTS")),
    "tpm2": ("tpm2.test_verifier", ("QUOTES", "OWNERS", "BAD")),
    "aws-nitro": ("aws_nitro.test_verifier", ("BENT",)),
    "nvidia-gpu": ("nvidia_gpu.test_verifier", ("CASES",)),
    "nvidia-nvswitch": ("nvidia_nvswitch.test_verifier", ("CASES",)),
    "hygon-csv": ("hygon_csv.test_verifier", ("MISSING", "UNTRUSTED", "FORGED", "MALFORMED")),
    "hygon-dcu": ("hygon_dcu.test_verifier", ("BENT",)),
    "arm-cca": ("arm_cca.test_verifier", ("UNTRUSTED", "PLATFORM_BENT", "REALM_BENT", "MALFORMED")),
    "huawei-virtcca": ("huawei_virtcca.test_verifier", ("UNTRUSTED", "MALFORMED")),
    "huawei-itrustee": ("huawei_itrustee.test_verifier", ("UNTRUSTED", "MALFORMED")),
    "simulated": ("core.test_appraise", ("LIES",)),
}


def lies(kind: str) -> int:
    """Return how many cases the tables of a kind hold."""
    module, tables = TABLES[kind]
    found = import_module(f"tests.unit.attestation.{module}")
    return sum(len(getattr(found, table)) for table in tables)


@pytest.mark.parametrize("kind", TABLES)
def test_a_kind_has_enough_lies(kind: str) -> None:
    """Simulated evidence bent one thing at a time, twenty times at least."""
    assert lies(kind) >= LEAST


def test_no_kind_is_forgotten() -> None:
    """All but the one without a format."""
    kinds = {kind.value for kind in EvidenceKind} - {EvidenceKind.ASCEND_NPU.value}
    assert set(TABLES) == kinds
