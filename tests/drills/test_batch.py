"""A batch outlives everybody: its client, its gateway and both nodes are killed on the way."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from mifeng.demo.cluster import ROOT, Cluster
from tests.e2e.conftest import models

pytestmark = [pytest.mark.drill, pytest.mark.xdist_group("drill")]
ITEMS = 200


class Batch:
    """The command, again and again."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        rows = [json.dumps({"inputs": {"x": [float(n), 1.0]}}) for n in range(ITEMS)]
        (folder / "in.jsonl").write_text("\n".join(rows) + "\n")
        self.out = folder / "out"
        config = str(cluster.directory / "client.yaml")
        self.command = [sys.executable, "-m", "mifeng.cli", "batch", "submit", "--json"]
        self.command += ["-c", config, "-m", "neg", "-o", str(self.out), "--patience", "60"]
        self.command.append(str(folder / "in.jsonl"))

    def start(self) -> "subprocess.Popen[bytes]":
        """Begin, or go on."""
        return subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.PIPE)

    def lines(self) -> int:
        """Return how many items are recorded."""
        path = self.out / "manifest.jsonl"
        return max(0, path.read_bytes().count(b"\n") - 1) if path.exists() else 0

    def wait_for(self, lines: int, process: "subprocess.Popen[bytes]") -> None:
        """Wait until so many items are recorded."""
        give_up = time.monotonic() + 60
        while self.lines() < lines:
            assert process.poll() is None, "it ended early"
            assert time.monotonic() < give_up, f"only {self.lines()} of {lines}"
            time.sleep(0.02)


def test_a_batch_outlives_client_gateway_and_nodes(tmp_path: Path) -> None:
    """Every item has one result, and the client was started only twice."""
    with Cluster(models(tmp_path), nodes=2, directory=tmp_path) as cluster:
        batch = Batch(cluster, tmp_path)
        first = batch.start()
        batch.wait_for(10, first)
        first.kill()
        first.communicate()
        second = batch.start()
        batch.wait_for(30, second)
        cluster.nodes[0].kill()  # one node goes: the other takes over
        batch.wait_for(60, second)
        cluster.gateway.kill()  # the gateway goes and comes back
        time.sleep(0.5)
        cluster.gateway.start()
        cluster.wait_ready(1)
        batch.wait_for(90, second)
        cluster.nodes[1].kill()  # nobody is left, then both come back with new keys
        time.sleep(1)
        for node in cluster.nodes:
            node.start()
        output, _ = second.communicate(timeout=120)
    assert second.returncode == 0
    report = json.loads(output)
    assert report["failed"] == report["interrupted"] == 0
    assert report["done"] + report["already_done"] == report["total"] == ITEMS
    rows = [json.loads(row) for row in (batch.out / "manifest.jsonl").read_bytes().splitlines()[1:]]
    assert Counter(row["index"] for row in rows) == Counter(range(ITEMS))
    assert len({row["log_index"] for row in rows}) == ITEMS
    for row in rows:
        result = json.loads((batch.out / row["result"]).read_text())
        assert result["outputs"]["y"]["data"] == [-float(row["index"]), -1.0]
        assert (batch.out / row["result"]).with_suffix(".receipt.json").exists()
