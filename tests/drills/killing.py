"""Kill the gateway again and again under load, then look for anything lost or forked.

    python -m tests.drills.killing [--cycles N]

Each cycle starts a gateway that dies by SIGKILL when it reaches a failpoint for the nth time
while clients keep asking. Everything a client was given (index, entry, promise) is remembered.
Afterwards the log is read from its database alone and the tree rebuilt by the recursive
definition: every acknowledged entry must be in its place, every checkpoint anybody saw must be
of the same history, every INTENT closed exactly once.
"""

import argparse
import asyncio
import contextlib
import json
import random
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gateway.auditlog.failpoints import APPEND_POINTS, PUBLISHING
from mifeng.client import AsyncClient
from mifeng.demo.cluster import Cluster, Process
from mifeng.errors import MifengError
from mifeng.protocol import checkpoint, entries, promise
from mifeng.protocol.checkpoint import SignedCheckpoint
from mifeng.protocol.keyset import verify_keys
from mifeng.protocol.merkle import SM3, Digest
from tests.e2e.conftest import models

POINTS = (*APPEND_POINTS, PUBLISHING)
CLIENTS = 6


@dataclass
class Seen:
    """What clients were given, over all cycles."""

    entries: dict[int, bytes] = field(default_factory=dict)
    answers: int = 0
    checkpoints: list[SignedCheckpoint] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    requests: set[bytes] = field(default_factory=set)


async def load(cluster: Cluster, seen: Seen, stop: asyncio.Event) -> None:
    """Ask until told to stop; remember everything acknowledged."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        while not stop.is_set():
            try:
                answer = await client.infer("neg", {"x": np.ones(3, np.float32)}, deadline_s=10)
            except MifengError as exc:
                seen.refusals[exc.code] += 1
                await asyncio.sleep(0.02)
                continue
            done = answer.done
            assert done.receipt.h not in seen.requests
            seen.requests.add(done.receipt.h)
            previous = seen.entries.setdefault(done.index, done.entry)
            assert previous == done.entry, "two entries were acknowledged at one index"
            seen.answers += 1
            with contextlib.suppress(MifengError):
                proven = await asyncio.wait_for(client.prove(done), 5)
                seen.checkpoints.append(proven.checkpoint)


async def cycle(cluster: Cluster, seen: Seen, point: str, nth: int) -> None:
    """Run one gateway until it has killed itself."""
    config = str(cluster.directory / "gateway.yaml")
    cluster.gateway = Process(
        "gateway",
        ("tests.drills.gateway_that_dies", config, point, str(nth)),
        cluster.directory / "gateway.log",
    )
    cluster.gateway.start()
    stop = asyncio.Event()
    clients = [asyncio.create_task(load(cluster, seen, stop)) for _ in range(CLIENTS)]
    popen = cluster.gateway.popen
    assert popen is not None
    give_up = time.monotonic() + 60
    while popen.poll() is None and time.monotonic() < give_up:
        await asyncio.sleep(0.02)
    stop.set()
    cluster.gateway.kill()
    await asyncio.gather(*clients)
    assert popen.returncode == -9, cluster.gateway.log.read_text()[-2000:]


def check(cluster: Cluster, seen: Seen) -> dict[str, int]:
    """Read the log from its database and compare it with what was seen."""
    config = cluster.client_config()
    pin = config.terms().log
    with contextlib.closing(sqlite3.connect(cluster.log_database)) as database:
        table = database.execute("SELECT idx, data FROM entries ORDER BY idx").fetchall()
    assert [index for index, _ in table] == list(range(len(table))), "a gap in the log"
    logged = [bytes(data) for _, data in table]
    for index, entry in seen.entries.items():
        assert logged[index] == entry, f"acknowledged entry {index} is lost"
    hashes = [SM3.leaf_hash(entry) for entry in logged]
    for signed in seen.checkpoints:
        head = signed.checkpoint
        assert head.size <= len(hashes), "a published checkpoint is longer than the log"
        assert root(hashes[: head.size]) == head.root, f"forked at {head.size}"
    intents: Counter[int] = Counter()
    closed: Counter[int] = Counter()
    for index, data in enumerate(logged):
        entry = entries.decode(data)
        if isinstance(entry, entries.SignedIntent):
            assert entry.intent.index == index
            entries.verify_intent(data, origin=pin.origin, keys=verify_keys(pin))
            intents[index] += 1
        elif isinstance(entry, entries.Completion | entries.Refusal | entries.Orphaned):
            closed[entry.intent] += 1
    assert set(intents) == set(closed), "an intent was not closed"
    assert set(closed.values()) <= {1}, "an intent was closed twice"
    return {
        "entries": len(logged),
        "intents": len(intents),
        "acknowledged": len(seen.entries),
        "checkpoints compared": len(seen.checkpoints),
    }


def root(hashes: list[Digest]) -> Digest:
    """Return the root by RFC 9162's recursive definition."""
    if len(hashes) < 2:
        return hashes[0] if hashes else SM3.empty_root
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return SM3.node_hash(root(hashes[:k]), root(hashes[k:]))


async def drill(cycles: int, directory: Path, *, seed: int = 1) -> dict[str, object]:
    """Run the drill and return what was counted."""
    choose, seen = random.Random(seed), Seen()
    cluster = Cluster(models(directory), nodes=2, directory=directory)
    cluster.prepare()
    try:
        for node in cluster.nodes:
            node.start()
        for number in range(cycles):
            point = POINTS[number % len(POINTS)]
            await cycle(cluster, seen, point, choose.randint(8, 40))
        config = str(cluster.directory / "gateway.yaml")
        cluster.gateway = Process(
            "gateway", ("gateway", "--config", config), cluster.directory / "gateway.log"
        )
        cluster.gateway.start()
        await asyncio.to_thread(cluster.wait_ready)
        async with AsyncClient.from_config(cluster.client_config()) as client:
            last = await client.infer("neg", {"x": np.ones(1, np.float32)})
            seen.checkpoints.append((await client.prove(last)).checkpoint)
            seen.entries[last.done.index] = last.done.entry
    finally:
        cluster.close()
    counted = check(cluster, seen)
    _check_promises(seen, cluster)
    return {
        "cycles": cycles,
        "answers": seen.answers,
        "lost": 0,
        "forks": 0,
        "refusals": dict(seen.refusals),
    } | counted


def _check_promises(seen: Seen, cluster: Cluster) -> None:
    """Every remembered checkpoint verifies under the pinned key, so the comparison means it."""
    pin = cluster.client_config().terms().log
    for signed in seen.checkpoints[-5:]:
        assert checkpoint.verify(signed.note, pin).checkpoint == signed.checkpoint
    assert promise.MAX_MERGE_S <= 60


def main() -> None:
    """Run from the command line and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=50)
    with tempfile.TemporaryDirectory(prefix="mf-") as name:
        result = asyncio.run(drill(parser.parse_args().cycles, Path(name)))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
