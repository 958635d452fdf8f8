"""A decoder made of arithmetic, and the real one with random weights."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from accel_backends import DeviceRequest, LoadOptions, load
from accel_backends.errors import ExecutionError
from accel_backends.llm import Limits, Reason, Request, Sampling, SlotEngine, Usage
from accel_backends.llm.decoder import Logits, OrtDecoder
from accel_backends.ort import OrtSession
from examples.chat.folder import write
from examples.chat.graph import Shape, initial, to_onnx

VOCABULARY = 50
ONE = b"1" * 32
TWO = b"2" * 32


class FakeDecoder:
    """The next token is the sum of all tokens held in the row; rows are lists of numbers.

    Decoding writes token 0, which pads batches, as `VOCABULARY`: it adds nothing and is seen.
    """

    def __init__(self, limits: Limits) -> None:
        self.rows = np.zeros((limits.slots, limits.context), np.int64)
        self.calls: list[tuple[Any, ...]] = []
        self.broken = False

    def _next(self, row: int, length: int) -> Logits:
        logits = np.zeros(VOCABULARY, np.float32)
        logits[int(self.rows[row, :length].sum()) % VOCABULARY] = 1
        return logits

    def prefill(self, row: int, tokens: Sequence[int], *, at: int) -> Logits:
        """See `Decoder`."""
        self.calls.append(("prefill", row, tuple(tokens), at))
        self.rows[row, at : at + len(tokens)] = tokens
        return self._next(row, at + len(tokens))

    def decode(self, tokens: Sequence[int], lengths: Sequence[int]) -> Logits:
        """See `Decoder`."""
        self.calls.append(("decode", tuple(tokens), tuple(lengths)))
        if self.broken:
            raise ExecutionError("broken")
        for row, (token, length) in enumerate(zip(tokens, lengths, strict=True)):
            self.rows[row, length - 1] = token or VOCABULARY
        return np.stack([self._next(row, length) for row, length in enumerate(lengths)])

    def wipe(self, row: int, *, start: int = 0, stop: int | None = None) -> None:
        """See `Decoder`."""
        self.rows[row, start:stop] = 0

    def copy(self, source: int, target: int, count: int) -> None:
        """See `Decoder`."""
        self.calls.append(("copy", source, target, count))
        self.rows[target, :count] = self.rows[source, :count]


class Tokens:
    """A sink that keeps what it is given."""

    def __init__(self, name: str = "", order: list[str] | None = None) -> None:
        self.name, self.order = name, order if order is not None else []
        self.tokens: list[int] = []
        self.end: tuple[Reason, Usage] | None = None
        self.stop_at: int | None = None

    def token(self, token: int) -> bool:
        """See `Sink`."""
        self.tokens.append(token)
        self.order.append(self.name)
        return len(self.tokens) == self.stop_at

    def finish(self, reason: Reason, usage: Usage) -> None:
        """See `Sink`."""
        assert self.end is None, "finished twice"
        self.end = (reason, usage)


def limits(**more: Any) -> Limits:
    """Return small bounds."""
    return Limits(**({"slots": 4, "context": 64, "chunk": 4, "budget": 8} | more))


def request(
    prompt: Sequence[int], *, most: int = 3, isolation: bytes = ONE, **more: Any
) -> Request:
    """Return a request."""
    return Request(prompt=tuple(prompt), isolation=isolation, most=most, **more)


def finish(engine: SlotEngine, *, now: float = 0.0) -> None:
    """Step until nothing is left."""
    for _ in range(10_000):
        if not engine.step(now):
            return
    raise AssertionError("the engine does not come to an end")


@pytest.fixture(scope="session")
def tiny() -> Callable[[Limits], OrtDecoder]:
    """Return a maker of real decoders with random weights, 97 tokens."""
    shape = Shape(vocabulary=97, context=256)
    graph = to_onnx(shape, initial(shape, seed=5))

    def make(bounds: Limits) -> OrtDecoder:
        options = LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),))
        session = load("onnxruntime", allowed={"onnxruntime"}).load(graph, options=options)
        assert isinstance(session, OrtSession)
        return OrtDecoder(session, slots=bounds.slots, context=bounds.context, chunk=bounds.chunk)

    return make


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the example's folder with random weights."""
    path = tmp_path_factory.mktemp("chat")
    write(path, steps=0)
    return path


@pytest.fixture(scope="session")
def files(folder: Path) -> Mapping[str, bytes]:
    """Return the folder's files by role."""
    return {
        "graph": (folder / "model.onnx").read_bytes(),
        "tokenizer": (folder / "tokenizer.json").read_bytes(),
        "tokenizer_config": (folder / "tokenizer_config.json").read_bytes(),
    }


GREEDY = Sampling()
DRAWN = Sampling(temperature=0.9, top_p=0.95, top_k=40, seed=7)
