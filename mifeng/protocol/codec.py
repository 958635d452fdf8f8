"""Bounded reading and canonical writing of binary structures.

Integers are big-endian. A *blob* is a length followed by that many bytes; a *name* is a short
ASCII blob of a restricted alphabet, so that it can stand in a log line or a metric label.

Source: docs/spec/encoding.md §2.
"""

import re
from typing import Final

from mifeng.errors import MalformedError, UsageError

U16_MAX: Final = 0xFFFF
U32_MAX: Final = 0xFFFF_FFFF
U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF
MAX_NAME: Final = 128
_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


def u8(value: int) -> bytes:
    """Encode 0 … 255."""
    return value.to_bytes(1, "big")


def u16(value: int) -> bytes:
    """Encode 0 … 65 535."""
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    """Encode 0 … 2³²-1."""
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    """Encode 0 … 2⁶⁴-1."""
    return value.to_bytes(8, "big")


def blob(data: bytes) -> bytes:
    """Encode bytes behind their 32-bit length."""
    return u32(len(data)) + data


def name(text: str) -> bytes:
    """Encode a name behind its 8-bit length.

    Raises:
        UsageError: `text` is not 1 … 128 characters of `A-Za-z0-9._:/-`, starting with a letter
            or digit.
    """
    data = text.encode("ascii", "replace")
    if not _NAME.fullmatch(data):
        raise UsageError(f"not a name: {text[:MAX_NAME]!r}")
    return u8(len(data)) + data


class Reader:
    """A cursor over one whole message. Reads are bounded; `end` forbids trailing bytes."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._at, self._what = data, 0, what

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise MalformedError(f"{self._what}: need {size} bytes at {self._at}, got {len(piece)}")
        self._at += size
        return piece

    def number(self, size: int) -> int:
        """Return the next `size` bytes as an unsigned integer."""
        return int.from_bytes(self.take(size), "big")

    def blob(self, limit: int) -> bytes:
        """Return the next blob, at most `limit` bytes long."""
        size = self.number(4)
        if size > limit:
            raise MalformedError(f"{self._what}: blob of {size} bytes at {self._at}, limit {limit}")
        return self.take(size)

    def name(self) -> str:
        """Return the next name."""
        data = self.take(self.number(1))
        if not _NAME.fullmatch(data):
            raise MalformedError(f"{self._what}: not a name before {self._at}")
        return data.decode("ascii")

    def end(self) -> None:
        """Check that nothing is left."""
        if left := len(self._data) - self._at:
            raise MalformedError(f"{self._what}: {left} trailing bytes")
