"""Several gateways on one PostgreSQL log: killed, the server ended at once, rolled back.

Everything here talks to a real server and is checked by reading tables and files with nothing of
ours but the hash. `MIFENG_POSTGRES_CYCLES` sets how often gateways and server are ended
(default 5); `python -m tests.drills.soak`-sized numbers are recorded in docs/storage.md.
"""

import asyncio
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from gateway.auditlog import failpoints
from gateway.auditlog.config import LogConfig, create, create_store, open_guard, open_store
from gateway.auditlog.copying import migrate
from gateway.auditlog.errors import IntentClosedError, LogRefusedError, LogUnavailableError
from gateway.auditlog.guard import Mark
from gateway.auditlog.log import AuditLog
from gateway.auditlog.notices import Notice, Notices
from gateway.auditlog.places import PostgresGuardPlace, PostgresPlace
from mifeng.audit.export import Choice, export
from mifeng.audit.pack import Pack
from mifeng.audit.postgres_source import PostgresSource
from mifeng.crypto import sm3
from mifeng.errors import UsageError
from mifeng.protocol import checkpoint, entries
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import Sm2NoteSigner
from tests.unit.auditlog import crashing, harness, sharing
from tests.unit.auditlog.harness import (
    KEYS,
    KEYSET,
    NOW,
    ORIGIN,
    RECEIPT,
    assert_each_intent_ends_once,
    h,
    mth,
    roots,
)
from tests.unit.auditlog.postgresserver import Server
from tests.unit.auditlog.published import checkpoint_of, entries_of

CYCLES = int(os.environ.get("MIFENG_POSTGRES_CYCLES", "5"))
ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("pg")]


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server that the test may end."""
    with Server.run() as running:
        yield running


@pytest.fixture(scope="module")
def steady() -> Iterator[Server]:
    """Return a server that nobody ends."""
    with Server.run() as running:
        yield running


@pytest.fixture
def settings(steady: Server, tmp_path: Path) -> LogConfig:
    """Return the configuration of gateway g1 on a new log."""
    schema = f"log_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    place = PostgresPlace(dsn=steady.dsn_file(tmp_path), schema=schema)
    made = replace(harness.config(tmp_path), path=place)
    create(made)
    return made


async def start(settings: LogConfig, instance: str, **changes: object) -> AuditLog:
    """Open the log as one more gateway."""
    settings = replace(settings, instance=instance, **changes)
    return await AuditLog.open(settings, KEYS, clock=lambda: NOW)


def held(server: Server, schema: str) -> list[bytes]:
    """Return every entry, read with nothing of ours."""
    with psycopg.connect(server.dsn) as connection:
        rows = connection.execute(f"SELECT idx, data FROM {schema}.entries ORDER BY idx").fetchall()
    assert [index for index, _ in rows] == list(range(len(rows))), "a gap in the log"
    return [data for _, data in rows]


# -- sharing ----------------------------------------------------------------------------------


async def test_two_gateways_make_one_tree(settings: LogConfig) -> None:
    """Appends interleave, every gateway proves what any has written, one KEY entry is enough."""
    one, two = await asyncio.gather(start(settings, "g1"), start(settings, "g2"))

    async def exchange(log: AuditLog, number: int) -> int:
        made = await log.intent(h=h(number), keyset=KEYSET, tenant="t", deadline=NOW)
        done = await log.completion(h=h(number), intent=made.index, receipt=RECEIPT)
        return done.index

    found = await asyncio.gather(
        *(exchange(log, 1000 * n + i) for i in range(150) for n, log in enumerate((one, two)))
    )
    assert len(set(found)) == 300
    for log in (one, two):
        await log.probe()
    assert one.size == two.size
    everything = await one.entries(0, one.size)
    assert one.publish().checkpoint == two.publish().checkpoint
    assert two.checkpoint().checkpoint.root == mth(everything)
    assert sum(b"log-key+json" in raw or b'"type":"KEY"' in raw for raw in everything) == 1
    proof = await two.inclusion(found[0])
    root = checkpoint.verify(proof.note, two.pin).checkpoint.root
    assert root == mth(everything)
    assert_each_intent_ends_once(everything)
    for log in (one, two):
        await log.close()


async def test_a_gateway_catches_up_with_what_was_shown_elsewhere(settings: LogConfig) -> None:
    """A checkpoint another gateway showed is reached without waiting; more than that is not."""
    one, two = await start(settings, "g1"), await start(settings, "g2")
    for number in range(5):
        await one.intent(h=h(number), keyset=KEYSET, tenant="t", deadline=NOW)
    shown = one.publish()
    assert two.checkpoint().tree.size < shown.tree.size
    assert (await two.catch_up(shown.tree.size)).checkpoint == shown.checkpoint
    before = two.checkpoint()
    assert await two.catch_up(shown.tree.size) is before
    assert (await two.catch_up(10_000)).tree.size < 10_000
    for log in (one, two):
        await log.close()


async def test_one_attempt_is_dispatched_by_one_gateway(settings: LogConfig) -> None:
    """The same request sent to two gateways at once gets one INTENT."""
    logs = [await start(settings, name) for name in ("g1", "g2")]
    results = await asyncio.gather(
        *(log.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW) for log in logs),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Exception) for result in results) == 1
    for log in logs:
        await log.close()


async def test_the_living_close_what_the_dead_left(settings: LogConfig) -> None:
    """Intents of a gateway whose lease ran out are orphaned, those of a living one are not."""
    gone = await start(settings, "gone", lease_s=1)
    slow = await start(settings, "slow", lease_s=600)
    lost = await gone.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW)
    kept = await slow.intent(h=h(2), keyset=KEYSET, tenant="t", deadline=NOW)
    for task in gone._tasks:
        task.cancel()
    alive = await start(settings, "alive", lease_s=1)
    while lost.index in {intent.index for intent in alive.open_intents}:
        await asyncio.sleep(0.1)
    assert [intent.index for intent in alive.open_intents] == [kept.index]
    with pytest.raises(IntentClosedError):
        await gone.completion(h=h(1), intent=lost.index, receipt=RECEIPT)
    await slow.completion(h=h(2), intent=kept.index, receipt=RECEIPT)
    for log in (gone, slow, alive):
        await log.close()


async def test_a_gateway_that_recovers_leaves_the_others_intents_alone(
    settings: LogConfig,
) -> None:
    """After a fault it refuses what it did not dispatch itself, and nothing else."""
    hook = harness.Hook()
    steady = await start(settings, "steady")
    shaky = await AuditLog.open(
        replace(settings, instance="shaky"), KEYS, clock=lambda: NOW, points=hook
    )
    # Its first heartbeat must not be what meets the fault.
    for task in shaky._tasks:
        task.cancel()
    await asyncio.gather(*shaky._tasks, return_exceptions=True)
    await shaky.probe()
    hook.raise_at[failpoints.COMMITTED] = OSError(5, "Input/output error")
    with pytest.raises(LogUnavailableError):
        await shaky.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW)
    kept = await steady.intent(h=h(2), keyset=KEYSET, tenant="t", deadline=NOW)
    assert len((await steady.trace(h(1))).closings) == 0
    await shaky.probe()
    assert len((await steady.trace(h(1))).closings) == 1
    await steady.completion(h=h(2), intent=kept.index, receipt=RECEIPT)
    for log in (steady, shaky):
        await log.close()


async def test_one_gateway_publishes_and_another_takes_over(
    settings: LogConfig, tmp_path: Path
) -> None:
    """Of two, one holds the lock; when it is gone the other goes on where it was."""
    shown = replace(settings, publish=tmp_path / "out")
    one, two = await start(shown, "g1"), await start(shown, "g2")
    beat = entries.Heartbeat(at=NOW, instance="g1", interval=60)
    for log in (one, two):
        await asyncio.gather(*(log.append(beat) for _ in range(200)))
        for each in (one, two):
            await each.probe()
            each.publish()
            await each._publish_to_target()
            assert each.unpublished is None
    assert (one._store._publishing is None) is not (two._store._publishing is None)
    await one.close()
    await two.append(beat)
    await two.close()
    everything = entries_of(tmp_path / "out")
    assert checkpoint_of(tmp_path / "out")[2] == mth(everything)
    assert len(everything) > 400


async def test_rare_entries_are_told_to_everybody(settings: LogConfig) -> None:
    """A POLICY entry of one gateway is heard by a listener of another, also one that came late."""
    heard: list[Notice] = []
    assert isinstance(settings.path, PostgresPlace)
    log = await start(settings, "g1")
    policy = entries.PolicyActivated(at=NOW, name="strict", policy=bytes(32), actor=bytes(32))
    first = await log.append(policy)
    listener = Notices(settings.path, ORIGIN, heard.append)
    listener.start()
    while Notice("POLICY", first.index) not in heard:
        await asyncio.sleep(0.02)
    second = await log.append(policy)
    while Notice("POLICY", second.index) not in heard:
        await asyncio.sleep(0.02)
    await log.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW)
    await log.close()
    listener.close()
    assert not [notice for notice in heard if notice.type == "INTENT"]


# -- auditors ---------------------------------------------------------------------------------


async def test_an_auditor_reads_one_state_while_gateways_append(
    settings: LogConfig, tmp_path: Path
) -> None:
    """What is appended after the source was opened is not seen, and nothing can be written."""
    log = await start(settings, "g1")
    made = await log.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW)
    done = await log.completion(h=h(1), intent=made.index, receipt=RECEIPT)
    await log.put_blob(b"a document")
    shown = log.publish()
    assert isinstance(settings.path, PostgresPlace)
    place = (settings.path.dsn, settings.path.schema)
    with PostgresSource.of_file(*place) as source:
        await log.intent(h=h(2), keyset=KEYSET, tenant="t", deadline=NOW)
        assert (source.origin, source.size) == (ORIGIN, shown.tree.size)
        assert source.of_request(h(1)) == [made.index, done.index]
        assert source.of_request(h(2)) == []
        assert source.of_type("KEY") == [0]
        assert source.blob(sm3(b"a document")) == b"a document"
        assert source.blob(bytes(32)) is None
        out = tmp_path / "p.zip"
        export(source, [shown.note], out, choice=Choice(), now=NOW)
        with pytest.raises(UsageError, match="read-only"):
            source._rows("INSERT INTO kinds VALUES ('X', 0)")
    await log.close()
    with Pack(out) as pack:
        assert pack.manifest.count == shown.tree.size
        assert mth([data for _, data in pack.entries(0)]) == shown.checkpoint.root
    with pytest.raises(UsageError, match="meta"):
        PostgresSource.of_file(settings.path.dsn, "no_such_log")
    (tmp_path / "dsn").write_text("host=/nowhere dbname=postgres")
    with pytest.raises(UsageError, match="PostgreSQL"):
        PostgresSource.of_file(tmp_path / "dsn")


# -- guards -----------------------------------------------------------------------------------


async def test_a_guard_in_another_database(settings: LogConfig, tmp_path: Path) -> None:
    """Two gateways swap one row; a row that is ahead of the log stops both."""
    place = PostgresGuardPlace(dsn=tmp_path / "dsn")
    shared = replace(settings, guard=place, origin="log.example/guarded")
    assert isinstance(settings.path, PostgresPlace)
    shared = replace(shared, path=replace(settings.path, schema=settings.path.schema + "g"))
    create(shared)
    with pytest.raises(LogRefusedError):
        create(shared)
    logs = [await start(shared, name) for name in ("g1", "g2")]
    for number, log in enumerate(logs):
        await log.intent(h=h(number), keyset=KEYSET, tenant="t", deadline=NOW)
    guard = open_guard(shared)
    mark = guard.read()
    assert mark.size >= 3
    with pytest.raises(LogRefusedError):
        guard.swap(Mark(size=1, root=mark.root), mark)
    guard.swap(mark, Mark(size=mark.size + 1, root=mark.root))
    guard.close()
    for log in logs:
        with pytest.raises(LogUnavailableError):
            await log.probe()
        await log.close()


async def test_a_restored_backup_is_refused(server: Server, tmp_path: Path) -> None:
    """A data directory from yesterday: gateways that run stop, and none starts."""
    place = PostgresPlace(dsn=server.dsn_file(tmp_path))
    settings = replace(harness.config(tmp_path), path=place)
    create(settings)
    log = await start(settings, "g1")
    await log.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW)
    server.stop("fast")
    data, backup = server.folder / "data", server.folder / "backup"
    await asyncio.to_thread(subprocess.run, ["cp", "-a", data, backup], check=True)
    server.start()
    await log.intent(h=h(3), keyset=KEYSET, tenant="t", deadline=NOW)
    server.stop("fast")
    shutil.rmtree(data)
    backup.rename(data)
    server.start()
    for _ in range(2):
        with pytest.raises(LogUnavailableError):
            await log.intent(h=h(4), keyset=KEYSET, tenant="t", deadline=NOW)
    await log.close()
    with pytest.raises(LogRefusedError):
        await start(settings, "g2")


def test_a_server_that_does_not_flush_is_refused(server: Server, tmp_path: Path) -> None:
    """With `fsync=off` nothing it says is durable."""
    server.stop("fast")
    server.start("-c fsync=off")
    settings = replace(harness.config(tmp_path), path=PostgresPlace(dsn=server.dsn_file(tmp_path)))
    with pytest.raises(LogRefusedError, match="fsync"):
        create(settings)


# -- moving -----------------------------------------------------------------------------------


async def test_a_log_moves_from_sqlite_and_stays_the_same(
    settings: LogConfig, steady: Server, tmp_path: Path
) -> None:
    """Entries, both trees, blobs and open intents; proofs made before still verify."""
    folder = tmp_path / "sqlite"
    folder.mkdir()
    log = await harness.start(folder, instance="old")
    beat = entries.Heartbeat(at=NOW, instance="old", interval=60)
    await asyncio.gather(*(log.append(replace(beat, at=NOW + i)) for i in range(700)))
    digest = await log.put_blob(b"evidence")
    await log.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW)
    shown = log.publish()
    proof = await log.inclusion(300)
    await log.close()
    assert isinstance(settings.path, PostgresPlace)
    moved = replace(settings, path=replace(settings.path, schema=settings.path.schema + "m"))
    moved = replace(moved, guard=folder / "guard")
    create_store(moved)
    source, store = open_store(harness.config(folder)), open_store(moved)
    head = migrate(source, store)
    with pytest.raises(LogRefusedError):
        migrate(source, store)
    source.close()
    store.close()
    assert (head.size, head.root) == (shown.tree.size, shown.checkpoint.root)
    again = await start(moved, "new")
    assert again.open_intents == ()
    assert await again.blob(digest) == b"evidence"
    path = await again.tree.inclusion_path(300, head.size)
    assert tuple(path) == proof.path
    await again.close()
    everything = held(steady, moved.path.schema)
    assert everything[: head.size] == harness.stored(folder / "log.db")
    assert_each_intent_ends_once(everything)
    with pytest.raises(LogRefusedError):
        await harness.start(folder, instance="old again")


# -- killing ----------------------------------------------------------------------------------


class Gateway:
    """One process of `sharing`."""

    def __init__(self, folder: Path, name: str, schema: str = "mifeng") -> None:
        command = [sys.executable, "-m", sharing.__name__, str(folder), name, schema, "8"]
        self._errors = (folder / f"stderr.{name}").open("wb")
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=self._errors)
        self.acked = folder / f"acked.{name}"

    def end(self, number: int) -> int:
        """Send a signal, wait, and return the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(60)
        self._errors.close()
        return status


def acknowledged(folder: Path) -> dict[int, str]:
    """Return what all gateways were acknowledged: digests by index."""
    found: dict[int, str] = {}
    for path in folder.glob("acked.*"):
        for line in path.read_text().splitlines():
            index, digest = line.split()
            assert found.setdefault(int(index), digest) == digest, "one index, two entries"
    return found


def wait_for(folder: Path, count: int) -> None:
    """Wait until so many entries more are acknowledged than now."""
    wanted = sum(path.stat().st_size for path in folder.glob("acked.*")) + count * 70
    while sum(path.stat().st_size for path in folder.glob("acked.*")) < wanted:
        time.sleep(0.02)


async def check(server: Server, folder: Path) -> int:
    """Check everything that outsiders know against the tables; return the entries."""
    await asyncio.sleep(sharing.LEASE_S + 0.5)
    settings = sharing.config(folder, "auditor", "mifeng")
    log = await AuditLog.open(settings, crashing.keys())
    await log.close()
    everything = held(server, "mifeng")
    digests = [hashlib.sha256(raw).hexdigest() for raw in everything]
    known = acknowledged(folder)
    assert all(digests[index] == digest for index, digest in known.items()), "a record was lost"
    assert_each_intent_ends_once(everything)
    signer = Sm2NoteSigner(crashing.ORIGIN, crashing.keys().signer)
    pin = LogPin(origin=crashing.ORIGIN, world=SM3, keys=(signer.key,), witnesses=(), quorum=0)
    notes = {line for path in folder.glob("notes.*") for line in path.read_text().splitlines()}
    some = random.Random(7).sample(sorted(notes), min(len(notes), 300))
    claims = [checkpoint.verify(bytes.fromhex(line), pin).checkpoint for line in some]
    expected = roots(everything, [claim.size for claim in claims])
    assert all(claim.root == expected[claim.size] for claim in claims), "a fork"
    assert entries_of(folder / "out") == everything
    assert checkpoint_of(folder / "out")[2] == roots(everything, [len(everything)])[len(everything)]
    assert len(known) > 100
    return len(everything)


@pytest.fixture
def shared(server: Server, tmp_path: Path) -> Path:
    """Return the folder of a new log that gateways share."""
    server.dsn_file(tmp_path)
    create(sharing.config(tmp_path, "create", "mifeng"))
    return tmp_path


async def test_gateways_killed_under_load(server: Server, shared: Path) -> None:
    """Four append; one after the other is killed and replaced: nothing lost, no fork."""
    gateways = [Gateway(shared, f"g{n}") for n in range(4)]
    wait_for(shared, 60)
    for number in range(CYCLES):
        assert gateways.pop(0).end(signal.SIGKILL) == -signal.SIGKILL
        gateways.append(Gateway(shared, f"g{number + 4}"))
        wait_for(shared, 60)
    assert [gateway.end(signal.SIGTERM) for gateway in gateways] == [0] * 4
    assert await check(server, shared) > 100


async def test_the_server_ended_at_once_under_load(server: Server, shared: Path) -> None:
    """What a power cut is to PostgreSQL, again and again: gateways wait, and lose nothing."""
    gateways = [Gateway(shared, f"g{n}") for n in range(2)]
    wait_for(shared, 60)
    for _ in range(CYCLES):
        server.stop("immediate")
        server.start()
        wait_for(shared, 60)
    assert [gateway.end(signal.SIGTERM) for gateway in gateways] == [0] * 2
    assert await check(server, shared) > 100
