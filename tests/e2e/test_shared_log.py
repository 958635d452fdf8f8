"""Two real gateways on one PostgreSQL log, a node each, one gateway killed meanwhile."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import yaml

from mifeng.client import AsyncClient, ClientConfig
from mifeng.demo.cluster import Cluster, Process
from mifeng.errors import MifengError
from tests.e2e.conftest import models
from tests.unit.auditlog.harness import assert_each_intent_ends_once, mth
from tests.unit.auditlog.postgresserver import Server
from tests.unit.auditlog.published import checkpoint_of, entries_of

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("pg")]
X = np.arange(5, dtype=np.float32)


class TwoGateways(Cluster):
    """A cluster whose gateway has a twin on the same log."""

    def start(self) -> None:
        """Start the second gateway too; each has a node of its own."""
        for node in self.nodes:
            node.start()
        self.gateway.start()
        self.wait_ready(1)
        document = yaml.safe_load((self.directory / "gateway.yaml").read_text())
        document["http"]["listen"] = f"unix:{self.directory}/second.sock"
        document["grpc"] = None
        document["nodes"] = [self._node("node-2")]
        path = self._write("second.yaml", document)
        self.second = Process(
            "second", ("gateway", "--config", str(path)), self.directory / "second.log"
        )
        self.second.start()

    def _node(self, name: str) -> dict[str, str]:
        return {"node_id": name, "address": f"unix:{self.directory / name}.sock"}

    def _gateway_config(self) -> dict[str, Any]:
        return super()._gateway_config() | {"nodes": [self._node("node-1")]}

    def close(self) -> None:
        """Stop it as well."""
        if hasattr(self, "second"):
            self.second.stop()
        super().close()

    def configs(self) -> list[ClientConfig]:
        """Return how a client reaches either gateway."""
        first = self.client_config()
        return [first, first.model_copy(update={"gateway": f"unix:{self.directory}/second.sock"})]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[tuple[Server, TwoGateways]]:
    """Two gateways and two nodes; the log in PostgreSQL and published into a directory."""
    with Server.run() as server:
        log: dict[str, Any] = {
            "origin": "log.example/shared",
            "storage": "postgres",
            "postgres": {"dsn": str(server.dsn_file(tmp_path))},
            "guard": str(tmp_path / "guard" / "guard"),
            "keys": str(tmp_path / "keys"),
            "passphrase": str(tmp_path / "passphrase"),
            "twin": False,
            "publish": {"directory": str(tmp_path / "out")},
            "lease_s": 3,
        }
        running = TwoGateways(models(tmp_path), directory=tmp_path, gateway_settings={"log": log})
        with running:
            yield server, running
        shutil.rmtree(tmp_path / "out", ignore_errors=True)


async def ask(config: ClientConfig, number: int) -> str:
    """Return what came of one request: an answer, or the code of a clean refusal."""
    async with AsyncClient.from_config(config) as client:
        try:
            answer = await client.infer("neg", {"x": X + number})
        except (MifengError, OSError) as exc:
            return getattr(exc, "code", "os")
        assert answer.outputs["y"].tolist() == (-(X + number)).tolist()
        return "answered"


async def until_answered(config: ClientConfig) -> None:
    """Wait until a gateway serves."""
    async with asyncio.timeout(60):
        while await ask(config, 0) != "answered":
            await asyncio.sleep(0.3)


async def test_two_gateways_answer_and_one_may_die(shared: tuple[Server, TwoGateways]) -> None:
    """Both serve; one is killed under load; the other ends every intent in the log they share."""
    server, cluster = shared
    configs = cluster.configs()
    await asyncio.gather(*(until_answered(config) for config in configs))
    found = await asyncio.gather(*(ask(configs[n % 2], n) for n in range(16)))
    assert found == ["answered"] * 16

    async def load(config: ClientConfig) -> list[str]:
        return [await ask(config, number) for number in range(12)]

    loads = [asyncio.create_task(load(config)) for config in configs]
    await asyncio.sleep(0.7)
    cluster.second.kill()
    kept, lost = await asyncio.gather(*loads)
    assert kept.count("answered") == 12
    assert lost[-1] != "answered"
    await asyncio.sleep(4.5)
    assert cluster.gateway.stop() == 0
    with psycopg.connect(server.dsn) as connection:
        rows = connection.execute("SELECT data FROM mifeng.entries ORDER BY idx").fetchall()
    held = [data for (data,) in rows]
    assert_each_intent_ends_once(held)
    assert entries_of(cluster.directory / "out") == held
    assert checkpoint_of(cluster.directory / "out")[2] == mth(held)
