"""CBOR as attestation documents use it: strict, bounded, nothing said twice.

Integers, byte and text strings, arrays, maps, booleans, null and tags; numbers in their shortest
form. Arrays and maps may be of indefinite length (the Nitro module writes one such map), strings
may not. Floats, undefined and repeated labels are refused: every document has one reading.

Source: RFC 8949 §3, §4.2.1.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from attestation.errors import EvidenceMalformedError, malformed

MAX_DEPTH: Final = 8
MAX_ITEMS: Final = 256
"""Elements of one array, or pairs of one map."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A value under a tag number."""

    tag: int
    value: "Cbor"


Label: TypeAlias = "int | str"
Cbor: TypeAlias = "int | bytes | str | bool | list[Cbor] | dict[Label, Cbor] | Tagged | None"

_ARRAY: Final = 4
_MAP: Final = 5
_SIMPLE: Final = 7
_INDEFINITE: Final = 31
_BREAK: Final = b"\xff"
_SIMPLE_VALUES: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None}
_SHORTEST: Final = {24: (1, 24), 25: (2, 1 << 8), 26: (4, 1 << 16), 27: (8, 1 << 32)}
"""By additional information: bytes that follow, and the least value that needs them."""


def decode(data: bytes, *, what: str, code: str) -> Cbor:
    """Return the one value that `data` is.

    Args:
        data: untrusted; any bytes.
        what: the document's name, for people.
        code: prefix of the finding's code, e.g. `aws-nitro.document`.

    Raises:
        EvidenceMalformedError: not one value of this subset (code `<code>.cbor`).
    """
    reader = _Reader(data, what, code)
    value = reader.value(0)
    if reader.at != len(data):
        raise reader.bad("nothing after the value", f"{len(data) - reader.at} bytes")
    return value


class _Reader:
    def __init__(self, data: bytes, what: str, code: str) -> None:
        self.at = 0
        self._data, self._what, self._code = data, what, code

    def bad(self, required: str, found: object) -> EvidenceMalformedError:
        return malformed(f"{self._code}.cbor", f"{self._what} at {self.at}", required, found)

    def value(self, depth: int) -> Cbor:
        if depth > MAX_DEPTH:
            raise self.bad(f"depth <= {MAX_DEPTH}", "deeper")
        initial = self._take(1)[0]
        major, info = initial >> 5, initial & 0x1F
        if major == _SIMPLE:
            if info not in _SIMPLE_VALUES:
                raise self.bad("false, true or null", f"{initial:#04x}")
            return _SIMPLE_VALUES[info]
        if major in (_ARRAY, _MAP):
            count = None if info == _INDEFINITE else self._argument(info)
            return self._array(count, depth) if major == _ARRAY else self._map(count, depth)
        return self._scalar(major, self._argument(info), depth)

    def _scalar(self, major: int, argument: int, depth: int) -> Cbor:
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._take(argument)
            case 3:
                return self._text(argument)
            case _:
                return Tagged(argument, self.value(depth + 1))

    def _more(self, count: int | None, done: int) -> bool:
        """Say whether another item follows; `count` None is an indefinite length."""
        if done > MAX_ITEMS:
            raise self.bad(f"at most {MAX_ITEMS} items", "more")
        if count is not None:
            return done < count
        if self._data[self.at : self.at + 1] == _BREAK:
            self.at += 1
            return False
        return True

    def _array(self, count: int | None, depth: int) -> list[Cbor]:
        found: list[Cbor] = []
        while self._more(count, len(found)):
            found.append(self.value(depth + 1))
        return found

    def _map(self, count: int | None, depth: int) -> dict[Label, Cbor]:
        found: dict[Label, Cbor] = {}
        while self._more(count, len(found)):
            label = self.value(depth + 1)
            if isinstance(label, bool) or not isinstance(label, int | str):
                raise self.bad("an integer or text label", type(label).__name__)
            if label in found:
                raise self.bad("each label once", repr(label)[:64])
            found[label] = self.value(depth + 1)
        return found

    def _take(self, size: int) -> bytes:
        found = self._data[self.at : self.at + size]
        if len(found) != size:
            raise self.bad(f"{size} bytes", len(found))
        self.at += size
        return found

    def _argument(self, info: int) -> int:
        if info not in _SHORTEST:
            if info > max(_SHORTEST):
                raise self.bad("a definite length", f"{info}")
            return info
        size, least = _SHORTEST[info]
        value = int.from_bytes(self._take(size))
        if value < least:
            raise self.bad("the shortest form", value)
        return value

    def _text(self, size: int) -> str:
        try:
            return self._take(size).decode()
        except UnicodeDecodeError as exc:
            raise self.bad("UTF-8", "other bytes") from exc
