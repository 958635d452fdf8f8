"""Idle work gives way: requests of the lowest priority run only while nothing else is under way.

A nightly batch says `priority` 8 inside the seal, a request to a language model `service_tier`
`flex`; only the node reads it. Such a request waits until no other request is running here,
whatever its model, streams of text included, then runs beside at most `width` of its kind. What
runs already is not stopped, so an urgent request meets at most what so many take. Work that has
waited `patience_s` waits no longer: a node that is never free would otherwise never do it.

Left out: order among urgent requests, which is `enclave.batching`'s; who has which slot of a
language model (docs/llm.md).

Source: Triton model configuration, `priority`, `timeout`; OpenAI API reference, `service_tier`;
docs/batching.md.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from .batching import LEVELS, priority_of, timeout_of
from .engines import EngineError

IDLE: Final = LEVELS
"""The priority that gives way."""
_FLEX: Final = "flex"
"""OpenAI's tier for work that may wait."""
PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLimits:
    """Bounds of one node's idle work."""

    width: int
    """Idle requests at once."""
    waiting: int
    """Idle requests that may wait; one more is refused with `queue.full`."""
    patience_s: float = PATIENCE_S


class Lane:
    """Who may run now, for all models of one node. Belongs to one event loop."""

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._urgent = self._idle = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Idle requests that wait now."""
        return sum(not each.done() for each in self._queue)

    @asynccontextmanager
    async def turn(self, parameters: Mapping[str, Any]) -> AsyncIterator[None]:
        """Hold a place while the body runs; an idle request waits for it first.

        Args:
            parameters: `priority` (1 = highest … 8 = idle) and `timeout` (µs of waiting) are read.

        Raises:
            EngineError: `queue.full`, `queue.timeout`, `request.malformed`.
        """
        if priority_of(parameters) < IDLE:
            self._urgent += 1
            try:
                yield
            finally:
                self._urgent -= 1
                self._wake()
            return
        await self._wait(timeout_of(parameters))
        try:
            yield
        finally:
            self._idle -= 1
            self._wake()

    async def _wait(self, timeout_s: float) -> None:
        """Return with `_idle` counted up."""
        if not self._queue and self._free:
            self._idle += 1
            return
        if self.waiting >= self._limits.waiting:
            raise EngineError("queue.full", "too much idle work waits on this node")
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        patience = self._limits.patience_s
        timer = (
            loop.call_later(timeout_s, _too_late, place)
            if timeout_s < patience
            else loop.call_later(patience, self._admit, place)
        )
        self._queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._idle -= 1  # admitted and cancelled in one turn of the loop
                self._wake()
            raise
        finally:
            timer.cancel()
            if place in self._queue:
                self._queue.remove(place)

    @property
    def _free(self) -> bool:
        return self._urgent == 0 and self._idle < self._limits.width

    def _wake(self) -> None:
        while self._queue and self._free:
            self._admit(self._queue.popleft())

    def _admit(self, place: "asyncio.Future[None]") -> None:
        if not place.done():
            self._idle += 1
            place.set_result(None)


def tier(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a lane reads of a request of the OpenAI API: `flex` is idle work."""
    return {"priority": IDLE} if document.get("service_tier") == _FLEX else {}


def _too_late(place: "asyncio.Future[None]") -> None:
    if not place.done():
        place.set_exception(EngineError("queue.timeout", "it waited longer than its timeout"))
