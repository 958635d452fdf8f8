"""When the frames of a streamed answer leave, so that they do not tell what is in them.

From the first token on, every tick sends the same number of frames of the smallest size,
whether anything was made meanwhile or not, until the answer has left and the number of ticks is
`round_ticks` times a power of two. Sizes, counts and times then say only: when the first token
came, and between which powers of two the answer's length lies, which the receipt says anyway.
What was made during a tick travels in the next one, together: an engine that waits for the `Beat`
makes one piece of it, shortly before the frame leaves. The answer's last byte is not held back:
what is drawn out is the silence after it, and the receipt.

Frames without content are DATA frames of no bytes, not KEEP_ALIVE: a frame's type can be read by
whoever carries it.

Source: docs/threat-model.md, token lengths and times; docs/spec/envelope.md §5.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from mifeng.protocol.stream import LENGTH_BYTES, MIN_BUCKET

FRAME_BYTES: Final = MIN_BUCKET - LENGTH_BYTES
"""What fits into a frame of the smallest size."""
_STEP: Final = 1e-9
_LEAD_S: Final = 0.002
"""How long before a frame leaves the beat comes: enough for a piece to be made and fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How streamed answers of one model are paced."""

    tick_s: float = 0.020
    frames: int = 1
    """Frames per tick, 252 bytes each: what the model makes in a tick should fit."""
    round_ticks: int = 64
    """Answers are drawn out to so many ticks, or twice, four times, … as many."""


@runtime_checkable
class Paced(Protocol):
    """An engine whose answers take long enough to be paced, and to be given up midway."""

    @property
    def pacing(self) -> Pacing | None:
        """How its streams are paced; None sends pieces as they come."""
        ...


class Beat:
    """When a paced answer is about to be looked at; belongs to one stream.

    An engine may wait for it before it makes a piece of what it has, so that the piece holds
    everything up to now. Not before its first piece: the first tick is that piece's.
    """

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def wait(self) -> None:
        """Wait until the answer is looked at, and take that look for the piece being made."""
        await self._event.wait()
        self._event.clear()

    def strike(self) -> None:
        """Say that the answer is about to be looked at."""
        self._event.set()


async def attended(
    pieces: AsyncIterator[bytes], gone: Callable[[], Awaitable[object]]
) -> AsyncIterator[bytes]:
    """Yield `pieces` until `gone` raises, which closes them at once, in the middle of a wait.

    Args:
        pieces: the answer as it is made.
        gone: waits for a message of the other side; anything it returns is ignored.
    """

    async def watch() -> None:
        while True:
            await gone()

    watching = asyncio.create_task(watch())
    try:
        while True:
            piece = asyncio.ensure_future(_next(pieces))
            try:
                await asyncio.wait((piece, watching), return_when=asyncio.FIRST_COMPLETED)
                if watching.done():
                    watching.result()
                data = piece.result()
            finally:
                await _end(piece)
            if data is None:
                return
            yield data
    finally:
        await _end(watching)
        await close(pieces)


async def paced(
    pieces: AsyncIterator[bytes],
    pacing: Pacing,
    *,
    beat: Beat | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[tuple[bytes, bool]]:
    """Yield what each frame carries, when it is due, and whether it is the final one.

    Args:
        pieces: the answer as it is made; read no further than one tick ahead.
        pacing: see the class.
        beat: struck before each tick, for an engine that waits for it.
        sleep: waits for so many seconds.

    Raises:
        Exception: whatever `pieces` raises, once what came before it has left.
    """
    source = _Source(pieces, pacing.frames * FRAME_BYTES)
    try:
        await source.ready()
        loop = asyncio.get_running_loop()
        due, tick = loop.time(), 0
        while True:
            tick += 1
            for number in range(1, pacing.frames + 1):
                data = source.take(FRAME_BYTES)
                last = number == pacing.frames and _round(tick, pacing.round_ticks)
                final = last and source.finished()
                yield data, final
                if final:
                    return
            # A tick that came late is not made good by two at once: that would show.
            due = max(due + pacing.tick_s, loop.time())
            if beat is not None:
                if (wait := due - _LEAD_S - loop.time()) > _STEP:
                    await sleep(wait)
                beat.strike()
            if (wait := due - loop.time()) > _STEP:
                await sleep(wait)
    finally:
        await source.close()


def _round(tick: int, unit: int) -> bool:
    """Return whether `tick` is `unit` times a power of two."""
    times, rest = divmod(tick, unit)
    return not rest and times.bit_count() == 1


class _Source:
    """Reads pieces in a task of its own, up to a bound."""

    def __init__(self, pieces: AsyncIterator[bytes], most: int) -> None:
        self._held = bytearray()
        self._most = most
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._read(pieces))

    async def _read(self, pieces: AsyncIterator[bytes]) -> None:
        try:
            async for piece in pieces:
                self._held += piece
                self._arrived.set()
                while len(self._held) >= self._most:
                    self._room.clear()
                    await self._room.wait()
        finally:
            await close(pieces)
            self._arrived.set()

    async def ready(self) -> None:
        """Wait for the first bytes, or the end."""
        await self._arrived.wait()
        # The task sets the event before it is done; let it be done if it is at its end.
        await asyncio.sleep(0)

    def take(self, most: int) -> bytes:
        """Return up to `most` bytes of what is there; then raise what reading raised."""
        if self._task.done() and not self._held:
            self._task.result()
        data = bytes(self._held[:most])
        del self._held[:most]
        if len(self._held) < self._most:
            self._room.set()
        return data

    def finished(self) -> bool:
        """Return whether everything has been taken."""
        return self._task.done() and not self._held

    async def close(self) -> None:
        """Stop reading, and let the pieces' own cleaning up happen."""
        self._held[:] = bytes(len(self._held))
        await _end(self._task)


async def close(pieces: AsyncIterator[Any]) -> None:
    """Close an iterator that can be closed: what it holds is free when this returns."""
    if (aclose := getattr(pieces, "aclose", None)) is not None:
        await aclose()


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    return await anext(pieces, None)


async def _end(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait for its end; how it ended is of no interest any more."""
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()
