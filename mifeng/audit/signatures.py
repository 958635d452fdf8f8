"""Check many signatures at once: SM2's in the lanes of the native core, where there are any.

A batch is a list of independent verifications, each with its own verdict; nothing is combined at
random, so a bad signature is named and cannot hide behind a good one.

Source: GB/T 32918.2-2016 §7; docs/spec/crypto.md §4.
"""

from dataclasses import dataclass, field
from typing import Final

from mifeng.crypto.signatures import VerifyKey, failing

_SIZE: Final = 1024


@dataclass(slots=True)
class Batch:
    """Signatures that wait to be checked; `done` says which did not verify."""

    _waiting: list[tuple[VerifyKey, bytes, bytes]] = field(default_factory=list)
    _marks: list[int] = field(default_factory=list)
    _bad: list[int] = field(default_factory=list)
    count: int = 0

    def add(self, key: VerifyKey, signature: bytes, message: bytes, mark: int) -> None:
        """Queue a verification; `mark` is how `done` will call it."""
        self.count += 1
        self._waiting.append((key, signature, message))
        self._marks.append(mark)
        if len(self._waiting) >= _SIZE:
            self._check()

    def done(self) -> list[int]:
        """Check what waits and return the marks of all that failed so far, ascending."""
        self._check()
        return sorted(self._bad)

    def _check(self) -> None:
        self._bad += (self._marks[place] for place in failing(self._waiting))
        self._waiting.clear()
        self._marks.clear()
