"""One client process under orders: `c` requests at a time, for so long; latencies back.

The parent writes one JSON line per order, the first of which says whom to ask and what. Every
kind of client runs in a process of its own, on the same event loop and, for HTTP, with the same
library, so that what differs between two of them is the protocol.

    {"kind": "sealed", "config": PATH, "model": NAME, "shape": […]}      → {"ready": true}
    {"c": 8, "seconds": 2.0}                                             → {"ms": […], "cpu_s": …}
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx
import numpy as np
import uvloop
from numpy.typing import NDArray

from mifeng.client import AsyncClient, ClientConfig

ROOT: Final = Path(__file__).parent.parent
_SEED: Final = 7
_MOST_CONNECTIONS: Final = 256

Ask = Callable[[], Awaitable[None]]


def payload(shape: list[int]) -> NDArray[np.float32]:
    """Return the input everybody sends: fixed, uniform in 0 … 1."""
    return np.random.default_rng(_SEED).random(shape, dtype=np.float32)


async def _sealed(order: Mapping[str, Any]) -> Ask:
    client = AsyncClient.from_config(ClientConfig.load(order["config"]))
    model, inputs = order["model"], {order["input"]: payload(order["shape"])}

    async def ask() -> None:
        answer = await client.infer(model, inputs)
        if not answer.outputs:
            raise RuntimeError("no outputs")

    return ask


def _http(socket: str) -> httpx.AsyncClient:
    limits = httpx.Limits(
        max_connections=_MOST_CONNECTIONS, max_keepalive_connections=_MOST_CONNECTIONS
    )
    transport = httpx.AsyncHTTPTransport(uds=socket, limits=limits)
    return httpx.AsyncClient(base_url="http://server", transport=transport, timeout=120)


async def _binary(order: Mapping[str, Any]) -> Ask:
    client, array = _http(order["socket"]), payload(order["shape"])

    async def ask() -> None:
        answer = await client.post("/binary", content=array.tobytes())
        answer.raise_for_status()
        if not np.frombuffer(answer.content, dtype=np.float32).size:
            raise RuntimeError("no outputs")

    return ask


async def _json(order: Mapping[str, Any]) -> Ask:
    client, array = _http(order["socket"]), payload(order["shape"])

    async def ask() -> None:
        body = {"shape": array.shape, "data": array.ravel().tolist()}
        answer = await client.post("/json", json=body)
        answer.raise_for_status()
        if not np.array(answer.json()["data"], dtype=np.float32).size:
            raise RuntimeError("no outputs")

    return ask


async def _oip(order: Mapping[str, Any]) -> Ask:
    """A program of the Open Inference Protocol: JSON head, binary tensor, nothing of ours."""
    client, array = _http(order["socket"]), payload(order["shape"])
    tensor = {"name": order["input"], "datatype": "FP32", "shape": list(array.shape)}
    tensor["parameters"] = {"binary_data_size": array.nbytes}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"host": "localhost", "inference-header-content-length": str(len(head))}
    path, content = f"/v2/models/{order['model']}/infer", head + array.tobytes()

    async def ask() -> None:
        answer = await client.post(path, content=content, headers=headers)
        answer.raise_for_status()
        at = int(answer.headers["inference-header-content-length"])
        if not np.frombuffer(answer.content[at:], dtype=np.float32).size:
            raise RuntimeError("no outputs")

    return ask


async def _direct(order: Mapping[str, Any]) -> Ask:
    from .direct import connect

    return await connect(order, payload(order["shape"]))


KINDS: Final[Mapping[str, Callable[[Mapping[str, Any]], Awaitable[Ask]]]] = {
    "sealed": _sealed,
    "binary": _binary,
    "json": _json,
    "direct": _direct,
    "oip": _oip,
}


async def _drive(ask: Ask, *, c: int, seconds: float) -> dict[str, Any]:
    """Keep `c` requests under way for `seconds`; every task finishes its last one."""
    found: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    end = began + seconds

    async def one() -> None:
        at = began
        while at < end:  # once at least, or a slow client would have fewer than `c` under way
            sent = time.perf_counter()
            await ask()
            at = time.perf_counter()
            found.append((at - sent) * 1000)

    await asyncio.gather(*(one() for _ in range(c)))
    return {
        "ms": [round(each, 4) for each in found],
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
    }


async def serve() -> None:
    """Take orders from stdin until it ends."""
    lines = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    order = json.loads(await lines.readline())
    ask = await KINDS[order["kind"]](order)
    await ask()
    print(json.dumps({"ready": True}), flush=True)
    while line := await lines.readline():
        print(json.dumps(await _drive(ask, **json.loads(line))), flush=True)


class Client:
    """The parent's end of one client process."""

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        /,
        **order: Any,  # noqa: ANN401 - JSON
    ) -> None:
        """Start it, with these variables beside ours; the order is its first line."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._say(order)
        self._hear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def drive(self, *, c: int, seconds: float) -> dict[str, Any]:
        """Return the latencies of one turn."""
        self._say({"c": c, "seconds": seconds})
        return self._hear()

    def _say(self, order: Mapping[str, Any]) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            self.process.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else b""
        if not line:
            raise RuntimeError("a client process ended; its error stands above")
        document: dict[str, Any] = json.loads(line)
        return document


def cpu_seconds(pid: int) -> float:
    """Return processor seconds that a process has used so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    uvloop.run(serve())
