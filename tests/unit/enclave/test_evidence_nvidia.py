"""Evidence of NVIDIA GPUs, against a SIMULATED NVML."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from attestation.bundle import Device
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from enclave.evidence import AttesterError
from enclave.evidence.nvidia import NvidiaAccelerators, load

NONCE = bytes(range(32))


class NvmlError(Exception):
    """What NVML raises."""


class Library:
    """Plays `pynvml`."""

    NVMLError: type[Exception] = NvmlError
    NVML_CC_SYSTEM_FEATURE_ENABLED = 1
    NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE = 1
    NVML_SUCCESS = 0

    def __init__(
        self,
        gpus: int = 2,
        *,
        feature: int = 1,
        broken: str = "",
        protected: int = 0,
        tools: int = 0,
        old: bool = False,
    ) -> None:
        self.gpus, self.feature, self.broken = gpus, feature, broken
        self.protected, self.tools, self.old = protected, tools, old
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

    def c_nvmlSystemConfComputeSettings_v1_t(self) -> SimpleNamespace:  # noqa: N802
        """Return settings to be filled in."""
        return SimpleNamespace(devToolsMode=0, multiGpuMode=0)

    def nvmlSystemGetConfComputeSettings(self, settings: Any) -> int:  # noqa: N802
        """Fill in the modes, unless the driver is too old to know them."""
        if self.old:
            return 3
        settings.devToolsMode, settings.multiGpuMode = self.tools, self.protected
        return self.NVML_SUCCESS

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
        (Library(feature=0, old=True), "confidential computing is off"),
        (Library(tools=1), "development mode is on"),
        (Library(gpus=0), "no GPU"),
    ],
    ids=["driver", "report", "mode", "old", "tools", "none"],
)
def test_missing_devices_are_errors(library: Library, message: str) -> None:
    """No driver, no confidential mode, no GPU, or one that refuses."""
    with pytest.raises(AttesterError, match=message):
        NvidiaAccelerators(nvml=library).devices(NONCE)
    assert not library.is_open


def test_switches_are_asked_where_pcie_is_protected() -> None:
    """In that mode, and in no other, every switch signs the same nonce."""
    switch = Device(
        device_id="SWITCH-0",
        evidence=Evidence(EvidenceKind.NVIDIA_NVSWITCH, b"report"),
        collateral=Collateral(),
    )
    asked: list[bytes] = []

    def switches(nonce: bytes) -> tuple[Device, ...]:
        asked.append(nonce)
        return (switch,)

    board = Library(protected=1, feature=0)
    found = NvidiaAccelerators(nvml=board, ask_switches=switches).devices(NONCE)
    assert [each.device_id for each in found] == ["GPU-0", "GPU-1", "SWITCH-0"]
    assert asked == [NONCE]
    single = NvidiaAccelerators(nvml=Library(), ask_switches=switches).devices(NONCE)
    assert len(single) == 2
    assert asked == [NONCE]


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
