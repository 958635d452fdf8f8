"""One process with a language model in its node: the honest world, and its lies about frames."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accel_backends import DeviceRequest, LoadOptions, load
from accel_backends.llm import LanguageModel, Limits
from accel_backends.llm import load as load_model
from enclave.executor import CancelledExchangeError
from enclave.pacing import Pacing
from mifeng.protocol.messages import Message, MessageType
from mifeng.protocol.session import Ask, Done, State, Waiting, begin, ended, step
from tests.harness.world import World

FAST = Pacing(tick_s=0.001, frames=1, round_ticks=4)


def model(folder: Path, **limits: Any) -> LanguageModel:
    """Load the example's folder and start its engine."""
    files = {
        "graph": (folder / "model.onnx").read_bytes(),
        "tokenizer": (folder / "tokenizer.json").read_bytes(),
        "tokenizer_config": (folder / "tokenizer_config.json").read_bytes(),
    }
    return load_model(
        load("onnxruntime", allowed={"onnxruntime"}),
        files,
        options=LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),)),
        limits=Limits(**({"slots": 4, "context": 512} | limits)),
    )


class Waits:
    """Sealed frames from a list, then silence until the peer is gone."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        self._frames = list(frames)
        self.gone = asyncio.Event()

    async def frame(self) -> bytes:
        """See `enclave.executor.Source`."""
        if self._frames:
            return self._frames.pop(0)
        await self.gone.wait()
        raise CancelledExchangeError


@dataclass
class ChatWorld(World):
    """A world whose node serves the OpenAI API; `lie` rewrites what the node sends."""

    lie: Callable[[int, Message], Sequence[Message]] = field(default=lambda _, m: [m])
    source: Waits | None = None

    async def dispatch(self, intent: Message, messages: list[Message]) -> AsyncIterator[Message]:
        """Run the executor; give it up when the reader does."""
        back: asyncio.Queue[Message | None] = asyncio.Queue()
        source = Waits([m.payload for m in messages if m.type is MessageType.FRAME])
        self.source = source
        noted = self.watch.advance(intent.payload)

        async def run() -> None:
            try:
                await self.executor.exchange(noted, messages[0].payload, source, back.put)
            finally:
                await back.put(None)

        task = asyncio.create_task(run())
        number = 0
        try:
            while (message := await back.get()) is not None:
                number += message.type is MessageType.FRAME
                for said in self.lie(number, message):
                    yield said
        finally:
            source.gone.set()
            await task

    def begin(
        self, node: Any, document: Any, operation: str, isolation: bytes | None = None
    ) -> tuple[Waiting, list[Message]]:
        """Seal a request."""
        ask = Ask(
            tenant="bank-a",
            model="echo",
            operation=operation,
            deadline=self.now + 60,
            stream=document.get("stream") is True,
        )
        state = begin(node, ask, now=self.now)
        body = json.dumps(document).encode()
        first = [state.exchange.opening()]
        if isolation is not None:
            first.append(state.exchange.isolate(isolation))
        return state, [*first, *state.exchange.body([body])]

    async def chat(
        self,
        document: Any,
        operation: str = "openai.chat.completions",
        *,
        isolation: bytes | None = None,
    ) -> tuple[list[bytes], Done, list[int]]:
        """Return the pieces of an answer, its papers, and the sizes of its sealed frames."""
        state: State
        state, request = self.begin(await self.trusted(), document, operation, isolation)
        pieces, sizes = [], []
        async for message in self.relay(request):
            if message.type is MessageType.FRAME:
                sizes.append(len(message.payload))
            state, plain = step(state, message, now=self.now)
            if plain:
                pieces.append(plain)
        return pieces, ended(state), sizes


def document(content: str = "What is the capital of Peru?", **more: Any) -> dict[str, Any]:
    """Return a chat request, greedy and short."""
    messages = [{"role": "user", "content": content}]
    return {"model": "echo", "messages": messages, "temperature": 0, "max_tokens": 24} | more


def text_of(stream: bytes) -> str:
    """Return the text of a chat's or completion's event stream."""
    from enclave.openai_api import events

    text = ""
    for event in events(stream)[:-1]:
        for choice in json.loads(event)["choices"]:
            text += choice["delta"].get("content", "") if "delta" in choice else choice["text"]
    return text
