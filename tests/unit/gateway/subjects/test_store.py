"""Keys of persons: wrapped, found again, and after erasure in no file and no backup."""

import contextlib
import errno
import os
import shutil
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest

from gateway.subjects import keyfile
from gateway.subjects.errors import SubjectsError, SubjectsRefusedError, SubjectUnknownError
from gateway.subjects.store import SubjectStore
from mifeng.protocol.subject import commitment

PASSPHRASE = b"a long enough passphrase"
REFERENCE = "5a" * 32


def opened(folder: Path, passphrase: bytes = PASSPHRASE) -> SubjectStore:
    """Open the store in a folder, with its key file elsewhere."""
    (folder / "keys").mkdir(exist_ok=True)
    return SubjectStore.open(folder / "subjects.db", folder / "keys" / "kek", passphrase)


def everything(folder: Path) -> bytes:
    """Return the bytes of every file under a folder."""
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_person_is_the_same_every_time(tmp_path: Path) -> None:
    """Salt and key are made once and survive a restart; others get others."""
    store = opened(tmp_path)
    first = store.person("bank-a", REFERENCE)
    assert store.person("bank-a", REFERENCE) == first
    assert store.person("bank-b", REFERENCE).subject != first.subject
    assert first.subject == commitment(first.fields.salt, "bank-a", REFERENCE)
    store.close()
    store = opened(tmp_path)
    assert store.person("bank-a", REFERENCE) == first
    assert store.find("bank-a", REFERENCE) == first
    assert store.opened(first.subject) == first
    assert store.count() == 2
    store.close()


def test_files_hold_nothing_in_clear(tmp_path: Path) -> None:
    """Neither tenant, reference, salt nor key can be read in any file."""
    store = opened(tmp_path)
    made = store.person("bank-a", REFERENCE)
    held = everything(tmp_path)
    for secret in (b"bank-a", REFERENCE.encode(), bytes.fromhex(REFERENCE), made.key):
        assert secret not in held
    assert made.fields.salt not in held
    assert "key=" not in repr(made)
    store.close()


def test_after_erasure_no_byte_of_the_key_remains(tmp_path: Path) -> None:
    """Key, salt, their wrapped form and the old wrapping key are in no file; others still open."""
    store = opened(tmp_path)
    others = [store.person("bank-a", f"{i:064x}") for i in range(200)]
    person = store.person("bank-a", REFERENCE)
    with sqlite3.connect(tmp_path / "subjects.db") as db:
        (sealed,) = db.execute(
            "SELECT sealed FROM subjects WHERE subject = ?", (person.subject,)
        ).fetchone()
    db.close()
    (old,) = keyfile.KeyFile.open(tmp_path / "keys" / "kek")
    assert sealed in everything(tmp_path)
    assert old.secret in everything(tmp_path)
    store.erase(person.subject, b"erasure")
    gone = (person.key, person.fields.salt, sealed, sealed[12:44], old.secret, old.id)
    held = everything(tmp_path)
    assert not [secret.hex() for secret in gone if secret in held]
    with pytest.raises(SubjectUnknownError):
        store.find("bank-a", REFERENCE)
    with pytest.raises(SubjectUnknownError):
        store.opened(person.subject)
    assert [store.opened(other.subject) for other in others] == others
    store.close()
    store = opened(tmp_path)
    assert not [secret.hex() for secret in gone if secret in everything(tmp_path)]
    assert [store.opened(other.subject) for other in others] == others
    assert [entry for _, entry in store.pending()] == [b"erasure"]
    store.close()


def test_a_backup_of_the_database_opens_nothing_after_erasure(tmp_path: Path) -> None:
    """The database of yesterday is under a key that is gone: it is refused, never used."""
    store = opened(tmp_path)
    person = store.person("bank-a", REFERENCE)
    shutil.copy(tmp_path / "subjects.db", tmp_path / "backup.db")
    store.erase(person.subject, b"e")
    store.close()
    shutil.move(tmp_path / "backup.db", tmp_path / "subjects.db")
    with pytest.raises(SubjectsRefusedError, match="not that of this database"):
        opened(tmp_path)


def test_named_again_a_person_is_somebody_else(tmp_path: Path) -> None:
    """After erasure the same reference gets a new salt, key and commitment."""
    store = opened(tmp_path)
    before = store.person("bank-a", REFERENCE)
    store.erase(before.subject, b"e")
    after = store.person("bank-a", REFERENCE)
    assert after.subject != before.subject
    assert after.key != before.key
    with pytest.raises(SubjectUnknownError):
        store.erase(before.subject, b"e")
    store.close()


class FailingDisk:
    """A connection whose next COMMIT is reported as failed, whether it was made or not."""

    def __init__(self, db: sqlite3.Connection, *, made: bool) -> None:
        self._db, self._made, self.failed = db, made, False

    def __getattr__(self, name: str) -> object:
        return getattr(self._db, name)

    def execute(self, query: str, values: tuple[bytes | int | str, ...] = ()) -> object:
        """See `sqlite3.Connection.execute`."""
        if query != "COMMIT" or self.failed:
            return self._db.execute(query, values)
        self.failed = True
        if self._made:
            self._db.execute(query)
        raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("made", [True, False])
def test_a_commit_that_fails_costs_nobody_else_their_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, made: bool
) -> None:
    """It may have been one all the same: the key that the database is under stays."""
    store = opened(tmp_path)
    person, other = store.person("a", REFERENCE), store.person("a", "00" * 32)
    monkeypatch.setattr(store, "_db", FailingDisk(store._db, made=made))
    with pytest.raises(SubjectsError):
        store.erase(person.subject, b"erasure")
    for again in (False, True):
        if again:
            store.close()
            store = opened(tmp_path)
        assert store.opened(other.subject) == other
        assert [entry for _, entry in store.pending()] == [b"erasure"] * made
        if made:
            with pytest.raises(SubjectUnknownError):
                store.opened(person.subject)
        else:
            assert store.opened(person.subject) == person
        assert len(list(keyfile.KeyFile.open(tmp_path / "keys" / "kek"))) == 1
    store.close()


@pytest.mark.parametrize("step", ["add", "commit", "keep"])
def test_a_crash_during_erasure_is_finished_or_undone(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the last thing done was, the store opens, and the person is there or erased."""
    store = opened(tmp_path)
    person, other = store.person("a", REFERENCE), store.person("a", "00" * 32)

    # What a crash leaves is the files as they are at that moment; a copy of them is it.
    snapshot = tmp_path / "crashed"
    keep = keyfile.KeyFile.keep
    calls = []

    def spying(self: keyfile.KeyFile, kek_id: bytes) -> None:
        calls.append(kek_id)
        if len(calls) == 2 and step == "commit":
            shutil.copytree(tmp_path, snapshot)
        keep(self, kek_id)
        if len(calls) == 2 and step == "keep":
            shutil.copytree(tmp_path, snapshot)

    if step == "add":
        add = keyfile.KeyFile.add

        def added(self: keyfile.KeyFile) -> keyfile.Kek:
            made = add(self)
            shutil.copytree(tmp_path, snapshot)
            return made

        monkeypatch.setattr(keyfile.KeyFile, "add", added)
    monkeypatch.setattr(keyfile.KeyFile, "keep", spying)
    store.erase(person.subject, b"e")
    store.close()
    monkeypatch.undo()
    crashed = opened(snapshot)
    assert crashed.opened(other.subject) == other
    erased = crashed.pending() != []
    assert erased is (step != "add")
    if erased:
        with pytest.raises(SubjectUnknownError):
            crashed.opened(person.subject)
    else:
        assert crashed.opened(person.subject) == person
    assert len(list(keyfile.KeyFile.open(snapshot / "keys" / "kek"))) == 1
    crashed.close()


def test_a_failing_database_changes_nothing(tmp_path: Path) -> None:
    """If the transaction fails the person stays, under the old key, and the new one is gone."""
    store = opened(tmp_path)
    person = store.person("a", REFERENCE)
    store._db.execute(
        "CREATE TRIGGER full BEFORE INSERT ON held BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    with pytest.raises(SubjectsError):
        store.erase(person.subject, b"e")
    assert store.opened(person.subject) == person
    assert store.person("a", REFERENCE) == person
    assert len(list(keyfile.KeyFile.open(tmp_path / "keys" / "kek"))) == 1
    store.close()


def test_opening_refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    """A wrong passphrase, a missing or damaged file: refused by name."""
    store = opened(tmp_path)
    store.person("a", REFERENCE)
    store.close()
    with pytest.raises(SubjectsRefusedError, match="passphrase"):
        opened(tmp_path, b"another")
    key = tmp_path / "keys" / "kek"
    whole = key.read_bytes()
    key.write_bytes(whole[:-1])
    with pytest.raises(SubjectsRefusedError, match="not a key file"):
        opened(tmp_path)
    key.write_bytes(bytes(len(whole)))
    with pytest.raises(SubjectsRefusedError, match="no whole key"):
        opened(tmp_path)
    key.unlink()
    with pytest.raises(SubjectsRefusedError, match="is missing"):
        opened(tmp_path)
    key.write_bytes(whole)
    (tmp_path / "subjects.db").unlink()
    with pytest.raises(SubjectsRefusedError, match="is missing"):
        opened(tmp_path)


def test_gateways_of_one_host_share_persons_and_erasures(tmp_path: Path) -> None:
    """One makes a person, the other knows it; one erases, the other has forgotten at once."""
    one, two = opened(tmp_path), opened(tmp_path)
    person = one.person("a", REFERENCE)
    assert two.person("a", REFERENCE) == person
    other = two.person("b", REFERENCE)
    one.erase(person.subject, b"e")
    with pytest.raises(SubjectUnknownError):
        two.opened(person.subject)
    assert two.opened(other.subject) == other
    again = two.person("a", REFERENCE)
    assert again.subject != person.subject
    two.erase(other.subject, b"f")
    assert one.person("a", REFERENCE) == again
    assert [entry for _, entry in one.pending()] == [b"e", b"f"]
    one.close()
    two.close()


def test_who_waits_to_be_alone_is_not_overtaken(tmp_path: Path) -> None:
    """While one holds the store, an eraser waits, and later readers wait behind the eraser."""
    store = opened(tmp_path)
    order: list[str] = []
    first = store.hold(alone=False)
    with contextlib.closing(store.hold(alone=False)):
        pass  # readers do not exclude each other

    def take(name: str, *, alone: bool) -> None:
        with contextlib.closing(store.hold(alone=alone)):
            order.append(name)

    eraser = threading.Thread(target=take, args=("eraser",), kwargs={"alone": True})
    eraser.start()
    time.sleep(0.1)
    reader = threading.Thread(target=take, args=("reader",), kwargs={"alone": False})
    reader.start()
    time.sleep(0.1)
    assert order == []
    first.close()
    eraser.join(10)
    reader.join(10)
    assert order == ["eraser", "reader"]
    store.close()


def test_the_files_are_private(tmp_path: Path) -> None:
    """Nobody but the gateway's user may read them, whatever the umask is."""
    before = os.umask(0)
    try:
        opened(tmp_path).close()
    finally:
        os.umask(before)
    for place in ("keys/kek", "subjects.db", "subjects.db.lock", "subjects.db.gate"):
        assert stat.S_IMODE((tmp_path / place).stat().st_mode) == 0o600


@pytest.mark.parametrize("again", ["use", "another", "restart"])
def test_erasure_is_not_told_before_the_old_key_is_gone(
    again: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If overwriting it fails, ERASURE is held until it does not, also by other processes."""
    store, shared = opened(tmp_path), None
    person, other = store.person("a", REFERENCE), store.person("a", "00" * 32)
    if again == "another":
        shared = opened(tmp_path)
    kek = tmp_path / "keys" / "kek"
    before = kek.read_bytes()[:64]

    def failing(_self: keyfile.KeyFile, _place: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(keyfile.KeyFile, "_erase", failing)
        with pytest.raises(SubjectsError, match="Input/output"):
            store.erase(person.subject, b"e")
        assert store.opened(other.subject) == other
        for each in filter(None, (store, shared)):
            assert each.pending() == []
            assert each.unsettled()
            with pytest.raises(SubjectsError, match="earlier"):
                each.erase(other.subject, b"f")
    assert before in kek.read_bytes()
    if again == "restart":
        store.close()
        store = opened(tmp_path)
    elif shared is not None:
        assert shared.opened(other.subject) == other
    else:
        assert store.opened(other.subject) == other
    assert before not in kek.read_bytes()
    assert [entry for _, entry in store.pending()] == [b"e"]
    assert not store.unsettled()
    for each in filter(None, (store, shared)):
        each.close()
