"""DER as far as vendors' certificate extensions need it: strict, flat, no schema.

Certificates and CRLs themselves are read by `cryptography`; this reads the values inside
extensions it does not know, and splits files of concatenated certificates.

Source: X.690 §8, §10.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from .errors import malformed

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
SEQUENCE: Final = 0x30
_HIGH_TAG: Final = 0x1F
_LONG_FORM: Final = 0x80
_MAX_LENGTH_BYTES: Final = 4


class Element(NamedTuple):
    """One tag, length and value."""

    tag: int
    value: bytes
    size: int
    """Bytes of the whole element, header included."""


def element(data: bytes, at: int, *, what: str, code: str) -> Element:
    """Return the element that starts at `at`.

    Raises:
        EvidenceMalformedError: not DER, or cut short (code `<code>.der`).
    """
    head = data[at : at + 2]
    if len(head) < 2 or head[0] & _HIGH_TAG == _HIGH_TAG:  # noqa: PLR2004 - tag and length
        raise malformed(f"{code}.der", what, "a DER element", f"{head.hex()} at {at}")
    tag, length = head
    start = at + 2
    if length >= _LONG_FORM:
        count = length - _LONG_FORM
        digits = data[start : start + count]
        length = int.from_bytes(digits)
        start += count
        minimal = length >= _LONG_FORM and digits[:1] != b"\0"
        if not 1 <= count <= _MAX_LENGTH_BYTES or len(digits) != count or not minimal:
            raise malformed(f"{code}.der", what, "a minimal DER length", f"at {at}")
    value = data[start : start + length]
    if len(value) != length:
        raise malformed(f"{code}.der", what, f"{length} bytes at {start}", len(value))
    return Element(tag, value, start + length - at)


def elements(data: bytes, *, what: str, code: str) -> Iterator[Element]:
    """Yield the elements that `data` consists of, first to last; raises as `element`."""
    at = 0
    while at < len(data):
        found = element(data, at, what=what, code=code)
        yield found
        at += found.size


def only(data: bytes, tag: int, *, what: str, code: str) -> bytes:
    """Return the value of the one element that `data` is, which must have `tag`."""
    found = element(data, 0, what=what, code=code)
    if found.tag != tag or found.size != len(data):
        raise malformed(f"{code}.der", what, f"one element of tag {tag:#x}", f"{found.tag:#x}")
    return found.value


def unsigned(value: bytes, *, what: str, code: str) -> int:
    """Return the non-negative integer in the value of an INTEGER element."""
    minimal = len(value) == 1 or (value[:1] == b"\0") == (value[1:2] >= b"\x80")
    if not value or value[0] & 0x80 or not minimal:
        raise malformed(f"{code}.der", what, "a minimal non-negative INTEGER", value.hex())
    return int.from_bytes(value)


def split_sequences(data: bytes, *, what: str, code: str) -> tuple[bytes, ...]:
    """Return each SEQUENCE of a file of concatenated DER, header included.

    Zero bytes after the last one are padding: no element begins with them.
    """
    parts: list[bytes] = []
    at = 0
    while at < len(data) and (any(data[at:]) or not parts):
        found = element(data, at, what=what, code=code)
        if found.tag != SEQUENCE:
            raise malformed(f"{code}.der", what, "a SEQUENCE", f"tag {found.tag:#x} at {at}")
        parts.append(data[at : at + found.size])
        at += found.size
    return tuple(parts)
