"""Wrapped keys of persons, in a SQLite file of the gateway.

    subjects   id (HMAC of tenant and reference) · subject (commitment) · sealed
    epoch      id of the key in the key file that all of `sealed` is under
    held       ERASURE entries whose old wrapping key may still be there: not to be told yet
    pending    entries that are still to be appended to the log: an erasure is never unrecorded

Nothing is in clear: who holds the file and not the key file learns how many persons there are and
which commitments are theirs. `secure_delete` overwrites what is removed, the journal is deleted
with each transaction, and `erase` wraps everything anew (see `keyfile`).

Gateways of one host that share a log share the store. Whoever reads or names persons holds it
shared, whoever erases holds it alone; both until the entry about it is in the log (`Hold`).

Source: docs/privacy.md §3.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from mifeng.crypto import DecryptionError, Sm4Gcm, hmac_sm3
from mifeng.crypto.randomness import random_bytes
from mifeng.protocol.subject import KEY_BYTES, SALT_BYTES, PrivateFields

from .errors import SubjectsError, SubjectsRefusedError, SubjectUnknownError
from .keyfile import Kek, KeyFile

_SCHEMA: Final = """
CREATE TABLE subjects (id BLOB PRIMARY KEY, subject BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE epoch (one INTEGER PRIMARY KEY CHECK (one = 1), kek BLOB NOT NULL);
CREATE TABLE pending (n INTEGER PRIMARY KEY AUTOINCREMENT, entry BLOB NOT NULL);
"""
_HELD: Final = "CREATE TABLE IF NOT EXISTS held (n INTEGER PRIMARY KEY, entry BLOB NOT NULL)"
_LABEL: Final = b"mifeng/v1/subject-row\0"
_NONCE: Final = 12
_CACHED: Final = 4096
_BUSY_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person with the key to everything that is sealed about them."""

    fields: PrivateFields
    key: bytes = field(repr=False)

    @property
    def subject(self) -> bytes:
        """The commitment that entries carry."""
        return self.fields.commitment


class Hold:
    """The store, held by this process until `close`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def close(self) -> None:
        """Let go."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class SubjectStore:
    """One open store; methods may be called from any thread."""

    def __init__(self, database: Path, key: Path, keys: KeyFile, passphrase: bytes) -> None:
        self._database, self._key = database, key
        self._keys, self._passphrase = keys, passphrase
        self._lock = threading.Lock()
        self._cache: OrderedDict[bytes, Person] = OrderedDict()
        self._db = sqlite3.connect(
            database, isolation_level=None, check_same_thread=False, timeout=_BUSY_S
        )
        for pragma in (
            "journal_mode = DELETE",
            "synchronous = EXTRA",
            "secure_delete = ON",
            "temp_store = MEMORY",
        ):
            self._db.execute(f"PRAGMA {pragma}")

    @classmethod
    def open(cls, database: Path, key: Path, passphrase: bytes) -> Self:
        """Open the store, making it if neither file is there; finish what a crash interrupted.

        Args:
            database: SQLite file, on a local file system.
            key: the key file, in no common backup with the database.
            passphrase: needed beside the key file to read anything.

        Raises:
            SubjectsRefusedError: one of the two files is missing; the database is under a key
                that the file does not hold; or the passphrase is wrong.
        """
        with contextlib.closing(_held(database, alone=True)):
            if database.exists() != key.exists():
                missing = key if database.exists() else database
                raise SubjectsRefusedError(f"subjects: {missing} is missing")
            new = not key.exists()
            try:
                keys = KeyFile.create(key) if new else KeyFile.open(key)
                if new:
                    os.close(os.open(database, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
                store = cls(database, key, keys, passphrase)
            except (sqlite3.Error, OSError) as exc:
                raise SubjectsRefusedError(f"subjects: {database}: {exc}") from exc
            try:
                store._begin(new=new)
            except BaseException:
                store.close()
                raise
            return store

    def hold(self, *, alone: bool) -> Hold:
        """Wait for the store and hold it, shared with others who read, or alone.

        Who waits to have it alone is not overtaken by later readers.
        """
        return _held(self._database, alone=alone)

    def _begin(self, *, new: bool) -> None:
        try:
            if new:
                self._db.executescript(f"BEGIN;{_SCHEMA}")
                kek = next(iter(self._keys))
                self._db.execute("INSERT INTO epoch VALUES (1, ?)", (kek.id,))
                self._db.execute("COMMIT")
            self._db.execute(_HELD)
            self._use(self._epoch())
            row = self._db.execute("SELECT subject, sealed FROM subjects LIMIT 1").fetchone()
        except sqlite3.Error as exc:
            raise SubjectsRefusedError(f"subjects: {exc}") from exc
        if row is not None:
            self._unwrap(*row)
        if self.unsettled():
            self._retire_again()
        else:
            self._keep(self._kek.id)

    def _refresh(self) -> None:
        """Follow an erasure that another process has made; while the store is held."""
        with _said():
            (kek_id,) = self._db.execute("SELECT kek FROM epoch").fetchone()
        if kek_id != self._kek.id:
            self._cache.clear()
            self._keys = KeyFile.open(self._key)
            self._use(self._epoch())
        if self._unsettled():
            with contextlib.suppress(SubjectsError):  # people are still named
                self._retire_again()

    def _keep(self, kek_id: bytes) -> None:
        try:
            self._keys.keep(kek_id)
        except OSError as exc:
            raise SubjectsError(f"subjects: {self._key}: {exc.strerror}") from exc

    def _retire_again(self) -> None:
        """Overwrite the old key, which an erasure could not, and let its ERASURE be told.

        The slot is written even if it reads as empty: what failed may have been the flush.
        """
        try:
            self._keys.only(self._kek.id)
        except OSError as exc:
            raise SubjectsError(f"subjects: {self._key}: {exc.strerror}") from exc
        self._tell()

    def _tell(self) -> None:
        with self._transaction():
            self._db.execute("INSERT INTO pending (entry) SELECT entry FROM held ORDER BY n")
            self._db.execute("DELETE FROM held")

    def _epoch(self) -> Kek:
        (kek_id,) = self._db.execute("SELECT kek FROM epoch").fetchone() or (b"",)
        kek = self._keys.find(kek_id)
        if kek is None:
            raise SubjectsRefusedError("subjects: the key file is not that of this database")
        return kek

    def _use(self, kek: Kek) -> None:
        self._kek = kek
        wrapping, self._index_key = kek.derive(self._passphrase)
        self._cipher = Sm4Gcm(wrapping)

    def close(self) -> None:
        """Release both files."""
        with self._lock:
            self._cache.clear()
            self._db.close()

    def person(self, tenant: str, reference: str) -> Person:
        """Return a person, making salt and key on first sight; durable when this returns.

        The caller holds the store until the entry about the person is in the log.

        Raises:
            SubjectsError: the store cannot be written.
        """
        with self._lock:
            self._refresh()
            place = self._place(tenant, reference)
            if (cached := self._cache.get(place)) is not None:
                self._cache.move_to_end(place)
                return cached
            with self._transaction():
                row = self._db.execute(
                    "SELECT subject, sealed FROM subjects WHERE id = ?", (place,)
                ).fetchone()
                if row is not None:
                    found = self._unwrap(*row)
                else:
                    salt = random_bytes(SALT_BYTES)
                    fields = PrivateFields(tenant=tenant, reference=reference, salt=salt)
                    found = Person(fields=fields, key=random_bytes(KEY_BYTES))
                    self._insert(place, found)
            self._cache[place] = found
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
            return found

    def find(self, tenant: str, reference: str) -> Person:
        """Return a person that there is; raises `SubjectUnknownError`."""
        with self._lock:
            self._refresh()
            return self._found("id", self._place(tenant, reference))

    def opened(self, subject: bytes) -> Person:
        """Return the person of a commitment; raises `SubjectUnknownError`."""
        with self._lock:
            self._refresh()
            return self._found("subject", subject)

    def _found(self, column: str, value: bytes) -> Person:
        query = f"SELECT subject, sealed FROM subjects WHERE {column} = ?"  # noqa: S608 - two names
        row = self._db.execute(query, (value,)).fetchone()
        if row is None:
            raise SubjectUnknownError("subjects: no such person, or erased")
        return self._unwrap(*row)

    def erase(self, subject: bytes, entry: bytes) -> None:
        """Destroy a person's salt and key for good; the caller holds the store alone.

        Everything else is wrapped under a new key in the same transaction that removes the
        person, and the old key is overwritten: time grows with the number of those who stay.

        Args:
            subject: the commitment.
            entry: to append to the log after; kept in `pending` until `done`, once the old
                wrapping key is overwritten.

        Raises:
            SubjectUnknownError: there is no such person.
            SubjectsError: the store cannot be written; nothing has changed, unless the disk
                failed at the very end: then the person is gone, and ERASURE is pending, or held
                until the old key is overwritten, which is tried again with each use of the store.
        """
        with self._lock:
            self._refresh()
            self._found("subject", subject)
            if self._unsettled():
                raise SubjectsError("subjects: an earlier erasure has not overwritten its key yet")
            old = self._kek
            self._keep(old.id)
            try:
                new = self._keys.add()
            except OSError as exc:
                raise SubjectsError(f"subjects: {self._key}: {exc.strerror}") from exc
            try:
                with self._transaction():
                    rows = self._db.execute(
                        "SELECT subject, sealed FROM subjects WHERE subject <> ?", (subject,)
                    ).fetchall()
                    kept = [self._unwrap(*row) for row in rows]
                    self._db.execute("DELETE FROM subjects")
                    self._use(new)
                    for person in kept:
                        fields = person.fields
                        self._insert(self._place(fields.tenant, fields.reference), person)
                    self._db.execute("UPDATE epoch SET kek = ?", (new.id,))
                    self._db.execute("INSERT INTO held (entry) VALUES (?)", (entry,))
            except BaseException:
                self._settle(old)
                raise
            self._cache.clear()
            self._keep(new.id)
            self._tell()
            with _said():
                self._db.execute("VACUUM")

    def _settle(self, old: Kek) -> None:
        """Keep the key that the database is under, as it says itself; both if it does not say.

        A COMMIT that failed may have been one.
        """
        self._use(old)
        self._cache.clear()
        with contextlib.suppress(sqlite3.Error, SubjectsError):
            (kek_id,) = self._db.execute("SELECT kek FROM epoch").fetchone()
            self._keep(kek_id)
            self._tell()

    def remember(self, entry: bytes) -> None:
        """Keep an entry in `pending`, for an action that no open log can record."""
        with self._lock, self._transaction():
            self._db.execute("INSERT INTO pending (entry) VALUES (?)", (entry,))

    def pending(self) -> list[tuple[int, bytes]]:
        """Return entries that are still to be appended, oldest first, each with its number."""
        with self._lock, _said():
            return self._db.execute("SELECT n, entry FROM pending ORDER BY n").fetchall()

    def unsettled(self) -> bool:
        """Whether the key of somebody erased may still be in the key file: ERASURE is held."""
        with self._lock:
            return self._unsettled()

    def _unsettled(self) -> bool:
        with _said():
            return self._db.execute("SELECT 1 FROM held").fetchone() is not None

    def done(self, number: int) -> None:
        """Forget a pending entry: it is in the log."""
        with self._lock, self._transaction():
            self._db.execute("DELETE FROM pending WHERE n = ?", (number,))

    def count(self) -> int:
        """Return how many persons there are."""
        with self._lock, _said():
            (count,) = self._db.execute("SELECT count(*) FROM subjects").fetchone()
        return int(count)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _said():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _place(self, tenant: str, reference: str) -> bytes:
        name = tenant.encode()
        parts = len(name).to_bytes(4, "big") + name + reference.encode()
        return hmac_sm3(self._index_key, _LABEL + parts)

    def _insert(self, place: bytes, person: Person) -> None:
        nonce = random_bytes(_NONCE)
        plain = person.key + person.fields.encode()
        sealed = nonce + self._cipher.seal(nonce, plain, _LABEL + person.subject)
        self._db.execute("INSERT INTO subjects VALUES (?, ?, ?)", (place, person.subject, sealed))

    def _unwrap(self, subject: bytes, sealed: bytes) -> Person:
        try:
            plain = self._cipher.open(sealed[:_NONCE], sealed[_NONCE:], _LABEL + subject)
        except DecryptionError:
            raise SubjectsRefusedError(
                "subjects: wrong passphrase, or the database was altered"
            ) from None
        fields = PrivateFields.decode(plain[KEY_BYTES:])
        return Person(fields=fields, key=plain[:KEY_BYTES])


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Raise our error for SQLite's."""
    try:
        yield
    except sqlite3.Error as exc:
        raise SubjectsError(f"subjects: {exc}") from exc


def _held(database: Path, *, alone: bool) -> Hold:
    """Return the lock, once it is ours; raises `SubjectsRefusedError`.

    Through a gate that whoever wants it alone keeps shut while waiting: a lock file by itself
    lets readers in for ever.
    """
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with contextlib.closing(_locked(database.with_name(f"{database.name}.gate"), kind)):
        return _locked(database.with_name(f"{database.name}.lock"), kind)


def _locked(path: Path, kind: int) -> Hold:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise SubjectsRefusedError(f"subjects: {path}: {exc.strerror}") from exc
    try:
        fcntl.flock(descriptor, kind)
    except BaseException:
        os.close(descriptor)
        raise
    return Hold(descriptor)
