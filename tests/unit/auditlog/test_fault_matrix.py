"""Each external write × (fails and did not persist, fails but persisted), then a restart.

INTENT, COMPLETION, guard, tile, checkpoint, witness, anchor: fourteen cells. After each fault the
log goes on or refuses; after the restart everything that anybody was told of is compared with what
is stored, published, cosigned and anchored.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.anchors.kinds import AnchorUnavailableError, Note
from gateway.anchors.metrics import AnchorMetrics
from gateway.anchors.queue import Queue
from gateway.anchors.service import Anchors, Timing
from gateway.anchors.worm import WormAnchor
from gateway.auditlog import failpoints
from gateway.auditlog.config import create
from gateway.auditlog.errors import AuditLogError, LogUnavailableError
from gateway.auditlog.guard import Mark
from gateway.auditlog.log import AuditLog
from mifeng.audit.anchors.record import AnchorRecord
from mifeng.protocol import checkpoint
from mifeng.protocol.jsonc import Json
from tests.unit.auditlog.harness import (
    KEYS,
    KEYSET,
    NOW,
    RECEIPT,
    Hook,
    assert_each_intent_ends_once,
    config,
    h,
    mth,
    stored,
)
from tests.unit.auditlog.published import FailingTarget, checkpoint_of, entries_of
from tests.unit.auditlog.witnessing import Ring

WRITES = ("intent", "completion", "guard", "tile", "checkpoint", "witness", "anchor")


class FailingGuard:
    """Passes on to another guard; fails as told."""

    def __init__(self, guard: object) -> None:
        self._guard = guard
        self.fail: bool | None = None

    def read(self) -> Mark:
        """See `Guard`."""
        return self._guard.read()

    def swap(self, old: Mark, new: Mark) -> None:
        """See `Guard`."""
        persists, self.fail = self.fail, None
        if persists is not False:
            self._guard.swap(old, new)
        if persists is not None:
            raise OSError(5, "Input/output error")

    def close(self) -> None:
        """See `Guard`."""
        self._guard.close()


class FailingAnchor:
    """Passes on to a directory that only gains files; fails as told."""

    name, kind = "worm", "file"

    def __init__(self, directory: Path) -> None:
        self._worm = WormAnchor(name=self.name, directory=directory)
        self.fail: bool | None = None

    def prepare(self, note: Note, old: bytes) -> bytes:
        """See `Anchor`."""
        return self._worm.prepare(note, old)

    def submit(self, note: Note, ticket: bytes) -> dict[str, Json]:
        """See `Anchor`."""
        persists, self.fail = self.fail, None
        if persists is False:
            raise AnchorUnavailableError("told", "to fail")
        proof = self._worm.submit(note, ticket)
        if persists:
            raise AnchorUnavailableError("told", "to fail")
        return proof

    def close(self) -> None:
        """See `Anchor`."""


@dataclass
class Site:
    """One log with everything that it writes to, and what outsiders were told."""

    folder: Path
    ring: Ring
    hook: Hook = field(default_factory=Hook)
    told: dict[int, bytes] = field(default_factory=dict)
    notes: list[bytes] = field(default_factory=list)
    number: int = 0
    refused: int = 0
    log: AuditLog = field(init=False)

    async def open(self, instance: str) -> None:
        """Start a gateway's log."""
        settings = replace(
            config(self.folder, instance=instance, twin=False), publish=self.folder / "out"
        )
        if not settings.path.exists():
            create(settings)
        keys = replace(KEYS, twin=None)
        self.log = await AuditLog.open(
            settings, keys, clock=lambda: NOW, points=self.hook, witnesses=self.ring.config()
        )
        self.guard = FailingGuard(self.log._writer._guard)
        self.log._writer._guard = self.guard
        self.target = FailingTarget(self.log._publisher._target)
        self.log._publisher._target = self.target
        self.anchor = FailingAnchor(self.folder / "worm")
        self.queue = Queue(self.folder / "anchors")
        self.anchors = Anchors(
            [self.anchor],
            self.queue,
            latest=lambda: self.log.checkpoint().note,
            timing=Timing(every_s=3600, backoff_s=0.05, max_backoff_s=0.05),
            metrics=AnchorMetrics(CollectorRegistry()),
        )
        self.anchors.start()

    async def exchange(self, arm: str = "", *, kept: bool = False) -> None:
        """Log one request; a refusal is what a caller gets while the log is down."""
        self.number += 1
        number = self.number
        point = failpoints.COMMITTED if kept else failpoints.WRITTEN
        try:
            if arm == "intent":
                self.hook.raise_at[point] = OSError(5, "Input/output error")
            elif arm == "guard":
                self.guard.fail = kept
            made = await self.log.intent(h=h(number), keyset=KEYSET, tenant="t", deadline=NOW)
            self.told[made.index] = made.statement
            if arm == "completion":
                self.hook.raise_at[point] = OSError(5, "Input/output error")
            done = await self.log.completion(h=h(number), intent=made.index, receipt=RECEIPT)
            self.told[done.index] = done.entry
        except LogUnavailableError:
            self.refused += 1

    async def publish(self) -> None:
        """Show and publish what is durable, as the task does each second."""
        await self.log.showing.once()
        await self.log._publish_to_target()
        self.notes.append(self.log.checkpoint().note)
        await self.anchors.offer()

    async def anchored(self) -> None:
        """Wait until nothing waits for the anchor."""
        async with asyncio.timeout(10):
            while self.queue.waiting("worm"):
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """End this gateway."""
        await self.anchors.close()
        await self.log.close()

    async def restart(self) -> None:
        """End this gateway and start another."""
        await self.close()
        await self.open("g2")

    async def verify(self) -> None:
        """Compare everything with everything."""
        pin = self.log.pin
        await self.anchored()
        records = [AnchorRecord.decode(data) for _, data in self.queue.records()]
        await self.close()
        held = stored(self.folder / "log.db")
        assert all(held[index] == entry for index, entry in self.told.items())
        assert_each_intent_ends_once(held)
        assert entries_of(self.folder / "out") == held
        assert checkpoint_of(self.folder / "out")[2] == mth(held)
        self.notes.append((self.folder / "out" / "checkpoint").read_bytes())
        for note in self.notes:
            claim = checkpoint.verify_witnessed(note, pin).checkpoint
            assert claim.root == mth(held[: claim.size])
        for seen in self.ring.remembered():
            assert seen is not None
            assert seen.checkpoint.root == mth(held[: seen.checkpoint.size])
        assert self.log.showing.alarms == set()
        assert [name for record in records if (name := record.proof["file"])] == sorted(
            path.name for path in (self.folder / "worm").glob("*.note")
        )
        for record in records:
            claim = checkpoint.verify_witnessed(record.note, pin).checkpoint
            assert claim.root == mth(held[: claim.size])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A log that is open and has published something."""
    async with Ring.of(config(tmp_path), tmp_path) as ring:
        made = Site(tmp_path, ring)
        await made.open("g1")
        await made.exchange()
        await made.publish()
        yield made
        with suppress(AuditLogError):
            await made.close()


@pytest.mark.parametrize("kept", [False, True], ids=["did not persist", "persisted"])
@pytest.mark.parametrize("write", WRITES)
async def test_a_write_that_fails(site: Site, write: str, *, kept: bool) -> None:
    """Nothing acknowledged is lost, nothing forks, and what was missing is made up for."""
    match write:
        case "tile" | "checkpoint":
            site.target.fail[write] = kept
        case "witness":
            site.ring.members[0].fail = kept
        case "anchor":
            await site.anchored()
            site.anchor.fail = kept
    shown = site.log.checkpoint()
    await site.exchange(write, kept=kept)
    assert site.refused == (write in ("intent", "completion", "guard"))
    await site.publish()
    if write == "witness":
        # Nobody saw the checkpoint whose cosignature was lost, though the witness may know it.
        assert site.log.checkpoint() is shown
        assert (site.ring.remembered()[0].checkpoint.size > shown.tree.size) is kept
        await asyncio.sleep(0.6)  # REST_S
    if write in ("tile", "checkpoint"):
        assert site.log.unpublished is not None
    for _ in range(3):
        await site.exchange()
    await site.publish()
    assert site.log.unpublished is None
    assert site.log.checkpoint().tree.size > shown.tree.size
    await site.restart()
    await site.exchange()
    await site.publish()
    await site.verify()


@pytest.mark.parametrize("kept", [False, True], ids=["did not persist", "persisted"])
@pytest.mark.parametrize("write", WRITES)
async def test_a_restart_right_after_it(site: Site, write: str, *, kept: bool) -> None:
    """The same, with nothing between the fault and the next process."""
    match write:
        case "tile" | "checkpoint":
            site.target.fail[write] = kept
        case "witness":
            site.ring.members[0].fail = kept
        case "anchor":
            await site.anchored()
            site.anchor.fail = kept
    await site.exchange(write, kept=kept)
    await site.publish()
    await site.restart()
    await site.exchange()
    await site.publish()
    await site.verify()
