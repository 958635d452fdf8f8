"""What the log needs from storage.

One writer thread uses the writing half, inside `turn`; the reading half is for any thread and
sees committed rows only. A store decides nothing: it writes a plan whole or not at all. Where
several gateways share one log, a turn is what keeps their appends, and their guard's moves, one
after the other.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
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

    shared: bool
    """Whether other gateways may append to the same log."""

    def turn(self) -> AbstractContextManager[int | None]:
        """Keep every other writer out until it ends; the writing half is used inside only.

        Yields: the entries that are stored now, or None if nobody else ever writes.

        Raises:
            StoreError: the store cannot be reached, or another writer does not let go.
        """
        ...

    def load(self) -> LogState:
        """Return the state as stored.

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

    def dispatched(self, attempts: Collection[tuple[bytes, int]]) -> set[tuple[bytes, int]]:
        """Return those of the given (H, attempt) that have an INTENT already."""
        ...

    def moves(self, low: int) -> tuple[list[OpenIntent], list[int]]:
        """Return the intents from entry `low` on that are open, and those closed since."""
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

    def of_type(self, entry_type: str) -> list[int]:
        """Return the indexes of entries of a type that is not about a request, ascending."""
        ...

    def latest(self, entry_type: str) -> int | None:
        """Return the index of the newest entry of a rare type (not of requests)."""
        ...

    def blobs(self, after: int) -> list[tuple[int, bytes]]:
        """Return (number, SM3) of some blobs with numbers above `after`, in the order stored."""
        ...

    def renew(self, instance: str, lease_s: int) -> None:
        """Say that a gateway lives, for so many seconds by the store's clock; 0 takes it back."""
        ...

    def living(self) -> frozenset[str]:
        """Return the gateways whose lease has not run out; empty if only one ever writes."""
        ...

    def may_publish(self) -> bool:
        """Whether this process is the one that publishes, trying to become it."""
        ...

    def close(self) -> None:
        """Release everything."""
        ...
