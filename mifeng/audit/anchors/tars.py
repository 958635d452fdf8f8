"""TARS: the tagged encoding of records that FISCO-BCOS 3 transactions are written in.

Only what a transaction needs: integers, strings, byte vectors, nested records. Fields that have
their default may be absent, so one value has several encodings; whoever hashes or signs uses the
fields (`fisco.preimage`), never these bytes.

Source: TARS protocol (tarscloud.github.io/TarsDocs_en/base/tars-protocol.html).
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

from mifeng.errors import MalformedError

Value: TypeAlias = "int | str | bytes | dict[int, Value]"
ValueInput: TypeAlias = "int | str | bytes | Mapping[int, ValueInput]"

_INTS: Final = {0: 1, 1: 2, 2: 4, 3: 8}
_STRING1: Final = 6
_STRING4: Final = 7
_BEGIN: Final = 10
_END: Final = 11
_ZERO: Final = 12
_BYTES: Final = 13
_LONG_TAG: Final = 15
_MAX_DEPTH: Final = 4
_MAX_SHORT_STRING: Final = 255


def encode(fields: Mapping[int, ValueInput]) -> bytes:
    """Return the fields in ascending order of their tags, without those that are empty strings."""
    return b"".join(
        _field(tag, fields[tag]) for tag in sorted(fields) if fields[tag] not in ("", b"")
    )


def _head(tag: int, kind: int) -> bytes:
    if tag < _LONG_TAG:
        return bytes([tag << 4 | kind])
    return bytes([_LONG_TAG << 4 | kind, tag])


def _field(tag: int, value: ValueInput) -> bytes:
    match value:
        case int():
            return _integer(tag, value)
        case str():
            raw = value.encode()
            if len(raw) <= _MAX_SHORT_STRING:
                return _head(tag, _STRING1) + bytes([len(raw)]) + raw
            return _head(tag, _STRING4) + len(raw).to_bytes(4, "big") + raw
        case bytes():
            return _head(tag, _BYTES) + _head(0, 0) + _integer(0, len(value)) + value
        case _:
            return _head(tag, _BEGIN) + encode(value) + _head(0, _END)


def _integer(tag: int, value: int) -> bytes:
    if value == 0:
        return _head(tag, _ZERO)
    for kind, size in _INTS.items():
        if -(1 << 8 * size - 1) <= value < 1 << 8 * size - 1:
            return _head(tag, kind) + value.to_bytes(size, "big", signed=True)
    raise MalformedError("tars: an integer is out of range")


def decode(data: bytes) -> dict[int, Value]:
    """Return the fields of a record by tag; raises `MalformedError` for anything else."""
    reader = _Reader(data)
    fields = reader.fields(0)
    if reader.at != len(data):
        raise MalformedError("tars: bytes after the record")
    return fields


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    def _take(self, count: int) -> bytes:
        found = self._data[self.at : self.at + count]
        if len(found) != count:
            raise MalformedError("tars: cut short")
        self.at += count
        return found

    def _head(self) -> tuple[int, int]:
        (first,) = self._take(1)
        tag = first >> 4
        if tag == _LONG_TAG:
            (tag,) = self._take(1)
        return tag, first & 15

    def fields(self, depth: int) -> dict[int, Value]:
        found: dict[int, Value] = {}
        least = 0
        while self.at < len(self._data):
            tag, kind = self._head()
            if kind == _END and depth:
                return found
            if tag < least or depth > _MAX_DEPTH:
                raise MalformedError("tars: tags out of order, or too deep")
            found[tag] = self._value(kind, depth)
            least = tag + 1
        if depth:
            raise MalformedError("tars: cut short")
        return found

    def _value(self, kind: int, depth: int) -> Value:
        if kind == _ZERO:
            return 0
        if kind in _INTS:
            return int.from_bytes(self._take(_INTS[kind]), "big", signed=True)
        if kind in (_STRING1, _STRING4):
            size = int.from_bytes(self._take(1 if kind == _STRING1 else 4), "big")
            try:
                return self._take(size).decode()
            except UnicodeDecodeError as exc:
                raise MalformedError("tars: a string is not UTF-8") from exc
        if kind == _BEGIN:
            return self.fields(depth + 1)
        if kind == _BYTES:
            if self._head() != (0, 0):
                raise MalformedError("tars: not a vector of bytes")
            return self._take(self._length(depth))
        raise MalformedError(f"tars: type {kind} has no place here")

    def _length(self, depth: int) -> int:
        _, kind = self._head()
        length = self._value(kind, depth) if kind in (*_INTS, _ZERO) else -1
        if not isinstance(length, int) or length < 0:
            raise MalformedError("tars: a length is not one")
        return length
