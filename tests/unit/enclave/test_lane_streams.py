"""Idle work gives way to text as it does to tensors: one lane for every model of a node."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from accel_backends.llm import LanguageModel
from enclave.engine_adapter import OpenAiEngine
from enclave.engines import Engine, EngineError, Job
from enclave.lane import Lane, LaneLimits, tier
from enclave.llm import LlmEngine
from enclave.llmconfig import EngineConfig
from enclave.oip_adapter import OipHttpEngine
from mifeng.protocol.body import OipBody
from tests.unit.enclave.llm_world import document, model
from tests.unit.enclave.test_llm import job

pytest.importorskip("onnx", reason="the example's graph is drawn on the spot")
from examples.chat.folder import write

IDLE = {"priority": 8}


@pytest.fixture
def lane() -> Lane:
    """Return a lane two wide."""
    return Lane(LaneLimits(width=2, waiting=4))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a running model with random weights."""
    path = tmp_path_factory.mktemp("chat")
    write(path, steps=0)
    loaded = model(path)
    yield loaded
    loaded.close()


async def drain(engine: Engine, asked: Job) -> bytes:
    """Return a whole answer."""
    return b"".join([piece async for piece in engine.run(asked)])


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_idle_tensors_wait_for_a_stream(running: LanguageModel, lane: Lane) -> None:
    """From a stream's first step to its end or its reader's leaving, no idle request starts."""
    engine = LlmEngine(running, name="chat", backend="o", pacing=None, lane=lane)
    stream = engine.run(job(document(stream=True)))
    assert isinstance(stream, AsyncGenerator)
    await anext(stream)
    order: list[str] = []

    async def tensors() -> None:
        async with lane.turn(IDLE):
            order.append("tensors")

    task = asyncio.create_task(tensors())
    await settle()
    assert (lane.waiting, order) == (1, [])
    async with lane.turn({}):
        order.append("urgent")
    assert lane.waiting == 1
    await stream.aclose()
    await task
    assert order == ["urgent", "tensors"]


async def test_flexible_text_waits_for_streams_and_tensors(
    running: LanguageModel, lane: Lane
) -> None:
    """`service_tier` `flex` starts when nothing else is under way, and answers the same."""
    engine = LlmEngine(running, name="chat", backend="o", pacing=None, lane=lane)
    async with lane.turn({}):
        waits = asyncio.create_task(drain(engine, job(document(service_tier="flex", n=1))))
        await settle()
        assert lane.waiting == 1
        urgent = await drain(engine, job(document(service_tier="default")))
        assert not waits.done()
    assert lane.waiting in (0, 1)
    text = (await waits).partition(b'"choices"')[2]
    assert text == urgent.partition(b'"choices"')[2]


async def test_flexible_text_is_refused_when_too_much_waits(running: LanguageModel) -> None:
    """Idle text counts with idle tensors against one bound."""
    full = Lane(LaneLimits(width=1, waiting=0))
    engine = LlmEngine(running, name="chat", backend="o", pacing=None, lane=full)
    async with full.turn({}):
        with pytest.raises(EngineError) as refused:
            await drain(engine, job(document(service_tier="flex")))
    assert refused.value.code == "queue.full"


@asynccontextmanager
async def silent(path: Path) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Listen as an engine that takes requests and never answers."""
    asked = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(take, path / "silent.sock")
    async with server:
        yield f"unix:{path}/silent.sock", asked


@pytest.mark.parametrize("kind", [OpenAiEngine, OipHttpEngine])
async def test_engines_of_others_take_turns_too(
    tmp_path: Path, lane: Lane, kind: type[OpenAiEngine | OipHttpEngine]
) -> None:
    """Idle work for them waits here, before it is sent; what they compute holds idle work off."""
    openai = kind is OpenAiEngine
    operation = "openai.chat.completions" if openai else "oip.infer"
    asks = {
        "urgent": job(document()) if openai else tensors({"priority": 3}),
        "idle": job(document(service_tier="flex")) if openai else tensors(IDLE),
    }
    async with silent(tmp_path) as (address, asked):
        bounds = {"prefix_cache": "off", "backend": "x", "health": "/"}
        config = EngineConfig.model_validate(
            {"address": address, "operations": [operation], **bounds}
        )
        engine = kind(config, name="m", device="d", pacing=None, lane=lane)
        async with lane.turn({}):
            idle = asyncio.create_task(drain(engine, asks["idle"]))
            await settle()
            assert lane.waiting == 1
            assert not asked.is_set()
        await asked.wait()
        idle.cancel()
        urgent = asyncio.create_task(drain(engine, asks["urgent"]))
        await settle()
        late = asyncio.create_task(drain(engine, asks["idle"]))
        await settle()
        assert lane.waiting == 1
        urgent.cancel()
        late.cancel()
        await asyncio.gather(idle, urgent, late, return_exceptions=True)
        assert lane.waiting == 0
        await engine.close()


def tensors(parameters: dict[str, Any]) -> Job:
    """Return a request of no tensors."""
    body = OipBody(tensors=(), parameters=parameters).encode(response=False)
    data = memoryview(bytearray(body))
    return Job(operation="oip.infer", body=data, isolation=bytes(32), stream=False)


@pytest.mark.parametrize("value", [None, "auto", "default", "priority", 8, ["flex"], "FLEX"])
def test_only_flex_is_idle(value: object) -> None:
    """Other tiers, and values that are none, are as urgent as none."""
    assert tier({"service_tier": value}) == {}
    assert tier({"service_tier": "flex"}) == IDLE
