"""Dynamic batching of tensor requests: names and meaning as in Triton, no timer.

An idle instance runs what arrives at once. While it is busy, requests wait; when it is free it
takes the most urgent and everything compatible with it, up to `max_batch_rows`. So batches form
by themselves exactly when there is load, and a lone request waits for nobody.

Requests are compatible if model, datatypes and every dimension but the first agree, and if
their isolation is equal; only a measured configuration with `mix_tenants` lets strangers share
a batch. Whether a model gains from batching at all is measured while it serves (`Gain`): a CNN
on a CPU does not, and is then run one by one.

Source: Triton model configuration, "Dynamic Batcher", `priority`, `timeout`; docs/batching.md.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor as ThreadPool
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from accel_backends.pipeline import Pipeline
from accel_backends.tensors import Tensor, check_inputs

from .engines import WHEN, EngineError

DEFAULT_PRIORITY: Final = 2
MAX_TIMEOUT_US: Final = 86_400_000_000
LEVELS: Final = 8
AGING_S: Final = 1.0
"""A waiting request rises by one level in this time, so that none starves."""
MAX_BYTES: Final = 1 << 30
"""Inputs of one request; the session's own bound is lower where configured so."""
_SMOOTHING: Final = 0.2
_TRIALS: Final = 8
"""Batches to see before deciding that a model does not gain."""
_AGAIN: Final = 256
"""Runs one by one after which a model that lost is tried with a batch once more."""

Key = tuple[object, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """Bounds of one model, from the measured configuration."""

    max_batch_rows: int
    max_queue: int
    mix_tenants: bool
    instances: int
    preferred_batch_size: frozenset[int] = frozenset()
    """Rows that a batch should have, if the waiting requests add up to them."""


@dataclass(slots=True)
class Gain:
    """Seconds per row, alone and in batches, smoothed; decides whether batching pays."""

    alone: float | None = None
    batched: float | None = None
    batches: int = 0
    since: int = 0
    """Runs of one request since the last batch."""

    def note(self, *, requests: int, rows: int, seconds: float) -> None:
        """Take in one run."""
        per_row = seconds / rows
        if requests == 1:
            self.since += 1
            self.alone = per_row if self.alone is None else _smooth(self.alone, per_row)
        else:
            self.since = 0
            self.batches += 1
            self.batched = per_row if self.batched is None else _smooth(self.batched, per_row)

    @property
    def pays(self) -> bool:
        """Whether to go on batching; every so often a losing model is tried again."""
        if self.alone is None or self.batched is None or self.batches < _TRIALS:
            return True
        return self.batched < self.alone or self.since >= _AGAIN

    def predict(self, rows: int) -> float:
        """Return the expected seconds for so many rows."""
        known = [each for each in (self.alone, self.batched) if each is not None]
        return min(known) * rows if known else 0.0


def _smooth(old: float, new: float) -> float:
    return old + _SMOOTHING * (new - old)


@dataclass(slots=True)
class Waiting:
    """One request in the queue."""

    key: Key
    inputs: Mapping[str, Tensor]
    rows: int
    priority: int
    arrived: float
    expires: float
    future: "asyncio.Future[Mapping[str, Tensor]]" = field(repr=False)

    def urgency(self, now: float) -> tuple[float, float]:
        """Smaller goes first: priority level less what waiting has earned, then arrival."""
        return self.priority - int((now - self.arrived) / AGING_S), self.arrived


def choose(
    queue: Sequence[Waiting],
    *,
    now: float,
    max_rows: int,
    preferred: Collection[int] = (),
) -> list[Waiting]:
    """Return the next batch: the most urgent request and what is compatible, in urgency's order.

    Pure. A request larger than `max_rows` runs alone. Of the preferred sizes the largest that
    the first requests add up to is taken, and if none is, everything: nobody waits for a size.
    """
    ordered = sorted(queue, key=lambda each: each.urgency(now))
    if not ordered:
        return []
    first = ordered[0]
    batch, rows = [first], first.rows
    end = 1 if rows in preferred else 0
    for each in ordered[1:]:
        if each.key == first.key and rows + each.rows <= max_rows:
            batch.append(each)
            rows += each.rows
            end = len(batch) if rows in preferred else end
    return batch[: end or len(batch)]


class Batcher:
    """Serves one pipeline in batches."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        limits: BatchLimits,
        pool: ThreadPool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipeline, self._limits, self._pool, self._clock = pipeline, limits, pool, clock
        self._queue: list[Waiting] = []
        self._running = 0
        self._running_rows = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.gain = Gain()

    async def infer(
        self,
        inputs: Mapping[str, Tensor],
        parameters: Mapping[str, Any],
        *,
        isolation: bytes,
    ) -> Mapping[str, Tensor]:
        """Return the outputs for one request.

        Args:
            inputs: tensors with the same first dimension.
            parameters: `priority` (1 = highest … 8) and `timeout` (µs in the queue) are taken;
                any other makes the request run by itself.
            isolation: requests of different isolation share a batch only if configured.

        Raises:
            EngineError: `queue.full`, `queue.timeout`.
            BackendError: the tensors are not what the model declares, or the device failed.
        """
        check_inputs(inputs, self._pipeline.inputs, max_bytes=MAX_BYTES)
        rest = {name: value for name, value in parameters.items() if name not in WHEN}
        rows = _rows(inputs)
        if rest or rows is None:
            return await self._run_alone(inputs, rest)
        now = self._clock()
        waiting = Waiting(
            key=self._key(inputs, isolation),
            inputs=inputs,
            rows=rows,
            priority=priority_of(parameters),
            arrived=now,
            expires=now + timeout_of(parameters),
            future=asyncio.get_running_loop().create_future(),
        )
        self._admit(waiting, now)
        self._start()
        return await waiting.future

    def _admit(self, waiting: Waiting, now: float) -> None:
        if len(self._queue) >= self._limits.max_queue:
            raise EngineError("queue.full", "too many requests wait for this model")
        ahead = self._running_rows + sum(each.rows for each in self._queue)
        wait = self.gain.predict(ahead) / self._limits.instances
        if self._running >= self._limits.instances and now + wait > waiting.expires:
            raise EngineError("queue.timeout", "the predicted wait exceeds the timeout")
        self._queue.append(waiting)

    def _start(self) -> None:
        """Give every free instance something to do."""
        while self._queue and self._running < self._limits.instances:
            now = self._clock()
            for late in [each for each in self._queue if each.expires <= now]:
                self._queue.remove(late)
                _fail(late, EngineError("queue.timeout", "it waited longer than its timeout"))
            max_rows = self._limits.max_batch_rows if self.gain.pays else 1
            batch = choose(
                self._queue,
                now=now,
                max_rows=max_rows,
                preferred=self._limits.preferred_batch_size,
            )
            for each in batch:
                self._queue.remove(each)
            batch = [each for each in batch if not each.future.done()]
            if not batch:
                continue
            self._running += 1
            self._running_rows += sum(each.rows for each in batch)
            task = asyncio.create_task(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, batch: Sequence[Waiting]) -> None:
        rows = sum(each.rows for each in batch)
        began = self._clock()
        try:
            outputs = await self._run_alone(_join(batch), {})
            parts = _split(outputs, [each.rows for each in batch])
        except Exception as exc:  # noqa: BLE001 - whatever a model raises, its callers hear it
            if len(batch) == 1:
                _fail(batch[0], exc)
            else:
                await self._run_each(batch)
        else:
            self.gain.note(requests=len(batch), rows=rows, seconds=self._clock() - began)
            for each, part in zip(batch, parts, strict=True):
                if not each.future.done():
                    each.future.set_result(part)
        finally:
            self._running -= 1
            self._running_rows -= rows
            self._start()

    async def _run_each(self, batch: Sequence[Waiting]) -> None:
        """Run a failed batch one by one: one bad request must not spoil the others."""
        for each in batch:
            try:
                outputs = await self._run_alone(each.inputs, {})
            except Exception as exc:  # noqa: BLE001 - as above
                _fail(each, exc)
            else:
                if not each.future.done():
                    each.future.set_result(outputs)

    async def _run_alone(
        self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Any]
    ) -> Mapping[str, Tensor]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._pipeline.infer, inputs, parameters)

    def _key(self, inputs: Mapping[str, Tensor], isolation: bytes) -> Key:
        shapes = tuple(
            (name, tensor.dtype.str, tensor.shape[1:]) for name, tensor in sorted(inputs.items())
        )
        return (shapes, b"" if self._limits.mix_tenants else isolation)


def priority_of(parameters: Mapping[str, Any]) -> int:
    """Return a request's `priority`, 1 (highest) … 8; raises `EngineError`."""
    value = parameters.get("priority", DEFAULT_PRIORITY)
    if type(value) is not int or not 0 <= value <= LEVELS:
        raise EngineError("request.malformed", f"priority: need 1 … {LEVELS}")
    return value or DEFAULT_PRIORITY


def timeout_of(parameters: Mapping[str, Any]) -> float:
    """Return a request's `timeout` in seconds, infinite if it has none; raises `EngineError`."""
    value = parameters.get("timeout", 0)
    if type(value) is not int or not 0 <= value <= MAX_TIMEOUT_US:
        raise EngineError("request.malformed", "timeout: need microseconds")
    return value / 1e6 if value else float("inf")


def _rows(inputs: Mapping[str, Tensor]) -> int | None:
    """Return the shared first dimension, or None if there is none."""
    sizes = {tensor.shape[0] if tensor.ndim else None for tensor in inputs.values()}
    size = sizes.pop() if len(sizes) == 1 else None
    return size or None


def _join(batch: Sequence[Waiting]) -> Mapping[str, Tensor]:
    if len(batch) == 1:
        return batch[0].inputs
    names = batch[0].inputs
    return {name: np.concatenate([each.inputs[name] for each in batch]) for name in names}


def _split(outputs: Mapping[str, Tensor], rows: Sequence[int]) -> list[Mapping[str, Tensor]]:
    """Cut a batch's outputs into each request's.

    Raises:
        EngineError: an output does not have one row for each input row.
    """
    if len(rows) == 1:
        return [outputs]
    total, ends = sum(rows), np.cumsum(rows)[:-1]
    if any(tensor.ndim == 0 or tensor.shape[0] != total for tensor in outputs.values()):
        raise EngineError("model.unbatchable", "the model does not answer row by row")
    cut = {name: np.split(tensor, ends) for name, tensor in outputs.items()}
    return [{name: parts[at] for name, parts in cut.items()} for at in range(len(rows))]


def _fail(waiting: Waiting, error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
