"""A process that logs under load on a shared log until it is told to stop, or killed.

    python -m tests.unit.auditlog.sharing FOLDER INSTANCE SCHEMA WORKERS

What it was acknowledged goes to `FOLDER/acked.INSTANCE`, the notes it showed to
`FOLDER/notes.INSTANCE`. While the log is down it waits and tries again, as clients do.
"""

import asyncio
import hashlib
import os
import signal
import sys
from pathlib import Path

from gateway.auditlog.config import LogConfig
from gateway.auditlog.errors import AuditLogError, IntentClosedError, LogUnavailableError
from gateway.auditlog.log import AuditLog
from gateway.auditlog.places import PostgresPlace
from tests.unit.auditlog import crashing

LEASE_S = 2


def config(folder: Path, instance: str, schema: str) -> LogConfig:
    """Return the configuration of one of the gateways; the guard is one file for all."""
    return LogConfig(
        path=PostgresPlace(dsn=folder / "dsn", schema=schema),
        guard=folder / "guard",
        origin=crashing.ORIGIN,
        instance=instance,
        twin=False,
        publish=folder / "out",
        publish_every_s=0.05,
        lease_s=LEASE_S,
    )


class Journal:
    """What outsiders learnt: one unbuffered line each."""

    def __init__(self, folder: Path, instance: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._acked = os.open(folder / f"acked.{instance}", flags)
        self._notes = os.open(folder / f"notes.{instance}", flags)

    def acked(self, index: int, entry: bytes) -> None:
        """Write that an entry was acknowledged."""
        os.write(self._acked, b"%d %s\n" % (index, hashlib.sha256(entry).hexdigest().encode()))

    def note(self, note: bytes) -> None:
        """Write that a note was shown."""
        os.write(self._notes, note.hex().encode() + b"\n")


async def _open(settings: LogConfig) -> AuditLog:
    while True:
        try:
            return await AuditLog.open(settings, crashing.keys())
        except AuditLogError as exc:
            sys.stderr.write(f"open: {exc}\n")
            await asyncio.sleep(0.2)


async def work(folder: Path, instance: str, schema: str, workers: int) -> None:
    """Log requests until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    journal = Journal(folder, instance)
    log = await _open(config(folder, instance, schema))

    async def one(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            h = hashlib.sha256(f"{instance} {number} {turn}".encode()).digest()
            try:
                made = await log.intent(h=h, keyset=h, tenant="t", deadline=2_000_000_000)
                journal.acked(made.index, made.statement)
                done = await log.completion(h=h, intent=made.index, receipt=crashing.RECEIPT)
                journal.acked(done.index, done.entry)
            except IntentClosedError:
                continue
            except LogUnavailableError as exc:
                sys.stderr.write(f"{exc}\n")
                await asyncio.sleep(0.1)
            journal.note(log.checkpoint().note)

    await asyncio.gather(*(one(number) for number in range(workers)))
    await log.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
