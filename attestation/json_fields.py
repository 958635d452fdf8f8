"""Read typed members out of parsed JSON; what is missing or mistyped is malformed, by name."""

import re
from calendar import monthrange, timegm
from dataclasses import dataclass
from typing import Final

from .errors import EvidenceMalformedError, malformed

_UTC: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)Z", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)
_MAX_NUMBER: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Fields:
    """One JSON object, and how to name it when it falls short."""

    table: dict[str, object]
    what: str
    code: str

    @classmethod
    def of(cls, value: object, *, what: str, code: str) -> "Fields":
        """Return the members of `value`, which must be an object."""
        if not isinstance(value, dict):
            raise malformed(f"{code}.field", what, "an object", type(value).__name__)
        return cls(value, what, code)

    def has(self, name: str) -> bool:
        """Whether there is such a member."""
        return name in self.table

    def text(self, name: str) -> str:
        """Return a string member."""
        value = self.table.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        return value

    def number(self, name: str, *, most: int = _MAX_NUMBER) -> int:
        """Return an integer member, 0 … `most`."""
        value = self.table.get(name)
        if type(value) is not int or not 0 <= value <= most:
            raise self._wrong(name, f"a number 0 … {most}")
        return value

    def hex(self, name: str, size: int) -> bytes:
        """Return a member of hex text that says exactly `size` bytes."""
        value = self.text(name)
        if not _HEX.fullmatch(value) or len(value) != 2 * size:
            raise self._wrong(name, f"{size} bytes in hex")
        return bytes.fromhex(value)

    def utc(self, name: str) -> int:
        """Return a member `YYYY-MM-DDThh:mm:ssZ` as Unix seconds."""
        match = _UTC.fullmatch(self.text(name))
        if match is None:
            raise self._wrong(name, "YYYY-MM-DDThh:mm:ssZ")
        year, month, day, hour, minute, second = map(int, match.groups())
        valid = (
            year >= 1970  # noqa: PLR2004 - Unix time
            and 1 <= month <= 12  # noqa: PLR2004
            and 1 <= day <= monthrange(year, month)[1]
            and hour <= 23  # noqa: PLR2004
            and minute <= 59  # noqa: PLR2004
            and second <= 59  # noqa: PLR2004
        )
        if not valid:
            raise self._wrong(name, "a time that exists")
        return timegm((year, month, day, hour, minute, second))

    def member(self, name: str) -> "Fields":
        """Return a member that is an object."""
        return Fields.of(self.table.get(name), what=f"{self.what}.{name}", code=self.code)

    def objects(self, name: str) -> tuple["Fields", ...]:
        """Return a member that is a list of objects."""
        what = f"{self.what}.{name}"
        return tuple(Fields.of(each, what=what, code=self.code) for each in self._list(name))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a member that is a list of strings; none if it is absent."""
        if name not in self.table:
            return ()
        values = self._list(name)
        if not all(isinstance(each, str) for each in values):
            raise self._wrong(name, "a list of text")
        return tuple(map(str, values))

    def _list(self, name: str) -> list[object]:
        value = self.table.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return value

    def _wrong(self, name: str, required: str) -> EvidenceMalformedError:
        found = repr(self.table[name])[:80] if name in self.table else "absent"
        return malformed(f"{self.code}.field", f"{self.what}.{name}", required, found)
