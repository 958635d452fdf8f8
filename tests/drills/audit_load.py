"""Mixed load for `make drill-audit`: what clients ask, and everything they are given.

Small inferences, bodies of a megabyte, streamed chats; HTTP and gRPC; three suites. A worker
whose gateway is gone goes to the other one, as a load balancer would send it.
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np

from mifeng.client import AsyncClient
from mifeng.errors import MifengError, RefusedError
from mifeng.protocol.session import Done

from .audit_world import TwoGateways

CHAT = "openai.chat.completions"
CLEAN = (
    "transport",
    "interrupted",
    "node.unavailable",
    "node.busy",
    "log.unavailable",
    "gateway.draining",
    "keyset.unknown",
    "node.lost",
    "log.unwitnessed",
    "deadline.expired",
)
"""Codes after which a client may ask again, knowing what has happened."""
SMALL = np.arange(5, dtype=np.float32)
LARGE = np.ones(250_000, dtype=np.float32)


@dataclass
class Seen:
    """What clients were given."""

    done: list[Done] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What was asked where the answer was another one than it must be."""

    @property
    def unclean(self) -> dict[str, int]:
        """Failures that a client could make nothing of."""
        return {code: n for code, n in self.failures.items() if code not in CLEAN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One way of asking."""

    name: str
    suite: str
    grpc: bool


KINDS = (
    Kind(name="infer, HTTP, sm", suite="sm", grpc=False),
    Kind(name="infer, gRPC, intl", suite="intl", grpc=True),
    Kind(name="1 MB, HTTP, sm-pq", suite="sm-pq", grpc=False),
    Kind(name="stream, HTTP, sm", suite="sm", grpc=False),
)


async def once(client: AsyncClient, kind: Kind, number: int) -> tuple[Done, bool]:
    """Ask once; return the record of the answer and whether it was the right one."""
    if kind.name.startswith("infer"):
        x = SMALL + number
        answer = await client.infer("neg", {"x": x}, deadline_s=40)
        return answer.done, answer.outputs["y"].tolist() == (-x).tolist()
    if kind.name.startswith("1 MB"):
        answer = await client.infer("sum", {"x": LARGE}, deadline_s=40)
        return answer.done, float(answer.outputs["y"][0]) == float(len(LARGE))
    body = {
        "model": "chat",
        "stream": True,
        "max_tokens": 12,
        "temperature": 0,
        "messages": [{"role": "user", "content": f"What is {number}?"}],
    }
    stream = await client.open_stream(
        "chat", json.dumps(body).encode(), operation=CHAT, deadline_s=40
    )
    text = b"".join([piece async for piece in stream])
    if stream.done.problem is not None:
        raise RefusedError(stream.done.problem, "sealed, with a receipt that says so")
    return stream.done, b"[DONE]" in text


async def worker(
    world: TwoGateways, kind: Kind, first: int, seen: Seen, stop: asyncio.Event
) -> None:
    """Ask one kind of question until told to stop; remember what came back."""
    configs = [world.client(n, grpc=kind.grpc, suite=kind.suite) for n in (first, 1 - first)]
    number = 0
    for config in cycle(configs):
        async with AsyncClient.from_config(config) as client:
            try:
                while not stop.is_set():
                    number += 1
                    done, right = await once(client, kind, number)
                    seen.done.append(done)
                    seen.answers[kind.name] += 1
                    if not right:
                        seen.wrong.append(f"{kind.name} #{number}")
                    await asyncio.sleep(0.01)
            except MifengError as exc:
                seen.failures[exc.code] += 1
        if stop.is_set():
            return
        await asyncio.sleep(0.1)


async def everything(world: TwoGateways, seen: Seen, stop: asyncio.Event) -> None:
    """Run a worker for each kind at each gateway."""
    async with asyncio.TaskGroup() as group:
        for kind in KINDS:
            for first in (0, 1):
                group.create_task(worker(world, kind, first, seen, stop))
