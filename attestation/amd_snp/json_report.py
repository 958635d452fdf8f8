"""Pack a report that arrives as JSON fields back into the bytes that were signed.

guest-components serialises the parsed report field by field. Packing it again decides nothing:
if one byte comes out wrong, the signature does not verify.

Source: virtee/sev `AttestationReport` (serde names); AMD 56860 for the offsets.
"""

from collections.abc import Mapping
from typing import Final

from attestation.containers import json_bytes
from attestation.errors import malformed

from .product import OLD_LAYOUT, TCB_SIZE, TURIN_LAYOUT
from .report import LAYOUTS, SIZE

_CODE: Final = "amd-snp.container"
_OFFSETS: Final = {name: (offset, size) for name, offset, size in LAYOUTS[max(LAYOUTS)]}

_NUMBERS: Final = {
    "version": ("version",),
    "guest_svn": ("guest_svn",),
    "policy": ("policy",),
    "vmpl": ("vmpl",),
    "signature_algo": ("sig_algo",),
    "platform_info": ("plat_info", "platform_info"),
    "signer_info": ("key_info", "author_key_en", "_author_key_en"),
    "launch_mit_vector": ("launch_mit_vector",),
    "current_mit_vector": ("current_mit_vector",),
}
"""Field by the names that releases of the library have given it."""

_BYTES: Final = (
    "family_id",
    "image_id",
    "report_data",
    "measurement",
    "host_data",
    "id_key_digest",
    "author_key_digest",
    "report_id",
    "report_id_ma",
    "chip_id",
)
_OPTIONAL: Final = frozenset({"launch_mit_vector", "current_mit_vector"})
_TCBS: Final = ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb")
_CPUID: Final = ("cpuid_fam_id", "cpuid_mod_id", "cpuid_step")


def pack(doc: Mapping[str, object]) -> bytes:
    """Return the `SIZE` bytes that `doc` describes.

    Raises:
        EvidenceMalformedError: a field is missing, or does not fit.
    """
    raw = bytearray(SIZE)

    def put(name: str, data: bytes) -> None:
        offset, size = _OFFSETS[name]
        if len(data) != size:
            raise malformed(f"{_CODE}.json", name, f"{size} bytes", len(data))
        raw[offset : offset + size] = data

    for name, spellings in _NUMBERS.items():
        value = next((doc[each] for each in spellings if each in doc), None)
        if value is None and name in _OPTIONAL:
            continue
        size = _OFFSETS[name][1]
        put(name, _number(value, name, size=size).to_bytes(size, "little"))
    for name in _BYTES:
        put(name, json_bytes(doc.get(name), what=name, code=_CODE))
    for name in _TCBS:
        put(name, _tcb(_object(doc, name)))
    put("current_version", _firmware(doc, "current"))
    put("committed_version", _firmware(doc, "committed"))
    if doc.get(_CPUID[0]) is not None:
        put("cpuid", bytes(_number(doc.get(name), name) for name in _CPUID))
    signature = _object(doc, "signature")
    for half in ("r", "s"):
        put(f"signature_{half}", json_bytes(signature.get(half), what=half, code=_CODE))
    return bytes(raw)


def _number(value: object, name: str, *, size: int = 1) -> int:
    if type(value) is not int or not 0 <= value < 1 << 8 * size:
        raise malformed(f"{_CODE}.json", name, f"{size} bytes", value)
    return value


def _object(doc: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = doc.get(name)
    if not isinstance(value, dict):
        raise malformed(f"{_CODE}.json", name, "an object", type(value).__name__)
    return value


def _tcb(doc: Mapping[str, object]) -> bytes:
    raw = bytearray(TCB_SIZE)
    for name, offset in (OLD_LAYOUT if doc.get("fmc") is None else TURIN_LAYOUT).items():
        raw[offset] = _number(doc.get(name), name)
    return bytes(raw)


def _firmware(doc: Mapping[str, object], name: str) -> bytes:
    """Return build, minor, major; older releases spell them `<name>_build` and so on."""
    parts = ("build", "minor", "major")
    if doc.get(name) is None:
        return bytes(_number(doc.get(f"{name}_{part}"), name) for part in parts)
    inner = _object(doc, name)
    return bytes(_number(inner.get(part), name) for part in parts)
