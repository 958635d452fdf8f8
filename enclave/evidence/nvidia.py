"""Evidence of NVIDIA GPUs through NVML, one report for every GPU of the node.

Source: NVML API reference, "Confidential Computing"; `nvidia-ml-py`.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Final, Protocol, cast

from attestation.bundle import Device
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role

from . import AttesterError

NONCE_BYTES: Final = 32


class _State(Protocol):
    ccFeature: int  # noqa: N815 - NVML's name


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

    def __init__(self, *, nvml: Nvml | None = None) -> None:
        """Take the library; `pynvml` by default, loaded when first needed."""
        self._nvml = nvml

    def devices(self, nonce: bytes) -> tuple[Device, ...]:
        """Return the evidence of every GPU over the 32-byte nonce.

        Raises:
            AttesterError: no library, no driver, no GPU, or one that is not in confidential mode.
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
            if nvml.nvmlSystemGetConfComputeState().ccFeature != (
                nvml.NVML_CC_SYSTEM_FEATURE_ENABLED
            ):
                raise AttesterError("NVML: confidential computing is off")
            count = nvml.nvmlDeviceGetCount()
            found = tuple(_device(nvml, index, nonce) for index in range(count))
        except nvml.NVMLError as exc:
            raise AttesterError(f"NVML: {exc}") from exc
        finally:
            nvml.nvmlShutdown()
        if not found:
            raise AttesterError("NVML: no GPU")
        return found


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
