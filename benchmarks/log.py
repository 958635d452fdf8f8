"""`log`: how many records per second the audit log makes durable, many waiting at once.

One exchange is two entries, INTENT and COMPLETION, each durable before its call returns, with the
anti-rollback guard moved and the promise signed. Entries that wait together share a commit, so
throughput rises with `c`; the disk's own `fdatasync` stands beside it. A proof is to be had when
a checkpoint covers the entry; they are published each second.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from gateway.auditlog.config import LogConfig, create
from gateway.auditlog.errors import NotInLogError
from gateway.auditlog.keys import LogKeys
from gateway.auditlog.log import AuditLog
from mifeng.crypto.randomness import random_bytes
from mifeng.crypto.signatures import SigningKey
from mifeng.protocol.receipt import Receipt

from .timing import percentile

CONCURRENCY: Final = (1, 32, 128)
PROOF_EVERY_S: Final = 0.05
PROOF_POLL_S: Final = 0.02
_DIGEST: Final = bytes(32)


def _receipt() -> bytes:
    """Return a signed receipt of ordinary size; the log keeps it, it does not judge it."""
    now = int(time.time())
    return Receipt(
        h=_DIGEST,
        outcome="completed",
        reason="",
        origin="log.example/bench",
        intent_index=1,
        seq=1,
        prev=_DIGEST,
        keyset=_DIGEST,
        model="fraud-mlp",
        model_digest=_DIGEST,
        backend="onnxruntime/CPUExecutionProvider 1.31.1",
        device="CPUExecutionProvider:0 (AMD cpu)",
        sealed_request=_DIGEST,
        sealed_response=_DIGEST,
        salted_request=_DIGEST,
        salted_response=_DIGEST,
        node_policy=_DIGEST,
        client_policy=_DIGEST,
        usage={"input_bytes": 512, "output_bytes": 256},
        client_auth=None,
        started=now,
        finished=now,
        log_size=1,
        log_root=_DIGEST,
        marks=("SIMULATED", "UNWITNESSED"),
    ).sign(SigningKey.generate("sm2"))


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure with and without the SHA-256 twin."""
    seconds = 1.0 if quick else 8.0
    found: dict[str, Any] = {"fdatasync_ms": _fdatasync(), "rows": []}
    receipt = _receipt()
    for twin in (False, True):
        for c in CONCURRENCY:
            say(f"{c} at once{', with twin' if twin else ''}")
            with tempfile.TemporaryDirectory(prefix="mifeng-") as folder:
                row = asyncio.run(_measure(Path(folder), receipt, c, seconds=seconds, twin=twin))
            found["rows"].append(row)
    return found


def _fdatasync() -> float:
    """Return the median milliseconds to append 4 KiB to a file and have it on the disk."""
    times = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(50):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1000)
    return round(percentile(sorted(times), 0.5), 3)


class Proofs:
    """Asks for the proofs of sampled entries until there are any, as a client does."""

    def __init__(self, log: AuditLog) -> None:
        self._log, self._tasks = log, set[asyncio.Task[float]]()
        self._next = 0.0

    def ask(self, index: int) -> None:
        """Begin to ask about an entry that is durable now; a few each second."""
        now = time.perf_counter()
        if now >= self._next:
            self._next = now + PROOF_EVERY_S
            self._tasks.add(asyncio.create_task(self._wait(index, now)))

    async def _wait(self, index: int, since: float) -> float:
        while True:
            try:
                await self._log.inclusion(index)
            except NotInLogError:
                await asyncio.sleep(PROOF_POLL_S)
            else:
                return time.perf_counter() - since

    async def seconds(self) -> list[float]:
        """Return how long each had to be waited for, ascending."""
        return sorted(await asyncio.gather(*self._tasks))


def proof_figures(seconds: list[float]) -> dict[str, float]:
    """Return the figures of a row."""
    return {
        "proofs": len(seconds),
        "proof_p50_s": round(percentile(seconds, 0.5), 2),
        "proof_p99_s": round(percentile(seconds, 0.99), 2),
    }


async def _measure(
    folder: Path, receipt: bytes, c: int, *, seconds: float, twin: bool
) -> dict[str, Any]:
    config = LogConfig(
        path=folder / "log.db",
        guard=folder / "guard",
        origin="log.example/bench",
        instance="bench",
        twin=twin,
    )
    create(config)
    log = await AuditLog.open(config, LogKeys.generate(twin=twin))
    times: list[float] = []
    proofs = Proofs(log)
    began, cpu = time.perf_counter(), time.process_time()
    end = began + seconds

    async def exchanges() -> None:
        while time.perf_counter() < end:
            sent = time.perf_counter()
            h = random_bytes(32)
            deadline = int(time.time()) + 60
            intent = await log.intent(h=h, keyset=_DIGEST, tenant="bank-a", deadline=deadline)
            done = await log.completion(h=h, intent=intent.index, receipt=receipt)
            times.append((time.perf_counter() - sent) * 1000)
            proofs.ask(done.index)

    await asyncio.gather(*(exchanges() for _ in range(c)))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    proven = await proofs.seconds()
    await log.close()
    times.sort()
    return {
        "c": c,
        "twin": twin,
        "exchanges": len(times),
        "appends_per_second": round(2 * len(times) / wall),
        "p50_ms": round(percentile(times, 0.5), 3),
        "p99_ms": round(percentile(times, 0.99), 3),
        "cpu_us_per_append": round(cpu / len(times) / 2 * 1e6),
        **proof_figures(proven),
    }


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print one table."""
    disk = result["fdatasync_ms"]
    table = Table(title=f"audit log; the disk's fdatasync alone takes {disk:.2f} ms")
    for column in (
        "c",
        "twin",
        "appends per s",
        "INTENT and COMPLETION p50 ms",
        "p99 ms",
        "µs CPU",
        "proof p50 s",
        "p99 s",
    ):
        table.add_column(column, justify="right")
    for row in result["rows"]:
        table.add_row(
            str(row["c"]),
            "yes" if row["twin"] else "no",
            f"{row['appends_per_second']:,}",
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            str(row["cpu_us_per_append"]),
            f"{row['proof_p50_s']:.2f}",
            f"{row['proof_p99_s']:.2f}",
        )
    console.print(table)
