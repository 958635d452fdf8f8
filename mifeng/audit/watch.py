"""Follow a live log as a monitor: every checkpoint must extend the last, every entry must add up.

A round asks for the newest checkpoint, proves that it extends the one remembered, then reads each
new entry under it. What cannot be of one history is kept as a file that convicts. The monitor
remembers one checkpoint over restarts, open intents and chain ends in memory; it holds no keys.

What only a whole log shows (appraisals, retries, everything before it began) is `verify`'s, and so
are nodes' signatures: their keys are in documents beside the log.

Source: docs/spec/log.md §5.4, §7, §8; docs/auditing.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from mifeng.crypto import sm3
from mifeng.errors import (
    MalformedError,
    MifengError,
    PeerError,
    RefusedError,
    TransportError,
)
from mifeng.protocol import checkpoint, dsse, entries, merkle, promise
from mifeng.protocol.checkpoint import LogPin, SignedCheckpoint
from mifeng.protocol.entries import SignedIntent
from mifeng.protocol.keyset import verify_keys
from mifeng.protocol.proof import ConsistencyProof, InclusionProof, verify_included
from mifeng.protocol.receipt import (
    RECEIPT_TYPE,
    TALLY_TYPE,
    Receipt,
    Tally,
    first_prev,
    link,
)

from .findings import Finding, Findings
from .rules import GRACE_S

MAX_ENTRIES: Final = 4096
"""Entries read in one round; the next one goes on."""


class Log(Protocol):
    """A live log, as a client's transport reaches it."""

    async def checkpoint(self) -> bytes:
        """Return the newest checkpoint note."""
        ...

    async def proof(self, index: int) -> tuple[bytes, InclusionProof]:
        """Return an entry and its inclusion proof."""
        ...

    async def consistency(self, old: int, new: int) -> ConsistencyProof:
        """Return the proof between two sizes."""
        ...


@dataclass(slots=True)
class _Chain:
    """A node's receipts, as far as they follow each other without a gap."""

    next_seq: int
    head: bytes
    waiting: dict[int, tuple[bytes, bytes, int]] = field(default_factory=dict)
    """Receipts after a gap: seq → prev, own digest, entry."""
    tallies: list[tuple[int, bytes, int, int]] = field(default_factory=list)
    """Not yet reached: count, head, time, entry."""


class Follower:
    """What must add up while a log goes by. Pure: entries in, findings out."""

    def __init__(self) -> None:
        self._found = Findings()
        self._open: dict[int, tuple[bytes, int]] = {}
        self._orphaned: dict[int, int] = {}
        self._chains: dict[bytes, _Chain] = {}
        self._start: int | None = None
        self.last_at = 0

    def take(self) -> tuple[Finding, ...]:
        """Return what was found since this was last asked."""
        found, self._found = self._found, Findings()
        return found.all()

    def entry(self, index: int, data: bytes) -> None:
        """Take the next entry."""
        if self._start is None:
            self._start = index
        try:
            entry = entries.decode(data)
            at = entry.intent.issued if isinstance(entry, SignedIntent) else entry.at
            self.last_at = max(self.last_at, at)
            self._follow(index, entry)
        except MalformedError as exc:
            self._found.error("watch.entry", index, why=str(exc)[:80])

    def _follow(self, index: int, entry: entries.Entry) -> None:
        match entry:
            case SignedIntent():
                if entry.intent.index != index:
                    self._found.error("intent.elsewhere", index)
                self._open[index] = (entry.intent.h, entry.intent.deadline)
            case entries.Completion():
                self._close(index, entry)
                self._receipt(index, entry.receipt)
            case entries.Refusal():
                self._close(index, entry)
            case entries.Orphaned():
                self._close(index, entry)
                self._orphaned[index] = entry.intent
                self._found.warning("intent.orphaned", index, subject=entry.reason)
            case entries.Late():
                if self._orphaned.pop(entry.orphaned, entry.intent) != entry.intent:
                    self._found.error("late.unfounded", index)
                self._receipt(index, entry.receipt)
            case entries.KeysetLogged():
                self._chains.setdefault(entry.keyset, _Chain(0, first_prev(entry.keyset)))
            case entries.Tally():
                self._tally(index, entry)
            case _:
                return

    def _close(self, index: int, entry: entries.Closing) -> None:
        known = self._open.pop(entry.intent, None)
        if known is None and self._start is not None and entry.intent >= self._start:
            self._found.error("end.twice" if entry.intent < index else "end.no-intent", index)
        elif known is not None and known[0] != entry.h:
            self._found.error("end.other-request", index)

    def _receipt(self, index: int, statement: bytes) -> None:
        envelope = dsse.parse(statement)
        if envelope.payload_type != RECEIPT_TYPE:
            self._found.error("receipt.type", index)
            return
        payload = envelope.payload
        made = Receipt.decode(payload)
        chain = self._chains.get(made.keyset)
        if chain is None:
            return  # its keyset came before this monitor began
        if made.seq < chain.next_seq or made.seq in chain.waiting:
            self._found.error("execution.forked", index, subject=made.keyset.hex())
            return
        chain.waiting[made.seq] = (made.prev, link(payload), index)
        self._advance(made.keyset, chain)

    def _tally(self, index: int, entry: entries.Tally) -> None:
        envelope = dsse.parse(entry.statement)
        if envelope.payload_type != TALLY_TYPE:
            self._found.error("tally.statement", index)
            return
        said = Tally.decode(envelope.payload)
        chain = self._chains.get(said.keyset)
        if chain is None:
            return
        if said.count == chain.next_seq:
            if said.head != chain.head:
                self._found.error("execution.forked", index, subject=said.keyset.hex())
        elif said.count > chain.next_seq:
            chain.tallies.append((said.count, said.head, said.at, index))

    def _advance(self, keyset: bytes, chain: _Chain) -> None:
        while (link := chain.waiting.pop(chain.next_seq, None)) is not None:
            prev, digest, index = link
            if prev != chain.head:
                self._found.error("execution.forked", index, subject=keyset.hex())
            chain.next_seq, chain.head = chain.next_seq + 1, digest
            for each in [t for t in chain.tallies if t[0] == chain.next_seq]:
                chain.tallies.remove(each)
                if each[1] != chain.head:
                    self._found.error("execution.forked", each[3], subject=keyset.hex())

    def overdue(self) -> None:
        """Report what should have come by the log's own latest time."""
        for index, (_, deadline) in list(self._open.items()):
            if deadline + GRACE_S < self.last_at:
                self._found.error("intent.unclosed", index)
                del self._open[index]
        for keyset, chain in self._chains.items():
            late = [t for t in chain.tallies if t[2] + GRACE_S < self.last_at]
            for count, _, _, index in late:
                self._found.error("execution.unlogged", index, subject=keyset.hex(), tally=count)
            chain.tallies = [t for t in chain.tallies if t not in late]


@dataclass(slots=True, kw_only=True)
class Monitor:
    """Watches one log. `round` is called again and again; it never raises for what it finds."""

    log: Log
    pin: LogPin
    memory: Path | None
    """Folder of the newest checkpoint and of evidence; None to remember nothing."""
    stale_s: int
    promises: Sequence[bytes] = ()
    latest: SignedCheckpoint | None = None
    read_to: int = 0
    """Entries below this were read, or lie before this monitor began."""
    changed_at: int = 0
    _follower: Follower = field(default_factory=Follower)
    _found: Findings = field(default_factory=Findings)
    _told: set[tuple[str, str, tuple[int, ...]]] = field(default_factory=set)

    def recall(self) -> None:
        """Take up what an earlier run remembered."""
        path = self._path("checkpoint")
        if path is not None and path.exists():
            self.latest = checkpoint.verify(path.read_bytes(), self.pin)
            self.read_to = self.latest.checkpoint.size

    async def begin_here(self) -> None:
        """Begin at the log's present end instead of at entry 0, if it can be reached."""
        try:
            head = checkpoint.verify(await self.log.checkpoint(), self.pin).checkpoint
        except MifengError:  # the round says what is wrong
            return
        self.read_to = head.size

    async def round(self, now: int) -> tuple[Finding, ...]:
        """Look once; returns what was found that was not told before."""
        self.changed_at = self.changed_at or now
        self._found = Findings()
        try:
            if await self._head(now):
                await self._entries()
                await self._promises(now)
        except TransportError as exc:
            self._found.warning("watch.unreachable", why=str(exc)[:80])
        except RefusedError as exc:
            self._found.warning("watch.unreachable", why=exc.code)
        if now - self.changed_at > self.stale_s:
            self._found.error("watch.stale", seconds=now - self.changed_at)
        return self._news(self._found.all())

    def _news(self, found: Iterable[Finding]) -> tuple[Finding, ...]:
        """Tell a fault when it begins; one that went away and came back is told again."""
        now = {(f.code, f.subject, f.indexes): f for f in found}
        fresh = tuple(f for key, f in now.items() if key not in self._told)
        lasting = {key for key in self._told if not key[0].startswith("watch.")}
        self._told = lasting | now.keys()
        return fresh

    async def _head(self, now: int) -> bool:
        """Take the newest checkpoint if it extends the one before; returns whether one is held."""
        raw = await self.log.checkpoint()
        try:
            offered = checkpoint.verify(raw, self.pin)
        except PeerError as exc:
            self._found.error("watch.unsigned", why=str(exc)[:80])
            return False
        if len(offered.cosigned) < self.pin.quorum:
            self._found.error("watch.unwitnessed", size=offered.checkpoint.size)
        before = self.latest
        if before is not None and not await self._extends(before, offered):
            return False
        if before is None or offered.checkpoint.size > before.checkpoint.size:
            self.changed_at = now
        self.latest = offered
        if (path := self._path("checkpoint")) is not None:
            new = path.with_suffix(".new")
            new.write_bytes(offered.note)
            new.replace(path)
        return True

    async def _extends(self, before: SignedCheckpoint, offered: SignedCheckpoint) -> bool:
        a, b = before.checkpoint, offered.checkpoint
        if b.size < a.size:
            # An older note may come from a cache; it convicts only if it is of another history.
            forked = not await self._holds(offered, before)
            code = "watch.forked" if forked else "watch.rolled-back"
            self._found.error(code, had=a.size, has=b.size)
            self._keep(before.note, offered.note)
            return False
        if not await self._holds(before, offered):
            self._found.error("watch.forked", had=a.size, has=b.size)
            self._keep(before.note, offered.note)
            return False
        return True

    async def _holds(self, old: SignedCheckpoint, new: SignedCheckpoint) -> bool:
        """Whether the log proves that `new` extends `old`."""
        a, b = old.checkpoint, new.checkpoint
        path: tuple[merkle.Digest, ...] = ()
        if 0 < a.size < b.size:
            try:
                path = (await self.log.consistency(a.size, b.size)).path
            except RefusedError as exc:
                if exc.code != "log.not_found":
                    raise
                return False  # it signed both, and cannot join them
        try:
            checkpoint.check_consistent(self.pin.world, old, new, path)
        except PeerError:
            return False
        return True

    async def _entries(self) -> None:
        if self.latest is None:
            return
        follower = self._follower
        size = self.latest.checkpoint.size
        for index in range(self.read_to, min(size, self.read_to + MAX_ENTRIES)):
            data = await self._entry(index)
            if data is not None:
                follower.entry(index, data)
            self.read_to = index + 1
        follower.overdue()
        self._found.extend(follower.take())

    async def _entry(self, index: int) -> bytes | None:
        """Return an entry that is proved under a checkpoint which extends ours."""
        try:
            data, proof = await self.log.proof(index)
            signed = verify_included(proof, self.pin.world.leaf_hash(data), self.pin)
            if self.latest is not None and signed.checkpoint != self.latest.checkpoint:
                if signed.checkpoint.size <= self.latest.checkpoint.size:
                    good = await self._holds(signed, self.latest)
                else:
                    good = await self._holds(self.latest, signed)
                if not good:
                    self._found.error("watch.forked", index)
                    self._keep(self.latest.note, signed.note)
                    return None
        except (TransportError, RefusedError):
            raise
        except MifengError as exc:
            self._found.error("watch.entry", index, why=str(exc)[:80])
            return None
        return data

    async def _promises(self, now: int) -> None:
        for number, data in enumerate(self.promises, 1):
            name = f"promise {number}"
            made = promise.Promise.decode(data)
            try:
                promise.verify(
                    data,
                    origin=self.pin.origin,
                    leaf=made.leaf,
                    keys=verify_keys(self.pin),
                    now=made.issued,
                )
            except PeerError as exc:
                self._found.error("promise.invalid", subject=name, why=str(exc)[:80])
                continue
            size = self.latest.checkpoint.size if self.latest else 0
            if made.index >= size:
                if now > made.merge_by + GRACE_S:
                    self._found.error("promise.broken", made.index, subject=name)
                continue
            entry = await self._entry(made.index)
            if entry is not None and self.pin.world.leaf_hash(entry) != made.leaf:
                self._found.error("promise.broken", made.index, subject=name)

    def _path(self, name: str) -> Path | None:
        return None if self.memory is None else self.memory / name

    def _keep(self, *notes: bytes) -> None:
        """Keep two signed notes of no one history: they convict, whoever verifies them."""
        for data in notes:
            if (path := self._path(f"evidence-{sm3(data).hex()[:32]}.note")) is not None:
                path.write_bytes(data)
