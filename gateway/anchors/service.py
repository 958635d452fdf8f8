"""Carry published checkpoints to the configured anchors, in tasks of its own.

    every so often: the newest published note → queue of each anchor         (durable)
    per anchor:     oldest waiting → ticket (durable) → send → record (durable) → forget

Nothing here is on a request's path, and nothing waits for it. A note leaves the queue when its
record is durable or the anchor refused it for good; a restart goes on where the last process
stopped, with the same ticket.

Source: docs/anchoring.md §2, §3.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gateway import events
from gateway.auditlog.failpoints import UNARMED, Failpoints
from mifeng.audit.anchors.folder import Waiting
from mifeng.audit.anchors.record import AnchorRecord
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import MifengError

from . import points as at
from .kinds import Anchor, AnchorPendingError, AnchorRefusedError, AnchorStuckError, Note
from .metrics import AnchorMetrics
from .queue import Queue

_RANDOM_BYTES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How often."""

    every_s: float
    """Between two notes that are queued."""
    poll_s: float = 2.0
    """Between two looks at what is on its way."""
    backoff_s: float = 2.0
    """First pause after a failure; it doubles."""
    max_backoff_s: float = 300.0
    stuck_s: int = 600
    """A ticket that is pending for longer is made anew."""


class Anchors:
    """The service. Made in an event loop, which it belongs to."""

    def __init__(
        self,
        members: Sequence[Anchor],
        queue: Queue,
        *,
        latest: Callable[[], bytes],
        timing: Timing,
        metrics: AnchorMetrics,
        publish: Callable[[str, bytes], None] | None = None,
        clock: Callable[[], int] = lambda: int(time.time()),
        points: Failpoints = UNARMED,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            members: the anchors, each name once.
            queue: what survives a restart.
            latest: returns the newest published note.
            timing: how often.
            metrics: what to count.
            publish: writes a record where the log is published; called again for those already
                there, and may raise `MifengError`.
            clock: Unix seconds.
            points: for crash drills.
        """
        self._members, self._queue, self._latest = tuple(members), queue, latest
        self._timing, self._metrics, self._publish = timing, metrics, publish
        self._clock, self._points = clock, points
        self._wake = {member.name: asyncio.Event() for member in members}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, with what an earlier process left in the queue."""
        self._tasks = [asyncio.create_task(self._offer_forever(), name="anchors-offer")]
        for member in self._members:
            task = asyncio.create_task(self._carry_forever(member), name=f"anchors-{member.name}")
            self._tasks.append(task)

    async def close(self) -> None:
        """Stop; what waits stays in the queue."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for member in self._members:
            await asyncio.to_thread(member.close)
        self._queue.close()

    async def offer(self) -> int:
        """Queue the newest published note for each anchor that has not had it; returns its size."""
        note = Note.of(self._latest())
        for member in self._members:
            if note.claim.size > await asyncio.to_thread(self._queue.last, member.name):
                waiting = Waiting(note=note.data, size=note.claim.size, made=self._clock())
                await asyncio.to_thread(self._queue.put, member.name, waiting)
            self._wake[member.name].set()
        return note.claim.size

    async def _offer_forever(self) -> None:
        shown = False
        while True:
            try:
                await self.offer()
                if not shown:
                    for name, data in await asyncio.to_thread(self._queue.records):
                        await self._show(name, data)
                    shown = True
            except (OSError, MifengError) as exc:
                events.log.warning("anchor.queue", code=getattr(exc, "code", "os"))
            await asyncio.sleep(self._timing.every_s)

    async def _carry_forever(self, member: Anchor) -> None:
        wake, failures = self._wake[member.name], 0
        while True:
            wake.clear()
            try:
                queued = await asyncio.to_thread(self._queue.waiting, member.name)
                self._metrics.waiting(member.name, len(queued))
                if not queued:
                    await wake.wait()
                    continue
                await self._carry(member, queued[0])
                failures = 0
            except AnchorPendingError:
                self._metrics.tried(member.name, "pending")
                await asyncio.sleep(self._timing.poll_s)
            except Exception as exc:  # noqa: BLE001 - the edge of a task that must outlive anything
                code = getattr(exc, "code", None)
                code = code if isinstance(code, str) else f"anchor.fault.{type(exc).__name__}"
                self._metrics.tried(member.name, "failed")
                if failures == 0:
                    events.log.warning("anchor.failed", anchor=member.name, code=code)
                failures += 1
                await asyncio.sleep(self._pause(failures))

    async def _carry(self, member: Anchor, waiting: Waiting) -> None:
        """Take one note one step further; returns when it has left the queue."""
        note = Note.of(waiting.note)
        try:
            waiting = await self._ticket(member, note, waiting)
            self._points.reach(at.SENDING)
            proof = await asyncio.to_thread(member.submit, note, waiting.ticket)
            self._points.reach(at.SENT)
        except AnchorStuckError as exc:
            await self._renew(member, note, waiting)
            raise AnchorPendingError(exc.code.removeprefix("anchor."), str(exc)) from exc
        except AnchorPendingError:
            if self._clock() - waiting.ticket_at > self._timing.stuck_s:
                await self._renew(member, note, waiting)
            raise
        except AnchorRefusedError as exc:
            await asyncio.to_thread(self._queue.stop, member.name, waiting, exc.code)
            self._metrics.tried(member.name, "refused")
            events.log.error("anchor.refused", anchor=member.name, code=exc.code, size=waiting.size)
            return
        record = AnchorRecord(
            kind=member.kind, name=member.name, note=note.data, at=self._clock(), proof=proof
        )
        name, data = await asyncio.to_thread(self._queue.done, waiting, record)
        self._metrics.recorded(member.name, waiting.size)
        events.log.info("anchor.recorded", anchor=member.name, size=waiting.size)
        await self._show(name, data)

    async def _ticket(self, member: Anchor, note: Note, waiting: Waiting) -> Waiting:
        """Return what waits with a ticket, durable before anything is sent."""
        return waiting if waiting.ticket else await self._renew(member, note, waiting)

    async def _renew(self, member: Anchor, note: Note, waiting: Waiting) -> Waiting:
        ticket = await asyncio.to_thread(member.prepare, note, waiting.ticket)
        renewed = replace(waiting, ticket=ticket, ticket_at=self._clock())
        await asyncio.to_thread(self._queue.put, member.name, renewed)
        return renewed

    async def _show(self, name: str, data: bytes) -> None:
        """Write a record where the log is published; what fails is done again at the next start."""
        if self._publish is None:
            return
        try:
            await asyncio.to_thread(self._publish, f"anchors/{name}", data)
        except (OSError, MifengError) as exc:
            events.log.warning("anchor.unpublished", code=getattr(exc, "code", "os"))

    def _pause(self, failures: int) -> float:
        doubled = self._timing.backoff_s * float(1 << min(failures - 1, 20))
        most = min(self._timing.max_backoff_s, doubled)
        fraction = int.from_bytes(random_bytes(_RANDOM_BYTES), "big") / (1 << 8 * _RANDOM_BYTES)
        return most * (0.5 + fraction / 2)
