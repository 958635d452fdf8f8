"""The few DER forms this package reads and writes, one encoding per value.

Reading is strict: definite lengths in the fewest bytes, INTEGERs non-negative in the fewest
bytes, nothing left over. Anything else raises `DerError`, which callers turn into their own error.

Source: ITU-T X.690 §10, §11.
"""

from __future__ import annotations

from typing import Final

from mifeng.crypto.errors import CryptoError

INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30

_MAX_LENGTH_BYTES: Final = 4


class DerError(CryptoError):
    """The bytes are not the DER encoding of what was expected."""

    code = "crypto.der"


class Reader:
    """A position in DER bytes; each method takes one element off the front."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, tag: int) -> bytes:
        """Return the contents of the next element, which must carry `tag`.

        Raises:
            DerError: another tag, a length not in its shortest form, or contents cut short.
        """
        if self._byte() != tag:
            raise DerError("unexpected tag")
        length = self._byte()
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= _MAX_LENGTH_BYTES:
                raise DerError("length is indefinite or too long")
            length = int.from_bytes(self._bytes(count), "big")
            if length < 0x80 or length >> (8 * (count - 1)) == 0:  # noqa: PLR2004 - X.690 §10.1
                raise DerError("length is not in its shortest form")
        return self._bytes(length)

    def sequence(self) -> Reader:
        """Return a reader over the next SEQUENCE."""
        return Reader(self.take(SEQUENCE))

    def integer(self) -> int:
        """Return the next INTEGER, which must not be negative.

        Raises:
            DerError: negative, or not in its shortest form.
        """
        raw = self.take(INTEGER)
        value = int.from_bytes(raw, "big")
        if integer(value) != bytes((INTEGER,)) + _length(len(raw)) + raw:
            raise DerError("INTEGER is negative or not in its shortest form")
        return value

    def peek(self) -> int | None:
        """Return the next tag, or None at the end."""
        return self._data[self._position] if self._position < len(self._data) else None

    def end(self) -> None:
        """Return if nothing is left.

        Raises:
            DerError: something is.
        """
        if self._position != len(self._data):
            raise DerError("trailing bytes")

    def _byte(self) -> int:
        return self._bytes(1)[0]

    def _bytes(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise DerError("cut short")
        part = self._data[self._position : end]
        self._position = end
        return part


def element(tag: int, *contents: bytes) -> bytes:
    """Return the element with `tag` around the concatenated contents."""
    body = b"".join(contents)
    return bytes((tag,)) + _length(len(body)) + body


def sequence(*members: bytes) -> bytes:
    """Return a SEQUENCE of encoded members."""
    return element(SEQUENCE, *members)


def integer(value: int) -> bytes:
    """Return the INTEGER `value` ≥ 0."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(contents: bytes) -> bytes:
    """Return an OCTET STRING."""
    return element(OCTET_STRING, contents)


def oid(dotted: str) -> bytes:
    """Return the OBJECT IDENTIFIER written as dotted decimals; for our own constants."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    body = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        body += bytes(reversed(groups))
    return element(OBJECT_IDENTIFIER, bytes(body))


def _length(length: int) -> bytes:
    if length < 0x80:  # noqa: PLR2004 - X.690 §10.1
        return bytes((length,))
    raw = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(raw),)) + raw
