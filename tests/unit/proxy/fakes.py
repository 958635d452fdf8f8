"""A sealed world that says what it is told, for tests of the proxy's fronts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx

from mifeng.errors import MifengError
from mifeng.protocol.body import OIP_METADATA, OipBody
from mifeng.proxy.http import Fronts
from mifeng.proxy.upstream import Upstream

H = bytes(range(32))
METADATA = (
    b'{"name":"m","versions":["3"],"platform":"onnxruntime_onnx",'
    b'"inputs":[{"name":"x","datatype":"FP32","shape":[-1]}],'
    b'"outputs":[{"name":"y","datatype":"FP32","shape":[-1]}]}'
)


def receipt() -> Any:
    """Return what the proxy reads of a receipt."""
    return SimpleNamespace(h=H, marks=("SIMULATED",))


def done(problem: str | None = None) -> Any:
    """Return a verified end."""
    return SimpleNamespace(receipt=receipt(), problem=problem, index=7, statement=b"")


@dataclass
class Stream:
    """An answer in pieces; `fails` comes instead of the end."""

    pieces: Sequence[bytes]
    fails: MifengError | None = None
    problem: str | None = None
    hold: asyncio.Event | None = None
    """After the first piece, wait for this."""
    h: bytes = H
    node_id: str = "node-1"
    closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number, piece in enumerate(self.pieces):
            if number == 1 and self.hold is not None:
                await self.hold.wait()
            yield piece
        if self.fails is not None:
            raise self.fails

    @property
    def done(self) -> Any:
        """The end."""
        return done(self.problem)

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


@dataclass
class Client:
    """What the proxy uses of `AsyncClient`."""

    answer: Callable[[bytes], bytes] = lambda body: body
    stream: Stream | None = None
    fails: MifengError | None = None
    served: tuple[str, ...] = ("m",)
    until: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    attested: list[str] = field(default_factory=list)

    async def models(self) -> frozenset[str]:
        """Return the models."""
        if self.fails is not None:
            raise self.fails
        return frozenset(self.served)

    async def attest(self, model: str) -> list[Any]:
        """Return one node."""
        self.attested.append(model)
        if self.fails is not None:
            raise self.fails
        return [SimpleNamespace(valid_until=self.until)]

    async def ask(self, model: str, body: bytes, **more: Any) -> Any:
        """Answer."""
        self.asked.append({"model": model, "body": body, **more})
        if self.fails is not None:
            raise self.fails
        made = METADATA if more["operation"] == OIP_METADATA else self.answer(body)
        return SimpleNamespace(body=made, receipt=receipt(), node_id="node-1")

    async def open_stream(self, model: str, body: bytes, **more: Any) -> Any:
        """Answer in pieces."""
        self.asked.append({"model": model, "body": body, **more})
        if self.fails is not None:
            raise self.fails
        assert self.stream is not None
        return self.stream

    async def close(self) -> None:
        """Nothing to release."""


def negated(body: bytes) -> bytes:
    """Return an OIP answer whose tensors are the request's, called y0, y1, …."""
    asked = OipBody.decode(body, response=False)
    tensors = tuple(
        type(t)(name=f"y{n}", datatype=t.datatype, shape=t.shape, data=bytes(t.data))
        for n, t in enumerate(asked.tensors)
    )
    return OipBody(tensors=tensors, id=asked.id).encode(response=True)


def session(client: Any, *, strict: bool = False, token: str | None = None) -> httpx.AsyncClient:
    """Return an HTTP client of the proxy's application."""
    app = Fronts(Upstream(client, strict=strict), token=token).app()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")
