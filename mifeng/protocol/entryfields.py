"""How one field of a log entry is written to canonical JSON and read back.

Each codec is a value that stands in an annotation (`entries`); reading checks type and range,
writing refuses what reading would refuse, so that no entry is made that cannot be read.

Source: docs/spec/log.md §8.1.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from mifeng.errors import MalformedError, UsageError

from . import dsse
from .jsonc import Fields, JsonInput

DIGEST_BYTES: Final = 32
MAX_CODE: Final = 128


class FieldCodec(Protocol):
    """Writes a Python value as JSON and reads it back."""

    def write(self, value: object) -> JsonInput:
        """Return the JSON form; raises `UsageError` for a value outside the field's range."""
        ...

    def read(self, source: Fields, name: str) -> object:
        """Take the field from `source`; raises `MalformedError`."""
        ...


@dataclass(frozen=True, slots=True)
class Hex:
    """Bytes of one length, as lower-case hex."""

    size: int

    def write(self, value: object) -> JsonInput:
        """Return hex."""
        if not isinstance(value, bytes) or len(value) != self.size:
            raise UsageError(f"entry: need {self.size} bytes")
        return value.hex()

    def read(self, source: Fields, name: str) -> bytes:
        """Take bytes."""
        return source.hex(name, self.size)


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer in [low, high]."""

    low: int
    high: int

    def write(self, value: object) -> JsonInput:
        """Return the number."""
        if type(value) is not int or not self.low <= value <= self.high:
            raise UsageError(f"entry: need an integer from {self.low} to {self.high}")
        return value

    def read(self, source: Fields, name: str) -> int:
        """Take the number."""
        return source.integer(name, low=self.low, high=self.high)


@dataclass(frozen=True, slots=True)
class Text:
    """Printable text of 1 (or 0, if `empty`) to `limit` characters, on one line."""

    limit: int
    empty: bool = False

    def write(self, value: object) -> JsonInput:
        """Return the text."""
        if not isinstance(value, str) or not self._fits(value):
            raise UsageError(f"entry: need printable text of at most {self.limit} characters")
        return value

    def read(self, source: Fields, name: str) -> str:
        """Take the text."""
        value = source.text(name, limit=self.limit, empty=self.empty)
        if not self._fits(value):
            raise MalformedError(f"entry: {name} is not printable")
        return value

    def _fits(self, value: str) -> bool:
        # One printable line: an entry shown in a terminal or a CSV cannot forge another one.
        return value.isprintable() and (self.empty or bool(value)) and len(value) <= self.limit


@dataclass(frozen=True, slots=True, init=False)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def __init__(self, *words: str) -> None:
        object.__setattr__(self, "words", words)

    def write(self, value: object) -> JsonInput:
        """Return the word."""
        if not isinstance(value, str) or value not in self.words:
            raise UsageError(f"entry: need one of {', '.join(self.words)}")
        return value

    def read(self, source: Fields, name: str) -> str:
        """Take the word."""
        return source.choice(name, self.words)


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def write(self, value: object) -> JsonInput:
        """Return the boolean."""
        if not isinstance(value, bool):
            raise UsageError("entry: need a boolean")
        return value

    def read(self, source: Fields, name: str) -> bool:
        """Take the boolean."""
        return source.flag(name)


@dataclass(frozen=True, slots=True)
class Digests:
    """Up to `limit` 32-byte digests, in the order given."""

    limit: int

    def write(self, value: object) -> JsonInput:
        """Return an array of hex strings."""
        if not isinstance(value, tuple) or len(value) > self.limit:
            raise UsageError(f"entry: need a tuple of at most {self.limit} digests")
        return [Hex(DIGEST_BYTES).write(item) for item in value]

    def read(self, source: Fields, name: str) -> tuple[bytes, ...]:
        """Take the digests."""
        return source.hexes(name, DIGEST_BYTES, limit=self.limit)


@dataclass(frozen=True, slots=True)
class Words:
    """Up to `limit` short codes, in the order given."""

    limit: int

    def write(self, value: object) -> JsonInput:
        """Return an array of strings."""
        if not isinstance(value, tuple) or len(value) > self.limit:
            raise UsageError(f"entry: need a tuple of at most {self.limit} codes")
        return [Text(MAX_CODE).write(item) for item in value]

    def read(self, source: Fields, name: str) -> tuple[str, ...]:
        """Take the codes."""
        word = Text(MAX_CODE)
        values = source.array(name, limit=self.limit)
        return tuple(word.read(Fields({name: value}, "entry"), name) for value in values)


@dataclass(frozen=True, slots=True)
class Statement:
    """A signed statement: canonical DSSE bytes, nested as an object so that people can read it."""

    def write(self, value: object) -> JsonInput:
        """Return the envelope as an object."""
        if not isinstance(value, bytes):
            raise UsageError("entry: need a signed statement")
        return dsse.parse(value).to_json()

    def read(self, source: Fields, name: str) -> bytes:
        """Take the envelope's exact bytes: canonical, so re-encoding restores them."""
        return dsse.from_json(source.map(name)).encode()


@dataclass(frozen=True, slots=True)
class OptionalStatement:
    """A signed statement, or null."""

    def write(self, value: object) -> JsonInput:
        """Return the envelope as an object, or None."""
        return None if value is None else Statement().write(value)

    def read(self, source: Fields, name: str) -> bytes | None:
        """Take the envelope's exact bytes, or None."""
        value = source.map_or_none(name)
        return None if value is None else dsse.from_json(value).encode()
