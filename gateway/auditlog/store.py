"""What the log needs from storage.

One writer thread uses the writing half; the reading half is for any thread and sees committed
rows only. A store decides nothing: it writes a plan whole or not at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .sequencer import AppendPlan, LogState


class StoreError(Exception):
    """The store could not do it. After a failed `commit`, whether it persisted is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIntent:
    """An INTENT that nothing has closed yet."""

    index: int
    h: bytes
    instance: str
    """The gateway process that dispatched it and must close it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """How an intent ended."""

    index: int
    """The closing entry."""
    orphaned: bool
    late: int | None
    """The LATE entry that corrected an ORPHANED, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What stands beside an entry's bytes, so that it is found again."""

    type: str
    at: int
    h: bytes | None = None
    """Set for entries about one request."""
    opens: OpenIntent | None = None
    attempt: int = 0
    closes: int | None = None
    """Index of the INTENT that this entry ends."""
    late_for: tuple[int, int] | None = None
    """Indexes of the INTENT and the ORPHANED entry that a LATE corrects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Where one request stands in the log."""

    intents: tuple[int, ...]
    closings: tuple[int, ...]
    corrections: tuple[int, ...]


class LogStore(Protocol):
    """Durable home of one log.

    The store is trusted for consistency: whoever can rewrite it can make this log sign two
    histories. The guard notices a roll-back, witnesses a fork.
    """

    def load(self) -> LogState:
        """Return the state as stored, after (re)connecting.

        Raises:
            StoreError: it cannot be read.
            LogRefusedError: it is not this log, or contradicts itself.
        """
        ...

    def open_intents(self) -> Mapping[int, OpenIntent]:
        """Return every INTENT that nothing has closed, by index."""
        ...

    def closed(self, intent: int) -> Closed | None:
        """Return how an intent ended, or None if it is open or unknown."""
        ...

    def dispatched(self, h: bytes, attempt: int) -> bool:
        """Whether there is an INTENT for this request and attempt already."""
        ...

    def commit(self, plan: AppendPlan, rows: Sequence[Row], blobs: Mapping[bytes, bytes]) -> None:
        """Write entries, rows, tiles and blobs durably, in one transaction.

        Raises:
            StoreError: whether anything persisted is unknown; `load` tells.
        """
        ...

    def entry(self, index: int) -> bytes | None:
        """Return an entry's bytes."""
        ...

    def entries(self, low: int, high: int) -> list[bytes]:
        """Return entries [low, high), as many of them as exist."""
        ...

    def tile(self, world: str, level: int, index: int) -> bytes | None:
        """Return a finished tile: 256 hashes."""
        ...

    def blob(self, digest: bytes) -> bytes | None:
        """Return a blob by its SM3."""
        ...

    def trace(self, h: bytes) -> Trace:
        """Return where a request stands in the log."""
        ...

    def latest(self, entry_type: str) -> int | None:
        """Return the index of the newest entry of a rare type (not of requests)."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...
