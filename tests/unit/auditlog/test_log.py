"""The audit log as the gateway uses it: durable, ordered, each intent closed once."""

import asyncio
import dataclasses
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.auditlog import failpoints
from gateway.auditlog.config import create
from gateway.auditlog.errors import (
    AuditLogError,
    IntentClosedError,
    LogLockedError,
    LogRefusedError,
    LogUnavailableError,
    NotInLogError,
)
from gateway.auditlog.guard import FileGuard
from gateway.auditlog.log import MAX_BLOB, AuditLog, Recorded
from gateway.auditlog.sqlite import SqliteStore
from mifeng.crypto import sm3
from mifeng.errors import UsageError
from mifeng.protocol import checkpoint, entries, merkle, promise, proof
from mifeng.protocol.merkle import SHA256, SM3
from tests.unit.auditlog.harness import (
    KEYS,
    KEYSET,
    NOT_CLAIMED,
    NOW,
    ORIGIN,
    RECEIPT,
    Hook,
    assert_each_intent_ends_once,
    config,
    h,
    mth,
    start,
    stored,
)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[AuditLog]:
    """Return an open log with a twin."""
    opened = await start(tmp_path)
    yield opened
    await opened.close()


async def dispatch(log: AuditLog, number: int, *, attempt: int = 1) -> int:
    """Log the intent of a made-up request and return its index."""
    made = await log.intent(
        h=h(number), keyset=KEYSET, tenant="bank-a", deadline=NOW + 30, attempt=attempt
    )
    return made.index


async def test_an_intent_names_its_index_and_verifies(log: AuditLog) -> None:
    """What the node gets is the entry itself, signed by the log, at the index it names."""
    made = await log.intent(h=h(1), keyset=KEYSET, tenant="bank-a", deadline=NOW + 30)
    keys = (KEYS.signer.verify_key(),)
    intent = entries.verify_intent(made.statement, origin=ORIGIN, keys=keys)
    assert intent == made.intent
    assert (intent.index, intent.h, intent.issued) == (made.index, h(1), NOW)
    assert await log.entry(made.index) == made.statement


async def test_a_completion_comes_with_a_promise_that_is_kept(log: AuditLog) -> None:
    """The promise verifies for the entry's bytes, and inclusion follows under a checkpoint."""
    index = await dispatch(log, 1)
    done = await log.completion(h=h(1), intent=index, receipt=RECEIPT)
    leaf = SM3.leaf_hash(done.entry)
    made = promise.verify(
        done.promise, origin=ORIGIN, leaf=leaf, keys=(KEYS.signer.verify_key(),), now=NOW
    )
    assert (made.index, made.merge_by) == (done.index, NOW + promise.MAX_MERGE_S)
    log.publish()
    shown = await log.inclusion(done.index)
    assert proof.verify_included(shown, leaf, log.pin).checkpoint.size == log.size


async def test_order_of_acknowledgement_is_order_in_the_log(tmp_path: Path) -> None:
    """Entries submitted together keep their order, share groups, and make one tree."""
    log = await start(tmp_path)
    made = await asyncio.gather(*(dispatch(log, number) for number in range(300)))
    assert list(made) == list(range(made[0], made[0] + 300))
    await asyncio.gather(
        *(log.completion(h=h(n), intent=i, receipt=RECEIPT) for n, i in enumerate(made))
    )
    published = log.publish()
    await log.close()
    held = stored(tmp_path / "log.db")
    assert published.checkpoint.root == mth(held[: published.tree.size])
    assert_each_intent_ends_once(held)


async def test_groups_are_natural(tmp_path: Path) -> None:
    """What waits while one group is written goes into the next, in one transaction."""
    hook = Hook()
    log = await start(tmp_path, points=hook)
    hook.seen.clear()
    await asyncio.gather(*(dispatch(log, number) for number in range(200)))
    assert 1 <= hook.seen.count(failpoints.COMMITTED) <= 20
    await log.close()


async def test_each_intent_ends_once(log: AuditLog) -> None:
    """A second closing of any kind is refused and names the first."""
    index = await dispatch(log, 1)
    done = await log.completion(h=h(1), intent=index, receipt=RECEIPT)
    for again in (
        log.completion(h=h(1), intent=index, receipt=RECEIPT),
        log.refusal(h=h(1), intent=index, reason="late", statement=None),
        log.orphan(h=h(1), intent=index, reason="late"),
    ):
        with pytest.raises(IntentClosedError) as caught:
            await again
        assert caught.value.closing == done.index
        assert caught.value.code == "log.intent-closed"


async def test_two_closings_in_one_group_do_not_both_count(log: AuditLog) -> None:
    """Of closings submitted together exactly one is written."""
    index = await dispatch(log, 1)
    results = await asyncio.gather(
        *(log.orphan(h=h(1), intent=index, reason="race") for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, IntentClosedError) for result in results) == 4


async def test_a_closing_needs_its_intent_and_its_request(log: AuditLog) -> None:
    """Unknown intents and another request's digest are refused."""
    index = await dispatch(log, 1)
    for number, intent in ((1, index + 1), (1, 0), (2, index)):
        with pytest.raises(IntentClosedError) as caught:
            await log.completion(h=h(number), intent=intent, receipt=RECEIPT)
        assert caught.value.closing is None


async def test_one_attempt_is_dispatched_once(log: AuditLog) -> None:
    """The same request under the same attempt is refused, after a NOT_CLAIMED the next is not."""
    results = await asyncio.gather(dispatch(log, 1), dispatch(log, 1), return_exceptions=True)
    assert isinstance(results[1], AuditLogError)
    assert isinstance(results[0], int)
    with pytest.raises(AuditLogError):
        await dispatch(log, 1)
    refusal = await log.refusal(
        h=h(1), intent=results[0], reason="node.full", statement=NOT_CLAIMED
    )
    entry = entries.decode(refusal.entry)
    assert isinstance(entry, entries.Refusal)
    assert entry.by == "node"
    second = await dispatch(log, 1, attempt=2)
    found = await log.trace(h(1))
    assert (found.intents, found.closings) == ((results[0], second), (refusal.index,))


async def test_late_follows_orphaned_once(log: AuditLog) -> None:
    """LATE needs an ORPHANED entry, refers to it, and comes once."""
    first, second = await dispatch(log, 1), await dispatch(log, 2)
    done = await log.completion(h=h(2), intent=second, receipt=RECEIPT)
    with pytest.raises(IntentClosedError):
        await log.late(h=h(2), intent=second, orphaned=done.index, receipt=RECEIPT)
    with pytest.raises(IntentClosedError):
        await log.late(h=h(1), intent=first, orphaned=first, receipt=RECEIPT)
    gone = await log.orphan(h=h(1), intent=first, reason="node.lost")
    with pytest.raises(IntentClosedError):
        await log.late(h=h(1), intent=first, orphaned=done.index, receipt=RECEIPT)
    late = await log.late(h=h(1), intent=first, orphaned=gone.index, receipt=RECEIPT)
    with pytest.raises(IntentClosedError):
        await log.late(h=h(1), intent=first, orphaned=gone.index, receipt=RECEIPT)
    assert (await log.trace(h(1))).corrections == (late.index,)


async def test_a_restart_orphans_what_was_open(tmp_path: Path) -> None:
    """Intents that the process before left open are closed before the log is used."""
    log = await start(tmp_path, instance="g1")
    for number in range(3):
        await dispatch(log, number)
    await log.completion(h=h(1), intent=(await log.trace(h(1))).intents[0], receipt=RECEIPT)
    assert [intent.instance for intent in log.open_intents] == ["g1", "g1"]
    await log.close()
    again = await start(tmp_path, instance="g2")
    assert again.open_intents == ()
    assert await again.orphan_dangling() == ()
    await again.close()
    held = stored(tmp_path / "log.db")
    assert_each_intent_ends_once(held)
    orphaned = [json for json in held if b'"type":"ORPHANED"' in json]
    assert len(orphaned) == 2
    assert all(b'"gateway.restart"' in json for json in orphaned)


async def test_a_caller_that_goes_away_leaves_no_open_intent(tmp_path: Path) -> None:
    """An intent whose caller was cancelled is refused in the log: nothing was dispatched."""
    log = await start(tmp_path)
    tasks = [asyncio.create_task(dispatch(log, number)) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(2):
        await log.probe()
    assert len(log.open_intents) == 10
    assert all(intent.h in {h(n) for n in range(1, 20, 2)} for intent in log.open_intents)
    await log.close()


@pytest.mark.parametrize("point", [failpoints.WRITTEN, failpoints.COMMITTED])
@pytest.mark.parametrize("kind", ["intent", "completion"])
async def test_a_failed_commit_is_not_acknowledged(tmp_path: Path, point: str, kind: str) -> None:
    """Whether or not it persisted: the caller is refused, and the log then agrees with itself."""
    hook = Hook()
    log = await start(tmp_path, points=hook)
    index = await dispatch(log, 1)
    await log.probe()  # the first heartbeat is written
    hook.raise_at[point] = OSError(28, "No space left on device")
    attempted = (
        dispatch(log, 2)
        if kind == "intent"
        else log.completion(h=h(1), intent=index, receipt=RECEIPT)
    )
    with pytest.raises(LogUnavailableError) as caught:
        await attempted
    assert caught.value.code == "log.unavailable"
    assert not log.healthy
    await log.probe()
    assert log.healthy
    persisted = point == failpoints.COMMITTED
    if kind == "intent":
        found = await log.trace(h(2))
        assert len(found.intents) == len(found.closings) == int(persisted)
        await log.completion(h=h(1), intent=index, receipt=RECEIPT)
    elif persisted:
        with pytest.raises(IntentClosedError):
            await log.orphan(h=h(1), intent=index, reason="lost")
    else:
        await log.orphan(h=h(1), intent=index, reason="lost")
    published = log.publish()
    await log.close()
    held = stored(tmp_path / "log.db")
    assert_each_intent_ends_once(held)
    assert published.checkpoint.root == mth(held)


class BrokenGuard(FileGuard):
    """A guard whose next swaps fail, before or after they persist."""

    failures: int = 0
    persists: bool = False

    def swap(self, old: object, new: object) -> None:
        """Fail if told to."""
        if BrokenGuard.failures:
            BrokenGuard.failures -= 1
            if BrokenGuard.persists:
                super().swap(old, new)
            raise OSError(5, "Input/output error")
        super().swap(old, new)


@pytest.mark.parametrize("persists", [False, True])
@pytest.mark.parametrize("failures", [1, 3])
async def test_a_failed_guard_is_not_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, *, persists: bool
) -> None:
    """The log stops until the guard moves again; adopted intents are refused, once."""
    monkeypatch.setattr("gateway.auditlog.config.FileGuard", BrokenGuard)
    log = await start(tmp_path)
    monkeypatch.setattr(BrokenGuard, "persists", persists)
    monkeypatch.setattr(BrokenGuard, "failures", failures)
    with pytest.raises(LogUnavailableError):
        await dispatch(log, 1)
    assert not log.healthy
    for _ in range(4):
        try:
            await log.probe()
        except LogUnavailableError:
            continue
    assert log.healthy
    found = await log.trace(h(1))
    assert len(found.intents) == len(found.closings) == 1
    monkeypatch.setattr(BrokenGuard, "failures", 0)
    index = await dispatch(log, 2)
    await log.completion(h=h(2), intent=index, receipt=RECEIPT)
    await log.close()
    assert_each_intent_ends_once(stored(tmp_path / "log.db"))
    await (await start(tmp_path)).close()


async def test_a_full_disk_is_refused_and_recovered_from(tmp_path: Path) -> None:
    """SQLite's own "database or disk is full": nothing is acknowledged until there is room."""
    log = await start(tmp_path)
    connection = log._writer._store._write
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(LogUnavailableError):
        await log.put_blob(bytes(100_000))
    index = await dispatch(log, 1)
    await log.completion(h=h(1), intent=index, receipt=RECEIPT)
    await log.close()
    assert_each_intent_ends_once(stored(tmp_path / "log.db"))


async def test_a_restored_backup_is_refused(tmp_path: Path) -> None:
    """A database from before the guard's mark is a roll-back, even with later entries added."""
    log = await start(tmp_path)
    await dispatch(log, 1)
    await log.close()
    backup = tmp_path / "backup"
    shutil.copy(tmp_path / "log.db", backup)
    log = await start(tmp_path, instance="g2")
    await dispatch(log, 2)
    await log.close()
    shutil.copy(backup, tmp_path / "log.db")
    with pytest.raises(LogRefusedError):
        await start(tmp_path, instance="g3")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(backup, other / "log.db")
    shutil.copy(tmp_path / "guard", other / "guard")
    with pytest.raises(LogRefusedError):
        await start(other, instance="g3")


async def test_a_fork_of_the_same_size_is_refused(tmp_path: Path) -> None:
    """A database that grew differently does not open under the guard of the other."""
    folders = [tmp_path / name for name in ("a", "b")]
    await (await start(tmp_path)).close()
    for number, folder in enumerate(folders):
        folder.mkdir()
        for name in ("log.db", "guard"):
            shutil.copy(tmp_path / name, folder / name)
        log = await start(folder, instance="g2")
        await dispatch(log, number)
        await log.close()
    shutil.copy(folders[0] / "guard", folders[1] / "guard")
    with pytest.raises(LogRefusedError):
        await start(folders[1], instance="g3")


async def test_a_second_gateway_is_refused(tmp_path: Path, log: AuditLog) -> None:
    """Neither the same files nor a copy of one of them opens twice."""
    with pytest.raises(LogLockedError):
        await start(tmp_path, instance="g2")
    other = dataclasses.replace(config(tmp_path), path=tmp_path / "copy.db")
    shutil.copy(tmp_path / "log.db", other.path)
    with pytest.raises(LogLockedError):
        await AuditLog.open(other, KEYS)
    await dispatch(log, 1)


async def test_a_second_process_is_refused_by_the_database_too(tmp_path: Path) -> None:
    """A guard of its own does not let a second gateway in: the database has its own lock."""
    log = await start(tmp_path)
    with pytest.raises(LogLockedError):
        SqliteStore(tmp_path / "log.db", ORIGIN)
    await log.close()
    SqliteStore(tmp_path / "log.db", ORIGIN).close()


async def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    """Opening makes nothing, making overwrites nothing, and a log keeps its origin and twin."""
    settings = config(tmp_path)
    with pytest.raises(LogRefusedError):
        await AuditLog.open(settings, KEYS)
    await (await start(tmp_path)).close()
    with pytest.raises(LogRefusedError):
        create(settings)
    with pytest.raises(LogRefusedError):
        await AuditLog.open(dataclasses.replace(settings, origin="log.example/2027"), KEYS)
    with pytest.raises(LogRefusedError):
        await AuditLog.open(
            dataclasses.replace(settings, twin=False), dataclasses.replace(KEYS, twin=None)
        )
    settings.guard.unlink()
    with pytest.raises(LogRefusedError):
        await AuditLog.open(settings, KEYS)


async def test_making_a_log_can_be_repeated_after_a_crash(tmp_path: Path) -> None:
    """A guard without entries does not block `create`; a database left over does."""
    settings = config(tmp_path)
    create(settings)
    settings.path.unlink()
    create(settings)
    await (await start(tmp_path)).close()
    settings.path.unlink()
    with pytest.raises(LogRefusedError):
        create(settings)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM tiles WHERE world = 'sm3' AND idx = 0",
        "DELETE FROM entries WHERE idx = 514",
        "UPDATE entries SET data = x'00' WHERE idx = 513",
        "UPDATE tiles SET hashes = zeroblob(8192) WHERE world = 'sm3' AND idx = 1",
        "DELETE FROM entries WHERE idx >= 515",
    ],
)
async def test_a_damaged_database_is_refused(tmp_path: Path, damage: str) -> None:
    """Missing or changed tiles and entries that the head depends on are noticed at once."""
    log = await start(tmp_path)
    beat = entries.Heartbeat(at=NOW, instance="g1", interval=10)
    await asyncio.gather(*(log.append(beat) for _ in range(518)))
    await log.close()
    connection = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    connection.execute(damage)
    connection.close()
    with pytest.raises(LogRefusedError):
        await start(tmp_path, instance="g2")


async def test_a_writer_that_ignored_the_lock_stops_the_log(tmp_path: Path) -> None:
    """If somebody else appended, the next group does not follow what is stored: refused."""
    log = await start(tmp_path)
    await dispatch(log, 1)
    connection = sqlite3.connect(tmp_path / "log.db", isolation_level=None)
    connection.execute("INSERT INTO entries SELECT max(idx) + 1, x'00' FROM entries")
    connection.close()
    for _ in range(2):
        with pytest.raises(LogUnavailableError):
            await dispatch(log, 2)
    await log.close()
    with pytest.raises(LogRefusedError):
        await start(tmp_path, instance="g2")


async def test_an_old_tile_is_checked_when_a_proof_needs_it(tmp_path: Path) -> None:
    """A tile that the head does not depend on is missed by the first proof through it."""
    log = await start(tmp_path)
    beat = entries.Heartbeat(at=NOW, instance="g1", interval=10)
    await asyncio.gather(*(log.append(beat) for _ in range(600)))
    await log.close()
    log = await start(tmp_path, instance="g2")
    log._writer._store._write.execute("DELETE FROM tiles WHERE world = 'sm3' AND idx = 1")
    with pytest.raises(LogRefusedError):
        await log.inclusion(300)
    assert (await log.inclusion(3)).index == 3
    await log.close()


async def test_something_else_than_a_log_is_refused(tmp_path: Path) -> None:
    """A file that is no database, or no log, does not open."""
    settings = config(tmp_path)
    create(settings)
    settings.path.write_bytes(b"not a database" * 1000)
    with pytest.raises(LogUnavailableError):
        await AuditLog.open(settings, KEYS)


async def test_proofs_and_consistency_are_of_published_trees(log: AuditLog) -> None:
    """Every entry, in both worlds, under the checkpoint shown; nothing beyond it."""
    for number in range(40):
        await log.completion(h=h(number), intent=await dispatch(log, number), receipt=RECEIPT)
    earlier = log.publish()
    held = await log.entries(0, log.size)
    assert log.twin is not None
    for view, world in ((log.tree, SM3), (log.twin, SHA256)):
        for index in range(log.size):
            shown = await view.inclusion(index)
            proof.verify_included(shown, world.leaf_hash(held[index]), view.pin)
    await dispatch(log, 100)
    with pytest.raises(NotInLogError):
        await log.inclusion(earlier.tree.size)
    old = checkpoint.verify(earlier.note, log.pin)
    new = checkpoint.verify(log.publish().note, log.pin)
    path = (await log.consistency(old.checkpoint.size)).path
    assert checkpoint.check_consistent(SM3, old, new, path) is new
    for sizes in ((-1, 5), (5, 4), (0, log.size + 1)):
        with pytest.raises(NotInLogError):
            await log.consistency(*sizes)


async def test_proofs_survive_a_restart_and_leave_memory(tmp_path: Path) -> None:
    """Over finished and unfinished tiles, read back from the store, proofs are the same."""
    log = await start(tmp_path)
    beat = entries.Heartbeat(at=NOW, instance="g1", interval=10)
    await asyncio.gather(*(log.append(dataclasses.replace(beat, at=NOW + i)) for i in range(600)))
    size = log.publish().tree.size
    before = [await log.tree.inclusion_path(index, size) for index in range(0, size, 37)]
    await log.close()
    again = await start(tmp_path, instance="g2")
    again.publish()
    assert [await again.tree.inclusion_path(i, size) for i in range(0, size, 37)] == before
    held = await again.entries(0, size)
    for index in (0, 255, 256, 511, 512, size - 1):
        path = await again.tree.inclusion_path(index, size)
        leaf = SM3.leaf_hash(held[index])
        root = merkle.root_from_inclusion(SM3, leaf, index=index, size=size, path=path)
        assert root == mth(held)
    await again.close()


async def test_a_checkpoint_is_signed_once_per_size(log: AuditLog) -> None:
    """Publishing without growth shows the same note; growth shows a new one."""
    first = log.publish()
    assert log.publish() is first
    await dispatch(log, 1)
    assert log.checkpoint() is first
    assert log.publish().tree.size > first.tree.size


async def test_the_publisher_and_the_heart_beat(tmp_path: Path) -> None:
    """Tasks publish what is durable and append heartbeats, without being asked."""
    settings = dataclasses.replace(config(tmp_path), publish_every_s=0.01)
    create(settings)
    log = await AuditLog.open(settings, KEYS, clock=lambda: NOW)
    await dispatch(log, 1)
    while log.checkpoint().tree.size < 3:
        await asyncio.sleep(0.005)
    beats = [raw for raw in await log.entries(0, log.size) if b'"type":"HEARTBEAT"' in raw]
    assert len(beats) == 1
    await log.close()


async def test_blobs_are_content_addressed(log: AuditLog) -> None:
    """A blob is found by its SM3, stored once, limited in size, and checked when read."""
    digest = await log.put_blob(b"evidence")
    assert digest == sm3(b"evidence")
    assert await log.put_blob(b"evidence") == digest
    assert await log.blob(digest) == b"evidence"
    with pytest.raises(NotInLogError):
        await log.blob(bytes(32))
    with pytest.raises(UsageError):
        await log.put_blob(bytes(MAX_BLOB + 1))


async def test_what_is_not_there_is_not_found(log: AuditLog) -> None:
    """Entries beyond the end, and requests never seen."""
    for index in (-1, log.size + 100, 2**62):
        with pytest.raises(NotInLogError):
            await log.entry(index)
    assert (await log.trace(h(9))).intents == ()


async def test_entries_that_cannot_be_written_harm_no_other(log: AuditLog) -> None:
    """A bad entry in a group is refused alone and takes no index."""
    good = entries.Heartbeat(at=NOW, instance="g1", interval=10)
    bad = dataclasses.replace(good, interval=0)
    first, refused, second = await asyncio.gather(
        *(log.append(entry) for entry in (good, bad, good)), return_exceptions=True
    )
    assert isinstance(refused, UsageError)
    assert isinstance(first, Recorded)
    assert isinstance(second, Recorded)
    assert second.index == first.index + 1


async def test_intents_are_not_appended_ready_made(log: AuditLog) -> None:
    """Only the log knows which index an intent gets."""
    made = await log.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW)
    signed = entries.SignedIntent(intent=made.intent, statement=made.statement)
    with pytest.raises(UsageError):
        await log.append(signed)


async def test_a_closed_log_refuses(tmp_path: Path) -> None:
    """After `close` nothing is accepted, what waited is written, and closing again is harmless."""
    log = await start(tmp_path)
    waiting = [asyncio.create_task(dispatch(log, number)) for number in range(50)]
    await asyncio.sleep(0)
    await log.close()
    assert len({*await asyncio.gather(*waiting)}) == 50
    with pytest.raises(LogUnavailableError):
        await dispatch(log, 99)
    await log.close()
    assert log.checkpoint().tree.size == len(stored(tmp_path / "log.db"))


async def test_an_unforeseen_fault_leaves_nobody_waiting(tmp_path: Path) -> None:
    """An error of a kind nobody planned for still refuses its group, and the log recovers."""
    hook = Hook()
    log = await start(tmp_path, points=hook)
    hook.raise_at[failpoints.PLANNED] = ZeroDivisionError()
    with pytest.raises(LogUnavailableError):
        await dispatch(log, 1)
    index = await dispatch(log, 1)
    await log.completion(h=h(1), intent=index, receipt=RECEIPT)
    await log.close()
