"""The adapter against a real process that speaks the OpenAI API."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from enclave.engine_adapter import OpenAiEngine, salt
from enclave.engine_process import SILENT
from enclave.engines import EngineError, Job
from enclave.llmconfig import EngineConfig
from enclave.openai_api import events
from examples.chat.folder import write

from .llm_world import FAST, ChatWorld, document, text_of

CHAT = "openai.chat.completions"
ROOT = Path(__file__).parent.parent.parent.parent
ONE, TWO = b"1" * 32, b"2" * 32


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model in it, and room for a socket."""
    path = tmp_path_factory.mktemp("engine")
    write(path, steps=0)
    return path


def settings(where: Path, **more: Any) -> EngineConfig:
    """Return the configuration of the engine as a child."""
    script = Path(__file__).parent / "openai_server.py"
    return EngineConfig(
        **(
            {
                "address": f"unix:{where}/engine.sock",
                "prefix_cache": "salted",
                "operations": [CHAT, "openai.completions"],
                "backend": "test-engine 1",
                "command": [sys.executable, str(script), str(where), f"{where}/engine.sock"],
                "env": {"PYTHONPATH": str(ROOT)},
                "key_env": "ENGINE_KEY",
                "served_model": "inner",
                "start_s": 60,
            }
            | more
        )
    )


@pytest.fixture(scope="module")
def child(where: Path) -> Iterator[OpenAiEngine]:
    """Return an adapter whose child runs; each test's loop makes its own connections."""
    made = OpenAiEngine(settings(where), name="chat", device="test:0", pacing=FAST)
    yield made
    assert made.supervisor is not None
    made.supervisor.close()


@pytest.fixture
async def engine(child: OpenAiEngine, where: Path) -> AsyncIterator[OpenAiEngine]:
    """Return an adapter of this test's loop to the running child."""
    key = child._headers["authorization"].removeprefix("Bearer ")
    (where / "key").write_text(key)
    there = settings(where, command=None, key_env=None, env={}, key_file=where / "key")
    made = OpenAiEngine(there, name="chat", device="test:0", pacing=FAST)
    yield made
    await made.close()


def job(body: Any, *, isolation: bytes = ONE, stream: bool | None = None) -> Job:
    """Return an opened request."""
    said = body.get("stream") is True if stream is None else stream
    data = bytearray(json.dumps(body).encode())
    return Job(operation=CHAT, body=memoryview(data), isolation=isolation, stream=said)


async def answer(engine: OpenAiEngine, body: Any, **more: Any) -> bytes:
    """Return a whole answer."""
    return b"".join([piece async for piece in engine.run(job(body, **more))])


def state(where: Path) -> dict[str, Any]:
    """Ask the engine itself how it is."""
    transport = httpx.HTTPTransport(uds=f"{where}/engine.sock")
    with httpx.Client(transport=transport) as client:
        found: dict[str, Any] = client.get("http://engine/state").json()
        return found


def until(condition: Any, *, within_s: float = 60.0) -> None:
    """Wait for something that must happen."""
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


async def test_answers_and_streams_pass_as_they_are(engine: OpenAiEngine) -> None:
    """JSON and events are the engine's own, the model's name being the engine's."""
    whole = json.loads(await answer(engine, document()))
    assert whole["model"] == "inner"
    raw = await answer(engine, document(stream=True))
    assert text_of(raw) == whole["choices"][0]["message"]["content"]
    assert events(raw)[-1] == b"[DONE]"


async def test_a_sealed_stream_is_the_engine_s(engine: OpenAiEngine) -> None:
    """Through nine steps and paced frames, the text is that of the engine."""
    body = document(stream=True, max_tokens=40)
    world = ChatWorld(engine=engine)
    pieces, done, sizes = await world.chat(body)
    assert text_of(b"".join(pieces)) == text_of(await answer(engine, body))
    assert done.receipt.backend == "test-engine 1"
    assert len(set(sizes)) == 1


async def test_prefix_caches_are_kept_apart_by_isolation(engine: OpenAiEngine) -> None:
    """The engine's own count: a hit in the same domain, none in another, whatever a client says."""
    body = document("The same long beginning of a prompt. " * 4)
    cached = []
    for isolation, more in ((ONE, {}), (TWO, {}), (TWO, {"cache_salt": salt(ONE)}), (ONE, {})):
        made = json.loads(await answer(engine, body | more, isolation=isolation))
        cached.append(made["usage"]["prompt_tokens_details"]["cached_tokens"])
    assert cached[0] == cached[1] == 0
    assert cached[2] > 0  # TWO's own, not ONE's
    assert len(cached) == 4


async def test_the_salt_tells_domains_apart_and_is_not_the_secret(
    engine: OpenAiEngine, where: Path
) -> None:
    """What the engine is given is a digest of the isolation, and never the client's own value."""
    await answer(engine, document("x", cache_salt="mine"))
    sent = json.loads(state(where)["bodies"][-1])
    assert sent["cache_salt"] == salt(ONE) != salt(TWO)
    assert ONE.hex() not in sent["cache_salt"]


async def test_without_a_prefix_cache_bytes_pass_untouched(
    child: OpenAiEngine, where: Path, engine: OpenAiEngine
) -> None:
    """If nothing must change, the engine gets exactly the client's bytes; a salt is taken out."""
    assert engine is not None
    there = settings(
        where,
        command=None,
        key_env=None,
        key_file=where / "key",
        prefix_cache="off",
        served_model=None,
    )
    plain = OpenAiEngine(there, name="chat", device="test:0", pacing=None)
    body = document("ünïcode")
    await answer(plain, body)
    assert state(where)["bodies"][-1] == json.dumps(body)
    await answer(plain, body | {"cache_salt": "mine"})
    assert "cache_salt" not in json.loads(state(where)["bodies"][-1])
    await plain.close()


async def test_tools_json_mode_and_choices_reach_the_engine(
    engine: OpenAiEngine, where: Path
) -> None:
    """What the slot engine refuses by name, an engine of others is asked word for word."""
    asked = document(
        "What is the weather in Lima?",
        n=2,
        logprobs=True,
        top_logprobs=3,
        logit_bias={"7": -100},
        response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": {}}},
        tools=[{"type": "function", "function": {"name": "weather", "parameters": {}}}],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        parallel_tool_calls=False,
    )
    with contextlib.suppress(EngineError):  # the engine behind it is ours, and has no tools
        await answer(engine, asked)
    sent = json.loads(state(where)["bodies"][-1])
    assert {name: sent[name] for name in asked if name != "model"} == {
        name: asked[name] for name in asked if name != "model"
    }


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "request.rejected"),
        (401, "engine.failed"),
        (404, "request.rejected"),
        (413, "request.too_large"),
        (429, "engine.busy"),
        (500, "engine.failed"),
        (503, "engine.busy"),
    ],
)
async def test_the_engine_s_errors_become_codes(
    engine: OpenAiEngine, status: int, code: str
) -> None:
    """The engine's message, which quotes the prompt, goes nowhere."""
    with pytest.raises(EngineError) as caught:
        await answer(engine, document("canary-words", test_status=status))
    assert caught.value.code == code
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_malformed_requests_do_not_reach_the_engine(
    engine: OpenAiEngine, where: Path
) -> None:
    """What is no JSON object, or says something else about streaming, is refused here."""
    before = len(state(where)["bodies"])
    for body, stream in (([], False), (document(stream=True), False), (document(), True)):
        with pytest.raises(EngineError, match=r"object|stream"):
            await answer(engine, body, stream=stream)
    broken = Job(operation=CHAT, body=memoryview(bytearray(b"{")), isolation=ONE, stream=False)
    with pytest.raises(EngineError) as caught:
        async for _ in engine.run(broken):
            pass
    assert caught.value.code == "request.malformed"
    assert len(state(where)["bodies"]) == before


async def test_a_stream_without_its_end_is_an_error(engine: OpenAiEngine) -> None:
    """An engine that stops before [DONE] has not answered."""
    with pytest.raises(EngineError) as caught:
        await answer(engine, document(stream=True, test_cut=True))
    assert caught.value.code == "engine.interrupted"


async def test_a_reason_to_finish_is_an_end(engine: OpenAiEngine) -> None:
    """Some engines leave [DONE] out; their streams pass as they are."""
    raw = await answer(engine, document(stream=True, test_mute=True))
    assert b"[DONE]" not in raw
    assert text_of(raw + b"data: [DONE]\n\n") == text_of(
        await answer(engine, document(stream=True))
    )


async def test_leaving_early_stops_the_engine_s_work(engine: OpenAiEngine, where: Path) -> None:
    """Closing the answer closes the connection, and the engine frees its slot."""
    pieces = engine.run(job(document(stream=True, max_tokens=480, test_slow=True)))
    await anext(pieces)
    assert (await asyncio.to_thread(state, where))["active"] == 1
    await pieces.aclose()
    await asyncio.to_thread(until, lambda: state(where)["active"] == 0)


def test_the_child_inherits_nothing_and_reports_to_nobody(child: OpenAiEngine, where: Path) -> None:
    """Its environment is ours; its home is a private folder; the key is new and in no argument."""
    assert child.supervisor is not None
    found = state(where)
    env = found["env"]
    assert SILENT.items() <= env.items()
    extra = set(env) - set(SILENT) - {"PATH", "HOME", "PYTHONPATH", "ENGINE_KEY"}
    assert extra <= {"LC_CTYPE", "TOKENIZERS_PARALLELISM"}
    assert env["HOME"] == found["cwd"] != os.environ.get("HOME")
    assert len(env["ENGINE_KEY"]) == 64
    command = Path(f"/proc/{child.supervisor.pid}/cmdline").read_bytes()
    assert env["ENGINE_KEY"].encode() not in command
    for number in (1, 2):
        assert Path(f"/proc/{child.supervisor.pid}/fd/{number}").readlink() == Path("/dev/null")


async def test_a_killed_child_is_started_again(
    child: OpenAiEngine, engine: OpenAiEngine, where: Path
) -> None:
    """Requests are refused meanwhile, then served; the home is gone when it is closed."""
    supervisor = child.supervisor
    assert supervisor is not None
    first, pid = supervisor.starts, supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await asyncio.to_thread(until, lambda: not supervisor.ready.is_set())
    with pytest.raises(EngineError) as caught:
        async for _ in child.run(job(document())):
            pass
    assert caught.value.code == "engine.unavailable"
    await asyncio.to_thread(until, supervisor.ready.is_set)
    assert supervisor.starts == first + 1
    assert supervisor.pid != pid
    assert await answer(engine, document())


async def test_a_busy_engine_is_not_taken_for_a_dead_one(
    engine: OpenAiEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers no health check while it speaks is alive, and ill once it is silent."""
    monkeypatch.setattr(engine, "_asked", lambda: False)
    assert not engine.healthy()
    assert await answer(engine, document(stream=True))
    assert engine.healthy()
    engine._heard -= 60
    assert not engine.healthy()


def test_a_child_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    """A program that ends, or is not there, is tried again until time is up; nothing is left."""
    for command in (["/bin/false"], ["/nonexistent/engine"]):
        config = settings(tmp_path, command=command, start_s=0.8)
        with pytest.raises(EngineError) as caught:
            OpenAiEngine(config, name="chat", device="x", pacing=None)
        assert caught.value.code == "engine.unavailable"


def test_closing_ends_the_child_and_its_group(tmp_path: Path) -> None:
    """A worker that the child started ends with it, and so does the child's home."""
    script = (
        "import os, subprocess, time\n"
        "worker = subprocess.Popen(['sleep', '600'])\n"
        f"open('{tmp_path}/pids', 'w').write(f'{{worker.pid}} ' + os.getcwd())\n"
        "time.sleep(600)\n"
    )
    config = settings(tmp_path, command=[sys.executable, "-c", script], start_s=1.5)
    with pytest.raises(EngineError):
        OpenAiEngine(config, name="chat", device="x", pacing=None)
    worker, home = (tmp_path / "pids").read_text().split()
    until(lambda: not _runs(int(worker)), within_s=10)
    assert not Path(home).exists()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "tcp:10.0.0.1:8000"},
        {"address": "tcp:localhost:8000"},
        {"address": "unix:relative"},
        {"key_file": "/k"},
        {"command": None},
        {"operations": []},
        {"prefix_cache": "on"},
        {"surprise": 1},
    ],
)
def test_the_configuration_is_checked(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """Only this machine, one owner of the key, an answer about prefix caches."""
    with pytest.raises(ValueError, match="validation error"):
        settings(tmp_path, **wrong)
