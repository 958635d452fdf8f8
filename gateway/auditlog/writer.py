"""Carry appends out: one thread, everything that waits goes into one transaction.

Order within a group: build and hash, commit, move the guard, then tell. If commit or guard fail,
nobody is told success and the log stops; before the next group it reads the store again, asks
the guard, and adopts what had persisted. INTENTs adopted that way were never dispatched, and are
refused in the log before anything else is written.

Source: docs/spec/log.md §9, §10.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mifeng.errors import MalformedError, MifengError, UsageError
from mifeng.protocol.entries import decode
from mifeng.protocol.merkle import Digest

from . import failpoints
from .errors import LogRefusedError, LogUnavailableError
from .failpoints import Failpoints
from .guard import Guard, Mark
from .hashes import Hashes
from .intents import Intents, Staged
from .sequencer import AppendPlan, LogState, plan_append
from .store import LogStore, OpenIntent, Row, StoreError
from .tiles import MAX_BUNDLED

MAX_GROUP: Final = 4096
MAX_WAITING: Final = 65_536


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry that is durable."""

    index: int
    entry: bytes
    leaf: Digest
    """Its SM3 leaf hash."""


Build = Callable[[int], tuple[bytes, Row]]
"""Makes an entry for the index it will stand at. Runs in the writer thread."""


@dataclass(slots=True, eq=False)
class Draft:
    """An entry, or blobs, that wait to be written."""

    build: Build | None
    blobs: Mapping[bytes, bytes] = field(default_factory=dict)
    attempt: tuple[bytes, int] | None = None
    """H and number of the attempt, if it is an INTENT."""
    done: Callable[["Appended | Exception | None"], None] = lambda _: None
    """Told the outcome in whatever thread `deliver` chooses."""


Outcome = tuple[Draft, Appended | Exception | None]


class Writer:
    """Owns the store's writing half and the guard."""

    def __init__(
        self,
        store: LogStore,
        guard: Guard,
        *,
        instance: str,
        hashes: Hashes,
        twin_hashes: Hashes,
        refuse: Callable[[OpenIntent], Build],
        deliver: Callable[[Sequence[Outcome]], None],
        points: Failpoints,
    ) -> None:
        """Open the log and check it against the guard; no thread yet.

        Args:
            store: locked, not loaded.
            guard: open.
            instance: this gateway; intents of others are theirs to close.
            hashes: cache of the SM3 tree.
            twin_hashes: cache of the SHA-256 twin.
            refuse: makes the REFUSAL of an intent that was logged and never dispatched.
            deliver: passes outcomes to the drafts' owners; called in the writer's thread.
            points: told at each step.

        Raises:
            LogRefusedError: store and guard disagree.
            LogUnavailableError: the store cannot be read.
        """
        self._store, self._guard, self._points = store, guard, points
        self._instance = instance
        self._hashes, self._twin_hashes = hashes, twin_hashes
        self._refuse, self._deliver = refuse, deliver
        self._waiting: deque[Draft] = deque()
        self._wake = threading.Condition()
        self._stopping = self._suspect = self._released = False
        self._thread: threading.Thread | None = None
        try:
            with store.turn():
                self.state = self._adopt()
                self._told = self.state.size
                self.intents = Intents(store)
        except (StoreError, OSError) as exc:
            raise LogUnavailableError(f"log: {exc}") from exc

    def start(self) -> None:
        """Begin writing."""
        self._thread = threading.Thread(target=self._run, name="auditlog-writer", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the last group was written; if not, the next one tries again."""
        return not self._suspect

    def submit(self, draft: Draft) -> None:
        """Queue a draft; its outcome is delivered later.

        Raises:
            LogUnavailableError: too many wait, or the log is closing.
        """
        with self._wake:
            if self._stopping or len(self._waiting) >= MAX_WAITING:
                raise LogUnavailableError("log: closing, or too many entries wait")
            self._waiting.append(draft)
            self._wake.notify()

    def stop(self) -> None:
        """Write what waits, then end the thread. Once."""
        with self._wake:
            if self._stopping:
                return
            self._stopping = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def release(self) -> None:
        """Release store and guard, after `stop`. Once."""
        if not self._released:
            self._released = True
            self._store.close()
            self._guard.close()

    def _run(self) -> None:
        while group := self._take():
            try:
                self._deliver(self._write(group))
                self._points.reach(failpoints.ACKNOWLEDGED)
            except Exception as exc:  # noqa: BLE001 -- edge of the thread: nobody may wait forever
                self._suspect = True
                failure = LogUnavailableError(f"log: {type(exc).__name__}")
                failure.__cause__ = exc
                self._deliver([(draft, failure) for draft in group])

    def _take(self) -> list[Draft]:
        with self._wake:
            while not self._waiting and not self._stopping:
                self._wake.wait()
            count = min(len(self._waiting), MAX_GROUP)
            return [self._waiting.popleft() for _ in range(count)]

    def _write(self, group: list[Draft]) -> list[Outcome]:
        try:
            with self._store.turn() as stored:
                if self._suspect:
                    group = [*self._recover(), *group]
                elif stored is not None:
                    self._follow(stored)
                staged, made, outcomes = self._stage(group)
                if not made:
                    return outcomes
                plan = plan_append(self.state, [entry for draft, entry, _ in made if draft.build])
                self._points.reach(failpoints.PLANNED)
                self._commit(plan, made)
        except (StoreError, OSError, LogRefusedError) as exc:
            self._suspect = True
            failure = LogUnavailableError(f"log: {exc}")
            failure.__cause__ = exc
            return [(draft, failure) for draft in group]
        self._told = plan.after.size
        self.intents.apply(staged)
        self._remember(plan)
        written = zip(plan.entries, plan.tree.leaves, strict=True)
        index = plan.replaces.size
        for draft, _, _ in made:
            if draft.build is None:
                outcomes.append((draft, None))
                continue
            outcomes.append((draft, Appended(index, *next(written))))
            index += 1
        return outcomes

    def _stage(
        self, group: Sequence[Draft]
    ) -> tuple[Staged, list[tuple[Draft, bytes, Row | None]], list[Outcome]]:
        """Build the entries in order; a draft that fails takes no index and harms no other."""
        staged = self.intents.stage([draft.attempt for draft in group if draft.attempt])
        made: list[tuple[Draft, bytes, Row | None]] = []
        refused: list[Outcome] = []
        index = self.state.size
        for draft in group:
            if draft.build is None:
                made.append((draft, b"", None))
                continue
            try:
                entry, row = draft.build(index)
                if len(entry) > MAX_BUNDLED:
                    raise UsageError(f"entry of {len(entry)} bytes, limit {MAX_BUNDLED}")
                staged.add(row, index)
            except MifengError as exc:
                refused.append((draft, exc))
                continue
            made.append((draft, entry, row))
            index += 1
        return staged, made, refused

    def _commit(self, plan: AppendPlan, made: Sequence[tuple[Draft, bytes, Row | None]]) -> None:
        rows = [row for _, _, row in made if row]
        blobs = {digest: data for draft, _, _ in made for digest, data in draft.blobs.items()}
        self._store.commit(plan, rows, blobs)
        if plan.entries:
            self._guard.swap(_mark(plan.replaces), _mark(plan.after))
        self._points.reach(failpoints.GUARDED)

    def _remember(self, plan: AppendPlan) -> None:
        self._hashes.grown(plan.tree)
        if plan.twin:
            self._twin_hashes.grown(plan.twin)
        self.state = plan.after

    def _follow(self, stored: int) -> None:
        """Take in what other gateways appended since our last turn, all of it hashed again."""
        known = self.state
        if stored < known.size:
            raise LogRefusedError(f"log shrank from {known.size} to {stored}: rolled back")
        while self.state.size < stored:
            low = self.state.size
            entries = self._store.entries(low, min(stored, low + MAX_GROUP))
            if not entries:
                raise LogRefusedError(f"log: entry {low} is missing")
            self._remember(plan_append(self.state, entries))
        if stored > known.size:
            self.intents.follow(*self._store.moves(known.size))
        self._hold_against_guard(self.state, self._hashes)

    def _adopt(self) -> LogState:
        """Read the store, hold it against the guard, and move the guard to what a crash left."""
        state = self._store.load()
        self._hold_against_guard(state, Hashes(self._store, state.tree.world))
        return state

    def _hold_against_guard(self, state: LogState, hashes: Hashes) -> None:
        mark = self._guard.read()
        if mark == _mark(state):
            return
        if mark.size > state.size:
            raise LogRefusedError(
                f"log has {state.size} entries, its guard has seen {mark.size}: rolled back"
            )
        if hashes.root(state.tree, mark.size) != mark.root:
            raise LogRefusedError(f"log is not the one its guard has seen at {mark.size}")
        self._check_tail(mark.size, state.size)
        self._guard.swap(mark, _mark(state))

    def _check_tail(self, low: int, high: int) -> None:
        """Refuse a tail that this log cannot have written: its entries would not even parse."""
        try:
            for entry in self._store.entries(low, high):
                decode(entry)
        except MalformedError as exc:
            raise LogRefusedError(f"log: not all of entries {low} to {high} are entries") from exc

    def _recover(self) -> list[Draft]:
        state = self._adopt()
        if state.size < self.state.size:
            raise LogRefusedError(f"log shrank from {self.state.size} to {state.size}")
        before = Hashes(self._store, state.tree.world).root(state.tree, self.state.size)
        if before != self.state.tree.checkpoint.root:
            raise LogRefusedError(f"log is not the one this gateway knew at {self.state.size}")
        self.intents = Intents(self._store)
        self.state, self._suspect = state, False
        return [
            Draft(self._refuse(intent))
            for intent in self.intents.snapshot()
            if intent.index >= self._told and intent.instance == self._instance
        ]


def _mark(state: LogState) -> Mark:
    return Mark(size=state.size, root=state.tree.checkpoint.root)
