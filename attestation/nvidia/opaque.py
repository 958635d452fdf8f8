"""The signed opaque data of a report: a list of typed fields.

Every field that a verdict reads, or that is shown as a number, has the one length its table row
allows; others are kept, shown and otherwise ignored: early switch firmware gave numbers to other
fields. What a field means for a verdict is decided by the verifier of the device kind.

Source: nv-local-gpu-verifier 2.7.3 `attestation/spdm_msrt_resp_msg.py`; attestation-sdk
`nv-attestation-sdk-cpp/src/gpu/*`, `src/switch/*`.
"""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from attestation.errors import EvidenceMalformedError, Finding, malformed

from .spdm import DIGEST_BYTES


class FieldId(IntEnum):
    """Names of NVIDIA's field numbers; `details` uses them in lower case."""

    CERT_ISSUER_NAME = 1
    CERT_AUTHORITY_KEY_IDENTIFIER = 2
    DRIVER_VERSION = 3
    GPU_INFO = 4
    SKU = 5
    VBIOS_VERSION = 6
    MANUFACTURER_ID = 7
    TAMPER_DETECTION = 8
    SMC = 9
    VPR = 10
    NVDEC0_STATUS = 11
    MSRSCNT = 12
    CPRINFO = 13
    BOARD_ID = 14
    CHIP_SKU = 15
    CHIP_SKU_MOD = 16
    PROJECT = 17
    PROJECT_SKU = 18
    PROJECT_SKU_MOD = 19
    FWID = 20
    PROTECTED_PCIE_STATUS = 21
    SWITCH_PDI = 22
    FLOORSWEPT_PORTS = 23
    POSITION_ID = 24
    LOCK_SWITCH_STATUS = 25
    SWITCH_GPU_PDIS = 26
    SWITCH_PORTS = 27
    GPU_LINK_CONN = 32
    SYS_ENABLE_STATUS = 33
    OPAQUE_DATA_VERSION = 34
    CHIP_INFO = 35
    FEATURE_FLAG = 36


Fields = Mapping[int, bytes]

MAX_DATA_VERSION: Final = 1
"""Newest OPAQUE_DATA_VERSION whose fields have a published meaning."""

PDI_BYTES: Final = 8
GPU_LINKS: Final = 18
SWITCH_GPUS: Final = 8
_SWITCH_LIST_BYTES: Final = 128
_COUNTER_BYTES: Final = 4
_INVALID_ID: Final = 255
_HEAD_BYTES: Final = 4

_ONE_BYTE: Final = frozenset({1})
_SIZES: Final[Mapping[int, frozenset[int]]] = {
    FieldId.VBIOS_VERSION: frozenset({8, 14}),
    FieldId.NVDEC0_STATUS: _ONE_BYTE,
    FieldId.BOARD_ID: frozenset({4}),
    FieldId.FWID: frozenset({DIGEST_BYTES}),
    FieldId.PROTECTED_PCIE_STATUS: _ONE_BYTE,
    FieldId.SWITCH_PDI: frozenset({PDI_BYTES, GPU_LINKS * PDI_BYTES}),
    FieldId.FLOORSWEPT_PORTS: frozenset({2}),
    FieldId.POSITION_ID: frozenset({2}),
    FieldId.LOCK_SWITCH_STATUS: frozenset({2}),
    FieldId.SWITCH_GPU_PDIS: frozenset({_SWITCH_LIST_BYTES}),
    FieldId.SYS_ENABLE_STATUS: frozenset({2}),
    FieldId.OPAQUE_DATA_VERSION: frozenset({2}),
    FieldId.FEATURE_FLAG: frozenset({2}),
}
_TEXTS: Final = frozenset(
    {
        FieldId.DRIVER_VERSION,
        FieldId.CHIP_SKU,
        FieldId.CHIP_SKU_MOD,
        FieldId.PROJECT,
        FieldId.PROJECT_SKU,
        FieldId.PROJECT_SKU_MOD,
        FieldId.CHIP_INFO,
    }
)
_MAX_TEXT_BYTES: Final = 64
_PRINTABLE: Final = range(0x21, 0x7F)


def decode(raw: bytes) -> Fields:
    """Return the fields in `raw` by number.

    Raises:
        EvidenceMalformedError: `raw` is no list of whole fields, one occurs twice, or a named
            one has a wrong size or spelling (codes `nvidia.opaque.*`).
    """
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(raw):
        head = raw[at : at + _HEAD_BYTES]
        number = int.from_bytes(head[:2], "little")
        size = int.from_bytes(head[2:], "little")
        at += _HEAD_BYTES
        value = raw[at : at + size]
        if len(head) != _HEAD_BYTES or len(value) != size:
            raise malformed(
                "nvidia.opaque.truncated", f"field {number}", f"{size} bytes", len(value)
            )
        if number in fields or number == _INVALID_ID:
            raise malformed("nvidia.opaque.duplicate", f"field {number}", "once, and valid", "not")
        _check(number, value)
        fields[number] = value
        at += size
    return MappingProxyType(fields)


def text(fields: Fields, field: FieldId) -> str | None:
    """Return a text field without its NUL padding, or None where it is absent or empty."""
    value = fields.get(field, b"").rstrip(b"\0")
    return value.decode("ascii") if value else None


def number(fields: Fields, field: FieldId) -> int | None:
    """Return a little-endian number, or None where it is absent."""
    value = fields.get(field)
    return None if value is None else int.from_bytes(value, "little")


def required(fields: Fields, field: FieldId) -> bytes:
    """Return a field that every report of the kind carries.

    Raises:
        EvidenceMalformedError: it is absent (`nvidia.opaque.missing`).
    """
    value = fields.get(field)
    if value is None:
        raise malformed("nvidia.opaque.missing", field.name, "present", "absent")
    return value


def pdis(value: bytes, *, reverse: bool) -> list[str]:
    """Return the 8-byte device identifiers in `value` as hex, in the switch's byte order."""
    step = -1 if reverse else 1
    chunks = (value[at : at + PDI_BYTES] for at in range(0, len(value), PDI_BYTES))
    return [chunk[::step].hex() for chunk in chunks]


def describe(fields: Fields) -> dict[str, object]:
    """Return every field for people and policies: text and numbers decoded, the rest in hex."""
    shown: dict[str, object] = {}
    unknown: dict[str, str] = {}
    for field, value in fields.items():
        if field not in _NAMED:
            unknown[str(field)] = value.hex()
            continue
        name = FieldId(field)
        if name in _TEXTS:
            shown[name.name.lower()] = text(fields, name)
        elif name is FieldId.MSRSCNT:
            shown[name.name.lower()] = _counters(value)
        elif name in _NUMBERS:
            shown[name.name.lower()] = int.from_bytes(value, "little")
        else:
            shown[name.name.lower()] = value.hex()
    if unknown:
        shown["unknown_fields"] = unknown
    return shown


def findings(fields: Fields) -> list[Finding]:
    """Return what a reader of version 1 must refuse: a newer version has unknown meanings."""
    version = number(fields, FieldId.OPAQUE_DATA_VERSION) or 0
    if version <= MAX_DATA_VERSION:
        return []
    return [
        Finding(
            "nvidia.opaque.version", "opaque data version", f"<= {MAX_DATA_VERSION}", str(version)
        )
    ]


_NAMED: Final = frozenset(FieldId)
_NUMBERS: Final = frozenset(
    {
        FieldId.NVDEC0_STATUS,
        FieldId.BOARD_ID,
        FieldId.PROTECTED_PCIE_STATUS,
        FieldId.FLOORSWEPT_PORTS,
        FieldId.POSITION_ID,
        FieldId.LOCK_SWITCH_STATUS,
        FieldId.SYS_ENABLE_STATUS,
        FieldId.OPAQUE_DATA_VERSION,
        FieldId.FEATURE_FLAG,
    }
)


def _check(field: int, value: bytes) -> None:
    """Refuse a named field with a size or spelling its table row does not allow."""
    if field in _TEXTS:
        spelled = value.rstrip(b"\0")
        if len(value) > _MAX_TEXT_BYTES or not all(byte in _PRINTABLE for byte in spelled):
            raise _bad(field, f"<= {_MAX_TEXT_BYTES} bytes of ASCII and NULs", value)
    elif field == FieldId.MSRSCNT:
        if len(value) % _COUNTER_BYTES:
            raise _bad(field, "32-bit counters", value)
    elif field in _SIZES and len(value) not in _SIZES[field]:
        raise _bad(field, f"{sorted(_SIZES[field])} bytes", value)


def _counters(value: bytes) -> list[int]:
    chunks = (value[at : at + _COUNTER_BYTES] for at in range(0, len(value), _COUNTER_BYTES))
    return [int.from_bytes(chunk, "little") for chunk in chunks]


def _bad(field: int, wanted: str, value: bytes) -> EvidenceMalformedError:
    return malformed("nvidia.opaque.field", FieldId(field).name, wanted, value[:32].hex())
