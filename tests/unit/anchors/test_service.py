"""The queue outlives the process; failures, restarts and refusals lose no note."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import events
from gateway.anchors.config import AnchorsConfig
from gateway.anchors.kinds import AnchorError, AnchorRefusedError, AnchorUnavailableError, Note
from gateway.anchors.points import ANCHOR_POINTS
from gateway.anchors.queue import Queue
from gateway.anchors.worm import WormAnchor
from mifeng.audit.anchors import folder
from mifeng.audit.anchors.record import AnchorRecord
from mifeng.errors import MalformedError, UsageError
from tests.harness.anchoring import Carrier
from tests.unit.audit.made import Made
from tests.unit.auditlog.harness import Hook


@pytest.fixture
def log() -> Made:
    """Return a log."""
    made = Made()
    made.work(3)
    return made


class Moody(WormAnchor):
    """Fails as it is told, then does what a directory does."""

    moods: list[Exception]

    def submit(self, note: Note, ticket: bytes) -> dict[str, Any]:
        """Fail, or not."""
        if MOODS:
            raise MOODS.pop(0)
        return super().submit(note, ticket)


MOODS: list[Exception] = []


async def test_a_note_becomes_a_record_once(log: Made, tmp_path: Path) -> None:
    """Queued, written to the directory, recorded, forgotten; the next start finds nothing to do."""
    worm = WormAnchor(name="worm", directory=tmp_path / "worm")
    note = log.note()
    carrier = Carrier(tmp_path / "anchors", lambda: note)
    (data,) = await carrier.carry(worm)
    record = AnchorRecord.decode(data)
    (path,) = (tmp_path / "worm").iterdir()
    assert path.read_bytes() == record.note == note
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert record.proof == {"file": path.name}
    assert [data] == await Carrier(tmp_path / "anchors", log.note).carry(worm)
    (state,) = folder.states(tmp_path / "anchors")
    assert (state.records, state.newest, state.waiting) == (1, log.source.size, 0)


async def test_every_note_that_was_queued_arrives_in_order(log: Made, tmp_path: Path) -> None:
    """While the anchor is away the queue grows; when it is back, all of it goes, oldest first."""
    with Queue(tmp_path / "anchors") as queue:
        for size in (9, 3, 6):
            note = Note.of(log.note(size))
            waiting = folder.Waiting(note=note.data, size=size, made=1)
            queue.put("worm", waiting)
    MOODS[:] = [AnchorUnavailableError("test", "away") for _ in range(3)]
    worm = Moody(name="worm", directory=tmp_path / "worm")
    carrier = Carrier(tmp_path / "anchors", log.note)
    records = await carrier.carry(worm, records=4)
    sizes = [AnchorRecord.decode(data).claim.size for data in records]
    assert sizes == [3, 6, 9, log.source.size]
    text = carrier.registry.get_sample_value
    assert text("mifeng_anchor_tries_total", {"anchor": "worm", "outcome": "failed"}) == 3
    assert text("mifeng_anchor_size", {"anchor": "worm"}) == log.source.size


@pytest.mark.parametrize("point", ANCHOR_POINTS)
async def test_failing_around_the_write_loses_nothing(
    point: str, log: Made, tmp_path: Path
) -> None:
    """Before it persisted and after it: a restart ends with one file and one record."""
    hook = Hook()
    hook.raise_at[point] = OSError("injected")
    note = log.note()
    worm = WormAnchor(name="worm", directory=tmp_path / "worm")
    carrier = Carrier(tmp_path / "anchors", lambda: note, points=hook)
    await carrier.until(lambda: not hook.raise_at, worm)
    (data,) = await Carrier(tmp_path / "anchors", lambda: note).carry(worm)
    assert AnchorRecord.decode(data).note == note
    assert len(list((tmp_path / "worm").iterdir())) == 1


async def test_a_refused_note_is_put_aside_with_its_reason(log: Made, tmp_path: Path) -> None:
    """It does not block those behind it, and the listing says why."""
    MOODS[:] = [AnchorRefusedError("test", "never")]
    worm = Moody(name="worm", directory=tmp_path / "worm")
    carrier = Carrier(tmp_path / "anchors", log.note)
    stopped = tmp_path / "anchors" / "stopped" / "worm"
    await carrier.until(lambda: any(stopped.glob("*.json")), worm)
    log.work(1)
    (data,) = await Carrier(tmp_path / "anchors", log.note).carry(worm)
    assert AnchorRecord.decode(data).claim.size == log.source.size
    (state,) = folder.states(tmp_path / "anchors")
    assert state.stopped == ("anchor.test",)


def test_a_rolled_back_or_forked_log_is_refused_by_the_directory(log: Made, tmp_path: Path) -> None:
    """A smaller tree, or another one of the same size, is never written beside the older note."""
    worm = WormAnchor(name="worm", directory=tmp_path / "worm")
    note = Note.of(log.note())
    worm.submit(note, worm.prepare(note, b""))
    older = Note.of(log.note(3))
    with pytest.raises(AnchorRefusedError, match="larger"):
        worm.submit(older, worm.prepare(older, b""))
    fork = Made()
    fork.work(2)
    while fork.source.size < log.source.size:
        fork.tally()
    other = Note.of(fork.note(log.source.size))
    with pytest.raises(AnchorRefusedError, match="another tree"):
        worm.submit(other, worm.prepare(other, b""))
    assert len(list((tmp_path / "worm").iterdir())) == 1


def test_what_a_crash_left_half_written_stays(log: Made, tmp_path: Path) -> None:
    """A write-once directory cannot be mended: the whole note goes beside the half one."""
    worm = WormAnchor(name="worm", directory=tmp_path / "worm")
    note = Note.of(log.note())
    ticket = worm.prepare(note, b"")
    half = tmp_path / "worm" / f"{ticket.decode()}.note"
    half.parent.mkdir()
    half.write_bytes(note.data[:40])
    proof = worm.submit(note, ticket)
    assert proof == worm.submit(note, ticket)
    assert half.read_bytes() == note.data[:40]
    assert (tmp_path / "worm" / str(proof["file"])).read_bytes() == note.data


async def test_files_of_other_names_are_left_alone(
    log: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are said once and end nothing; an anchor whose name ends like another's is another."""
    said: list[str] = []
    monkeypatch.setattr(
        events, "log", SimpleNamespace(info=lambda *_, **__: None, warning=said_in(said))
    )
    Queue(tmp_path / "anchors").close()
    for part in ("queue/worm", "stopped/worm", "records"):
        (tmp_path / "anchors" / part).mkdir(exist_ok=True)
        (tmp_path / "anchors" / part / "notes-worm.json").write_bytes(b"not ours")
    with Queue(tmp_path / "anchors") as queue:
        note = log.note()
        queue.put("a-worm", folder.Waiting(note=note, size=log.source.size, made=1))
        assert queue.last("worm") == queue.last("worm") == 0
        assert queue.last("a-worm") == log.source.size
        assert queue.records() == []
        assert queue.waiting("worm") == []
    assert said == ["anchor.foreign"] * 3
    worm = WormAnchor(name="worm", directory=tmp_path / "worm")
    record = tmp_path / "anchors" / "records" / f"{log.source.size:016d}-file-worm.json"
    await Carrier(tmp_path / "anchors", lambda: note).until(record.exists, worm)
    with Queue(tmp_path / "anchors") as queue:
        assert queue.last("worm") == log.source.size
        assert queue.last("orm") == 0
        assert [name for name, _ in queue.records()] == [record.name]


def said_in(said: list[str]) -> Callable[..., None]:
    """Return what stands for a level of the gateway's own log."""
    return lambda event, **_: said.append(event)


def test_what_is_carried_while_it_is_listed_waits_no_longer(log: Made, tmp_path: Path) -> None:
    """A file that is gone between the listing and the reading is no damage."""
    with Queue(tmp_path / "anchors") as queue:
        for size in (8, 9):
            queue.put("a", folder.Waiting(note=log.note(), size=size, made=1))
        gone = tmp_path / "anchors" / "queue" / "a" / folder.file_name(8)
        gone.unlink()
        gone.symlink_to(tmp_path / "nowhere")  # listed, and not there when it is read
        assert [each.size for each in queue.waiting("a")] == [9]


def test_what_waits_is_private(log: Made, tmp_path: Path) -> None:
    """Signed transactions that were not sent yet are for the gateway's user, whatever the umask."""
    before = os.umask(0)
    try:
        with Queue(tmp_path / "anchors") as queue:
            waiting = folder.Waiting(note=log.note(), size=9, made=1)
            queue.put("a", waiting)
            queue.put("b", waiting)
            queue.stop("b", waiting, "anchor.test")
    finally:
        os.umask(before)
    found = [path for path in (tmp_path / "anchors").rglob("*") if path.is_file()]
    assert len(found) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}


def test_one_process_has_the_directory(tmp_path: Path) -> None:
    """A second gateway on the same queue is refused."""
    with Queue(tmp_path / "anchors"), pytest.raises(AnchorError):
        Queue(tmp_path / "anchors")
    Queue(tmp_path / "anchors").close()


def test_a_damaged_queue_is_said(tmp_path: Path, log: Made) -> None:
    """What waits is canonical JSON; anything else is an error that names the file."""
    waiting = folder.Waiting(note=log.note(), size=9, made=1, ticket=b"t", ticket_at=2)
    assert folder.Waiting.decode(waiting.encode()) == waiting
    for at in range(0, len(waiting.encode()), 5):
        bent = bytearray(waiting.encode())
        bent[at] ^= 1
        try:
            assert folder.Waiting.decode(bytes(bent)).encode() == bytes(bent)
        except MalformedError:
            continue
    Queue(tmp_path / "anchors").close()
    place = tmp_path / "anchors" / "queue" / "worm"
    place.mkdir()
    (place / "0000000000000001.json").write_bytes(b"{")
    with pytest.raises(UsageError, match=r"1\.json"):
        folder.states(tmp_path / "anchors")


def test_configuration_refuses_what_cannot_work(tmp_path: Path) -> None:
    """Two keys, no key, a key that is none, a name used twice."""
    evm = {
        "name": "c",
        "kind": "evm",
        "url": "http://127.0.0.1:1",
        "chain_id": 1,
        "contract": "0x" + "00" * 20,
    }
    key = tmp_path / "key"
    key.write_text("not a key")
    for members in (
        [evm],
        [{**evm, "key": str(key), "key_env": "KEY"}],
        [{"name": "a", "kind": "file", "directory": "x"}] * 2,
        [],
    ):
        with pytest.raises(ValueError, match="validation error"):
            AnchorsConfig.model_validate({"directory": "d", "members": members})
    for source in ({"key": str(key)}, {"key": str(tmp_path / "none")}, {"key_env": "NO_SUCH_KEY"}):
        config = AnchorsConfig.model_validate({"directory": "d", "members": [{**evm, **source}]})
        with pytest.raises(UsageError) as caught:
            config.anchors()
        assert "not a key" not in str(caught.value)
