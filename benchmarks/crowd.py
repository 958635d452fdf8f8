"""Many streams on one slot engine: tokens per second by slots, first tokens in a crowd of 500.

Part of `stream`; without gateway and seal, on the node's own engine.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from accel_backends import DeviceRequest, LoadOptions, load
from accel_backends.llm import Limits
from accel_backends.llm import load as load_model
from enclave.engines import Job
from enclave.llm import LlmEngine
from examples.chat.folder import write
from mifeng.crypto.randomness import random_bytes
from mifeng.protocol.body import OPENAI_CHAT

SLOTS: Final = (1, 4, 8, 16)
CROWD: Final = 500
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
    engine: LlmEngine, content: str, tokens: int, *, isolation: bytes | None = None
) -> tuple[float, int]:
    """Return seconds to the first text, and how many tokens came."""
    document = {
        "model": "chat",
        "messages": [{"role": "user", "content": content}],
        "stream": True,
        "temperature": 0,
        "max_tokens": tokens,
        "stream_options": {"include_usage": True},
    }
    body = memoryview(bytearray(json.dumps(document).encode()))
    isolation = isolation or random_bytes(32)
    job = Job(operation=OPENAI_CHAT, body=body, isolation=isolation, stream=True)
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
    return {
        "tokens_per_s": rates,
        "crowd": await _crowd(small),
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


async def _crowd(folder: Path) -> dict[str, Any]:
    engine = _engine(folder, slots=16)
    made = await asyncio.gather(*(_ask(engine, f"{n}", 16) for n in range(CROWD)))
    await engine.close()
    firsts = sorted(first for first, _ in made)
    median = statistics.median(firsts)
    return {
        "streams": CROWD,
        "median_ms": round(median * 1e3, 1),
        "max_ms": round(firsts[-1] * 1e3, 1),
        "max_to_median": round(firsts[-1] / median, 2),
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
