"""The binary report of earlier releases: read for people, never verified.

How its signature is made is not published, and no sample could be verified, so it is
unsupported as evidence. Parsing it tells a damaged file from an old one.

Source: openEuler kunpengsec `attestation/tee/tverlib` (struct report_response).
"""

from dataclasses import dataclass
from typing import Final

from attestation.errors import malformed

_CODE: Final = "huawei-itrustee.legacy"
_HEADER: Final = 100
_ROW: Final = 12
_MAX_PARAMETERS: Final = 16
_INTEGERS: Final = frozenset({0x10000000, 0x10000001})
_BUFFERS: Final = frozenset({0x20000001, 0x20000003, 0x20000004, 0x20000007, 0x20000009})


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyReport:
    """One binary report, split."""

    nonce: bytes
    uuid: bytes
    scenario: int
    integers: dict[int, int]
    buffers: dict[int, bytes]


def parse(raw: bytes) -> LegacyReport:
    """Split one report.

    Raises:
        EvidenceMalformedError: not this structure (code `huawei-itrustee.legacy`).
    """
    count = int.from_bytes(raw[96:100], "little")
    end = _HEADER + count * _ROW
    if raw[:4] != b"\1\0\0\0" or count > _MAX_PARAMETERS or len(raw) < end:
        raise malformed(_CODE, "binary report", "version 1 and its parameters", raw[:4].hex())
    integers: dict[int, int] = {}
    buffers: dict[int, bytes] = {}
    for at in range(_HEADER, end, _ROW):
        tag, first, second = (
            int.from_bytes(raw[i : i + 4], "little") for i in (at, at + 4, at + 8)
        )
        if tag in integers or tag in buffers:
            raise malformed(_CODE, "parameter", "each tag once", f"{tag:#x}")
        if tag in _INTEGERS:
            integers[tag] = first
        elif tag in _BUFFERS and end <= second <= second + first <= len(raw):
            buffers[tag] = raw[second : second + first]
        else:
            raise malformed(_CODE, "parameter", "a known tag inside the report", f"{tag:#x}")
    return LegacyReport(
        nonce=raw[12:76],
        uuid=raw[76:92],
        scenario=int.from_bytes(raw[92:96], "little"),
        integers=integers,
        buffers=buffers,
    )
