"""What sealing adds to a stream: time to the first token and between tokens.

Part of `stream`. The same engine on the same folder, over plain HTTP and through gateway and node;
every turn asks each side once, in rotating order, and what is compared is the difference within a
turn. `log in memory` has the audit log on a tmpfs: what is left when the disk costs nothing.
"""

import contextlib
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
from rich.table import Table

from examples.chat.folder import entry, write
from mifeng.client import AsyncClient
from mifeng.demo.cluster import Process
from mifeng.protocol.body import OPENAI_CHAT

from .e2e import TMPFS
from .systems import _running, sealed

SIZES: Final = {"width": 512, "layers": 4, "heads": 8, "kv_heads": 4, "inner": 1408}
"""An engine slow enough that a token costs milliseconds, as everywhere."""
PLAIN, AS_MADE, PACED = "plain HTTP", "sealed, as they come", "sealed, paced"
IN_MEMORY: Final = "sealed, as they come, log in memory"
TOKENS: Final = 96


async def measure(folder: Path, *, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return medians by way, and of the differences to plain HTTP."""
    model = folder / "cost-model"
    write(model, steps=0, sizes=SIZES)
    socket = folder / "plain.sock"
    arguments = ("benchmarks.talker", str(socket), str(model))
    server = Process("plain", arguments, folder / "plain.log")
    models = [
        entry(model, name="made", pacing={"tick_ms": 0}),
        entry(model, name="paced", pacing={"tick_ms": 20}),
    ]
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_running(server, socket))
        disk = stack.enter_context(sealed(models, folder / "cost"))
        client = await stack.enter_async_context(AsyncClient.from_config(disk.client_config()))
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        plain = await stack.enter_async_context(httpx.AsyncClient(transport=transport, timeout=120))
        ways: dict[str, Callable[[bytes], Any]] = {
            PLAIN: lambda document: _plain(plain, document),
            AS_MADE: lambda document: _sealed(client, "made", document),
            PACED: lambda document: _sealed(client, "paced", document),
        }
        if os.access(TMPFS, os.W_OK):
            memory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=TMPFS)))
            cluster = stack.enter_context(sealed(models[:1], memory / "cost"))
            other = await stack.enter_async_context(
                AsyncClient.from_config(cluster.client_config())
            )
            ways[IN_MEMORY] = lambda document: _sealed(other, "made", document)
        turns: list[dict[str, tuple[float, float]]] = []
        names = list(ways)
        for number in range(-2, rounds):
            say(f"first tokens, turn {number} of {rounds}")
            document = _document(number)
            at = number % len(names)
            turn = {name: await ways[name](document) for name in names[at:] + names[:at]}
            if number >= 0:  # the first turns warm everything up
                turns.append(turn)
    return {name: _row(name, turns) for name in names}


def _row(name: str, turns: list[dict[str, tuple[float, float]]]) -> dict[str, Any]:
    firsts, gaps = zip(*(turn[name] for turn in turns), strict=True)
    added = [turn[name][0] - turn[PLAIN][0] for turn in turns]
    slower = [turn[name][1] / turn[PLAIN][1] for turn in turns]
    return {
        "ttft_ms": round(statistics.median(firsts) * 1e3, 2),
        "itl_ms": round(statistics.median(gaps) * 1e3, 3),
        "ttft_added_ms": round(statistics.median(added) * 1e3, 2),
        "ttft_added_quartiles_ms": [
            round(each * 1e3, 2) for each in statistics.quantiles(added, n=4)[::2]
        ],
        "itl_added": round(statistics.median(slower) - 1, 4),
        "turns": len(turns),
    }


def table(result: Mapping[str, Any]) -> Table:
    """Return the table of one result."""
    made = Table(title=f"first token and between tokens, medians, {TOKENS} tokens")
    for column in ("", "first ms", "added ms", "between ms", "added %"):
        made.add_column(column, justify="left" if not column else "right")
    for name, row in result.items():
        first, gap = f"{row['ttft_ms']:.1f}", f"{row['itl_ms']:.2f}"
        added, share = f"{row['ttft_added_ms']:.1f}", f"{row['itl_added'] * 100:.1f}"
        made.add_row(name, first, added, gap, share)
    return made


def _document(seed: int) -> bytes:
    words = random.Random(seed).choices(("branch", "open", "Friday", "loan", "why"), k=12)
    document = {
        "model": "chat",
        "messages": [{"role": "user", "content": " ".join(words)}],
        "stream": True,
        "temperature": 0,
        "max_tokens": TOKENS,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(document).encode()


class _Stopwatch:
    """Times of the first and last text of a stream, and how many tokens it had."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._buffer = b""
        self._times: list[float] = []
        self._tokens = 0

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        now = time.perf_counter()
        self._buffer += data
        *events, self._buffer = self._buffer.split(b"\n\n")
        for event in events:
            if b'"content"' in event:
                self._times.append(now)
            elif b'"completion_tokens":' in event:
                usage = json.loads(event.removeprefix(b"data: "))["usage"]
                self._tokens = usage["completion_tokens"]

    def result(self) -> tuple[float, float]:
        """Return seconds to the first text, and per token after it."""
        first, last = self._times[0], self._times[-1]
        return first - self._begin, (last - first) / max(1, self._tokens - 1)


async def _plain(client: httpx.AsyncClient, document: bytes) -> tuple[float, float]:
    watch = _Stopwatch()
    url = "http://plain/v1/chat/completions"
    async with client.stream("POST", url, content=document) as answer:
        async for piece in answer.aiter_bytes():
            watch.feed(piece)
    return watch.result()


async def _sealed(client: AsyncClient, model: str, document: bytes) -> tuple[float, float]:
    watch = _Stopwatch()
    async for piece in await client.open_stream(model, document, operation=OPENAI_CHAT):
        watch.feed(piece)
    return watch.result()
