"""Which firmware a GPU says it runs, and which manifests that calls for.

Source: nv-local-gpu-verifier 2.7.3 `verifier/cc_admin.py` (RIM names); sets of active indices
as in every manifest NVIDIA published for the chip.
"""

import re
from collections.abc import Mapping
from typing import Final

from attestation.errors import malformed
from attestation.evidence import Role
from attestation.nvidia import opaque
from attestation.nvidia.device import Device
from attestation.nvidia.opaque import FieldId, Fields
from attestation.nvidia.reference import Need

DECODER_INDEX: Final = 35
DECODER_ENABLED: Final = 0xAA
DECODER_DISABLED: Final = 0x55

_DRIVER_LEAST: Final[Mapping[str, frozenset[int]]] = {"GH100": frozenset({7, *range(21, 41)})}
_VBIOS_LEAST: Final[Mapping[str, frozenset[int]]] = {
    "GH100": frozenset({*range(7), *range(8, 13)}),
    "GB100": frozenset({*range(14), *range(15, 21)}),
}
_VBIOS_BYTES: Final = 8
_DRIVER: Final = re.compile("[0-9]{1,4}([.][0-9]{1,3}){1,2}")


def driver_version(fields: Fields) -> str:
    """Return the driver's version as signed, e.g. `580.159.03`.

    Raises:
        EvidenceMalformedError: absent (`nvidia-gpu.driver-version`).
    """
    version = opaque.text(fields, FieldId.DRIVER_VERSION)
    if version is None:
        raise malformed("nvidia-gpu.driver-version", "driver version", "present", "absent")
    return version


def driver_number(version: str) -> int | None:
    """Return a driver version as a number policies can compare: 580.159.03 is 580159003.

    None for a version that is not two or three dotted numbers; no minimum is then met.
    """
    if not _DRIVER.fullmatch(version):
        return None
    major, minor, patch = (*map(int, version.split(".")), 0)[:3]
    return (major * 1000 + minor) * 1000 + patch


def vbios_version(fields: Fields) -> str:
    """Return the VBIOS version, upper case, e.g. `96.00.5E.00.01`.

    Raises:
        EvidenceMalformedError: absent or of another size (`nvidia-gpu.vbios-version`).
    """
    value = opaque.required(fields, FieldId.VBIOS_VERSION)
    if len(value) != _VBIOS_BYTES:
        required = f"{_VBIOS_BYTES} bytes"
        raise malformed("nvidia-gpu.vbios-version", "VBIOS version", required, len(value))
    return (value[3::-1] + value[4:5]).hex(".").upper()


def skipped(fields: Fields) -> frozenset[int]:
    """Return the indices not compared: the decoder's, when the report says it is disabled."""
    disabled = opaque.number(fields, FieldId.NVDEC0_STATUS) == DECODER_DISABLED
    return frozenset({DECODER_INDEX}) if disabled else frozenset()


def needs(gpu: Device) -> tuple[Need, Need]:
    """Return the driver's and the VBIOS's manifest this GPU must match."""
    driver, vbios = driver_version(gpu.fields), vbios_version(gpu.fields)
    info = opaque.text(gpu.fields, FieldId.CHIP_INFO)
    hopper = gpu.chip.startswith("GH")
    name = f"GPU_DRIVER_{gpu.chip}" if hopper else f"GPU_CC_DRIVER_{info or 'GB100'}"
    board = [
        opaque.text(gpu.fields, each) or ""
        for each in (FieldId.PROJECT, FieldId.PROJECT_SKU, FieldId.CHIP_SKU)
    ]
    products = frozenset({gpu.chip.upper(), *([info.upper()] if info else [])})
    return (
        Need(
            role=Role.DRIVER_RIM,
            rim_id=f"NV_{name}_{driver}",
            version=driver,
            products=products,
            least=_DRIVER_LEAST.get(gpu.chip, frozenset()),
        ),
        Need(
            role=Role.VBIOS_RIM,
            rim_id="_".join(["NV_GPU_VBIOS", *board, vbios.replace(".", "")]).upper(),
            version=vbios,
            products=products,
            least=_VBIOS_LEAST.get(gpu.chip, frozenset()),
        ),
    )
