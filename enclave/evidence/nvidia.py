"""Evidence of NVIDIA GPUs through NVML, and of the switches between them where PCIe is protected.

One report for every device of the node.

Source: NVML API reference, "Confidential Computing"; `nvidia-ml-py`.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from attestation.bundle import Device
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role

from . import AttesterError
from .nvswitch import switches

NONCE_BYTES: Final = 32


class _State(Protocol):
    ccFeature: int  # noqa: N815 - NVML's name


class _Settings(Protocol):
    devToolsMode: int  # noqa: N815
    multiGpuMode: int  # noqa: N815


class _Report(Protocol):
    attestationReportSize: int  # noqa: N815
    attestationReport: Sequence[int]  # noqa: N815


class _Certificate(Protocol):
    attestationCertChainSize: int  # noqa: N815
    attestationCertChain: Sequence[int]  # noqa: N815


class Nvml(Protocol):
    """The part of `pynvml` that is used here."""

    NVMLError: type[Exception]
    NVML_CC_SYSTEM_FEATURE_ENABLED: int
    NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE: int
    NVML_SUCCESS: int

    def c_nvmlSystemConfComputeSettings_v1_t(self) -> _Settings:  # noqa: N802
        """Return settings to be filled in."""
        ...

    def nvmlSystemGetConfComputeSettings(self, settings: _Settings) -> int:  # noqa: N802
        """Fill in the modes; returns an error's number where the driver is too old."""
        ...

    def nvmlInit(self) -> None:  # noqa: N802
        """Open the library."""

    def nvmlShutdown(self) -> None:  # noqa: N802
        """Close it."""

    def nvmlSystemGetConfComputeState(self) -> _State:  # noqa: N802
        """Return whether confidential computing is on."""
        ...

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """Return how many GPUs there are."""
        ...

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: N802
        """Return a GPU."""
        ...

    def nvmlDeviceGetUUID(self, device: object) -> str | bytes:  # noqa: N802
        """Return the GPU's name."""
        ...

    def nvmlDeviceGetConfComputeGpuAttestationReport(  # noqa: N802
        self, device: object, nonce: bytes
    ) -> _Report:
        """Return a report over a nonce."""
        ...

    def nvmlDeviceGetConfComputeGpuCertificate(  # noqa: N802
        self, device: object
    ) -> _Certificate:
        """Return the GPU's certificate chain."""
        ...


def load() -> Nvml:
    """Return the library.

    Raises:
        AttesterError: `nvidia-ml-py` is not installed.
    """
    try:
        return cast("Nvml", import_module("pynvml"))
    except ImportError as exc:
        raise AttesterError("NVML: the package nvidia-ml-py is not installed") from exc


class NvidiaAccelerators:
    """Asks every GPU of this machine."""

    def __init__(
        self,
        *,
        nvml: Nvml | None = None,
        ask_switches: Callable[[bytes], tuple[Device, ...]] = switches,
    ) -> None:
        """Take the libraries.

        Args:
            nvml: `pynvml` by default, loaded when first needed.
            ask_switches: returns the evidence of every switch; asked in protected-PCIe mode only.
        """
        self._nvml, self._switches = nvml, ask_switches

    def devices(self, nonce: bytes) -> tuple[Device, ...]:
        """Return the evidence of every GPU, and every switch if any, over the 32-byte nonce.

        Raises:
            AttesterError: no library, no driver, no device, one that is not in confidential mode,
                or one that is in development mode.
            ValueError: the nonce is not 32 bytes; the caller's mistake.
        """
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"nonce: need {NONCE_BYTES} bytes, got {len(nonce)}")
        nvml = self._nvml or load()
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as exc:
            raise AttesterError(f"NVML: {exc}") from exc
        try:
            protected = _is_protected(nvml)
            count = nvml.nvmlDeviceGetCount()
            found = tuple(_device(nvml, index, nonce) for index in range(count))
        except nvml.NVMLError as exc:
            raise AttesterError(f"NVML: {exc}") from exc
        finally:
            nvml.nvmlShutdown()
        if not found:
            raise AttesterError("NVML: no GPU")
        return found + self._switches(nonce) if protected else found


def _is_protected(nvml: Nvml) -> bool:
    """Return whether PCIe is protected instead of each GPU by itself; neither is an error."""
    settings = nvml.c_nvmlSystemConfComputeSettings_v1_t()
    known = nvml.nvmlSystemGetConfComputeSettings(settings) == nvml.NVML_SUCCESS
    if known and settings.devToolsMode:
        raise AttesterError("NVML: development mode is on")
    if known and settings.multiGpuMode == nvml.NVML_CC_SYSTEM_MULTIGPU_PROTECTED_PCIE:
        return True
    if nvml.nvmlSystemGetConfComputeState().ccFeature != nvml.NVML_CC_SYSTEM_FEATURE_ENABLED:
        raise AttesterError("NVML: confidential computing is off")
    return False


def _device(nvml: Nvml, index: int, nonce: bytes) -> Device:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    report = nvml.nvmlDeviceGetConfComputeGpuAttestationReport(handle, nonce)
    certificate = nvml.nvmlDeviceGetConfComputeGpuCertificate(handle)
    name = nvml.nvmlDeviceGetUUID(handle)
    raw = bytes(report.attestationReport[: report.attestationReportSize])
    chain = bytes(certificate.attestationCertChain[: certificate.attestationCertChainSize])
    return Device(
        device_id=name if isinstance(name, str) else name.decode("ascii", "replace"),
        evidence=Evidence(EvidenceKind.NVIDIA_GPU, raw),
        collateral=Collateral(((Role.CERT_CHAIN, chain),)),
    )
