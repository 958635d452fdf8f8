"""Which devices ONNX Runtime offers, and how a measured device list is applied to a session.

`discover` lists; `select` resolves every line of the list or raises; `apply` hands the choice to
the session options. Selection policies of the runtime (`PREFER_GPU` and the like) are not used:
they answer with a CPU where there is no GPU.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import onnxruntime

from .base import Device, DeviceRequest, LoadOptions
from .errors import DeviceError

__all__ = ["CPU", "Chosen", "Offer", "apply", "discover", "select"]

CPU: Final = "CPUExecutionProvider"

Kind = Literal["cpu", "gpu", "npu"]

_CLASSIC: Final[Mapping[str, tuple[Kind, str, int]]] = {
    "CUDAExecutionProvider": ("gpu", "NVIDIA", 0x10DE),
    "TensorrtExecutionProvider": ("gpu", "NVIDIA", 0x10DE),
    "MIGraphXExecutionProvider": ("gpu", "AMD", 0x1002),
    "CANNExecutionProvider": ("npu", "Huawei", 0x19E5),
    "OpenVINOExecutionProvider": ("cpu", "Intel", 0x8086),
    "DnnlExecutionProvider": ("cpu", "Intel", 0x8086),
}
"""Providers that vendors' wheels compile in. They take `device_id` and cannot be enumerated."""

_NATIVE: Final[Mapping[tuple[str, Kind], Mapping[str, str]]] = {
    (CPU, "cpu"): {},
    ("CUDAExecutionProvider", "gpu"): {"use_tf32": "0"},
    ("OpenVINOExecutionProvider", "cpu"): {
        "load_config": '{"CPU":{"INFERENCE_PRECISION_HINT":"f32"}}'
    },
    ("OpenVINOExecutionProvider", "gpu"): {
        "load_config": '{"GPU":{"INFERENCE_PRECISION_HINT":"f32"}}'
    },
}
"""Options that hold a provider to the graph's own types. A provider that is not here is refused
under `precision="native"`: nobody has checked that it keeps them."""

_WRITES_FILES: Final = re.compile(
    r"cache|dump|profil|file|path|folder|dir\b|_dir|context", re.IGNORECASE
)
"""Provider options that put model or data on a disk outside the enclave."""


_META: Final = "ov_meta_device"
"""Metadata key by which OpenVINO marks AUTO and the like."""

_NO_PROPERTIES: Final = frozenset({"library_path", "version"})
"""Provider metadata that is a path of this machine, or has its own field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A device and, where the runtime enumerates it, the runtime's own handle."""

    device: Device
    handle: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A device of the list with the provider options it will be given."""

    offer: Offer
    options: Mapping[str, str]


def discover() -> tuple[Offer, ...]:
    """Return every device the runtime offers here.

    Virtual devices (compilation targets that are not in this machine) and meta devices (which
    choose a device by themselves) are left out. A classic provider appears once, as index 0;
    `select` accepts other indices for it.
    """
    offers: list[Offer] = []
    for handle in onnxruntime.get_ep_devices():
        virtual = dict(handle.device.metadata).get("is_virtual") == "1"
        if virtual or _META in dict(handle.ep_metadata):
            continue
        index = sum(offer.device.ep == handle.ep_name for offer in offers)
        offers.append(Offer(device=_enumerated(handle, index), handle=handle))
    seen = {offer.device.ep for offer in offers}
    offers += [
        Offer(device=_classic(ep, 0), handle=None)
        for ep in onnxruntime.get_available_providers()
        if ep in _CLASSIC and ep not in seen
    ]
    return tuple(offers)


def select(options: LoadOptions) -> tuple[Chosen, ...]:
    """Resolve every line of the device list.

    Raises:
        DeviceError: `backend.device.missing`, or `backend.device.options` for an empty list, a
            provider named twice, enumerated and classic providers mixed, an option that writes
            files or sets the device, or a precision that cannot be held.
    """
    if not options.devices:
        raise DeviceError("backend.device.options", "the device list is empty")
    names = [request.ep for request in options.devices]
    if len(set(names)) != len(names):
        raise DeviceError("backend.device.options", "a provider is listed twice")
    offers = discover()
    found = [_find(request, offers) for request in options.devices]
    return tuple(
        Chosen(offer=offer, options=_provider_options(request, offer.device, options))
        for request, offer in zip(options.devices, found, strict=True)
    )


def apply(session_options: Any, chosen: tuple[Chosen, ...]) -> list[Any] | None:  # noqa: ANN401  # untyped library
    """Configure `session_options`; return the `providers` argument of the session, if any."""
    enumerated = [choice.offer.handle is not None for choice in chosen]
    if all(enumerated):
        for choice in chosen:
            session_options.add_provider_for_devices([choice.offer.handle], dict(choice.options))
        return None
    plugin = {c.offer.device.ep for c in chosen if c.offer.handle is not None} - {CPU}
    if plugin:
        raise DeviceError(
            "backend.device.options", f"{sorted(plugin)} cannot share a session with the others"
        )
    return [
        (ep, dict(choice.options) | ({} if ep == CPU else {"device_id": str(device.index)}))
        for choice in chosen
        for device in [choice.offer.device]
        for ep in [device.ep]
    ]


def _find(request: DeviceRequest, offers: tuple[Offer, ...]) -> Offer:
    for offer in offers:
        if offer.device.ep != request.ep:
            continue
        found = offer
        if offer.handle is None:
            found = Offer(device=_classic(request.ep, request.index), handle=None)
        if found.device.index == request.index and request.vendor in (None, found.device.vendor):
            return found
    listed = ", ".join(str(offer.device) for offer in offers)
    raise DeviceError(
        "backend.device.missing",
        f"no device {request.ep}:{request.index}"
        f"{f' of {request.vendor}' if request.vendor else ''}; there are: {listed}",
    )


def _provider_options(
    request: DeviceRequest, device: Device, options: LoadOptions
) -> Mapping[str, str]:
    for key, value in request.options.items():
        if key == "device_id" or _WRITES_FILES.search(key) or _WRITES_FILES.search(value):
            raise DeviceError(
                "backend.device.options", f"option {key!r} of {request.ep} is not allowed"
            )
    if options.precision == "reduced":
        return request.options
    native = _NATIVE.get((device.ep, device.kind))
    if native is None:
        raise DeviceError(
            "backend.device.options",
            f"{device} is not known to compute in native precision; say reduced",
        )
    if clash := native.keys() & request.options.keys():
        raise DeviceError(
            "backend.device.options", f"{sorted(clash)} would override native precision"
        )
    return {**request.options, **native}


def _enumerated(handle: Any, index: int) -> Device:  # noqa: ANN401  # untyped library
    hardware = handle.device
    kind: Kind = "cpu"
    if hardware.type == onnxruntime.OrtHardwareDeviceType.GPU:
        kind = "gpu"
    elif hardware.type == onnxruntime.OrtHardwareDeviceType.NPU:
        kind = "npu"
    metadata = dict(handle.ep_metadata)
    properties = {k: v for k, v in metadata.items() if k not in _NO_PROPERTIES}
    properties |= dict(hardware.metadata)
    return Device(
        backend="onnxruntime",
        ep=str(handle.ep_name),
        ep_version=str(metadata.get("version", onnxruntime.__version__)),
        index=index,
        kind=kind,
        vendor=str(hardware.vendor) or str(handle.ep_vendor),
        vendor_id=int(hardware.vendor_id),
        device_id=int(hardware.device_id),
        properties=MappingProxyType(properties),
    )


def _classic(ep: str, index: int) -> Device:
    kind, vendor, vendor_id = _CLASSIC[ep]
    return Device(
        backend="onnxruntime",
        ep=ep,
        ep_version=str(onnxruntime.__version__),
        index=index,
        kind=kind,
        vendor=vendor,
        vendor_id=vendor_id,
        device_id=index,
    )
