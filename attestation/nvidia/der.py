"""Just enough DER for NVIDIA's certificate extension and for counting concatenated objects.

X.509 and OCSP themselves are parsed by `cryptography`; this reads definite-length, minimally
encoded, single-byte-tag elements and nothing else.

Source: ITU-T X.690 §8.1, §10.1.
"""

from dataclasses import dataclass
from typing import Final

from attestation.errors import malformed

SEQUENCE: Final = 0x30
INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06

_LONG: Final = 0x80
_MAX_LENGTH_BYTES: Final = 4
_HIGH_TAG: Final = 0x1F


@dataclass(frozen=True, slots=True)
class Element:
    """One tag, its content, and the exact bytes it came from."""

    tag: int
    content: bytes
    encoded: bytes


def elements(raw: bytes, *, what: str, code: str) -> list[Element]:
    """Return the elements that `raw` is a concatenation of; possibly none.

    Raises:
        EvidenceMalformedError: `raw` is not a sequence of whole DER elements (code `code`).
    """
    found = []
    at = 0
    while at < len(raw):
        start = at
        tag = raw[at]
        length, at = _length(raw, at + 1, what, code)
        if tag & _HIGH_TAG == _HIGH_TAG or at + length > len(raw):
            raise malformed(code, what, "whole DER elements", f"element at {start}")
        found.append(Element(tag, raw[at : at + length], raw[start : at + length]))
        at += length
    return found


def sequence(raw: bytes, *, what: str, code: str) -> list[Element]:
    """Return the elements inside the one SEQUENCE that `raw` is.

    Raises:
        EvidenceMalformedError: `raw` is anything else (code `code`).
    """
    outer = elements(raw, what=what, code=code)
    if len(outer) != 1 or outer[0].tag != SEQUENCE:
        raise malformed(code, what, "one SEQUENCE", f"{len(outer)} elements")
    return elements(outer[0].content, what=what, code=code)


def _length(raw: bytes, at: int, what: str, code: str) -> tuple[int, int]:
    """Return the length at `at` and where the content starts; only the shortest form passes."""
    head = raw[at : at + 1]
    if not head:
        raise malformed(code, what, "a DER length", "end of data")
    if head[0] < _LONG:
        return head[0], at + 1
    size = head[0] - _LONG
    octets = raw[at + 1 : at + 1 + size]
    length = int.from_bytes(octets)
    shortest = length >= _LONG and octets[:1] != b"\0"
    if not 1 <= size <= _MAX_LENGTH_BYTES or len(octets) != size or not shortest:
        raise malformed(code, what, "a minimal definite DER length", raw[at : at + 1 + size].hex())
    return length, at + 1 + size
