"""The audit log as the gateway uses it: append, then act.

What a method returns is durable. If the log is down it raises `LogUnavailableError`, and the
gateway dispatches and releases nothing. Entries are written by one thread in groups (`writer`);
checkpoints are published by a task; proofs are made from memory or the store.

Source: docs/spec/log.md.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Self

from gateway import events
from gateway.witnesses import Witnesses, WitnessesConfig
from mifeng.crypto import sm3
from mifeng.errors import UsageError
from mifeng.protocol import entries, freshness, promise
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.entries import Entry, Intent, SignedIntent
from mifeng.protocol.merkle import SHA256, SM3, Digest
from mifeng.protocol.note import Ed25519NoteSigner, Sm2NoteSigner

from . import keylog
from .config import LogConfig, open_guard, open_store, open_target
from .errors import (
    AuditLogError,
    IntentClosedError,
    LogRefusedError,
    LogUnavailableError,
    LogUnwitnessedError,
)
from .failpoints import UNARMED, Failpoints
from .guard import Guard
from .hashes import Hashes
from .intents import row_of
from .keys import LogKeys
from .publisher import TWIN_PREFIX, Publisher
from .reading import LogReader
from .showing import Showing
from .store import LogStore, OpenIntent, Row, StoreError
from .submissions import Submissions
from .views import Published, TreeView
from .writer import Appended, Build, Draft, Writer

MAX_BLOB: Final = 4 << 20
COVER_S: Final = 60.0
RESTARTED: Final = "gateway.restart"
ABANDONED: Final = "gateway.abandoned"
UNACKNOWLEDGED: Final = "gateway.log-unavailable"


class _KeyChangedError(AuditLogError):
    """The KEY entry that a new one was to follow is not the last one any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An entry that is durable, and the log's promise to keep it."""

    index: int
    entry: bytes
    leaf: Digest
    issued: int
    """Unix seconds at which it was durable."""
    promise: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """A durable INTENT: the gateway may now send the request to the node."""

    index: int
    statement: bytes
    """What the node gets: the entry's exact bytes."""
    intent: Intent


class AuditLog(LogReader):
    """One open log. Made by `open`; all methods belong to one event loop."""

    def __init__(
        self,
        config: LogConfig,
        keys: LogKeys,
        store: LogStore,
        guard: Guard,
        *,
        clock: Callable[[], int],
        points: Failpoints,
        witnesses: WitnessesConfig | None,
    ) -> None:
        if (keys.twin is None) is config.twin:
            raise UsageError("log: a twin needs an Ed25519 key, and only a twin does")
        self._config, self._keys, self._clock = config, keys, clock
        self._waiting = Submissions(asyncio.get_running_loop())
        hashes, twin_hashes = Hashes(store, SM3), Hashes(store, SHA256)
        self._writer = Writer(
            store,
            guard,
            instance=config.instance,
            hashes=hashes,
            twin_hashes=twin_hashes,
            refuse=self._refuse_unacknowledged,
            deliver=self._waiting.deliver,
            points=points,
        )
        self._waiting.to(self._writer)
        state = self._writer.state
        if (state.twin is None) is config.twin:
            raise LogRefusedError("log: configured twin differs from the stored one")
        tree = TreeView(hashes, self._signers(), state.tree, points)
        twin = None
        if state.twin and keys.twin:
            signer = Ed25519NoteSigner(state.twin.origin, keys.twin)
            twin = TreeView(twin_hashes, [signer], state.twin, points)
        super().__init__(store, tree, twin)
        self.showing = Showing(
            state=lambda: self._writer.state,
            follow=self.probe,
            tree=tree,
            twin=twin,
            witnesses=Witnesses.of(witnesses) if witnesses else None,
            twin_witnesses=Witnesses.of_twin(witnesses) if witnesses else None,
            patience_s=witnesses.patience_s if witnesses else 0.0,
            points=points,
        )
        views = {"": tree, TWIN_PREFIX: twin} if twin else {"": tree}
        target = open_target(config)
        self._publisher = Publisher(target, store, views) if target else None
        self.unpublished: Exception | None = None
        """Why the last attempt to publish to the target failed, if it did."""
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    def _signers(self) -> list[Sm2NoteSigner]:
        keys = (self._keys.signer, self._keys.previous)
        return [Sm2NoteSigner(self._config.origin, key) for key in keys if key]

    @classmethod
    async def open(
        cls,
        config: LogConfig,
        keys: LogKeys,
        *,
        clock: Callable[[], int] = lambda: int(time.time()),
        points: Failpoints = UNARMED,
        witnesses: WitnessesConfig | None = None,
    ) -> Self:
        """Open an existing log, close what an earlier process left open, begin publishing.

        Args:
            config: where it lives.
            keys: what signs; must be the keys its last KEY entry names.
            clock: Unix seconds.
            points: for crash tests.
            witnesses: whose cosignatures a checkpoint needs before it is shown.

        Raises:
            LogLockedError: another process has it.
            LogRefusedError: rolled back, forked, of another origin, or of another key.
            LogUnavailableError: it cannot be read or written.
        """
        store = await asyncio.to_thread(open_store, config, points=points)
        try:
            guard = await asyncio.to_thread(open_guard, config, points=points)
        except BaseException:
            store.close()
            raise
        try:
            log = cls(config, keys, store, guard, clock=clock, points=points, witnesses=witnesses)
        except BaseException:
            guard.close()
            store.close()
            raise
        log._writer.start()
        try:
            await log._begin()
        except BaseException:
            await log.close()
            raise
        return log

    async def _begin(self) -> None:
        await asyncio.to_thread(self._store.renew, self._config.instance, self._config.lease_s)
        await self._log_key()
        await self.orphan_dangling()
        await self.showing.once()
        self._tasks = [
            asyncio.create_task(self._hold_lease_forever(), name="auditlog-lease"),
            asyncio.create_task(self._publish_forever(), name="auditlog-publish"),
            asyncio.create_task(self._beat_forever(), name="auditlog-heartbeat"),
        ]

    async def close(self) -> None:
        """Write what waits, publish it, and release the log."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._writer.stop)
        await self.showing.once()
        if not self._closed:
            self._closed = True
            await self.showing.close()
            await self._publish_to_target()
            with suppress(StoreError):  # the lease runs out by itself
                await asyncio.to_thread(self._store.renew, self._config.instance, 0)
            await asyncio.to_thread(self._writer.release)

    # -- appending ---------------------------------------------------------------------------

    async def append(self, entry: Entry) -> Recorded:
        """Append an entry; it is durable when this returns.

        Raises:
            LogUnavailableError: not acknowledged; act as if it is not in the log.
            IntentClosedError: it would end an intent that is not open.
        """
        if isinstance(entry, SignedIntent):
            raise UsageError("log: intents are made by `intent`, which knows their index")

        def build(index: int) -> tuple[bytes, Row]:
            return entry.encode(), row_of(entry, index, self._config.instance)

        return self._record(await self._waiting.entry(Draft(build)))

    async def intent(
        self, *, h: bytes, keyset: bytes, tenant: str, deadline: int, attempt: int = 1
    ) -> Dispatch:
        """Append an INTENT. Only what this returned may be dispatched.

        Args:
            h: digest of the request header, 32 bytes.
            keyset: digest of the recipient's keyset, 32 bytes.
            tenant: who asks.
            deadline: Unix seconds, from the header.
            attempt: 1, or more after a signed NOT_CLAIMED.

        Raises:
            LogUnavailableError: dispatch nothing.
            LogUnwitnessedError: nor this: the log's witnesses have been missing for too long.
            AuditLogError: this attempt of this request is logged already.
        """
        self.showing.check()
        made: list[SignedIntent] = []

        def build(index: int) -> tuple[bytes, Row]:
            intent = Intent(
                origin=self._config.origin,
                index=index,
                h=h,
                keyset=keyset,
                attempt=attempt,
                tenant=tenant,
                issued=self._clock(),
                deadline=deadline,
            )
            entry = SignedIntent(intent=intent, statement=intent.sign(self._keys.signer))
            made.append(entry)
            return entry.statement, row_of(entry, index, self._config.instance)

        appended = await self._waiting.entry(
            Draft(build, attempt=(h, attempt)), abandoned=self._refuse_abandoned
        )
        return Dispatch(index=appended.index, statement=appended.entry, intent=made[-1].intent)

    async def completion(self, *, h: bytes, intent: int, receipt: bytes) -> Recorded:
        """Append the COMPLETION of an intent; after this the final frame may leave."""
        at = self._clock()
        return await self.append(entries.Completion(at=at, h=h, intent=intent, receipt=receipt))

    async def refusal(
        self, *, h: bytes, intent: int, reason: str, statement: bytes | None
    ) -> Recorded:
        """Append the REFUSAL of an intent: the node's NOT_CLAIMED, or our own if nothing was sent.

        Args:
            h: digest of the request header.
            intent: index of the INTENT.
            reason: stable code.
            statement: the node's signed NOT_CLAIMED; None only if the node was sent nothing.
        """
        at, by = self._clock(), "gateway" if statement is None else "node"
        return await self.append(
            entries.Refusal(at=at, h=h, intent=intent, by=by, reason=reason, statement=statement)
        )

    async def orphan(self, *, h: bytes, intent: int, reason: str) -> Recorded:
        """Append ORPHANED: nobody can say how the intent ended."""
        at = self._clock()
        return await self.append(entries.Orphaned(at=at, h=h, intent=intent, reason=reason))

    async def late(self, *, h: bytes, intent: int, orphaned: int, receipt: bytes) -> Recorded:
        """Append LATE: the receipt of an orphaned intent came to light."""
        at = self._clock()
        return await self.append(
            entries.Late(at=at, h=h, intent=intent, orphaned=orphaned, receipt=receipt)
        )

    async def orphan_dangling(self) -> tuple[Recorded, ...]:
        """Declare orphaned every intent whose gateway does not live any more.

        `open` has done this already, and where gateways share the log it is done again with
        each renewal of the lease. Should such a gateway only have been slow, it finds its
        intents closed, and releases nothing under them.
        """
        await self.probe()
        living = await asyncio.to_thread(self._store.living)
        dangling = [
            intent
            for intent in self._writer.intents.snapshot()
            if intent.instance != self._config.instance and intent.instance not in living
        ]
        closing = (self.orphan(h=i.h, intent=i.index, reason=RESTARTED) for i in dangling)
        done = await asyncio.gather(*closing, return_exceptions=True)
        for outcome in done:
            if isinstance(outcome, BaseException) and not isinstance(outcome, IntentClosedError):
                raise outcome
        return tuple(outcome for outcome in done if isinstance(outcome, Recorded))

    async def put_blob(self, data: bytes) -> bytes:
        """Store a document beside the log and return its SM3; durable when this returns."""
        if len(data) > MAX_BLOB:
            raise UsageError(f"blob of {len(data)} bytes, limit {MAX_BLOB}")
        digest = sm3(data)
        await self._waiting.outcome(Draft(None, {digest: data}))
        return digest

    async def probe(self) -> None:
        """Return if the log can write; raise `LogUnavailableError` if not. For readiness."""
        await self._waiting.outcome(Draft(None))

    # -- reading -----------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Durable entries."""
        return self._writer.state.size

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded."""
        return self._writer.healthy

    @property
    def open_intents(self) -> tuple[OpenIntent, ...]:
        """Intents that nothing has closed yet, oldest first."""
        return self._writer.intents.snapshot()

    @property
    def pin(self) -> LogPin:
        """What whoever relies on this log pins: its key, and its witnesses if it has any."""
        witnesses = self.showing.witnesses
        return replace(
            super().pin,
            witnesses=witnesses.keys if witnesses else (),
            quorum=witnesses.quorum if witnesses else 0,
        )

    def publish(self) -> Published:
        """Show a checkpoint of everything that is durable, now, if the log has no witnesses.

        Raises:
            LogUnwitnessedError: it has, and they have cosigned nothing yet.
        """
        self.showing.unwitnessed()
        return self.tree.published

    async def covered(self, index: int, *, timeout_s: float = COVER_S) -> Published:
        """Return a shown checkpoint that covers a durable entry, as soon as there is one.

        Raises:
            LogUnwitnessedError: there is none in time.
        """
        return await self.showing.covered(index, timeout_s=timeout_s)

    async def cosigned_note(self, *, max_age_s: int) -> bytes:
        """Return the shown note with cosignatures that prove a time at most so long ago.

        Raises:
            LogUnwitnessedError: the log's witnesses do not cosign now.
        """
        if self.tree.shown is not None and self._cosigned_s_ago(self.tree.shown) <= max_age_s:
            return self.tree.shown.note
        await self.showing.renew()
        if self._cosigned_s_ago(self.tree.published) > max_age_s:
            raise LogUnwitnessedError("log: its witnesses have not cosigned lately")
        return self.tree.published.note

    def _cosigned_s_ago(self, shown: Published) -> int:
        return self._clock() - freshness.cosigned_at(shown.note, self.pin)

    async def catch_up(self, size: int) -> Published:
        """Return a checkpoint of at least `size` entries, if the log has them.

        Where gateways share the log, a node or a client may have seen a newer checkpoint by
        another gateway than the one shown here.

        Raises:
            LogUnavailableError: the log cannot be read; what is shown stays as it is.
            LogUnwitnessedError: nothing is shown yet.
        """
        if self._store.shared and self.tree.published.tree.size < size:
            await self.probe()
            await self.showing.once()
        return self.tree.published

    # -- inside ------------------------------------------------------------------------------

    def _record(self, appended: Appended) -> Recorded:
        issued = self._clock()
        return Recorded(
            index=appended.index,
            entry=appended.entry,
            leaf=appended.leaf,
            issued=issued,
            promise=promise.issue(
                self._keys.signer,
                origin=self._config.origin,
                index=appended.index,
                leaf=appended.leaf,
                issued=issued,
                merge_by=issued + self._config.merge_within_s,
            ),
        )

    def _refusal_of(self, intent: OpenIntent, reason: str) -> Build:
        entry = entries.Refusal(
            at=self._clock(),
            h=intent.h,
            intent=intent.index,
            by="gateway",
            reason=reason,
            statement=None,
        )
        return lambda index: (entry.encode(), row_of(entry, index, self._config.instance))

    def _refuse_unacknowledged(self, intent: OpenIntent) -> Build:
        return self._refusal_of(intent, UNACKNOWLEDGED)

    def _refuse_abandoned(self, appended: Appended) -> None:
        """Close an intent whose caller went away before it knew: nothing was dispatched."""
        for intent in self.open_intents:
            if intent.index == appended.index:
                with suppress(LogUnavailableError):  # closing: the next process orphans it
                    self._writer.submit(Draft(self._refusal_of(intent, ABANDONED)))

    async def _log_key(self) -> None:
        """Append a KEY entry if the log needs one; gateways that start together append one."""
        while True:
            latest = await asyncio.to_thread(self._store.latest, entries.Key.TYPE)
            current = None if latest is None else entries.decode(await self.entry(latest))
            change = keylog.key_entry(
                current,
                self._keys,
                self._config,
                twin=self.twin.pin if self.twin else None,
                now=self._clock(),
            )
            if change is None:
                return
            with suppress(_KeyChangedError):
                await self._waiting.entry(Draft(partial(self._build_key, change, latest)))
                return

    def _build_key(self, change: Entry, follows: int | None, index: int) -> tuple[bytes, Row]:
        if self._store.latest(entries.Key.TYPE) != follows:
            raise _KeyChangedError("log: another gateway introduced a key meanwhile")
        return change.encode(), row_of(change, index, self._config.instance)

    async def _publish_forever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.publish_every_s):
                    await self.showing.wanted.wait()
            if self._store.shared:
                with suppress(LogUnavailableError):  # shown is then what was durable before
                    await self.probe()
            await self.showing.once()
            await self._publish_to_target()

    async def _publish_to_target(self) -> None:
        if self._publisher is None or self.tree.shown is None:
            return
        try:
            await asyncio.to_thread(self._publisher.publish)
            self.unpublished = None
        except (AuditLogError, StoreError) as exc:
            if self.unpublished is None:
                code = getattr(exc, "code", "log.unavailable")
                events.log.warning("log.unpublished", code=code, size=self.checkpoint().tree.size)
            self.unpublished = exc

    async def _hold_lease_forever(self) -> None:
        lease_s = self._config.lease_s
        while self._store.shared:
            await asyncio.sleep(lease_s / 3)
            with suppress(LogUnavailableError, StoreError):  # tried again; then it runs out
                await asyncio.to_thread(self._store.renew, self._config.instance, lease_s)
                await self.orphan_dangling()

    async def _beat_forever(self) -> None:
        interval = self._config.heartbeat_every_s
        while True:
            with suppress(LogUnavailableError):  # the gap in the log is the finding
                await self.append(
                    entries.Heartbeat(
                        at=self._clock(), instance=self._config.instance, interval=interval
                    )
                )
            await asyncio.sleep(interval)
