"""A process that logs under load and kills itself at a failpoint, as often as it is told.

    python -m tests.unit.auditlog.crashing FOLDER POINT:NTH POINT:NTH …

Each case is a forked child on the same log: it recovers, works, and dies by SIGKILL when it
reaches POINT for the NTH time. Everything it was acknowledged is appended to `FOLDER/acked` as
it learns of it (page cache survives SIGKILL), every note it published to `FOLDER/notes`. The log
is a SQLite file, or in the PostgreSQL that `FOLDER/dsn` points to, if there is that file.
"""

import asyncio
import hashlib
import importlib
import os
import signal
import sys
from pathlib import Path

from gateway.auditlog import failpoints
from gateway.auditlog.config import LogConfig
from gateway.auditlog.errors import AuditLogError
from gateway.auditlog.keys import LogKeys
from gateway.auditlog.log import AuditLog
from gateway.auditlog.places import PostgresPlace
from mifeng.crypto import Sm2PrivateKey
from mifeng.crypto.signatures import SigningKey
from mifeng.protocol import dsse

ORIGIN = "log.example/crash"
SCALAR = bytes(31) + b"\x07"
WORKERS = 12
LEASE_S = 1
"""PostgreSQL: how long the intents of one that was killed wait for another to end them."""
RECEIPT = dsse.sign(b"{}", "application/vnd.mifeng.receipt+json", SigningKey.generate("sm2"))


def keys() -> LogKeys:
    """Return the log's key, the same in every process."""
    return LogKeys(signer=SigningKey(Sm2PrivateKey.from_scalar(SCALAR)), twin=None)


def config(folder: Path, instance: str) -> LogConfig:
    """Return where the log is; it publishes as fast as it can."""
    dsn = folder / "dsn"
    return LogConfig(
        path=PostgresPlace(dsn=dsn, schema="crash") if dsn.exists() else folder / "log.db",
        guard=folder / "guard",
        origin=ORIGIN,
        instance=instance,
        twin=False,
        publish_every_s=0.002,
        lease_s=LEASE_S,
    )


class Killer:
    """Ends the process, without any clean-up, at the nth reach of one point."""

    def __init__(self, point: str, nth: int) -> None:
        self._point, self._left = point, nth

    def reach(self, point: str) -> None:
        """Count, and kill."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Journal:
    """What outsiders learnt: one unbuffered line each."""

    def __init__(self, folder: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._acked = os.open(folder / "acked", flags)
        self._notes = os.open(folder / "notes", flags)

    def acked(self, index: int, entry: bytes) -> None:
        """Write that an entry was acknowledged."""
        os.write(self._acked, b"%d %s\n" % (index, hashlib.sha256(entry).hexdigest().encode()))

    def note(self, note: bytes) -> None:
        """Write that a note was shown."""
        os.write(self._notes, note.hex().encode() + b"\n")


async def work(folder: Path, instance: str, killer: Killer) -> None:
    """Log requests until killed."""
    journal = Journal(folder)
    log = await AuditLog.open(config(folder, instance), keys(), points=killer)

    async def one(number: int) -> None:
        turn = 0
        while True:
            turn += 1
            h = hashlib.sha256(f"{instance} {number} {turn}".encode()).digest()
            made = await log.intent(h=h, keyset=h, tenant="t", deadline=2_000_000_000)
            journal.acked(made.index, made.statement)
            if turn % 7 == 0:
                done = await log.orphan(h=h, intent=made.index, reason="node.lost")
            elif turn % 11 == 0:
                continue
            else:
                done = await log.completion(h=h, intent=made.index, receipt=RECEIPT)
            journal.acked(done.index, done.entry)
            journal.note(log.checkpoint().note)

    try:
        await asyncio.gather(*(one(number) for number in range(WORKERS)))
    except AuditLogError as exc:
        sys.stderr.write(f"{exc}\n")
        os._exit(3)


def main(folder: Path, cases: list[str]) -> int:
    """Run the cases one after the other; return 0 if each died as it should."""
    if (folder / "dsn").exists():
        importlib.import_module("gateway.auditlog.postgres")  # once, not in every child
    for count, case in enumerate(cases):
        point, _, nth = case.partition(":")
        pid = os.fork()
        if pid == 0:
            asyncio.run(work(folder, f"{point}-{count}", Killer(point, int(nth))))
            os._exit(4)
        _, status = os.waitpid(pid, 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            sys.stderr.write(f"{case}: status {status}\n")
            return 1
    return 0


ALL_POINTS = (*failpoints.APPEND_POINTS, failpoints.PUBLISHING)

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
