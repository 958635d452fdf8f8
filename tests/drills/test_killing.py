"""Processes that die: the gateway at failpoints under load, a node with a request in its hands."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mifeng.client import AsyncClient
from mifeng.client.transport import connect
from mifeng.demo.cluster import TENANT, Cluster
from mifeng.errors import InterruptedRequestError
from mifeng.protocol import entries
from mifeng.protocol.body import OIP_INFER, OipBody, Tensor
from mifeng.protocol.messages import Message
from mifeng.protocol.session import Ask, begin
from tests.drills.killing import drill
from tests.e2e.conftest import models

pytestmark = pytest.mark.drill
X = np.ones(3, np.float32)


async def test_a_gateway_killed_under_load_loses_nothing(tmp_path: Path) -> None:
    """Killed at every failpoint in turn (MIFENG_KILLS times): no record lost, no fork."""
    cycles = int(os.environ.get("MIFENG_KILLS", "7"))
    counted = await drill(cycles, tmp_path)
    assert counted["answers"]
    assert counted["checkpoints compared"]


def log_types(cluster: Cluster) -> list[str]:
    """Return the types of all entries, read from the database."""
    with closing(sqlite3.connect(cluster.log_database)) as database:
        rows = database.execute("SELECT data FROM entries ORDER BY idx").fetchall()
    return [entries.entry_type(entries.decode(bytes(row[0]))) for row in rows]


async def wait_for(cluster: Cluster, entry_type: str) -> None:
    """Wait until the log holds an entry of a type."""
    give_up = time.monotonic() + 30
    while entry_type not in log_types(cluster):
        assert time.monotonic() < give_up, log_types(cluster)
        await asyncio.sleep(0.05)


async def test_a_node_killed_with_a_request_in_its_hands(tmp_path: Path) -> None:
    """INTENT, then ORPHANED; an idempotent request runs elsewhere, any other is interrupted."""
    made = models(tmp_path)
    made[0]["idempotent"] = True
    made[1]["idempotent"] = False
    with Cluster(made, nodes=2, directory=tmp_path) as cluster:
        async with AsyncClient.from_config(cluster.client_config()) as client:
            for model, victim in (("neg", 0), ("sum", 1)):
                trusted = {node.keyset.node_id: node for node in await client.attest(model)}
                name = cluster.nodes[victim].name
                client._trusted[model] = [trusted[name]]
                os.kill(cluster.nodes[victim].pid, signal.SIGSTOP)
                before = log_types(cluster).count("INTENT")
                asking = asyncio.create_task(client.infer(model, {"x": X}))
                while log_types(cluster).count("INTENT") == before:
                    await asyncio.sleep(0.02)
                await asyncio.sleep(0.2)
                cluster.nodes[victim].kill()
                if model == "neg":
                    answer = await asking
                    assert answer.node_id != name
                    assert answer.outputs["y"].tolist() == (-X).tolist()
                    await wait_for(cluster, "ORPHANED")
                    cluster.nodes[victim].start()
                    await asyncio.to_thread(cluster.wait_ready)
                else:
                    with pytest.raises(InterruptedRequestError):
                        await asking
        types = log_types(cluster)
        assert types.count("ORPHANED") == 2
        assert types.count("INTENT") == types.count("COMPLETION") + 2


async def test_a_node_that_refuses_is_not_noticed(tmp_path: Path) -> None:
    """Busy nodes sign NOT_CLAIMED, and the work is sealed to another without the caller seeing."""
    limits = {"limits": {"concurrency": 1}}
    with Cluster(models(tmp_path), nodes=2, directory=tmp_path, node_settings=limits) as cluster:
        async with AsyncClient.from_config(cluster.client_config()) as client:
            await client.attest("sum")
            config = cluster.client_config()
            holding = [await hold(client, config.gateway, cluster, number) for number in range(1)]
            answers = await asyncio.gather(*(client.infer("sum", {"x": X}) for _ in range(4)))
            assert {float(answer.outputs["y"][0]) for answer in answers} == {3.0}
            assert {answer.node_id for answer in answers} == {"node-2"}
            for release in holding:
                await release()
        assert log_types(cluster).count("REFUSAL") >= 1


async def hold(client: AsyncClient, gateway: str, cluster: Cluster, number: int):  # noqa: ANN201
    """Occupy a node's only slot with a half-sent request; return what lets it go."""
    trusted = {node.keyset.node_id: node for node in client._trusted["sum"]}
    now = int(time.time())
    ask = Ask(tenant=TENANT, model="sum", operation=OIP_INFER, deadline=now + 60, stream=False)
    state = begin(trusted[cluster.nodes[number].name], ask, now=now)
    tensor = Tensor(name="x", datatype="FP32", shape=(3,), data=X.tobytes())
    body = OipBody(tensors=(tensor,)).encode(response=False)
    go, transport = asyncio.Event(), connect(gateway, api_key=cluster.api_key)

    async def slowly() -> AsyncIterator[Message]:
        yield state.exchange.opening()
        yield state.exchange.data(body[:10], final=False)
        await go.wait()
        yield state.exchange.data(body[10:], final=True)

    async def drain() -> None:
        async for _ in transport.infer(slowly()):
            pass

    task = asyncio.create_task(drain())
    await wait_for(cluster, "INTENT")
    await asyncio.sleep(0.3)

    async def release() -> None:
        go.set()
        await task
        await transport.close()

    return release
