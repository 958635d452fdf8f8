"""Dynamic batching: who shares a run, in which order, and what one bad request does to others."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from accel_backends.errors import ExecutionError, InputError
from accel_backends.tensors import DYNAMIC, Tensor, TensorSpec
from enclave.batching import Batcher, BatchLimits, Gain, Waiting, choose
from enclave.engines import EngineError

SPEC = TensorSpec(name="x", datatype="FP32", shape=(DYNAMIC, 2))


class Doubler:
    """A pipeline that doubles, remembers batch sizes, and can be held."""

    platform = "test"
    inputs = (SPEC,)
    outputs = (SPEC,)
    placements = ()

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = threading.Event()
        self.go.set()

    def infer(
        self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Any]
    ) -> Mapping[str, Tensor]:
        """Double every row; a NaN breaks the run."""
        del parameters
        self.go.wait(10)
        x = inputs["x"]
        self.sizes.append(len(x))
        if np.isnan(x).any():
            raise ExecutionError("the device failed")
        return {"x": x * 2}

    def close(self) -> None:
        """Nothing to release."""


def limits(**changes: Any) -> BatchLimits:
    """Return bounds with some changed."""
    values = {"max_batch_rows": 8, "max_queue": 32, "mix_tenants": True, "instances": 1}
    return BatchLimits(**(values | changes))


def rows(count: int, value: float = 1.0) -> dict[str, Tensor]:
    """Return inputs of so many rows."""
    return {"x": np.full((count, 2), value, np.float32)}


async def together(
    batcher: Batcher, pipeline: Doubler, requests: list[dict[str, Any]]
) -> list[Any]:
    """Occupy the pipeline, let requests queue up, release it, and return all outcomes."""
    pipeline.go.clear()
    first = asyncio.create_task(batcher.infer(rows(1), {}, isolation=b"first"))
    await asyncio.sleep(0.05)
    tasks = []
    for request in requests:
        tasks.append(asyncio.create_task(batcher.infer(**request)))
        await asyncio.sleep(0)
    pipeline.go.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def ask(
    count: int, value: float = 1.0, isolation: bytes = b"i", **parameters: Any
) -> dict[str, Any]:
    """Return the arguments of one request."""
    return {"inputs": rows(count, value), "parameters": parameters, "isolation": isolation}


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    """Threads for the pipeline."""
    return ThreadPoolExecutor(4)


async def test_waiting_requests_share_a_run(pool: ThreadPoolExecutor) -> None:
    """What queued while the model was busy runs together, and everybody gets their own rows."""
    pipeline = Doubler()
    batcher = Batcher(pipeline, limits=limits(), pool=pool)
    answers = await together(batcher, pipeline, [ask(n, float(n)) for n in (1, 2, 3)])
    assert pipeline.sizes == [1, 6]
    for n, answer in zip((1, 2, 3), answers, strict=True):
        assert answer["x"].tolist() == [[2.0 * n] * 2] * n


async def test_a_batch_never_exceeds_its_rows(pool: ThreadPoolExecutor) -> None:
    """A larger queue is cut; a request above the limit runs alone."""
    pipeline = Doubler()
    batcher = Batcher(pipeline, limits=limits(), pool=pool)
    await together(batcher, pipeline, [ask(3), ask(3), ask(3), ask(20)])
    assert sorted(pipeline.sizes[1:]) == [3, 6, 20]


async def test_strangers_do_not_share_unless_configured(pool: ThreadPoolExecutor) -> None:
    """Different isolation means different runs; the same isolation shares (positive control)."""
    requests = [ask(1, isolation=b"a"), ask(1, isolation=b"b"), ask(1, isolation=b"a")]
    pipeline = Doubler()
    await together(
        Batcher(pipeline, limits=limits(mix_tenants=False), pool=pool), pipeline, requests
    )
    assert sorted(pipeline.sizes) == [1, 1, 2]
    pipeline = Doubler()
    await together(Batcher(pipeline, limits=limits(), pool=pool), pipeline, requests)
    assert sorted(pipeline.sizes) == [1, 3]


async def test_one_bad_request_spoils_no_other(pool: ThreadPoolExecutor) -> None:
    """A run that fails is repeated one by one; only the culprit hears of it."""
    pipeline = Doubler()
    batcher = Batcher(pipeline, limits=limits(), pool=pool)
    good, bad, fine = await together(
        batcher, pipeline, [ask(1, 1.0), ask(1, float("nan")), ask(1, 3.0)]
    )
    assert good["x"].tolist() == [[2.0, 2.0]]
    assert isinstance(bad, ExecutionError)
    assert fine["x"].tolist() == [[6.0, 6.0]]


async def test_wrong_inputs_are_refused_before_the_queue(pool: ThreadPoolExecutor) -> None:
    """Tensors that do not fit, and parameters out of range, reach no batch."""
    batcher = Batcher(Doubler(), limits=limits(), pool=pool)
    with pytest.raises(InputError):
        await batcher.infer({"y": np.zeros(1)}, {}, isolation=b"")
    for wrong in ({"priority": 9}, {"priority": "x"}, {"timeout": -1}, {"timeout": 1.5}):
        with pytest.raises(EngineError):
            await batcher.infer(rows(1), wrong, isolation=b"")


async def test_a_full_queue_refuses(pool: ThreadPoolExecutor) -> None:
    """Beyond `max_queue` a request is told at once."""
    pipeline = Doubler()
    batcher = Batcher(pipeline, limits=limits(max_queue=2), pool=pool)
    answers = await together(batcher, pipeline, [ask(1) for _ in range(4)])
    codes = [answer.code for answer in answers if isinstance(answer, EngineError)]
    assert codes == ["queue.full", "queue.full"]


async def test_timeouts_are_kept(pool: ThreadPoolExecutor) -> None:
    """A request that waited past its timeout is dropped; one that must is refused early."""
    pipeline = Doubler()
    clock = [0.0]
    batcher = Batcher(pipeline, limits=limits(), pool=pool, clock=lambda: clock[0])
    pipeline.go.clear()
    first = asyncio.create_task(batcher.infer(rows(1), {}, isolation=b""))
    await asyncio.sleep(0.05)
    late = asyncio.create_task(batcher.infer(rows(1), {"timeout": 1000}, isolation=b""))
    await asyncio.sleep(0)
    clock[0] = 1.0
    batcher.gain.alone = 5.0
    with pytest.raises(EngineError, match="predicted"):
        await batcher.infer(rows(1), {"timeout": 1000}, isolation=b"")
    pipeline.go.set()
    await first
    with pytest.raises(EngineError, match="waited"):
        await late


async def test_the_predicted_wait_is_that_of_the_rows_ahead(pool: ThreadPoolExecutor) -> None:
    """Running and queued rows count, one's own do not; an idle model refuses nobody."""
    pipeline = Doubler()
    batcher = Batcher(pipeline, limits=limits(), pool=pool, clock=lambda: 0.0)
    batcher.gain.alone = 1.0
    assert await batcher.infer(rows(5), {"timeout": 1}, isolation=b"")
    pipeline.go.clear()
    batcher.gain.alone = 1.0
    running = [asyncio.create_task(batcher.infer(rows(n), {}, isolation=b"")) for n in (2, 3)]
    await asyncio.sleep(0)
    with pytest.raises(EngineError, match="predicted"):
        await batcher.infer(rows(1), {"timeout": 4_900_000}, isolation=b"")
    kept = asyncio.create_task(batcher.infer(rows(8), {"timeout": 5_000_000}, isolation=b""))
    await asyncio.sleep(0)
    pipeline.go.set()
    await asyncio.gather(*running, kept)


async def test_more_instances_shorten_the_predicted_wait(pool: ThreadPoolExecutor) -> None:
    """Two instances work off a queue in half the time, and a free one makes nobody wait."""
    pipeline = Doubler()
    batcher = Batcher(pipeline, limits=limits(instances=2), pool=pool, clock=lambda: 0.0)
    batcher.gain.alone = 1.0
    pipeline.go.clear()
    asked = {"timeout": 1_500_000}
    running = [asyncio.create_task(batcher.infer(rows(2), {}, isolation=b""))]
    await asyncio.sleep(0)
    running.append(asyncio.create_task(batcher.infer(rows(1), asked, isolation=b"")))
    await asyncio.sleep(0)
    running.append(asyncio.create_task(batcher.infer(rows(1), asked, isolation=b"")))
    await asyncio.sleep(0)
    with pytest.raises(EngineError, match="predicted"):
        await batcher.infer(rows(1), asked, isolation=b"")
    pipeline.go.set()
    await asyncio.gather(*running)


async def test_a_lone_request_waits_for_nobody(pool: ThreadPoolExecutor) -> None:
    """An idle instance runs what arrives at once; the next finds it busy and waits."""
    pipeline = Doubler()
    batcher = Batcher(pipeline, limits=limits(), pool=pool)
    pipeline.go.clear()
    first = asyncio.create_task(batcher.infer(rows(1), {}, isolation=b""))
    await asyncio.sleep(0)
    assert (batcher._running, len(batcher._queue)) == (1, 0)
    second = asyncio.create_task(batcher.infer(rows(1), {}, isolation=b""))
    await asyncio.sleep(0)
    assert (batcher._running, len(batcher._queue)) == (1, 1)
    pipeline.go.set()
    await asyncio.gather(first, second)
    assert pipeline.sizes == [1, 1]


async def test_a_model_that_loses_by_batching_is_run_one_by_one(
    pool: ThreadPoolExecutor,
) -> None:
    """Measured while it serves: rows that cost more together stop sharing runs, per model."""
    clock = [0.0]

    class Cnn(Doubler):
        def infer(
            self, inputs: Mapping[str, Tensor], parameters: Mapping[str, Any]
        ) -> Mapping[str, Tensor]:
            clock[0] += len(inputs["x"]) ** 2
            return super().infer(inputs, parameters)

    pipeline = Cnn()
    batcher = Batcher(pipeline, limits=limits(), pool=pool, clock=lambda: clock[0])
    for _ in range(10):
        await together(batcher, pipeline, [ask(1) for _ in range(4)])
    assert pipeline.sizes[:2] == [1, 4]
    assert pipeline.sizes[-5:] == [1] * 5


def test_a_model_that_lost_is_tried_again() -> None:
    """After many runs one by one a batch is tried; its outcome decides for as long again."""
    gain = Gain(alone=1.0, batched=2.0, batches=8)
    assert not gain.pays
    for _ in range(256):
        gain.note(requests=1, rows=1, seconds=1.0)
    assert gain.pays
    gain.note(requests=4, rows=4, seconds=8.0)
    assert not gain.pays


@pytest.mark.parametrize(
    ("sizes", "preferred", "taken"),
    [
        ([1, 1, 1, 1, 1, 1, 1], {4, 8}, 4),
        ([1, 1, 1], {4, 8}, 3),
        ([4, 1, 1], {4}, 1),
        ([2, 2, 2, 2], {4, 8}, 4),
        ([3, 3, 2], {4}, 3),
        ([1, 1, 1], set(), 3),
    ],
)
def test_preferred_sizes_are_made_where_requests_add_up(
    sizes: list[int], preferred: set[int], taken: int
) -> None:
    """The largest preferred size within reach is cut off; without one everything runs."""
    queue = [waiting(size, arrived=at / 1000) for at, size in enumerate(sizes)]
    batch = choose(queue, now=0.1, max_rows=8, preferred=preferred)
    assert [each.rows for each in batch] == sizes[:taken]


def waiting(name: int, *, priority: int = 2, arrived: float = 0.0, key: str = "k") -> Waiting:
    """Return a queued request that can be told apart by its rows."""
    return Waiting(
        key=(key,),
        inputs={},
        rows=name,
        priority=priority,
        arrived=arrived,
        expires=float("inf"),
        future=None,  # type: ignore[arg-type]
    )


def test_priority_goes_first_and_waiting_ages() -> None:
    """A higher priority jumps the queue; what has waited long enough rises above it."""
    low = waiting(1, priority=4, arrived=0.0)
    high = waiting(2, priority=1, arrived=0.5)
    assert [each.rows for each in choose([low, high], now=0.6, max_rows=1)] == [2]
    newer = waiting(2, priority=1, arrived=4.0)
    assert [each.rows for each in choose([low, newer], now=4.2, max_rows=1)] == [1]
    assert choose([], now=0.0, max_rows=8) == []
    other = waiting(3, key="other")
    assert [each.rows for each in choose([low, high, other], now=0.6, max_rows=8)] == [2, 1]


def test_batching_stops_where_it_does_not_pay() -> None:
    """Rows that take longer together than alone are run alone from then on."""
    gain = Gain()
    assert gain.pays
    gain.note(requests=1, rows=1, seconds=0.010)
    for _ in range(10):
        gain.note(requests=4, rows=4, seconds=0.080)
    assert not gain.pays
    for _ in range(60):
        gain.note(requests=4, rows=4, seconds=0.008)
    assert gain.pays
    assert 0 < gain.predict(10) < 0.2
    assert Gain().predict(5) == 0.0
