"""Publishing to a directory and to an S3-speaking simulator, and restoring from what is there."""

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pymerkle
import pytest

from gateway.auditlog import config as auditconfig
from gateway.auditlog import log as auditlog
from gateway.auditlog.config import LogConfig, create
from gateway.auditlog.errors import LogRefusedError, PublishConflictError
from gateway.auditlog.log import AuditLog
from gateway.auditlog.places import S3Place
from gateway.auditlog.restoring import restore
from gateway.auditlog.s3 import S3Target
from gateway.auditlog.target import DirectoryTarget, Target
from mifeng.crypto import sm3
from mifeng.protocol import entries
from tests.unit.auditlog.harness import KEYS, NOW, config, mth, stored
from tests.unit.auditlog.published import FailingTarget, checkpoint_of, entries_of


async def start(settings: LogConfig) -> AuditLog:
    """Open the log, making it first if there is none."""
    if isinstance(settings.path, Path) and not settings.path.exists():
        create(settings)
    return await AuditLog.open(settings, KEYS, clock=lambda: NOW)


async def fill(log: AuditLog, count: int) -> None:
    """Append entries."""
    beat = entries.Heartbeat(at=NOW, instance="g1", interval=60)
    await asyncio.gather(*(log.append(replace(beat, at=NOW + i)) for i in range(count)))


async def show(log: AuditLog) -> None:
    """Publish everything now."""
    log.publish()
    await log._publish_to_target()


def published(tmp_path: Path, **changes: object) -> LogConfig:
    """Return the configuration of a log that is published into `out`."""
    return replace(config(tmp_path), publish=tmp_path / "out", **changes)


async def test_a_stranger_can_read_what_is_published(tmp_path: Path) -> None:
    """Entries, roots and tiles of both trees, at several sizes, with nothing of ours."""
    log = await start(published(tmp_path))
    for count in (1, 300, 300, 200):
        await fill(log, count)
        await show(log)
        assert log.unpublished is None
        held = entries_of(tmp_path / "out")
        assert checkpoint_of(tmp_path / "out")[1:] == (log.size, mth(held))
        twin = tmp_path / "out" / "sha256"
        assert entries_of(twin) == held
        assert checkpoint_of(twin)[2] == mth(held, twin=True)
    await log.close()
    tile = (tmp_path / "out/tile/0/001").read_bytes()
    assert tile == b"".join(sm3(b"\0" + entry) for entry in held[256:512])
    assert (tmp_path / f"out/tile/1/000.p/{len(held) // 256}").stat().st_size == 96
    assert stored(tmp_path / "log.db")[: len(held)] == held


async def test_the_twin_is_what_an_independent_implementation_builds(tmp_path: Path) -> None:
    """pymerkle, fed with the published entries, has the root and the proofs of the twin."""
    log = await start(published(tmp_path))
    await fill(log, 45)
    await show(log)
    held = entries_of(tmp_path / "out" / "sha256")
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in held:
        tree.append_entry(entry)
    size, root = checkpoint_of(tmp_path / "out" / "sha256")[1:]
    assert tree.get_root(size) == root
    assert log.twin is not None
    for index in range(size):
        path = await log.twin.inclusion_path(index, size)
        theirs = tree.prove_inclusion(index + 1, size).path
        assert [bytes(d) for d in path] == [bytes(d) for d in theirs[1:]]
    await log.close()


async def test_partial_tiles_go_when_they_are_full(tmp_path: Path) -> None:
    """Only the last tile of each level stays partial; what is final cannot be written to."""
    log = await start(published(tmp_path))
    for _ in range(12):
        await fill(log, 30)
        await show(log)
    await log.close()
    out = tmp_path / "out"
    assert not list(out.glob("tile/0/000.p/*"))
    assert list(out.glob("tile/0/001.p/*"))
    assert not [path for path in out.rglob(".*") if path.name != ".lock"]
    assert (out / "tile/0/000").stat().st_mode & 0o222 == 0


async def test_blobs_are_published_by_their_digest(tmp_path: Path) -> None:
    """Evidence is beside the tiles, before the checkpoint that needs it."""
    log = await start(published(tmp_path))
    digest = await log.put_blob(b"evidence")
    await fill(log, 1)
    await show(log)
    name = digest.hex()
    assert (tmp_path / "out/blob" / name[:2] / name).read_bytes() == b"evidence"
    await log.close()


@pytest.mark.parametrize("persists", [False, True])
@pytest.mark.parametrize("what", ["tile", "blob", "checkpoint", "remove"])
async def test_a_failed_write_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, *, persists: bool
) -> None:
    """Tile, blob, checkpoint, removal × persisted or not: the log goes on, the next try mends."""
    target = FailingTarget(DirectoryTarget(tmp_path / "out"))
    monkeypatch.setattr(auditlog, "open_target", lambda _: target)
    log = await start(published(tmp_path))
    await fill(log, 200)
    await show(log)
    await log.put_blob(b"evidence")
    await fill(log, 100)
    target.fail[what] = persists
    await show(log)
    assert log.unpublished is not None
    assert log.healthy
    await show(log)
    assert log.unpublished is None
    held = entries_of(tmp_path / "out")
    assert checkpoint_of(tmp_path / "out")[1:] == (log.size, mth(held))
    assert len(list((tmp_path / "out/blob").rglob("*/*"))) == 1
    await log.close()


async def test_publishing_goes_on_after_a_restart(tmp_path: Path) -> None:
    """The next process continues from the checkpoint that is there."""
    settings = published(tmp_path)
    for number in range(3):
        log = await start(replace(settings, instance=f"g{number}"))
        await fill(log, 130)
        await log.close()
    held = stored(tmp_path / "log.db")
    assert entries_of(tmp_path / "out") == held
    assert checkpoint_of(tmp_path / "out")[2] == mth(held)


@pytest.mark.parametrize("keep", ["nothing", "checkpoint"])
async def test_another_history_is_not_published_over(tmp_path: Path, keep: str) -> None:
    """A place that shows another log's checkpoint, or a later one, is refused and left alone."""
    log = await start(published(tmp_path))
    await fill(log, 300)
    await log.close()
    out = tmp_path / "out"
    before = (out / "checkpoint").read_bytes()
    if keep == "nothing":
        (out / "checkpoint").write_bytes(b"log.example/other\n1\n" + b"A" * 43 + b"=\n\n")
    other = tmp_path / "other"
    other.mkdir()
    second = await start(replace(config(other), publish=out))
    await fill(second, 310 if keep == "checkpoint" else 10)
    await show(second)
    assert isinstance(second.unpublished, PublishConflictError)
    await second.close()
    if keep == "checkpoint":
        assert (out / "checkpoint").read_bytes() == before


# -- restoring --------------------------------------------------------------------------------


def lose_database(folder: Path) -> None:
    """Remove the database, as a dead disk would."""
    for path in folder.glob("log.db*"):
        path.unlink()


async def test_a_log_is_restored_from_what_it_published(tmp_path: Path) -> None:
    """The drill: database gone, restored, opened under the same guard, and it goes on."""
    settings = published(tmp_path)
    log = await start(settings)
    await fill(log, 600)
    digest = await log.put_blob(b"evidence")
    await log.intent(h=bytes(32), keyset=bytes(32), tenant="t", deadline=NOW)
    await log.close()
    held = stored(tmp_path / "log.db")
    lose_database(tmp_path)
    found = restore(DirectoryTarget(tmp_path / "out"), settings, KEYS)
    assert (found.head.size, found.head.root, found.blobs) == (len(held), mth(held), 1)
    assert stored(tmp_path / "log.db") == held
    again = await start(replace(settings, instance="g2"))
    assert await again.blob(digest) == b"evidence"
    assert again.open_intents == ()
    await fill(again, 10)
    await show(again)
    assert again.unpublished is None
    await again.close()
    assert entries_of(tmp_path / "out") == stored(tmp_path / "log.db")


async def test_what_was_never_published_is_not_forgotten(tmp_path: Path) -> None:
    """If the guard has seen more than is published, restoring would fork the log: refused."""
    settings = published(tmp_path)
    log = await start(settings)
    await fill(log, 20)
    await log.close()
    shutil.copytree(tmp_path / "out", tmp_path / "earlier")
    log = await start(replace(settings, instance="g2"))
    await fill(log, 5)
    await log.close()
    lose_database(tmp_path)
    with pytest.raises(LogRefusedError, match="lost"):
        restore(DirectoryTarget(tmp_path / "earlier"), settings, KEYS)
    assert not (tmp_path / "log.db").exists()


async def test_a_lost_guard_is_made_anew(tmp_path: Path) -> None:
    """With guard and database gone, the operator's word stands in for the guard's."""
    settings = published(tmp_path)
    log = await start(settings)
    await fill(log, 20)
    await log.close()
    lose_database(tmp_path)
    (tmp_path / "guard").unlink()
    restore(DirectoryTarget(tmp_path / "out"), settings, KEYS)
    assert (tmp_path / "guard").exists()
    again = await start(replace(settings, instance="g2"))
    assert again.size > 20
    await again.close()


@pytest.mark.parametrize("damage", ["entry", "bundle", "note", "blob", "nothing there"])
async def test_damage_is_refused(tmp_path: Path, damage: str) -> None:
    """A changed entry, a missing bundle, a foreign note, a changed blob: nothing is restored."""
    settings, out = published(tmp_path), tmp_path / "out"
    log = await start(settings)
    await fill(log, 300)
    await log.put_blob(b"evidence")
    await log.close()
    lose_database(tmp_path)
    match damage:
        case "entry":
            path = out / "tile/entries/000"
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data.replace(b"g1", b"g2", 1))
        case "bundle":
            (out / "tile/entries/000").unlink()
        case "note":
            note = (out / "checkpoint").read_bytes()
            (out / "checkpoint").write_bytes(note.replace(b"\n3", b"\n4", 1))
        case "blob":
            path = next(path for path in (out / "blob").rglob("*/*"))
            path.unlink()
            path.write_bytes(b"other")
        case _:
            (out / "checkpoint").unlink()
    with pytest.raises(LogRefusedError):
        restore(DirectoryTarget(out), settings, KEYS)


# -- targets ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulator() -> Iterator[str]:
    """Return the URL of an S3-speaking server. SIMULATED: moto, in this process."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="simulated",
        aws_secret_access_key="simulated",
    )
    client.create_bucket(Bucket="log")
    client.close()
    yield url
    server.stop()


Open = Callable[[], Target]


@pytest.fixture
def s3_place(simulator: str, tmp_path: Path) -> S3Place:
    """Return a prefix in the simulated bucket."""
    credentials = tmp_path / "credentials"
    credentials.write_text("simulated\nsimulated\n")
    return S3Place(bucket="log", prefix=tmp_path.name, endpoint=simulator, credentials=credentials)


@pytest.fixture(params=["directory", "s3"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """Return an empty place of either kind."""
    if request.param == "s3":
        return S3Target(request.getfixturevalue("s3_place"))
    return DirectoryTarget(tmp_path / "out")


def test_immutable_objects_are_written_once(target: Target) -> None:
    """The same bytes again change nothing, other bytes are refused (`If-None-Match: *`)."""
    target.put_new("tile/0/000", b"one")
    target.put_new("tile/0/000", b"one")
    with pytest.raises(PublishConflictError):
        target.put_new("tile/0/000", b"two")
    found = target.read("tile/0/000")
    assert found is not None
    assert found.data == b"one"


def test_swaps_are_conditional(target: Target) -> None:
    """Whoever read an older version does not replace the newer one (`If-Match`)."""
    assert target.read("checkpoint") is None
    first = target.swap("checkpoint", None, b"one")
    with pytest.raises(PublishConflictError):
        target.swap("checkpoint", None, b"two")
    second = target.swap("checkpoint", first, b"two")
    with pytest.raises(PublishConflictError):
        target.swap("checkpoint", first, b"three")
    found = target.read("checkpoint")
    assert found is not None
    assert (found.data, found.version) == (b"two", second)


def test_names_and_removal(target: Target) -> None:
    """What stands below a prefix is listed; removing twice is harmless."""
    for name in ("a/1", "a/b/2", "c/3"):
        target.put_new(name, b"x")
    assert sorted(target.names("a/")) == ["a/1", "a/b/2"]
    target.remove("a/1")
    target.remove("a/1")
    assert list(target.names("a/")) == ["a/b/2"]
    assert list(target.names("d/")) == []


async def test_a_log_published_to_s3_is_restored_from_it(tmp_path: Path, s3_place: S3Place) -> None:
    """Publish to the simulator, lose the database, restore; the guard is in S3 as well."""
    guard = replace(s3_place, prefix=f"{s3_place.prefix}-guard")
    settings = replace(config(tmp_path), publish=s3_place, guard=guard)
    log = await start(settings)
    await fill(log, 300)
    await log.put_blob(b"evidence")
    await show(log)
    assert log.unpublished is None
    await log.close()
    held = stored(tmp_path / "log.db")
    lose_database(tmp_path)
    target = auditconfig.open_target(settings)
    assert target is not None
    assert restore(target, settings, KEYS).head.root == mth(held)
    again = await start(replace(settings, instance="g2"))
    await fill(again, 1)
    await again.close()
