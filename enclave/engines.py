"""What a model is to the executor: bytes of an operation in, bytes out, and what ran them.

`OipEngine` decodes Open Inference Protocol tensors and calls a pipeline of `accel_backends` in
a thread. Engines see the opened body and the request's isolation; they see no key, no tenant
signature and no sealed byte.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from concurrent.futures import Executor as ThreadPool
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from accel_backends.errors import BackendError
from accel_backends.pipeline import Manifest, Pipeline
from accel_backends.tensors import NUMPY_TYPES, Tensor
from mifeng.errors import MalformedError
from mifeng.protocol import body
from mifeng.protocol.body import OIP_INFER, OIP_METADATA, OipBody

from .pacing import Beat

WHEN: Final = frozenset({"priority", "timeout"})
"""Parameters that say when a request runs, not what it computes."""
_INLINE_BYTES: Final = 256 << 10
"""Bodies up to this are decoded at once; longer ones would hold up the loop."""


class EngineError(Exception):
    """The model did not answer. `code` is stable; the message quotes no input."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One opened request, as an engine may see it."""

    operation: str
    body: memoryview
    isolation: bytes
    """32 bytes: requests may share caches only if these are equal. Random unless the client
    sealed a value of its own, so the default is to share nothing."""
    stream: bool
    tenant: str = ""
    """Whom the gateway says it is for: good for taking turns, never for sharing anything."""
    beat: Beat | None = None
    """When the answer is looked at, if it is paced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What the receipt says about how a model runs."""

    backend: str
    device: str


class Engine(Protocol):
    """One served model."""

    @property
    def operations(self) -> frozenset[str]:
        """Operations it answers."""
        ...

    @property
    def ran(self) -> Ran:
        """Where it runs, as the backend itself reports it."""
        ...

    def run(self, job: Job) -> AsyncIterator[bytes]:
        """Yield the answer in pieces.

        Raises:
            EngineError: the input does not fit, or the device failed.
        """
        ...

    async def close(self) -> None:
        """Release the model."""
        ...


class OipEngine:
    """A pipeline behind the Open Inference Protocol."""

    operations = frozenset({OIP_INFER, OIP_METADATA})

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        name: str,
        version: str,
        backend: str,
        pool: ThreadPool,
        lane: "Turns",
        batcher: "Infer | None" = None,
    ) -> None:
        """Take a loaded pipeline, what it is served as, and who says when it may run."""
        self._pipeline, self._pool, self._lane, self._batcher = pipeline, pool, lane, batcher
        self._name, self._version = name, version
        first = pipeline.placements[0]
        eps = sorted({f"{p.ep} {p.ep_version}" for p in pipeline.placements})
        self.ran = Ran(backend=f"{backend}/{'+'.join(eps)}"[:128], device=str(first.device)[:128])

    async def run(self, job: Job) -> AsyncIterator[bytes]:
        """See `Engine.run`; yields once."""
        if job.operation == OIP_METADATA:
            yield json.dumps(self._metadata()).encode()
            return
        with _as_engine_errors():
            if len(job.body) <= _INLINE_BYTES:
                request, inputs = _decode(job.body)
            else:
                loop = asyncio.get_running_loop()
                request, inputs = await loop.run_in_executor(self._pool, _decode, job.body)
            async with self._lane.turn(request.parameters):
                answer = await self._answer(request, inputs, job.isolation)
        yield answer

    async def _answer(
        self, request: OipBody, inputs: Mapping[str, Tensor], isolation: bytes
    ) -> bytes:
        if self._batcher is not None:
            outputs = await self._batcher(inputs, request.parameters, isolation=isolation)
            return _encode(request, outputs)
        rest = {name: value for name, value in request.parameters.items() if name not in WHEN}

        def run() -> bytes:
            return _encode(request, self._pipeline.infer(inputs, rest))

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    async def close(self) -> None:
        """See `Engine.close`."""
        self._pipeline.close()

    def _metadata(self) -> dict[str, Any]:
        manifest = Manifest(
            name=self._name,
            version=self._version,
            digest=b"",
            platform=self._pipeline.platform,
            inputs=self._pipeline.inputs,
            outputs=self._pipeline.outputs,
        )
        return manifest.metadata()


class Infer(Protocol):
    """What `batching.Batcher.infer` is to an engine."""

    def __call__(
        self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Any], /, *, isolation: bytes
    ) -> Awaitable[Mapping[str, Tensor]]:
        """Answer one request, perhaps together with others."""
        ...


class Turns(Protocol):
    """What `lane.Lane` is to an engine."""

    def turn(self, parameters: Mapping[str, Any], /) -> AbstractAsyncContextManager[None]:
        """Hold a place while a request runs; raises `EngineError`."""
        ...


class Alone:
    """Turns of a model that shares its node with no other: everything runs at once."""

    def turn(self, _: Mapping[str, Any], /) -> AbstractAsyncContextManager[None]:
        """See `Turns.turn`."""
        return nullcontext()


@contextmanager
def _as_engine_errors() -> Iterator[None]:
    """Turn what bodies and backends raise into what an answer may say."""
    try:
        yield
    except MalformedError as exc:
        raise EngineError("request.malformed", str(exc)) from None
    except BackendError as exc:
        raise EngineError(exc.code, str(exc)) from None


def _decode(data: memoryview) -> tuple[OipBody, dict[str, Tensor]]:
    request = OipBody.decode(data, response=False)
    inputs = {tensor.name: to_numpy(tensor) for tensor in request.tensors}
    if len(inputs) != len(request.tensors):
        raise EngineError("request.malformed", "an input is named twice")
    return request, inputs


def _encode(request: OipBody, outputs: Mapping[str, Tensor]) -> bytes:
    tensors = tuple(from_numpy(name, array) for name, array in outputs.items())
    return OipBody(tensors=tensors, id=request.id).encode(response=True)


def to_numpy(tensor: body.Tensor) -> Tensor:
    """Return a checked tensor as an array; fixed-size elements are a view, not a copy.

    Raises:
        MalformedError: a datatype that arrays cannot hold (BF16).
    """
    if tensor.datatype == "BYTES":
        array = np.empty(len(elements := body.split_bytes(tensor.data)), dtype=object)
        array[:] = elements
        return array.reshape(tensor.shape)
    dtype = NUMPY_TYPES.get(tensor.datatype)
    if dtype is None:
        raise MalformedError(f"tensor {tensor.name[:64]!r}: datatype {tensor.datatype}")
    return np.frombuffer(tensor.data, dtype=dtype).reshape(tensor.shape)


def from_numpy(name: str, array: Tensor) -> body.Tensor:
    """Return an array as a tensor of the wire."""
    datatypes: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in NUMPY_TYPES.items()}
    datatype = datatypes[array.dtype]
    data = (
        body.join_bytes(array.flat)
        if datatype == "BYTES"
        else np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    )
    return body.Tensor(name=name, datatype=datatype, shape=array.shape, data=data)
