"""A log on disks of its own that are full, or read-only: a process in a mount namespace.

    unshare --map-root-user --mount python -m tests.unit.auditlog.smalldisk FOLDER

Mounts a small tmpfs each for database, guard and published tiles, fills one after the other with
the log running, and mounts one after the other read-only with the log stopped. Prints, as JSON,
what the log did each time.
"""

import asyncio
import errno
import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.auditlog.config import LogConfig, create
from gateway.auditlog.errors import AuditLogError, LogUnavailableError
from gateway.auditlog.log import AuditLog
from tests.unit.auditlog import harness
from tests.unit.auditlog.harness import KEYS, KEYSET, NOW, RECEIPT, h
from tests.unit.auditlog.published import entries_of

SIZES = {"db": "16m", "guard": "64k", "out": "32m"}
TRIES = 120


def mount(*arguments: str) -> None:
    """Mount something."""
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def config(folder: Path) -> LogConfig:
    """Return where the log lives."""
    made = harness.config(folder, twin=False)
    return replace(
        made, path=folder / "db/log.db", guard=folder / "guard/guard", publish=folder / "out/log"
    )


def fill(folder: Path) -> Path:
    """Leave no room; return what takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as exc:
                if exc.errno != errno.ENOSPC:
                    raise
    return filler


class Run:
    """One log and what was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.told: dict[int, bytes] = {}

    async def open(self) -> None:
        """Open the log."""
        keys = replace(KEYS, twin=None)
        self.log = await AuditLog.open(config(self.folder), keys, clock=lambda: NOW)

    async def exchange(self) -> None:
        """Log a request; `told` has what was acknowledged of it."""
        self.number += 1
        made = await self.log.intent(h=h(self.number), keyset=KEYSET, tenant="t", deadline=NOW)
        self.told[made.index] = made.statement
        done = await self.log.completion(h=h(self.number), intent=made.index, receipt=RECEIPT)
        self.told[done.index] = done.entry

    async def full(self, place: str) -> dict[str, Any]:
        """Fill a disk, work until something is refused, make room, work on."""
        filler = fill(self.folder / place)
        refused = 0
        for _ in range(TRIES):
            try:
                await self.exchange()
            except LogUnavailableError:
                refused += 1
                break
            self.log.publish()
            await self.log._publish_to_target()
            if self.log.unpublished is not None:
                break
        unpublished = type(self.log.unpublished).__name__
        filler.unlink()
        for _ in range(3):
            with suppress(LogUnavailableError):
                await self.log.probe()
        await self.exchange()
        self.log.publish()
        await self.log._publish_to_target()
        recovered = self.log.healthy and self.log.unpublished is None
        return {"refused": refused, "unpublished": unpublished, "recovered": recovered}

    async def read_only(self, place: str) -> dict[str, Any]:
        """Mount a disk read-only under a stopped log, try to open it, mount it back."""
        await self.log.close()
        mount("-o", "remount,ro", str(self.folder / place))
        code = None
        try:
            await self.open()
            await self.exchange()
        except (AuditLogError, OSError) as exc:
            code = getattr(exc, "code", getattr(exc, "strerror", None))
        else:
            self.log.publish()
            await self.log._publish_to_target()
            code = getattr(self.log.unpublished, "code", None)
            await self.log.close()
        mount("-o", "remount,rw", str(self.folder / place))
        await self.open()
        await self.exchange()
        return {"code": code}


async def main(folder: Path) -> dict[str, Any]:
    """Run everything; return what was seen."""
    for name, size in SIZES.items():
        (folder / name).mkdir()
        mount("-t", "tmpfs", "-o", f"size={size}", "none", str(folder / name))
    create(config(folder))
    run = Run(folder)
    await run.open()
    await run.exchange()
    seen: dict[str, Any] = {"full": {}, "read-only": {}}
    for name in SIZES:
        seen["full"][name] = await run.full(name)
    for name in SIZES:
        seen["read-only"][name] = await run.read_only(name)
    await run.log.close()
    held = harness.stored(folder / "db/log.db")
    harness.assert_each_intent_ends_once(held)
    seen["lost"] = sum(held[index] != entry for index, entry in run.told.items())
    seen["published"] = entries_of(folder / "out/log") == held
    seen["told"] = len(run.told)
    return seen


if __name__ == "__main__":
    with asyncio.Runner() as runner:
        sys.stdout.write(json.dumps(runner.run(main(Path(sys.argv[1])))))
