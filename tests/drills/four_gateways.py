"""Four gateways on one PostgreSQL log under load, one of them killed every few seconds.

    python -m tests.drills.four_gateways [--kills N] [--every S]

Four gateways and two nodes, all linked, and two witnesses, all ordinary processes. Clients ask one
gateway after the other, as a load balancer would send them, and keep everything they are given. A
gateway is killed (SIGKILL) every few seconds and started again. Afterwards the log is exported from
what was published and verified as an auditor does; every record that a client was given must be in
its place. What clients saw meanwhile is counted by code: none may be left with an answer that it
cannot believe.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import yaml
from click.testing import CliRunner

from mifeng.cli.audit import command as audit
from mifeng.client import AsyncClient, ClientConfig
from mifeng.demo.cluster import Cluster, Process
from mifeng.errors import MifengError
from tests.e2e.conftest import models
from tests.unit.auditlog.harness import assert_each_intent_ends_once
from tests.unit.auditlog.postgresserver import Server

GATEWAYS = 4
CLIENTS = 6
GIVE_UP_S = 120.0
X = np.arange(5, dtype=np.float32)
CLEAN = frozenset(
    {
        "transport",
        "interrupted",
        "node.lost",
        "node.unavailable",
        "node.busy",
        "keyset.unknown",
        "log.unavailable",
        "log.unwitnessed",
        "gateway.draining",
        "deadline.expired",
    }
)
"""What tells a client that it may ask again, and no more than that."""


@dataclass
class Seen:
    """What clients were given."""

    records: dict[int, bytes] = field(default_factory=dict)
    answers: int = 0
    wrong: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0


class Gateways(Cluster):
    """A cluster with further gateways on the same log; each knows every node."""

    def __init__(self, directory: Path, dsn: Path) -> None:
        log: dict[str, Any] = {
            "origin": "log.example/four",
            "storage": "postgres",
            "postgres": {"dsn": str(dsn)},
            "guard": str(directory / "guard" / "guard"),
            "keys": str(directory / "keys"),
            "passphrase": str(directory / "passphrase"),
            "twin": False,
            "publish": {"directory": str(directory / "out")},
            "lease_s": 3,
        }
        made = [each | {"idempotent": True} for each in models(directory)]
        super().__init__(made, directory=directory, gateway_settings={"log": log}, witnesses=2)
        self.others: list[Process] = []

    def start(self) -> None:
        """Start everything and wait for every gateway."""
        super().start()
        document = yaml.safe_load((self.directory / "gateway.yaml").read_text())
        for number in range(2, GATEWAYS + 1):
            document["http"]["listen"] = f"unix:{self.socket(number)}"
            document["grpc"] = None
            path = self._write(f"gateway-{number}.yaml", document)
            log = self.directory / f"gateway-{number}.log"
            self.others.append(Process(path.stem, ("gateway", "--config", str(path)), log))
            self.others[-1].start()

    def socket(self, number: int) -> Path:
        """Return where a gateway, counted from 1, listens."""
        return self.http_socket if number == 1 else self.directory / f"gateway-{number}.sock"

    def gateways(self) -> list[Process]:
        """Return all of them."""
        return [self.gateway, *self.others]

    def configs(self) -> list[ClientConfig]:
        """Return how a client reaches each of them."""
        first = self.client_config()
        return [
            first.model_copy(update={"gateway": f"unix:{self.socket(n)}"})
            for n in range(1, GATEWAYS + 1)
        ]

    def close(self) -> None:
        """Stop all."""
        for each in self.others:
            each.stop()
        super().close()


async def ask(
    configs: Sequence[ClientConfig], seen: Seen, number: int, stop: asyncio.Event
) -> None:
    """Ask one gateway after the other until told to stop; each question until it is answered."""
    turn = cycle(range(GATEWAYS))
    for _ in range(number % GATEWAYS):
        next(turn)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncClient.from_config(each)) for each in configs
        ]
        count = number * 1_000_000
        while not stop.is_set():
            count += 1
            began = time.monotonic()
            while True:
                try:
                    answer = await clients[next(turn)].infer("neg", {"x": X + count}, deadline_s=20)
                except (MifengError, OSError) as exc:
                    seen.retries[getattr(exc, "code", "os")] += 1
                    if time.monotonic() > began + GIVE_UP_S:
                        raise AssertionError(f"no answer: {dict(seen.retries)}") from exc
                    await asyncio.sleep(0.05)
                    continue
                break
            seen.slowest_s = max(seen.slowest_s, time.monotonic() - began)
            right = bool((answer.outputs["y"] == -(X + count)).all())
            seen.wrong += not right
            seen.answers += 1
            if seen.records.setdefault(answer.done.index, answer.done.entry) != answer.done.entry:
                raise AssertionError("two records were acknowledged at one index")


def _audit(*arguments: str) -> str:
    result = CliRunner().invoke(audit, arguments)
    if result.exit_code:
        raise AssertionError(result.output or repr(result.exception))
    return result.output


def verify(cluster: Gateways, server: Server, seen: Seen) -> dict[str, Any]:
    """Export and verify as an auditor, then look for every record; return what was found."""
    trust, pack = cluster.directory / "trust.yaml", cluster.directory / "pack.zip"
    document = {"log": cluster.pin, "policies": [], "exporters": []}
    trust.write_text(yaml.safe_dump(document))
    _audit("export", "--published", str(cluster.directory / "out"), "--out", str(pack))
    report = json.loads(_audit("verify", str(pack), "--trust", str(trust), "--json"))
    with psycopg.connect(server.dsn) as connection:
        rows = connection.execute("SELECT data FROM mifeng.entries ORDER BY idx").fetchall()
    held = [data for (data,) in rows]
    if any(held[index] != entry for index, entry in seen.records.items()):
        raise AssertionError("an acknowledged record was lost")
    assert_each_intent_ends_once(held)
    found: dict[str, Any] = report
    return found | {"stored": len(held)}


async def drill(kills: int, every_s: float, directory: Path) -> dict[str, Any]:
    """Run it and return the figures; raises `AssertionError` for anything that must not be."""
    with Server.run() as server:
        cluster = Gateways(directory, server.dsn_file(directory))
        with cluster:
            seen, stop = Seen(), asyncio.Event()
            configs = cluster.configs()
            load = [
                asyncio.create_task(ask(configs, seen, number, stop)) for number in range(CLIENTS)
            ]
            await asyncio.sleep(every_s)
            for number in range(kills):
                victim = cluster.gateways()[number % GATEWAYS]
                victim.kill()
                await asyncio.sleep(every_s / 2)
                victim.start()
                await asyncio.sleep(every_s / 2)
            stop.set()
            await asyncio.gather(*load)
            await asyncio.sleep(5)  # the lease of the last one that was killed, and a checkpoint
            for each in cluster.gateways():
                each.stop()
            report = verify(cluster, server, seen)
    unclean = {code: n for code, n in seen.retries.items() if code not in CLEAN}
    errors = [each for each in report["findings"] if each["severity"] == "error"]
    figures = {
        "gateways killed": kills,
        "answers": seen.answers,
        "wrong answers": seen.wrong,
        "retries": dict(seen.retries),
        "unclean": unclean,
        "slowest answer, s": round(seen.slowest_s, 1),
        "entries": report["stored"],
        "the pack stands": report["stands"],
        "errors in the pack": [each["code"] for each in errors],
    }
    if unclean or errors or seen.wrong or not report["stands"] or not seen.answers:
        raise AssertionError(figures)
    return figures


def main() -> int:
    """Run the drill and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--every", type=float, default=4.0, help="seconds")
    parser.add_argument("--directory", type=Path, help="where logs are left; a new one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mf4-") as name:
        directory = arguments.directory or Path(name)
        figures = asyncio.run(drill(arguments.kills, arguments.every, directory))
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
