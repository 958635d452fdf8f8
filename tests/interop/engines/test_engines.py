"""The adapter with engines of others as they are: transformers serve, llama.cpp's Python server.

Not in the default run, since they take minutes: `tests/interop/engines/setup.sh` installs the
engines, and `MIFENG_ENGINES=1` has these tests run; they are skipped without either. The model is
the example's decoder with random weights, written by the test in each engine's own format, so that
all engines and the slot engine must say the same words.
"""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from enclave.engine_adapter import OpenAiEngine
from enclave.engine_process import SILENT
from enclave.engines import EngineError, Job
from enclave.llm import LlmEngine
from enclave.llmconfig import EngineConfig
from enclave.openai_api import events
from tests.unit.enclave.llm_world import FAST, ChatWorld, document, model, text_of

from .weights import CONTEXT, gguf, llama_folder

CHAT = "openai.chat.completions"
ENGINES = Path(__file__).parent.parent.parent.parent / ".cache" / "engines"
KINDS = ("transformers", "llamacpp")
LONG = 400

pytestmark = [pytest.mark.timeout(900)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An engine that the adapter started."""

    name: str
    folder: Path
    config: EngineConfig
    engine: OpenAiEngine

    @property
    def pid(self) -> int:
        """Process id of the child."""
        assert self.engine.supervisor is not None
        pid = self.engine.supervisor.pid
        assert pid is not None
        return pid


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _config(name: str, folder: Path) -> EngineConfig:
    """Write the model for an engine and say how to run it."""
    bin_folder = ENGINES / name / "bin"
    common: dict[str, Any] = {"operations": [CHAT], "prefix_cache": "off", "start_s": 300}
    if name == "transformers":
        llama_folder(folder)
        port = _free_port()
        command = [str(bin_folder / "transformers"), "serve", str(folder), "--device", "cpu"]
        return EngineConfig(
            address=f"tcp:127.0.0.1:{port}",
            backend="transformers 5",
            command=[*command, "--host", "127.0.0.1", "--port", str(port)],
            served_model=str(folder),
            **common,
        )
    gguf(folder)
    # The package's application, unmodified, on a unix socket.
    return EngineConfig(
        address=f"unix:{folder}/engine.sock",
        backend="llama-cpp-python 0.3",
        command=[
            *(str(bin_folder / "python"), "-m", "uvicorn", "--factory"),
            *("llama_cpp.server.app:create_app", "--uds", f"{folder}/engine.sock"),
        ],
        env={
            "MODEL": str(folder / "model.gguf"),
            "N_CTX": str(CONTEXT),
            "N_THREADS": "1",
            "INTERRUPT_REQUESTS": "false",
        },
        key_env="API_KEY",
        health="/openapi.json",
        **common,
    )


@pytest.fixture(scope="module", params=KINDS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """Start an engine as the node does."""
    name = request.param
    if not os.environ.get("MIFENG_ENGINES"):
        pytest.skip("takes minutes: set MIFENG_ENGINES=1")
    if not (ENGINES / name / ".ready").exists():
        pytest.skip(f"{name} is not installed: tests/interop/engines/setup.sh {name}")
    folder = tmp_path_factory.mktemp(name)
    config = _config(name, folder)
    engine = OpenAiEngine(config, name="chat", device="cpu", pacing=FAST)
    assert engine.supervisor is not None
    try:
        yield Running(name=name, folder=folder, config=config, engine=engine)
    finally:
        engine.supervisor.close()


@pytest.fixture
async def adapter(running: Running) -> AsyncIterator[OpenAiEngine]:
    """Return an adapter of this test's loop to the running child."""
    given = running.config.model_dump() | {"command": None, "key_env": None, "env": {}}
    if key := running.engine._headers.get("authorization", "").removeprefix("Bearer "):
        (running.folder / "key").write_text(key)
        given["key_file"] = running.folder / "key"
    made = OpenAiEngine(EngineConfig(**given), name="chat", device="cpu", pacing=FAST)
    yield made
    await made.close()


async def answer(engine: Any, body: Any) -> bytes:
    """Return a whole answer."""
    data = memoryview(bytearray(json.dumps(body).encode()))
    stream = body.get("stream") is True
    job = Job(operation=CHAT, body=data, isolation=bytes(32), stream=stream)
    return b"".join([piece async for piece in engine.run(job)])


async def slots_say(folder: Path, body: Any) -> str:
    """Return what the node's own engine says with these weights."""
    loaded = model(folder, context=CONTEXT)
    made = json.loads(await answer(LlmEngine(loaded, name="chat", backend="o", pacing=None), body))
    await asyncio.to_thread(loaded.close)
    text: str = made["choices"][0]["message"]["content"]
    return text


async def test_its_words_are_those_of_the_slot_engine(
    running: Running, adapter: OpenAiEngine
) -> None:
    """Greedy, the same weights say the same: another implementation holds ours to account.

    llama.cpp's server leaves out bytes that are no characters, and would weigh repeated words
    down if it were not asked for plain greedy.
    """
    plain = {"repeat_penalty": 1.0} if running.name == "llamacpp" else {}
    for question in ("What is the capital of Peru?", "Hello", "When are you open on Friday?"):
        body = document(question, max_tokens=48)
        whole = json.loads(await answer(adapter, body | plain))
        text = whole["choices"][0]["message"]["content"]
        theirs, ours = _whole(text), _whole(await slots_say(running.folder, body))
        size = min(len(theirs), len(ours))
        assert size >= 24
        assert theirs[:size] == ours[:size]
        body |= plain
        streamed = text_of(_ended(await answer(adapter, body | {"stream": True})))
        if running.name == "llamacpp":  # its streams leave out characters that two tokens share
            streamed, text = _ascii(streamed), _ascii(text)
        assert streamed == text


async def test_a_sealed_paced_stream_is_the_engine_s(adapter: OpenAiEngine) -> None:
    """Through nine steps and frames of one size, the text is what the engine says in the open."""
    body = document(stream=True, max_tokens=40)
    world = ChatWorld(engine=adapter)
    pieces, done, sizes = await world.chat(body)
    assert done.problem is None
    assert done.receipt.outcome == "completed"
    assert len(set(sizes)) == 1
    plain = text_of(_ended(await answer(adapter, body)))
    assert plain
    assert text_of(_ended(b"".join(pieces))) == plain


def test_the_engine_is_alone_and_silent(running: Running) -> None:
    """Its environment is ours, its output goes nowhere, its key is in no argument."""
    process = Path(f"/proc/{running.pid}")
    pairs = process.joinpath("environ").read_bytes().decode().split("\0")
    env = dict(pair.split("=", 1) for pair in pairs if pair)
    assert SILENT.items() <= env.items()
    own = set(running.config.env) | {running.config.key_env or "PATH"}
    assert set(env) <= set(SILENT) | {"PATH", "HOME", "LC_CTYPE"} | own
    for number in (1, 2):
        assert (process / "fd" / str(number)).readlink() == Path("/dev/null")
    if running.config.key_env:
        key = env[running.config.key_env]
        assert len(key) == 64
        assert key.encode() not in process.joinpath("cmdline").read_bytes()


async def test_without_the_key_the_engine_serves_nobody(running: Running) -> None:
    """Another process of the machine that finds the socket gets nothing."""
    if not running.config.key_env:
        pytest.skip(f"{running.name} has no API key")
    transport = httpx.AsyncHTTPTransport(uds=running.config.address.removeprefix("unix:"))
    async with httpx.AsyncClient(transport=transport) as anybody:
        asked = await anybody.post("http://engine/v1/chat/completions", json=document())
    assert asked.status_code == 401


async def test_what_the_engine_refuses_is_a_code(adapter: OpenAiEngine) -> None:
    """Its words about a bad request, which may quote it, go nowhere."""
    with pytest.raises(EngineError) as caught:
        await answer(adapter, document("canary-words") | {"messages": "canary-words"})
    assert caught.value.code in ("request.rejected", "engine.failed")
    assert "canary" not in str(caught.value)


async def test_leaving_early_saves_the_engine_work(running: Running, adapter: OpenAiEngine) -> None:
    """An answer given up after its first piece does not cost the processor time of a whole one.

    Half of it is the bound for transformers. llama.cpp's server notices late that the reader has
    left; there, what must hold is that it comes to rest and answers the next.
    """
    body = document(stream=True, max_tokens=LONG)
    before = _spent(running.pid)
    stream = await answer(adapter, body)
    assert len(text_of(_ended(stream))) > LONG // 2, "the model ended early"
    whole = _spent(running.pid) - before
    data = memoryview(bytearray(json.dumps(body).encode()))
    before = _spent(running.pid)
    pieces = adapter.run(Job(operation=CHAT, body=data, isolation=bytes(32), stream=True))
    await anext(pieces)
    await pieces.aclose()
    left = before
    while (now := _spent(running.pid)) > left:
        left = now
        await asyncio.sleep(0.5)
    if running.name == "transformers":
        assert left - before < whole / 2
    assert await answer(adapter, document(max_tokens=2))


async def test_a_killed_engine_is_started_again(running: Running, adapter: OpenAiEngine) -> None:
    """After SIGKILL requests are refused, then served by a new process with the same key."""
    supervisor, pid = running.engine.supervisor, running.pid
    assert supervisor is not None
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(_until, lambda: not supervisor.ready.is_set())
    with pytest.raises(EngineError) as caught:
        await answer(running.engine, document())
    assert caught.value.code == "engine.unavailable"
    await asyncio.to_thread(_until, supervisor.ready.is_set)
    assert running.pid != pid
    assert await answer(adapter, document())


def _whole(text: str) -> str:
    """Return a text without what shows half characters: one engine leaves them out."""
    return text.replace("\ufffd", "").strip()


def _ascii(text: str) -> str:
    return text.encode("ascii", "ignore").decode()


def _ended(stream: bytes) -> bytes:
    """Return a stream with the end that some engines leave out."""
    return stream if events(stream)[-1] == b"[DONE]" else stream + b"data: [DONE]\n\n"


def _spent(pid: int) -> int:
    """Return the processor time of a process, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def _until(condition: Any, *, within_s: float = 300.0) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)
