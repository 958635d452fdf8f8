"""RLP: the one encoding of byte strings and lists of them that EVM chains use.

The reader refuses every encoding but the canonical one.

Source: Ethereum Yellow Paper, appendix B.
"""

from typing import TYPE_CHECKING, Final, TypeAlias

from mifeng.errors import MalformedError

if TYPE_CHECKING:
    from collections.abc import Sequence

Item: TypeAlias = "bytes | list[Item]"
ItemInput: TypeAlias = "bytes | Sequence[ItemInput]"

MAX_DEPTH: Final = 16
_SHORT: Final = 55
_STRING: Final = 0x80
_LIST: Final = 0xC0


def number(value: int) -> bytes:
    """Return a scalar's bytes: big-endian, no leading zero, none for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def encode(item: ItemInput) -> bytes:
    """Return the encoding of a string or list."""
    if isinstance(item, bytes):
        if len(item) == 1 and item[0] < _STRING:
            return item
        return _head(len(item), _STRING) + item
    body = b"".join(encode(each) for each in item)
    return _head(len(body), _LIST) + body


def _head(size: int, base: int) -> bytes:
    if size <= _SHORT:
        return bytes([base + size])
    length = number(size)
    return bytes([base + _SHORT + len(length)]) + length


def decode(data: bytes) -> Item:
    """Return what `data` encodes; raises `MalformedError` for anything but one canonical item."""
    item, end = _item(data, 0, len(data), 0)
    if end != len(data):
        raise MalformedError("rlp: bytes after the item")
    return item


def decode_list(data: bytes, what: str) -> list[Item]:
    """Return the list that `data` encodes; raises `MalformedError`."""
    item = decode(data)
    if not isinstance(item, list):
        raise MalformedError(f"{what}: not a list")
    return item


def text(item: Item, what: str, *, size: int | None = None) -> bytes:
    """Return a string item, of `size` bytes if given; raises `MalformedError`."""
    if not isinstance(item, bytes) or (size is not None and len(item) != size):
        raise MalformedError(f"{what}: not {'a string' if size is None else f'{size} bytes'}")
    return item


def integer(item: Item, what: str) -> int:
    """Return a scalar of at most 8 bytes; raises `MalformedError`."""
    raw = text(item, what)
    if len(raw) > 8 or raw[:1] == b"\0":  # noqa: PLR2004 - 64 bits
        raise MalformedError(f"{what}: not a scalar")
    return int.from_bytes(raw, "big")


def _item(data: bytes, at: int, limit: int, depth: int) -> tuple[Item, int]:
    """Return the item at `at` and where it ends: at most at `limit`, the end of what holds it."""
    if at >= limit or depth > MAX_DEPTH:
        raise MalformedError("rlp: cut short, or too deep")
    first = data[at]
    if first < _STRING:
        return data[at : at + 1], at + 1
    base = _STRING if first < _LIST else _LIST
    start, end = _span(data, at, limit, first - base)
    if base == _STRING:
        found = data[start:end]
        if len(found) == 1 and found[0] < _STRING:
            raise MalformedError("rlp: not canonical")
        return found, end
    items: list[Item] = []
    while start < end:
        item, start = _item(data, start, end, depth + 1)
        items.append(item)
    return items, end


def _span(data: bytes, at: int, limit: int, code: int) -> tuple[int, int]:
    start, size = at + 1, code
    if code > _SHORT:
        start += code - _SHORT
        length = data[at + 1 : start]
        size = int.from_bytes(length, "big")
        if size <= _SHORT or length[0] == 0:
            raise MalformedError("rlp: not canonical")
    if start + size > limit:
        raise MalformedError("rlp: cut short")
    return start, start + size
