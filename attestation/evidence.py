"""Evidence and collateral as they arrive: bytes, and what they claim to be.

Nothing in this module is trusted. Words of RFC 9334 §8: *evidence* is what a machine says
about itself, *collateral* (endorsements and reference values) what its vendor says about it.
"""

from dataclasses import dataclass
from enum import StrEnum


class EvidenceKind(StrEnum):
    """Formats we know. The value is what goes on the wire and on the command line."""

    INTEL_TDX = "intel-tdx"
    INTEL_SGX = "intel-sgx"
    AMD_SNP = "amd-snp"
    HYGON_CSV = "hygon-csv"
    HYGON_DCU = "hygon-dcu"
    NVIDIA_GPU = "nvidia-gpu"
    NVIDIA_NVSWITCH = "nvidia-nvswitch"
    AZURE_VTPM = "azure-vtpm"
    TPM2 = "tpm2"
    ARM_CCA = "arm-cca"
    HUAWEI_VIRTCCA = "huawei-virtcca"
    HUAWEI_ITRUSTEE = "huawei-itrustee"
    AWS_NITRO = "aws-nitro"
    ASCEND_NPU = "ascend-npu"
    SIMULATED = "simulated"


class Role(StrEnum):
    """What one piece of collateral is for. The value is what the command line takes."""

    CERT_CHAIN = "cert-chain"
    DRIVER_RIM = "driver-rim"
    VBIOS_RIM = "vbios-rim"
    SWITCH_RIM = "switch-rim"
    DCAP = "dcap"
    TCB_INFO = "tcb-info"
    QE_IDENTITY = "qe-identity"
    PCK_CRL = "pck-crl"
    ROOT_CRL = "root-crl"
    VEK = "vek"
    ASK = "ask"
    ARK = "ark"
    SNP_CRL = "snp-crl"
    HSK_CEK = "hsk-cek"
    HSK = "hsk"
    CEK = "cek"
    HRK = "hrk"
    OCSP = "ocsp"
    EVENT_LOG = "event-log"
    DEV_CERT = "dev-cert"
    AK_CERT = "ak-cert"
    CPAK = "cpak"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Unverified bytes and the format they claim."""

    kind: EvidenceKind
    raw: bytes


@dataclass(frozen=True, slots=True)
class Collateral:
    """What was delivered beside the evidence, in the order it was delivered."""

    items: tuple[tuple[Role, bytes], ...] = ()

    def all(self, role: Role) -> tuple[bytes, ...]:
        """Return every item of one role, in order; possibly none."""
        return tuple(data for have, data in self.items if have is role)
