"""Chat through a real gateway and a real node: equal to the engine alone, slots given back."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave.engines import Job
from enclave.llm import LlmEngine
from enclave.openai_api import events
from examples.chat.folder import entry, write
from mifeng.client import AsyncClient
from mifeng.demo.cluster import Cluster
from tests.unit.enclave.llm_world import document, model, text_of

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("chat")]
CHAT = "openai.chat.completions"
CONTEXT = 20_000
ENDLESS = 18_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a chat folder with random weights."""
    path = tmp_path_factory.mktemp("chat")
    write(path, steps=0, context=CONTEXT)
    return path


@pytest.fixture(scope="module")
def cluster(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A gateway and one node with two slots, and the same model with one slot, unpaced."""
    limits = {"context": CONTEXT, "slots": 2}
    models = [
        entry(folder, llm=limits),
        entry(folder, name="narrow", llm=limits | {"slots": 1}, pacing={"tick_ms": 0}),
    ]
    directory = tmp_path_factory.mktemp("mf")
    with Cluster(models, nodes=1, directory=directory) as running:
        yield running


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[AsyncClient]:
    """A client of the cluster."""
    async with AsyncClient.from_config(cluster.client_config()) as made:
        yield made


async def plain(folder: Path, body: dict[str, Any]) -> bytes:
    """Return what the engine answers without gateway and seal."""
    running = model(folder, slots=1, context=CONTEXT)
    engine = LlmEngine(running, name="chat", backend="onnxruntime", pacing=None)
    stream = body.get("stream") is True
    data = bytearray(json.dumps(body).encode())
    job = Job(operation=CHAT, body=memoryview(data), isolation=bytes(32), stream=stream)
    answer = b"".join([piece async for piece in engine.run(job)])
    await engine.close()
    return answer


async def test_chats_stream_as_the_engine_alone_would_say_them(
    client: AsyncClient, folder: Path
) -> None:
    """Four sealed streams at once over two slots, each the plaintext engine's text."""
    questions = ["What is the capital of Peru?", "你好", "Who?", "几点营业？ " * 20]

    async def ask(question: str) -> bytes:
        body = document(question, stream=True, max_tokens=60)
        stream = await client.open_stream("chat", json.dumps(body).encode(), operation=CHAT)
        answer = b"".join([piece async for piece in stream])
        assert stream.done.problem is None
        assert stream.done.receipt.outcome == "completed"
        assert stream.done.receipt.backend.startswith("onnxruntime/CPUExecutionProvider")
        return answer

    answers = await asyncio.gather(*map(ask, questions))
    for question, answer in zip(questions, answers, strict=True):
        body = document(question, stream=True, max_tokens=60)
        assert events(answer)[-1] == b"[DONE]"
        assert text_of(answer) == text_of(await plain(folder, body))


async def test_a_whole_answer_is_the_engine_s(client: AsyncClient, folder: Path) -> None:
    """Without streaming, choices and usage are those of the plaintext engine."""
    body = document(max_tokens=40)
    sealed = await client.ask("chat", json.dumps(body).encode(), operation=CHAT)
    ours, theirs = json.loads(sealed.body), json.loads(await plain(folder, body))
    assert (ours["choices"], ours["usage"]) == (theirs["choices"], theirs["usage"])


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_the_only_slot(
    client: AsyncClient, *, stream: bool
) -> None:
    """While an endless answer holds the slot nothing else runs; once its client left, it does."""
    long = json.dumps(document(stream=stream, max_tokens=ENDLESS)).encode()
    short = json.dumps(document(max_tokens=3)).encode()
    if stream:
        held = await client.open_stream("narrow", long, operation=CHAT, deadline_s=300)
        begun = aiter(held)
        await anext(begun)
        waiting = asyncio.create_task(client.ask("narrow", short, operation=CHAT, deadline_s=300))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await begun.aclose()
        await held.aclose()
    else:
        asking = asyncio.create_task(client.ask("narrow", long, operation=CHAT, deadline_s=300))
        await asyncio.sleep(0.5)
        waiting = asyncio.create_task(client.ask("narrow", short, operation=CHAT, deadline_s=300))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        assert not asking.done()
        asking.cancel()
    answer = json.loads((await waiting).body)
    assert answer["usage"]["completion_tokens"] == 3
