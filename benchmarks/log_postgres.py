"""`log_postgres`: the audit log in PostgreSQL, one gateway and several on one log.

    python -m benchmarks.log_postgres [SECONDS]

The same exchange as `log`, INTENT and COMPLETION, each durable before its call returns and each
group followed by a guard. Gateways are processes; the server is a fresh one of the installed
PostgreSQL, on this machine, with its own settings except `shared_buffers`.
"""

import asyncio
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.auditlog.config import LogConfig, create
from gateway.auditlog.keys import LogKeys
from gateway.auditlog.log import AuditLog
from gateway.auditlog.places import PostgresPlace
from mifeng.crypto import Sm2PrivateKey
from mifeng.crypto.randomness import random_bytes
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import UsageError
from tests.unit.auditlog.postgresserver import Server, binaries

from .log import Proofs, _receipt, proof_figures
from .timing import percentile

GATEWAYS = (1, 2, 4)
CONCURRENCY = 32
_SCALAR = bytes(31) + b"\x0b"


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure one, two and four gateways; an empty list if PostgreSQL is not installed."""
    rows: list[dict[str, Any]] = []
    if binaries() is None:
        say("PostgreSQL is not installed")
        return {"rows": rows}
    for count in GATEWAYS:
        say(f"{count} gateways")
        rows.append(measure(count, seconds=1.5 if quick else 8.0))
    return {"rows": rows}


def measure(gateways: int, *, seconds: float, c: int = CONCURRENCY) -> dict[str, Any]:
    """Return one row: all gateways together, `c` exchanges waiting at each."""
    with Server.run() as server, tempfile.TemporaryDirectory(prefix="mifeng-") as name:
        folder = Path(name)
        server.dsn_file(folder)
        create(_config(folder, "create"))
        context = multiprocessing.get_context("spawn")
        with context.Pool(gateways) as pool:
            jobs = [(name, f"g{n}", c, gateways, seconds) for n in range(gateways)]
            found = pool.starmap(_one, jobs)
    times = sorted(ms for each, _ in found for ms in each)
    proven = sorted(seconds for _, each in found for seconds in each)
    if not times:
        raise UsageError("no exchange was finished")
    return {
        "gateways": gateways,
        "c": c,
        "exchanges": len(times),
        "appends_per_second": round(2 * len(times) / seconds),
        "p50_ms": round(percentile(times, 0.5), 3),
        "p99_ms": round(percentile(times, 0.99), 3),
        **proof_figures(proven),
    }


def _config(folder: Path, instance: str) -> LogConfig:
    return LogConfig(
        path=PostgresPlace(dsn=folder / "dsn"),
        guard=folder / "guard",
        origin="log.example/bench",
        instance=instance,
        twin=False,
    )


Figures = tuple[list[float], list[float]]
"""Milliseconds of each exchange, seconds until each sampled proof."""


def _one(folder: str, instance: str, c: int, gateways: int, seconds: float) -> Figures:
    return asyncio.run(_exchanges(Path(folder), instance, c, gateways, seconds))


def _meet(folder: Path, instance: str, gateways: int) -> None:
    """Wait until every gateway has opened the log."""
    (folder / f"open-{instance}").touch()
    while len(list(folder.glob("open-*"))) < gateways:
        time.sleep(0.01)


async def _exchanges(folder: Path, instance: str, c: int, gateways: int, seconds: float) -> Figures:
    keys = LogKeys(signer=SigningKey(Sm2PrivateKey.from_scalar(_SCALAR)), twin=None)
    log = await AuditLog.open(_config(folder, instance), keys)
    times: list[float] = []
    proofs = Proofs(log)
    signed, keyset = _receipt(), bytes(32)
    await asyncio.to_thread(_meet, folder, instance, gateways)
    begin = time.time()

    async def one() -> None:
        while time.time() < begin + seconds:
            sent = time.perf_counter()
            h = random_bytes(32)
            made = await log.intent(h=h, keyset=keyset, tenant="bank-a", deadline=int(begin) + 60)
            done = await log.completion(h=h, intent=made.index, receipt=signed)
            times.append((time.perf_counter() - sent) * 1000)
            proofs.ask(done.index)

    await asyncio.gather(*(one() for _ in range(c)))
    proven = await proofs.seconds()
    await log.close()
    return times, proven


def show(result: dict[str, Any], console: Console) -> None:
    """Print one table."""
    table = Table(title="audit log in PostgreSQL, gateways together")
    if not result["rows"]:
        console.print("log_postgres: PostgreSQL is not installed (Debian package postgresql)")
        return
    for column in (
        "gateways",
        "c each",
        "appends per s",
        "p50 ms",
        "p99 ms",
        "proof p50 s",
        "p99 s",
    ):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        table.add_row(
            str(row["gateways"]),
            str(row["c"]),
            f"{row['appends_per_second']:,}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['proof_p50_s']:.2f}",
            f"{row['proof_p99_s']:.2f}",
        )
    console.print(table)


if __name__ == "__main__":
    duration = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    measured = {"rows": [measure(count, seconds=duration) for count in GATEWAYS]}
    print(json.dumps(measured, indent=1))
    show(measured, Console())
