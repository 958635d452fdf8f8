"""The rule that every INTENT ends exactly once, checked before anything is written.

`Intents` knows what is open. A batch is checked entry by entry against it and against what the
batch itself opened and closed so far; the changes count only once the batch is durable. The
store's unique keys hold the same rule a second time.

Source: docs/spec/log.md §8.3.
"""

from collections.abc import Collection, Iterable, Mapping

from mifeng.protocol.entries import (
    Completion,
    Entry,
    Late,
    Orphaned,
    Refusal,
    SignedIntent,
    entry_type,
)

from .errors import AuditLogError, IntentClosedError
from .store import Closed, LogStore, OpenIntent, Row


def row_of(entry: Entry, index: int, instance: str) -> Row:
    """Return what stands beside `entry` at `index` when `instance` writes it."""
    match entry:
        case SignedIntent(intent=intent):
            return Row(
                type=entry_type(entry),
                at=intent.issued,
                h=intent.h,
                opens=OpenIntent(index=index, h=intent.h, instance=instance),
                attempt=intent.attempt,
            )
        case Completion() | Refusal() | Orphaned():
            return Row(type=entry.TYPE, at=entry.at, h=entry.h, closes=entry.intent)
        case Late():
            late = (entry.intent, entry.orphaned)
            return Row(type=entry.TYPE, at=entry.at, h=entry.h, late_for=late)
        case _:
            return Row(type=entry.TYPE, at=entry.at)


class Staged:
    """One batch's view: what is open, with the batch's own changes on top."""

    def __init__(
        self,
        store: LogStore,
        opened: Mapping[int, OpenIntent],
        dispatched: Collection[tuple[bytes, int]],
    ) -> None:
        self._store, self._open = store, opened
        self.opened: dict[int, OpenIntent] = {}
        self.closed: dict[int, Closed] = {}
        self._attempts = set(dispatched)

    def add(self, row: Row, index: int) -> None:
        """Check one entry that would stand at `index`, and count it.

        Raises:
            IntentClosedError: it would close an intent that is not open, or of another H.
            AuditLogError: it would dispatch an attempt a second time.
        """
        if row.opens:
            self._add_intent(row.opens, row.attempt)
        elif row.closes is not None:
            self._close(row, row.closes, index)
        elif row.late_for is not None:
            self._late(*row.late_for, index)

    def _add_intent(self, intent: OpenIntent, attempt: int) -> None:
        key = (intent.h, attempt)
        if key in self._attempts:
            raise AuditLogError(f"intent: attempt {attempt} of this request is logged already")
        self._attempts.add(key)
        self.opened[intent.index] = intent

    def _close(self, row: Row, intent: int, index: int) -> None:
        found = self.opened.get(intent) or self._open.get(intent)
        earlier = self.closed.get(intent)
        if found is None or earlier:
            earlier = earlier or self._store.closed(intent)
            raise IntentClosedError(
                f"intent {intent} is not open", closing=earlier.index if earlier else None
            )
        if found.h != row.h:
            raise IntentClosedError(f"intent {intent} is about another request", closing=None)
        self.closed[intent] = Closed(index=index, orphaned=row.type == Orphaned.TYPE, late=None)

    def _late(self, intent: int, orphaned: int, index: int) -> None:
        found = self.closed.get(intent) or self._store.closed(intent)
        if found is None or not found.orphaned or found.late is not None:
            raise IntentClosedError(
                f"intent {intent} was not orphaned, or has its late entry",
                closing=found.index if found else None,
            )
        if found.index != orphaned:
            raise IntentClosedError(f"intent {intent} was orphaned elsewhere", closing=found.index)
        self.closed[intent] = Closed(index=found.index, orphaned=True, late=index)


class Intents:
    """What is open now. Used by the writer thread; `snapshot` by anyone."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._open: dict[int, OpenIntent] = dict(store.open_intents())

    def stage(self, attempts: Collection[tuple[bytes, int]]) -> Staged:
        """Begin checking a batch that would open intents for these (H, attempt)."""
        return Staged(self._store, self._open, self._store.dispatched(attempts))

    def apply(self, staged: Staged) -> None:
        """Count a batch that is durable."""
        self._open.update(staged.opened)
        for intent in staged.closed:
            self._open.pop(intent, None)

    def follow(self, opened: Iterable[OpenIntent], closed: Iterable[int]) -> None:
        """Count what other gateways opened and closed."""
        self._open.update((intent.index, intent) for intent in opened)
        for intent in closed:
            self._open.pop(intent, None)

    def snapshot(self) -> tuple[OpenIntent, ...]:
        """Return every open intent, oldest first."""
        return tuple(self._open[index] for index in sorted(self._open.copy()))
