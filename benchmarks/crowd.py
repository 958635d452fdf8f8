"""Many streams on one slot engine: tokens per second by slots, first tokens in a crowd of 500.

Part of `stream`. On the node's own engine without gateway and seal, except for the crowd, which
is also sent through all of it.
"""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from accel_backends import DeviceRequest, LoadOptions, load
from accel_backends.llm import Limits
from accel_backends.llm import load as load_model
from enclave.engines import Job
from enclave.llm import LlmEngine
from examples.chat.folder import entry, write
from mifeng.client import AsyncClient
from mifeng.crypto.randomness import random_bytes
from mifeng.demo.cluster import Cluster
from mifeng.protocol.body import OPENAI_CHAT

SLOTS: Final = (1, 4, 8, 16)
CROWD: Final = 500
CROWD_TOKENS: Final = 16
PER_CLIENT: Final = 100
"""Streams that one client object carries at once: what its connection pool allows."""
SHARED: Final = 4096
"""Characters of the prompt that requests of the prefix measurement have in common."""


def _engine(folder: Path, *, slots: int, context: int = 512, kept: int = 0) -> LlmEngine:
    files = {
        "graph": (folder / "model.onnx").read_bytes(),
        "tokenizer": (folder / "tokenizer.json").read_bytes(),
        "tokenizer_config": (folder / "tokenizer_config.json").read_bytes(),
    }
    model = load_model(
        load("onnxruntime", allowed={"onnxruntime"}),
        files,
        options=LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),)),
        limits=Limits(slots=slots, context=context, kept=kept),
    )
    return LlmEngine(model, name="chat", backend="onnxruntime", pacing=None)


async def _ask(
    engine: LlmEngine,
    content: str,
    tokens: int,
    *,
    isolation: bytes | None = None,
    tenant: str = "",
) -> tuple[float, int]:
    """Return seconds to the first text, and how many tokens came."""
    job = Job(
        operation=OPENAI_CHAT,
        body=memoryview(bytearray(_document(content, tokens))),
        isolation=isolation or random_bytes(32),
        stream=True,
        tenant=tenant,
    )
    begin = time.perf_counter()
    first, last = 0.0, b""
    async for piece in engine.run(job):
        first = first or time.perf_counter() - begin
        last = piece
    usage = json.loads(last.split(b"\n\n")[-3].removeprefix(b"data: "))["usage"]
    return first, usage["completion_tokens"]


async def measure(folder: Path, *, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Return throughput by number of slots, waiting times of a crowd, and of shared prefixes."""
    small, long = folder / "small", folder / "long"
    write(small, steps=0)
    write(long, steps=0, context=8192)
    rates = {}
    for slots in SLOTS:
        say(f"{slots} slots")
        rates[slots] = await _rate(small, slots, tokens=100 if quick else 300)
    say(f"a crowd of {CROWD}")
    crowds = {"engine alone": await _crowd(small)}
    for name, pacing in {"as they come": {"tick_ms": 0}, "paced": {"tick_ms": 20}}.items():
        say(f"a crowd of {CROWD} through gateway and node, {name}")
        crowds[f"sealed, {name}"] = await _sealed_crowd(small, folder / f"crowd {name}", pacing)
    return {
        "tokens_per_s": rates,
        "crowd": crowds,
        "tenants": await _tenants(small),
        "prefix": await _prefix(long, rounds=3 if quick else 9),
    }


async def _rate(folder: Path, slots: int, *, tokens: int) -> int:
    engine = _engine(folder, slots=slots)
    best = 0.0
    for _ in range(3):
        begin = time.perf_counter()
        made = await asyncio.gather(*(_ask(engine, f"{n}", tokens) for n in range(slots)))
        best = max(best, sum(count for _, count in made) / (time.perf_counter() - begin))
    await engine.close()
    return round(best)


def _document(content: str, tokens: int) -> bytes:
    document = {
        "model": "chat",
        "messages": [{"role": "user", "content": content}],
        "stream": True,
        "temperature": 0,
        "max_tokens": tokens,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(document).encode()


async def _crowd(folder: Path) -> dict[str, Any]:
    engine = _engine(folder, slots=16)
    made = await asyncio.gather(*(_ask(engine, f"{n}", CROWD_TOKENS) for n in range(CROWD)))
    await engine.close()
    return _waits([first for first, _ in made])


def _waits(firsts: Sequence[float]) -> dict[str, Any]:
    median = statistics.median(firsts)
    return {
        "streams": len(firsts),
        "median_ms": round(median * 1e3, 1),
        "max_ms": round(max(firsts) * 1e3, 1),
        "max_to_median": round(max(firsts) / median, 2),
    }


async def _sealed_crowd(model: Path, folder: Path, pacing: Mapping[str, Any]) -> dict[str, Any]:
    """Send the crowd through gateway and node; clients, gateway and node share the machine."""
    models = [entry(model, pacing=pacing, llm={"context": 512, "slots": 16})]
    settings = {"limits": {"concurrency": CROWD, "max_body_bytes": 1 << 20}}
    folder.mkdir()  # noqa: ASYNC240 - before anything is timed
    async with contextlib.AsyncExitStack() as stack:
        cluster = stack.enter_context(
            Cluster(models, nodes=1, directory=folder, node_settings=settings)
        )
        clients = [
            await stack.enter_async_context(AsyncClient.from_config(cluster.client_config()))
            for _ in range(CROWD // PER_CLIENT)
        ]

        async def ask(client: AsyncClient, number: int) -> float:
            body = _document(f"{number}", CROWD_TOKENS)
            begin, first = time.perf_counter(), 0.0
            stream = await client.open_stream("chat", body, operation=OPENAI_CHAT, deadline_s=300)
            async for piece in stream:
                if piece and not first:
                    first = time.perf_counter() - begin
            return first

        await asyncio.gather(*(ask(client, 0) for client in clients))  # attested and warm
        firsts = await asyncio.gather(
            *(ask(clients[number % len(clients)], number) for number in range(CROWD))
        )
    return _waits(firsts)


async def _tenants(folder: Path) -> dict[str, float]:
    """Return milliseconds to the first token in the middle: a tenant with 400, ten with 10."""
    engine = _engine(folder, slots=16)
    names = ["large"] * 400 + [f"small-{n % 10}" for n in range(100)]
    made = await asyncio.gather(
        *(_ask(engine, f"{n}", CROWD_TOKENS, tenant=name) for n, name in enumerate(names))
    )
    await engine.close()
    firsts = [first for first, _ in made]
    return {
        "the large one's": round(statistics.median(firsts[:400]) * 1e3, 1),
        "the small ones'": round(statistics.median(firsts[400:]) * 1e3, 1),
    }


async def _prefix(folder: Path, *, rounds: int) -> dict[str, float]:
    """Return milliseconds to the first token after the same prompt, by whose it was."""
    engine = _engine(folder, slots=4, context=8000, kept=2)
    taken: dict[str, list[float]] = {"the same isolation": [], "another's": [], "nobody's": []}
    for number in range(rounds + 1):
        owner, prompt = random_bytes(32), f"{number} " * (SHARED // 3)
        cold, _ = await _ask(engine, prompt, 2, isolation=owner)
        same, _ = await _ask(engine, prompt, 2, isolation=owner)
        other, _ = await _ask(engine, prompt, 2, isolation=random_bytes(32))
        if number:  # the first turn warms up
            for name, seconds in zip(taken, (same, other, cold), strict=True):
                taken[name].append(seconds * 1e3)
    await engine.close()
    return {name: round(statistics.median(each), 1) for name, each in taken.items()}
