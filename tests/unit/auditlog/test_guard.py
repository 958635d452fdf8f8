"""The guard file: swapped whole, one holder, torn writes survived, damage refused."""

import itertools
from pathlib import Path

import pytest

from gateway.auditlog.errors import LogLockedError, LogRefusedError
from gateway.auditlog.guard import FileGuard, Mark
from mifeng.protocol.merkle import Digest

ORIGIN = "log.example"
MARKS = [Mark(size=i, root=Digest(bytes([i]) * 32)) for i in range(6)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the guard goes."""
    return tmp_path / "guard"


def test_marks_are_swapped_and_survive_reopening(path: Path) -> None:
    """The newest mark is what is read, in this process and in the next."""
    guard = FileGuard.create(path, ORIGIN, MARKS[0])
    for old, new in itertools.pairwise(MARKS):
        assert guard.read() == old
        guard.swap(old, new)
    guard.close()
    again = FileGuard(path, ORIGIN)
    assert again.read() == MARKS[-1]
    again.close()


def test_a_swap_from_another_mark_is_refused(path: Path) -> None:
    """Whoever holds an outdated view cannot move the guard."""
    guard = FileGuard.create(path, ORIGIN, MARKS[0])
    guard.swap(MARKS[0], MARKS[1])
    with pytest.raises(LogRefusedError):
        guard.swap(MARKS[0], MARKS[2])
    assert guard.read() == MARKS[1]
    guard.close()


def test_a_second_holder_is_refused(path: Path) -> None:
    """Two processes cannot hold one guard; two openings in one process cannot either."""
    guard = FileGuard.create(path, ORIGIN, MARKS[0])
    with pytest.raises(LogLockedError):
        FileGuard(path, ORIGIN)
    guard.close()
    FileGuard(path, ORIGIN).close()


def test_a_missing_or_existing_file_is_refused(path: Path) -> None:
    """Opening needs a guard, making needs there to be none."""
    with pytest.raises(LogRefusedError):
        FileGuard(path, ORIGIN)
    FileGuard.create(path, ORIGIN, MARKS[0]).close()
    with pytest.raises(LogRefusedError):
        FileGuard.create(path, ORIGIN, MARKS[0])


def test_another_logs_guard_is_refused(path: Path) -> None:
    """A guard names its log."""
    FileGuard.create(path, ORIGIN, MARKS[0]).close()
    guard = FileGuard(path, "log.example/other")
    with pytest.raises(LogRefusedError):
        guard.read()
    guard.close()


def test_any_damage_to_the_newest_slot_leaves_the_one_before(path: Path) -> None:
    """A torn write is as if the last swap had not happened: each byte of the slot in turn."""
    guard = FileGuard.create(path, ORIGIN, MARKS[0])
    guard.swap(MARKS[0], MARKS[1])
    guard.close()
    whole = path.read_bytes()
    for at in range(4096, 4096 + 128):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        damaged = FileGuard(path, ORIGIN)
        assert damaged.read() == MARKS[0]
        damaged.close()


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(8192), b"\xff" * 9000])
def test_a_damaged_file_is_refused(path: Path, content: bytes) -> None:
    """Without one whole slot there is no memory, and no log."""
    path.write_bytes(content)
    guard = FileGuard(path, ORIGIN)
    with pytest.raises(LogRefusedError):
        guard.read()
    guard.close()
