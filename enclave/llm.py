"""A language model on the slot engine, behind the OpenAI API.

Text goes into the answer as it is made; what came since the last look travels as one event. Where
an answer is paced, the look is once a tick, and so each tick's text is one event. A reader who
stops reading (a disconnected client, a deadline) frees the slot at the engine's next step.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Final, TypeVar

from accel_backends.errors import BackendError
from accel_backends.llm import LanguageModel, Reason, Request, Usage
from accel_backends.llm.text import TextStream
from mifeng.crypto.randomness import random_bytes
from mifeng.protocol.body import OPENAI_CHAT, OPENAI_COMPLETIONS

from .engines import Alone, EngineError, Job, Ran, Turns
from .openai_api import Ask, Shape, parse
from .pacing import FRAME_BYTES, Beat, Pacing

_INLINE_BYTES: Final = 16 * 1024
"""Shorter requests are turned into tokens at once; longer ones would hold up the loop."""
_TEXT_BYTES: Final = 24
"""Text of a tick that fits beside an event's other parts: a thousand bytes a second."""
_FINISH: Final = {Reason.STOP: "stop", Reason.LENGTH: "length"}
_FAILURE: Final = {
    Reason.DEADLINE: "deadline.expired",
    Reason.CANCELLED: "engine.stopped",
    Reason.FAILED: "backend.run",
}


T = TypeVar("T")


class LlmEngine:
    """See `enclave.engines.Engine`."""

    def __init__(
        self,
        model: LanguageModel,
        *,
        name: str,
        backend: str,
        pacing: Pacing | None,
        lane: Turns | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take a running model, the name it is served as, and who says when it may run."""
        self._model, self._name, self._clock = model, name, clock
        self._lane: Turns = lane or Alone()
        self.pacing = _roomy(pacing, name)
        operations = {OPENAI_COMPLETIONS} | ({OPENAI_CHAT} if model.template else set())
        self.operations = frozenset(operations)
        where = model.placement
        self.ran = Ran(
            backend=f"{backend}/{where.ep} {where.ep_version}"[:128], device=str(where.device)[:128]
        )

    async def run(self, job: Job) -> AsyncIterator[bytes]:
        """See `Engine.run`."""
        ask = parse(job.operation, job.body, stream=job.stream)
        prompt = await self._prompt(ask, len(job.body))
        prefix = "chatcmpl-" if job.operation == OPENAI_CHAT else "cmpl-"
        shape = Shape(
            operation=job.operation,
            id=prefix + random_bytes(8).hex(),
            created=int(self._clock()),
            model=self._name,
            include_usage=ask.include_usage,
        )
        async with self._lane.turn(ask.when):
            text = TextStream(self._model.tokenizer, ask.stops)
            output = _Output(asyncio.get_running_loop(), text, job.beat, stops=bool(ask.stops))
            request = Request(
                prompt=prompt,
                tenant=job.tenant,
                isolation=job.isolation,
                most=min(ask.most or self._model.limits.context, self._model.limits.context),
                stop=self._model.stop,
                idle=bool(ask.when),
                sampling=ask.sampling,
            )
            try:
                ticket = self._model.runner.submit(request, output)
            except BackendError as exc:
                raise EngineError(exc.code, str(exc)) from None
            try:
                whole, first = "", True
                async for piece in output.texts():
                    if job.stream:
                        yield shape.piece(piece, first=first)
                        first = False
                    else:
                        whole += piece
            finally:
                self._model.runner.cancel(ticket)
            finish, usage = output.result()
            yield shape.end(finish, usage) if job.stream else shape.whole(whole, finish, usage)

    async def close(self) -> None:
        """See `Engine.close`."""
        await asyncio.to_thread(self._model.close)

    async def _prompt(self, ask: Ask, size: int) -> tuple[int, ...]:
        try:
            if size <= _INLINE_BYTES:
                return self._encode(ask)
            return await asyncio.to_thread(self._encode, ask)
        except BackendError as exc:
            raise EngineError(exc.code, str(exc)) from None

    def _encode(self, ask: Ask) -> tuple[int, ...]:
        """Return the prompt's tokens."""
        model = self._model
        if ask.messages and model.template is not None:
            text = model.template.render(ask.messages)
            return model.tokenizer.encode(text, special=False)
        if isinstance(ask.prompt, str):
            return model.tokenizer.encode(ask.prompt, special=True)
        if any(not 0 <= token < model.tokenizer.size for token in ask.prompt):
            raise EngineError("backend.input.value", "a token that the model does not have")
        return ask.prompt


class _Output:
    """The sink of one request: tokens come from the engine's thread, text leaves in the loop.

    Tokens become text when somebody looks, many at a time. Only where stop strings must end the
    answer does the engine's thread make text of each at once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        text: TextStream,
        beat: Beat | None,
        *,
        stops: bool,
    ) -> None:
        self._loop, self._text, self._beat, self._stops = loop, text, beat, stops
        self._tokens: deque[int] = deque()
        self._pieces: deque[str] = deque()
        self._ready = asyncio.Event()
        self._told = False
        self._end: tuple[Reason, Usage] | None = None

    def token(self, token: int) -> bool:
        """See `Sink.token`."""
        if not self._stops:
            self._tokens.append(token)
            self._tell()
        elif piece := self._text.push(token):
            self._pieces.append(piece)
            self._tell()
        return self._text.stopped

    def finish(self, reason: Reason, usage: Usage) -> None:
        """See `Sink.finish`."""
        self._end = (reason, usage)
        self._told = False
        self._tell()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            with contextlib.suppress(RuntimeError):  # the loop is gone, and the reader with it
                self._loop.call_soon_threadsafe(self._ready.set)

    async def texts(self) -> AsyncIterator[str]:
        """Yield what has come since the last look, until the end."""
        begun = False
        while True:
            await self._ready.wait()
            if begun and self._beat is not None:
                await self._beat.wait()
            self._ready.clear()
            # In this order: whatever the thread does after these lines sets the event again.
            self._told = False
            ended = self._end is not None
            text = self._text.push(*_drain(self._tokens)) if self._tokens else ""
            text += "".join(_drain(self._pieces))
            if ended:
                text += self._text.end()
            if text:
                begun = True
                yield text
            if ended:
                return

    def result(self) -> tuple[str, Usage]:
        """Return how it ended, in the API's words.

        Raises:
            EngineError: it did not end by itself.
        """
        reason, usage = self._end or (Reason.FAILED, Usage(prompt=0, completion=0, cached=0))
        if reason not in _FINISH:
            raise EngineError(_FAILURE[reason], "the answer was cut short")
        return _FINISH[reason], usage


def _roomy(pacing: Pacing | None, name: str) -> Pacing | None:
    """Return the pacing with frames enough for an event of each tick, whatever the model's name.

    An event that did not fit would show its text a tick late, and each one more than the last.
    """
    if pacing is None:
        return None
    shape = Shape(
        operation=OPENAI_CHAT, id="chatcmpl-" + 16 * "0", created=0, model=name, include_usage=True
    )
    # `created` has ten digits and not one.
    size = len(shape.piece("", first=True)) + 9 + _TEXT_BYTES
    return replace(pacing, frames=max(pacing.frames, -(-size // FRAME_BYTES)))


def _drain(queue: deque[T]) -> list[T]:
    """Take out what is there now; the other thread may go on appending."""
    return [queue.popleft() for _ in range(len(queue))]
