"""Canonical JSON: exactly one sequence of bytes per value, and a reader that insists on it.

The form is RFC 8785 (JCS) narrowed to what signed records need: objects, arrays, strings,
integers, booleans and null. No fractions, so no number formatting; ASCII keys, so code point
order is also JCS's UTF-16 order. Text is UTF-8, not escaped beyond what JSON requires.
Whoever signs or hashes still uses the received bytes, never a re-serialisation.

Source: RFC 8785; RFC 7493 §2.2 (integer range); docs/spec/log.md §1.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NoReturn, TypeAlias

from attestation import json_strict
from mifeng.errors import MalformedError, UsageError

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
JsonInput: TypeAlias = "bool | int | str | Sequence[JsonInput] | Mapping[str, JsonInput] | None"

MAX_INT: Final = 2**53 - 1
"""Largest magnitude of an integer: what every JSON implementation holds exactly."""

MAX_DEPTH: Final = 32
"""Arrays and objects inside each other, the outermost counting as 1."""

DEFAULT_LIMIT: Final = 1 << 20
"""Bytes of one document, unless the caller says otherwise."""


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"number {text[:32]}")


def _integer(text: str) -> int:
    value = int(text) if len(text) <= _INT_CHARS else MAX_INT + 1
    if not -MAX_INT <= value <= MAX_INT:
        raise ValueError(f"number {text[:32]}")
    return value


_INT_CHARS: Final = len(str(-MAX_INT))
_ENCODER: Final = json.JSONEncoder(
    check_circular=False,  # `_fault` has counted the levels, or the value was just decoded
    ensure_ascii=False,
    sort_keys=True,
    separators=(",", ":"),
    allow_nan=False,
)
_DECODER: Final = json.JSONDecoder(
    parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
)


def dumps(value: JsonInput) -> bytes:
    """Return the one encoding of `value`; tuples count as arrays.

    Raises:
        UsageError: `value` holds something the canonical form has no encoding for.
    """
    if fault := _fault(value, 0):
        raise UsageError(f"canonical JSON: {fault}")
    return _encode(value)


def loads(data: bytes, *, limit: int = DEFAULT_LIMIT) -> Json:
    """Return the value whose one encoding is `data`.

    Args:
        data: untrusted; any bytes.
        limit: longest document accepted, bytes.

    Raises:
        MalformedError: too long, not JSON, outside the canonical subset, or spelled in any
            other way than `dumps` would (duplicate keys, spaces, escapes, key order).
    """
    if len(data) > limit:
        raise MalformedError(f"json: {len(data)} bytes, limit {limit}")
    try:
        text = data.decode()
        few = text.count("{") + text.count("[") <= MAX_DEPTH
        if not few and json_strict.depth(text) > MAX_DEPTH:
            raise MalformedError(f"json: deeper than {MAX_DEPTH}")
        value: Json
        value, end = _DECODER.raw_decode(text)
    except ValueError as exc:  # UnicodeDecodeError is one
        raise MalformedError("json: does not parse") from exc
    # What the decoder returns has the right types, ranges and depth. Of the other rules, ASCII
    # text can break none: what hides behind an escape comes out of the encoder in another
    # spelling.
    if not text.isascii() and (fault := _fault(value, 0)):
        raise MalformedError(f"json: {fault}")
    if end != len(text) or _spelling(value) != text:
        raise MalformedError("json: not canonical")
    return value


def _encode(value: JsonInput) -> bytes:
    return _spelling(value).encode()


def _make_spelling() -> Callable[[JsonInput], str]:
    """Return `_ENCODER.encode`, without building the C encoder anew for each value."""
    make = getattr(json.encoder, "c_make_encoder", None)
    quote = getattr(json.encoder, "encode_basestring", None)
    if make is None or quote is None:
        return _ENCODER.encode
    encoder = make(None, _ENCODER.default, quote, None, ":", ",", True, False, False)  # noqa: FBT003
    return lambda value: "".join(encoder(value, 0))


_spelling: Final = _make_spelling()


def _fault(value: object, depth: int) -> str | None:
    """Name the first thing in `value` that has no canonical form, or return None."""
    fault: str | None = None
    match value:
        case bool() | None:
            pass
        case str():
            fault = _text_fault(value)
        case int():
            fault = None if -MAX_INT <= value <= MAX_INT else "an integer out of range"
        case dict() | list() | tuple() if depth == MAX_DEPTH:
            fault = f"deeper than {MAX_DEPTH}"
        case dict():
            if all(isinstance(key, str) and key.isascii() for key in value):
                fault = _first_fault(value.values(), depth + 1)
            else:
                fault = "a key that is not ASCII"
        case list() | tuple():
            fault = _first_fault(value, depth + 1)
        case _:
            fault = f"a {type(value).__name__}"
    return fault


def _first_fault(values: Iterable[object], depth: int) -> str | None:
    for value in values:
        if fault := _fault(value, depth):
            return fault
    return None


def _text_fault(text: str) -> str | None:
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:  # Python has lone surrogates, UTF-8 does not
        return "a lone surrogate"
    return None


class Fields:
    """A cursor over one decoded object that knows what was read.

    Each method takes one field by name and checks its type and range; `end` refuses what is
    left over, so an unknown field is an error and not ignored.
    """

    __slots__ = ("_left", "_what")

    def __init__(self, value: Json, what: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{what}: not an object")
        self._left, self._what = dict(value), what

    def _take(self, name: str) -> Json:
        if name not in self._left:
            raise MalformedError(f"{self._what}: no field {name}")
        return self._left.pop(name)

    def _wrong(self, name: str, want: str) -> NoReturn:
        raise MalformedError(f"{self._what}: {name} is not {want}")

    def text(self, name: str, *, limit: int = 1024, empty: bool = False) -> str:
        """Return a string of at most `limit` characters, not empty unless `empty`."""
        value = self._take(name)
        if not isinstance(value, str) or len(value) > limit or not (value or empty):
            self._wrong(name, f"text of at most {limit} characters")
        return value

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """Return a string that is one of `allowed`."""
        value = self._take(name)
        if not isinstance(value, str) or value not in allowed:
            self._wrong(name, f"one of {', '.join(allowed)}")
        return value

    def integer(self, name: str, *, low: int = 0, high: int = MAX_INT) -> int:
        """Return an integer in [low, high]."""
        value = self._take(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._wrong(name, f"an integer from {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        value = self._take(name)
        if not isinstance(value, bool):
            self._wrong(name, "true or false")
        return value

    def hex(self, name: str, size: int) -> bytes:
        """Return `size` bytes written as lower-case hexadecimal."""
        value = self._take(name)
        raw = from_hex(value) if isinstance(value, str) else None
        if raw is None or len(raw) != size:
            self._wrong(name, f"{size} bytes of lower-case hex")
        return raw

    def hex_or_none(self, name: str, size: int) -> bytes | None:
        """Return what `hex` does, or None for null."""
        if self._left.get(name, "") is None:
            self._left.pop(name)
            return None
        return self.hex(name, size)

    def hexes(self, name: str, size: int, *, limit: int) -> tuple[bytes, ...]:
        """Return an array of at most `limit` digests of `size` bytes each."""
        found = []
        for value in self.array(name, limit=limit):
            raw = from_hex(value) if isinstance(value, str) else None
            if raw is None or len(raw) != size:
                self._wrong(name, f"an array of {size}-byte hex strings")
            found.append(raw)
        return tuple(found)

    def base64(self, name: str, *, limit: int) -> bytes:
        """Return at most `limit` bytes written in base64."""
        value = self._take(name)
        raw = from_base64(value) if isinstance(value, str) else None
        if raw is None or len(raw) > limit:
            self._wrong(name, f"base64 of at most {limit} bytes")
        return raw

    def array(self, name: str, *, limit: int) -> list[Json]:
        """Return an array of at most `limit` items, unchecked."""
        value = self._take(name)
        if not isinstance(value, list) or len(value) > limit:
            self._wrong(name, f"an array of at most {limit} items")
        return value

    def object(self, name: str) -> "Fields":
        """Return a cursor over an inner object; the caller ends it too."""
        return Fields(self._take(name), f"{self._what}.{name}")

    def map(self, name: str) -> dict[str, Json]:
        """Return an inner object, unchecked."""
        value = self._take(name)
        if not isinstance(value, dict):
            self._wrong(name, "an object")
        return value

    def map_or_none(self, name: str) -> dict[str, Json] | None:
        """Return what `map` does, or None for null."""
        if self._left.get(name, "") is None:
            self._left.pop(name)
            return None
        return self.map(name)

    def end(self) -> None:
        """Check that every field was read."""
        if self._left:
            raise MalformedError(f"{self._what}: unknown field {min(self._left)!r}")


def to_base64(data: bytes) -> str:
    """Return standard, padded base64 (RFC 4648 §4)."""
    return b64encode(data).decode()


def from_base64(text: str) -> bytes | None:
    """Return the bytes whose one base64 spelling is `text`, or None."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        return None
    return raw if b64encode(raw).decode() == text else None


def from_hex(text: str) -> bytes | None:
    """Return the bytes whose one lower-case hex spelling is `text`, or None."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    return raw if raw.hex() == text else None
