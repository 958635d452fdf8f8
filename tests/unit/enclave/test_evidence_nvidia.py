"""Evidence of NVIDIA GPUs, against a SIMULATED NVML."""

import sys
from types import SimpleNamespace

import pytest

from attestation.evidence import EvidenceKind, Role
from enclave.evidence import AttesterError
from enclave.evidence.nvidia import NvidiaAccelerators, load

NONCE = bytes(range(32))


class NvmlError(Exception):
    """What NVML raises."""


class Library:
    """Plays `pynvml`."""

    NVMLError: type[Exception] = NvmlError
    NVML_CC_SYSTEM_FEATURE_ENABLED = 1

    def __init__(self, gpus: int = 2, *, feature: int = 1, broken: str = "") -> None:
        self.gpus, self.feature, self.broken = gpus, feature, broken
        self.is_open = False
        self.text = True

    def _check(self, name: str) -> None:
        if self.broken == name:
            raise NvmlError(f"{name} failed")

    def nvmlInit(self) -> None:  # noqa: N802
        """Open."""
        self._check("init")
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        """Close."""
        self.is_open = False

    def nvmlSystemGetConfComputeState(self) -> SimpleNamespace:  # noqa: N802
        """Return the mode."""
        return SimpleNamespace(ccFeature=self.feature)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """Return how many GPUs there are."""
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: N802
        """Return a GPU."""
        return index

    def nvmlDeviceGetUUID(self, device: object) -> str | bytes:  # noqa: N802
        """Return its name."""
        name = f"GPU-{device}"
        return name if self.text else name.encode()

    def nvmlDeviceGetConfComputeGpuAttestationReport(  # noqa: N802
        self, device: object, nonce: bytes
    ) -> SimpleNamespace:
        """Return its report, in a larger buffer."""
        self._check("report")
        raw = f"report {device} ".encode() + nonce
        return SimpleNamespace(
            attestationReportSize=len(raw), attestationReport=list(raw.ljust(0x2000, b"\0"))
        )

    def nvmlDeviceGetConfComputeGpuCertificate(self, device: object) -> SimpleNamespace:  # noqa: N802
        """Return its chain, in a larger buffer."""
        raw = f"chain {device}".encode()
        return SimpleNamespace(
            attestationCertChainSize=len(raw), attestationCertChain=list(raw.ljust(64, b"\0"))
        )


@pytest.mark.parametrize("text", [True, False])
def test_every_gpu_answers(*, text: bool) -> None:
    """Each GPU signs the nonce, and its chain comes along."""
    library = Library()
    library.text = text
    found = NvidiaAccelerators(nvml=library).devices(NONCE)
    assert [each.device_id for each in found] == ["GPU-0", "GPU-1"]
    assert found[1].evidence.kind is EvidenceKind.NVIDIA_GPU
    assert found[1].evidence.raw == b"report 1 " + NONCE
    assert found[1].collateral.items == ((Role.CERT_CHAIN, b"chain 1"),)
    assert not library.is_open


@pytest.mark.parametrize(
    ("library", "message"),
    [
        (Library(broken="init"), "init failed"),
        (Library(broken="report"), "report failed"),
        (Library(feature=0), "confidential computing is off"),
        (Library(gpus=0), "no GPU"),
    ],
    ids=["driver", "report", "mode", "none"],
)
def test_missing_devices_are_errors(library: Library, message: str) -> None:
    """No driver, no confidential mode, no GPU, or one that refuses."""
    with pytest.raises(AttesterError, match=message):
        NvidiaAccelerators(nvml=library).devices(NONCE)
    assert not library.is_open


def test_a_nonce_is_32_bytes() -> None:
    """Another length is the caller's mistake."""
    with pytest.raises(ValueError, match="32 bytes"):
        NvidiaAccelerators(nvml=Library()).devices(b"")


def test_the_library_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `nvidia-ml-py` there is a clear error; with it, it is what is used."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(AttesterError, match="nvidia-ml-py"):
        NvidiaAccelerators().devices(NONCE)
    monkeypatch.setitem(sys.modules, "pynvml", Library())
    assert load().NVML_CC_SYSTEM_FEATURE_ENABLED == 1
    assert len(NvidiaAccelerators().devices(NONCE)) == 2
