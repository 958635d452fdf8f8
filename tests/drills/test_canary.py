"""Threat 30: nothing of a request's content is anywhere outside the node.

The test first proves that it finds what is there: a control string that the gateway may see (the
request's tenant label travels in clear) is found in its memory by the same search.
"""

import asyncio
import base64
import os
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mifeng.client import AsyncClient
from mifeng.client.transport import connect
from mifeng.crypto.randomness import random_bytes
from mifeng.demo.cluster import TENANT, Cluster
from mifeng.protocol.body import OIP_INFER, OipBody, Tensor
from mifeng.protocol.messages import Message
from mifeng.protocol.session import Ask, begin
from tests.e2e.conftest import models

pytestmark = pytest.mark.drill
_MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (r\S+)", re.MULTILINE)


def memory(pid: int) -> bytes:
    """Return every readable writable byte of a live process."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    pieces = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:  # noqa: PTH123
        for low, high, flags in _MAPPING.findall(maps):
            if "w" not in flags:
                continue
            try:
                file.seek(int(low, 16))
                pieces.append(file.read(int(high, 16) - int(low, 16)))
            except OSError:
                continue
    return b"\0".join(pieces)


def forms(canary: bytes) -> dict[str, bytes]:
    """Return the ways in which a string could lie around."""
    return {
        "plain": canary,
        "hex": canary.hex().encode(),
        "utf-16": canary.decode().encode("utf-16-le"),
        "base64": base64.b64encode(canary)[4:-4],
        "base64+1": base64.b64encode(b"x" + canary)[8:-4],
        "base64+2": base64.b64encode(b"xx" + canary)[8:-4],
    }


def everything_written(directory: Path) -> bytes:
    """Return all files of the cluster: logs, database, WAL, guard, configuration."""
    return b"\0".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


async def test_threat_30_a_canary_appears_nowhere_outside_the_node(tmp_path: Path) -> None:
    """Searched while the request is in flight: gateway memory, all logs, the database, files."""
    canary = b"canary-" + random_bytes(24).hex().encode()
    workdir = tmp_path / "cluster"
    workdir.mkdir()
    with Cluster(models(tmp_path), nodes=1, directory=workdir) as cluster:
        config = cluster.client_config()
        async with AsyncClient.from_config(config) as client:
            node = (await client.attest("neg"))[0]
        now = int(time.time())
        ask = Ask(tenant=TENANT, model="neg", operation=OIP_INFER, deadline=now + 60, stream=False)
        state = begin(node, ask, now=now)
        control = state.exchange.sealed_request.header
        tensor = Tensor(name=canary.decode(), datatype="FP32", shape=(1,), data=bytes(4))
        body = OipBody(tensors=(tensor,)).encode(response=False)
        transport = connect(config.gateway, api_key=cluster.api_key)
        go, sent, answer = asyncio.Event(), asyncio.Event(), []

        async def paused() -> AsyncIterator[Message]:
            yield state.exchange.opening()
            yield state.exchange.data(body, final=False)
            sent.set()
            await go.wait()
            yield state.exchange.data(b"", final=True)

        async def run() -> None:
            answer.extend([message async for message in transport.infer(paused())])

        task = asyncio.create_task(run())
        await sent.wait()
        await asyncio.sleep(0.5)
        dumped = memory(cluster.gateway.pid)
        assert control in dumped, "the search does not find what is there"
        found = [name for name, form in forms(canary).items() if form in dumped]
        assert not found, f"the gateway's memory holds the canary: {found}"
        assert not os.access(f"/proc/{cluster.nodes[0].pid}/mem", os.R_OK) or os.geteuid() == 0
        go.set()
        await task
        assert answer
        await transport.close()
        after = memory(cluster.gateway.pid)
        written = everything_written(workdir)
    written += everything_written(workdir)
    assert b"node.ready" in written
    assert TENANT.encode() in written
    for name, form in forms(canary).items():
        assert form not in after, name
        assert form not in written, name
    assert not list(Path().glob("core*"))
