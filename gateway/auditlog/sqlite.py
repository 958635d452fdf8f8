"""The log in one SQLite file: the default, for one gateway.

WAL with `synchronous=FULL`: a commit is on disk when it returns. A lock file keeps a second
process out; network file systems whose locks are not real must not hold a log. Unfinished tiles
are not stored: they are the hashes of the last entries, computed again when the log opens.

Source: docs/spec/log.md §9; sqlite.org/pragma.html#pragma_synchronous.
"""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from mifeng.protocol.merkle import SHA256, SM3

from . import failpoints
from .errors import LogLockedError, LogRefusedError
from .failpoints import UNARMED, Failpoints
from .guard import sync_directory
from .loading import load_tree
from .sequencer import AppendPlan, LogState
from .store import Closed, OpenIntent, Row, StoreError, Trace

_FORMAT: Final = "mifeng-log-1"
_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE entries (idx INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE tiles (
  world TEXT NOT NULL, level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL,
  PRIMARY KEY (world, level, idx));
CREATE TABLE intents (idx INTEGER PRIMARY KEY, h BLOB NOT NULL, attempt INTEGER NOT NULL);
CREATE UNIQUE INDEX one_intent_per_attempt ON intents (h, attempt);
CREATE TABLE closings (
  intent INTEGER PRIMARY KEY REFERENCES intents (idx), idx INTEGER NOT NULL UNIQUE,
  orphaned INTEGER NOT NULL);
CREATE TABLE corrections (
  intent INTEGER PRIMARY KEY REFERENCES closings (intent), idx INTEGER NOT NULL UNIQUE);
CREATE TABLE dangling (
  idx INTEGER PRIMARY KEY REFERENCES intents (idx), h BLOB NOT NULL, instance TEXT NOT NULL);
CREATE TABLE kinds (type TEXT, idx INTEGER, PRIMARY KEY (type, idx)) WITHOUT ROWID;
CREATE TABLE blobs (digest BLOB PRIMARY KEY, data BLOB NOT NULL);
"""


class SqliteStore:
    """One log in one file. Holds the file's lock from construction to `close`."""

    shared = False

    def __init__(self, path: Path, origin: str, *, points: Failpoints = UNARMED) -> None:
        """Lock an existing database; `load` opens it.

        Raises:
            LogRefusedError: there is no such file.
            LogLockedError: another process has it.
        """
        if not path.exists():
            raise LogRefusedError(f"log {path} does not exist")
        self._path, self._origin, self._points = path, origin, points
        self._lock_fd = _lock(path)
        self._write: sqlite3.Connection | None = None
        self._read: sqlite3.Connection | None = None
        self._reading = threading.Lock()

    @classmethod
    def create(cls, path: Path, origin: str, *, twin_origin: str | None) -> None:
        """Make an empty log.

        Args:
            path: a file that does not exist yet.
            origin: the log's origin line, for ever.
            twin_origin: origin line of the SHA-256 twin, or None for a log without one.

        Raises:
            LogRefusedError: the file exists.
        """
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError as exc:
            raise LogRefusedError(f"log {path} exists already") from exc
        connection = _connect(path)
        try:
            connection.executescript(f"BEGIN; {_SCHEMA}")
            facts = {"format": _FORMAT, "origin": origin, "twin": twin_origin or ""}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            connection.execute("COMMIT")
        finally:
            connection.close()
        sync_directory(path.parent)

    def turn(self) -> AbstractContextManager[None]:
        """See `LogStore`: the file's lock has kept everybody else out."""
        return nullcontext()

    def load(self) -> LogState:
        """See `LogStore`; connects anew."""
        with _translated():
            self._disconnect()
            self._write, self._read = _connect(self._path), _connect(self._path)
            facts = dict(self._write.execute("SELECT key, value FROM meta").fetchall())
            if (facts.get("format"), facts.get("origin")) != (_FORMAT, self._origin):
                raise LogRefusedError(f"log {self._path} is not {_FORMAT} of {self._origin}")
            (size,) = self._write.execute(
                "SELECT coalesce(max(idx) + 1, 0) FROM entries"
            ).fetchone()
            twin = facts["twin"]
            return LogState(
                tree=load_tree(self, self._origin, SM3, size),
                twin=load_tree(self, twin, SHA256, size) if twin else None,
            )

    def open_intents(self) -> Mapping[int, OpenIntent]:
        """See `LogStore`."""
        with _translated():
            rows = self._writer().execute("SELECT idx, h, instance FROM dangling").fetchall()
        return {idx: OpenIntent(index=idx, h=h, instance=who) for idx, h, who in rows}

    def closed(self, intent: int) -> Closed | None:
        """See `LogStore`."""
        query = (
            "SELECT c.idx, c.orphaned, l.idx FROM closings c"
            " LEFT JOIN corrections l ON l.intent = c.intent WHERE c.intent = ?"
        )
        with _translated():
            row = self._writer().execute(query, (intent,)).fetchone()
        return None if row is None else Closed(index=row[0], orphaned=bool(row[1]), late=row[2])

    def dispatched(self, attempts: Collection[tuple[bytes, int]]) -> set[tuple[bytes, int]]:
        """See `LogStore`."""
        query = "SELECT 1 FROM intents WHERE h = ? AND attempt = ?"
        with _translated():
            execute = self._writer().execute
            return {one for one in attempts if execute(query, one).fetchone()}

    def moves(self, low: int) -> tuple[list[OpenIntent], list[int]]:
        """See `LogStore`."""
        opened = [intent for index, intent in self.open_intents().items() if index >= low]
        with _translated():
            query = "SELECT intent FROM closings WHERE idx >= ?"
            rows = self._writer().execute(query, (low,)).fetchall()
        return opened, [intent for (intent,) in rows]

    def commit(self, plan: AppendPlan, rows: Sequence[Row], blobs: Mapping[bytes, bytes]) -> None:
        """See `LogStore`."""
        connection = self._writer()
        with _translated(connection):
            connection.execute("BEGIN IMMEDIATE")
            self._insert(connection, plan, rows, blobs)
            self._points.reach(failpoints.WRITTEN)
            connection.execute("COMMIT")
            self._points.reach(failpoints.COMMITTED)

    def _insert(
        self,
        connection: sqlite3.Connection,
        plan: AppendPlan,
        rows: Sequence[Row],
        blobs: Mapping[bytes, bytes],
    ) -> None:
        first = plan.replaces.size
        found = connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM entries").fetchone()
        if found != (first,):
            raise StoreError(f"log has {found[0]} entries, the plan follows {first}")
        many = connection.executemany
        many("INSERT INTO entries VALUES (?, ?)", enumerate(plan.entries, first))
        grown = (plan.tree, plan.twin) if plan.twin else (plan.tree,)
        tiles = [(t.world, t.level, t.index, t.hashes) for tree in grown for t in tree.tiles]
        many("INSERT INTO tiles VALUES (?, ?, ?, ?)", tiles)
        numbered = list(enumerate(rows, first))
        opened = [(row.opens, row.attempt) for row in rows if row.opens]
        many("INSERT INTO intents VALUES (?, ?, ?)", [(o.index, o.h, n) for o, n in opened])
        many(
            "INSERT INTO dangling VALUES (?, ?, ?)", [(o.index, o.h, o.instance) for o, _ in opened]
        )
        closed = [
            (row.closes, i, row.type == "ORPHANED") for i, row in numbered if row.closes is not None
        ]
        many("INSERT INTO closings VALUES (?, ?, ?)", closed)
        many("DELETE FROM dangling WHERE idx = ?", [(intent,) for intent, _, _ in closed])
        corrections = [(row.late_for[0], i) for i, row in numbered if row.late_for is not None]
        many("INSERT INTO corrections VALUES (?, ?)", corrections)
        kinds = [(row.type, i) for i, row in numbered if row.h is None]
        many("INSERT INTO kinds VALUES (?, ?)", kinds)
        many("INSERT OR IGNORE INTO blobs VALUES (?, ?)", blobs.items())

    def entry(self, index: int) -> bytes | None:
        """See `LogStore`."""
        found = self._query("SELECT data FROM entries WHERE idx = ?", (index,))
        return found[0][0] if found else None

    def entries(self, low: int, high: int) -> list[bytes]:
        """See `LogStore`."""
        query = "SELECT data FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx"
        return [data for (data,) in self._query(query, (low, high))]

    def tile(self, world: str, level: int, index: int) -> bytes | None:
        """See `LogStore`."""
        query = "SELECT hashes FROM tiles WHERE world = ? AND level = ? AND idx = ?"
        found = self._query(query, (world, level, index))
        return found[0][0] if found else None

    def blob(self, digest: bytes) -> bytes | None:
        """See `LogStore`."""
        found = self._query("SELECT data FROM blobs WHERE digest = ?", (digest,))
        return found[0][0] if found else None

    def trace(self, h: bytes) -> Trace:
        """See `LogStore`."""
        query = (
            "SELECT i.idx, c.idx, l.idx FROM intents i LEFT JOIN closings c ON c.intent = i.idx"
            " LEFT JOIN corrections l ON l.intent = i.idx WHERE i.h = ? ORDER BY i.idx"
        )
        found = self._query(query, (h,))
        intents, closings, corrections = zip(*found, strict=True) if found else ((), (), ())
        return Trace(
            intents=intents,
            closings=tuple(c for c in closings if c is not None),
            corrections=tuple(late for late in corrections if late is not None),
        )

    def of_type(self, entry_type: str) -> list[int]:
        """See `LogStore`."""
        query = "SELECT idx FROM kinds WHERE type = ? ORDER BY idx"
        return [index for (index,) in self._query(query, (entry_type,))]

    def latest(self, entry_type: str) -> int | None:
        """See `LogStore`."""
        found = self._query("SELECT max(idx) FROM kinds WHERE type = ?", (entry_type,))
        index: int | None = found[0][0]
        return index

    def blobs(self, after: int) -> list[tuple[int, bytes]]:
        """See `LogStore`."""
        query = "SELECT rowid, digest FROM blobs WHERE rowid > ? ORDER BY rowid LIMIT 1000"
        return [(number, digest) for number, digest in self._query(query, (after,))]

    def renew(self, instance: str, lease_s: int) -> None:
        """See `LogStore`: the file's lock is the lease."""

    def living(self) -> frozenset[str]:
        """See `LogStore`."""
        return frozenset()

    def may_publish(self) -> bool:
        """See `LogStore`."""
        return True

    def close(self) -> None:
        """Close the connections, then give up the lock."""
        self._disconnect()
        os.close(self._lock_fd)

    def _query(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with _translated(), self._reading:
            if self._read is None:
                raise StoreError("the log is not loaded")
            return self._read.execute(query, values).fetchall()

    def _writer(self) -> sqlite3.Connection:
        if self._write is None:
            raise StoreError("the log is not loaded")
        return self._write

    def _disconnect(self) -> None:
        with self._reading:
            for connection in (self._read, self._write):
                if connection is not None:
                    connection.close()
            self._read = self._write = None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=10,
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _lock(path: Path) -> int:
    fd = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(fd)
        raise LogLockedError(f"log {path} is held by another process") from exc
    return fd


@contextmanager
def _translated(connection: sqlite3.Connection | None = None) -> Iterator[None]:
    """Turn SQLite's errors into ours, rolling back what `connection` had begun."""
    try:
        yield
    except BaseException as exc:
        if connection is not None:
            _roll_back(connection)
        if isinstance(exc, sqlite3.Error):
            raise StoreError(f"sqlite: {exc}") from exc
        raise


def _roll_back(connection: sqlite3.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        return  # `load` reconnects before anything else is written
