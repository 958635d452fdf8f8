"""Queue events for one security centre and send them, never in anybody's way.

`offer` only puts an event into a bounded queue. If the queue is full, or one kind of event floods,
the event is dropped and counted; the count is the next thing sent, and is a metric. What was
handed to a stream and not acknowledged by a lower layer may be lost when it breaks: syslog has no
acknowledgement, the audit log is the record.

Source: docs/forwarding.md §5.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from . import cef, syslog
from .event import Event
from .syslog import Source
from .transport import Receiver, Transport, TransportError, open_transport

RATE: Final = 100
"""Events of one name in one second; more are counted, not sent."""
RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 30.0
DRAIN_S: Final = 2.0
FORMATS: Final[dict[str, Callable[[Event, Source], bytes]]] = {
    "syslog": syslog.message,
    "cef": cef.message,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """One security centre."""

    name: str
    receiver: Receiver
    format: str
    queue: int
    """Events it holds while the centre is away."""


class Forwarder:
    """Sends to one centre, from `start` to `close`; all methods belong to one event loop."""

    def __init__(
        self, centre: Centre, source: Source, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.centre = centre
        self._write = FORMATS[centre.format]
        self._source, self._clock = source, clock
        self._queue: deque[Event] = deque()
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._second = 0
        self._rate: Counter[str] = Counter()
        self._unsaid = 0
        self._task: asyncio.Task[None] | None = None
        self._transport: Transport = open_transport(centre.receiver)
        self.sent = 0
        self.dropped = 0
        self.connected = False

    def offer(self, event: Event) -> None:
        """Take an event, or drop and count it; returns at once."""
        second = int(event.at)
        if second != self._second:
            self._second = second
            self._rate.clear()
        self._rate[event.name] += 1
        if len(self._queue) >= self.centre.queue or self._rate[event.name] > RATE:
            self.dropped += 1
            self._unsaid += 1
        else:
            self._queue.append(event)
        self._idle.clear()
        self._wake.set()

    def start(self) -> None:
        """Begin sending."""
        self._task = asyncio.create_task(self._run(), name=f"forwarding-{self.centre.name}")

    async def close(self) -> None:
        """Send what waits, for a moment, then stop."""
        if self._task is None:
            return
        if self.connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._idle.wait()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._transport.close()

    def status(self) -> dict[str, Any]:
        """Return what was sent, what waits, what was dropped."""
        return {
            "centre": self.centre.name,
            "connected": self.connected,
            "sent": self.sent,
            "waiting": len(self._queue),
            "dropped": self.dropped,
        }

    async def _run(self) -> None:
        retry = RETRY_S
        while True:
            if not self._queue and not self._unsaid:
                self._wake.clear()
                self._idle.set()
                await self._wake.wait()
            event = self._next()
            try:
                await self._transport.send(self._write(event, self._source))
            except TransportError:
                self.connected = False
                self._back(event)
                await asyncio.sleep(retry)
                retry = min(retry * 2, MAX_RETRY_S)
                continue
            self.connected, retry = True, RETRY_S
            self.sent += 1

    def _next(self) -> Event:
        """Return what is to be sent: a count of drops before anything else."""
        if self._unsaid:
            count, self._unsaid = self._unsaid, 0
            return Event(name="forwarding.dropped", at=self._clock(), fields=(("size", count),))
        return self._queue.popleft()

    def _back(self, event: Event) -> None:
        if event.name == "forwarding.dropped":
            self._unsaid += int(event.fields[0][1])
        else:
            self._queue.appendleft(event)
