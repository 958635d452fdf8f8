"""Read fixed binary layouts from a table that looks like the specification's."""

from collections.abc import Sequence
from typing import NamedTuple

from .errors import malformed


class Field(NamedTuple):
    """One row of a layout table: where a field starts and how long it is, in bytes."""

    name: str
    offset: int
    size: int


def split(
    layout: Sequence[Field], raw: bytes, *, size: int, what: str, code: str
) -> dict[str, bytes]:
    """Split `raw` into named fields; bytes that no row names are the caller's to judge.

    Args:
        layout: rows inside `size` bytes.
        raw: untrusted; any bytes.
        size: the structure's exact size in bytes.
        what: the structure's name, for people.
        code: prefix of the finding's code, e.g. `amd-snp.report`.

    Raises:
        EvidenceMalformedError: `raw` has another size (code `<code>.size`).
    """
    if len(raw) != size:
        raise malformed(f"{code}.size", what, f"{size} bytes", len(raw))
    return {name: raw[offset : offset + length] for name, offset, length in layout}


def read(
    layout: Sequence[Field], raw: bytes, *, size: int, what: str, code: str
) -> dict[str, bytes]:
    """Split `raw` into named fields; bytes that no row names must be zero.

    Raises:
        EvidenceMalformedError: wrong size (`<code>.size`) or a reserved byte is set
            (`<code>.reserved`).
    """
    fields = split(layout, raw, size=size, what=what, code=code)
    rest = bytearray(raw)
    for _, offset, length in layout:
        rest[offset : offset + length] = bytes(length)
    if any(rest):
        at = next(i for i, byte in enumerate(rest) if byte)
        raise malformed(f"{code}.reserved", what, f"reserved byte {at:#x} zero", rest[at])
    return fields


def le(field: bytes) -> int:
    """Return the unsigned little-endian integer in `field`."""
    return int.from_bytes(field, "little")
