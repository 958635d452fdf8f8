"""The log in PostgreSQL, for several gateways on one log.

An append holds an advisory lock from before it looks at the head until the guard has moved, and
the head's row while it writes: one gateway after the other, in one order. Both are given up by
the server when a gateway's connection ends, however it ends. A group is one pipeline of
statements; the entries of a large one go in by COPY.

Source: docs/spec/log.md §9; docs/storage.md; postgresql.org/docs/15 §9.27.10, §13.3.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql

from mifeng.protocol.merkle import SHA256, SM3

from . import failpoints
from .errors import LogRefusedError
from .failpoints import UNARMED, Failpoints
from .loading import load_tree
from .places import PostgresPlace
from .postgres_connection import (
    Connection,
    Record,
    channel,
    connect,
    lock_number,
    say,
    translated,
)
from .postgres_rows import copy_entries, insert_entries, statements
from .postgres_schema import FORMAT, STEPS
from .sequencer import AppendPlan, LogState
from .store import Closed, OpenIntent, Row, StoreError, Trace

_MANY: Final = 256
"""From so many entries on, COPY is worth the round trips it costs more than a pipeline."""
_FACTS: Final = "SELECT key, value FROM meta"
_NO_HANGING: Final = "SET idle_session_timeout = '30s'"
"""The server ends a writing connection that a stopped process left, and gives up its lock."""


class PostgresStore:
    """One log in one schema. Any number of gateways may open it."""

    shared = True

    def __init__(self, place: PostgresPlace, origin: str, *, points: Failpoints = UNARMED) -> None:
        """Check that the database can be reached; `load` reads it.

        Raises:
            LogRefusedError: there is no log there, or it cannot be reached now.
        """
        self._place, self._origin, self._points = place, origin, points
        self._append_lock = lock_number(origin, "append")
        self._publish_lock = lock_number(origin, "publish")
        self._channel = channel(origin)
        self._write: Connection | None = None
        self._read: Connection | None = None
        self._reading = threading.Lock()
        self._publishing: Connection | None = None
        try:
            found = self._query("SELECT value FROM meta WHERE key = 'origin'", ())
        except StoreError as exc:
            self.close()
            raise LogRefusedError(f"log: {exc}") from exc
        if found != [(origin,)]:
            self.close()
            raise LogRefusedError(f"log: the schema {place.schema} is not of {origin}")

    @classmethod
    def create(cls, place: PostgresPlace, origin: str, *, twin_origin: str | None) -> None:
        """Make schema and tables of an empty log, in one transaction.

        Raises:
            LogRefusedError: the schema exists, or the database cannot be reached.
        """
        facts = {"format": FORMAT, "origin": origin, "twin": twin_origin or ""}
        facts["step"] = str(len(STEPS))
        try:
            with connect(place.conninfo()) as connection, connection.transaction():
                name = sql.Identifier(place.schema)
                connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
                connection.execute(sql.SQL("SET LOCAL search_path = {}").format(name))
                for step in STEPS:
                    connection.execute(step)
                with connection.cursor() as cursor:
                    cursor.executemany("INSERT INTO meta VALUES (%s, %s)", list(facts.items()))
                connection.execute(
                    "INSERT INTO head (size, root) VALUES (0, %s)", (SM3.empty_root,)
                )
        except psycopg.Error as exc:
            raise LogRefusedError(f"postgres: {say(exc)}") from exc

    @contextmanager
    def turn(self) -> Iterator[int]:
        """See `LogStore`. After any failure the connection is dropped, and its locks with it."""
        try:
            with translated():
                connection, size = self._take_lock()
            yield size
        except BaseException:
            self._drop_writer()
            raise
        try:
            connection.execute("SELECT pg_advisory_unlock(%s)", (self._append_lock,))
        except psycopg.Error:
            self._drop_writer()  # what was done is done, and the lock is gone

    def load(self) -> LogState:
        """See `LogStore`."""
        with translated():
            connection = self._writer()
            facts: dict[str, str] = dict(connection.execute(_FACTS).fetchall())
            head = connection.execute("SELECT size, root FROM head").fetchone()
            last = connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM entries").fetchone()
        found = (facts.get("format"), facts.get("origin"), facts.get("step"))
        if found != (FORMAT, self._origin, str(len(STEPS))):
            raise LogRefusedError(f"log: the schema is not {FORMAT} of {self._origin}")
        if head is None or last != head[:1]:
            raise LogRefusedError("log: its head and its entries differ")
        size, twin = head[0], facts["twin"]
        tree = load_tree(self, self._origin, SM3, size)
        if tree.checkpoint.root != head[1]:
            raise LogRefusedError("log: its entries do not have the root of its head")
        return LogState(tree=tree, twin=load_tree(self, twin, SHA256, size) if twin else None)

    def open_intents(self) -> Mapping[int, OpenIntent]:
        """See `LogStore`."""
        rows = self._ask("SELECT idx, h, instance FROM dangling", ())
        return {idx: OpenIntent(index=idx, h=h, instance=who) for idx, h, who in rows}

    def closed(self, intent: int) -> Closed | None:
        """See `LogStore`."""
        query = (
            "SELECT c.idx, c.orphaned, l.idx FROM closings c"
            " LEFT JOIN corrections l ON l.intent = c.intent WHERE c.intent = %s"
        )
        rows = self._ask(query, (intent,))
        return Closed(index=rows[0][0], orphaned=rows[0][1], late=rows[0][2]) if rows else None

    def dispatched(self, attempts: Collection[tuple[bytes, int]]) -> set[tuple[bytes, int]]:
        """See `LogStore`."""
        if not attempts:
            return set()
        query = "SELECT h, attempt FROM intents WHERE h = ANY(%s)"
        found = {(h, n) for h, n in self._ask(query, ([h for h, _ in attempts],))}
        return found & set(attempts)

    def moves(self, low: int) -> tuple[list[OpenIntent], list[int]]:
        """See `LogStore`."""
        opened = self._ask("SELECT idx, h, instance FROM dangling WHERE idx >= %s", (low,))
        closed = self._ask("SELECT intent FROM closings WHERE idx >= %s", (low,))
        return (
            [OpenIntent(index=idx, h=h, instance=who) for idx, h, who in opened],
            [intent for (intent,) in closed],
        )

    def commit(self, plan: AppendPlan, rows: Sequence[Row], blobs: Mapping[bytes, bytes]) -> None:
        """See `LogStore`."""
        connection = self._writer()
        with translated():
            if len(plan.entries) >= _MANY:
                connection.execute("BEGIN")
                copy_entries(connection, plan)
            with connection.pipeline():
                if len(plan.entries) < _MANY:
                    connection.execute("BEGIN")
                    insert_entries(connection, plan)
                self._insert(connection, plan, rows, blobs)
            self._points.reach(failpoints.WRITTEN)
            connection.execute("COMMIT")
            self._points.reach(failpoints.COMMITTED)

    def _insert(
        self,
        connection: Connection,
        plan: AppendPlan,
        rows: Sequence[Row],
        blobs: Mapping[bytes, bytes],
    ) -> None:
        before, after = plan.replaces.size, plan.after.tree.checkpoint
        connection.execute("SELECT extend_head(%s, %s, %s)", (before, after.size, after.root))
        for query, columns in statements(plan, rows, blobs):
            if columns[0]:
                connection.execute(query, columns)
        for index, row in enumerate(rows, before):
            if row.h is None:
                notice = (self._channel, f"{row.type} {index}")
                connection.execute("SELECT pg_notify(%s, %s)", notice)

    def entry(self, index: int) -> bytes | None:
        """See `LogStore`."""
        found = self._query("SELECT data FROM entries WHERE idx = %s", (index,))
        return found[0][0] if found else None

    def entries(self, low: int, high: int) -> list[bytes]:
        """See `LogStore`."""
        query = "SELECT data FROM entries WHERE idx >= %s AND idx < %s ORDER BY idx"
        return [data for (data,) in self._query(query, (low, high))]

    def tile(self, world: str, level: int, index: int) -> bytes | None:
        """See `LogStore`."""
        query = "SELECT hashes FROM tiles WHERE world = %s AND level = %s AND idx = %s"
        found = self._query(query, (world, level, index))
        return found[0][0] if found else None

    def blob(self, digest: bytes) -> bytes | None:
        """See `LogStore`."""
        found = self._query("SELECT data FROM blobs WHERE digest = %s", (digest,))
        return found[0][0] if found else None

    def trace(self, h: bytes) -> Trace:
        """See `LogStore`."""
        query = (
            "SELECT i.idx, c.idx, l.idx FROM intents i LEFT JOIN closings c ON c.intent = i.idx"
            " LEFT JOIN corrections l ON l.intent = i.idx WHERE i.h = %s ORDER BY i.idx"
        )
        found = self._query(query, (h,))
        return Trace(
            intents=tuple(row[0] for row in found),
            closings=tuple(row[1] for row in found if row[1] is not None),
            corrections=tuple(row[2] for row in found if row[2] is not None),
        )

    def of_type(self, entry_type: str) -> list[int]:
        """See `LogStore`."""
        query = "SELECT idx FROM kinds WHERE type = %s ORDER BY idx"
        return [index for (index,) in self._query(query, (entry_type,))]

    def latest(self, entry_type: str) -> int | None:
        """See `LogStore`."""
        found = self._query("SELECT max(idx) FROM kinds WHERE type = %s", (entry_type,))
        index: int | None = found[0][0]
        return index

    def blobs(self, after: int) -> list[tuple[int, bytes]]:
        """See `LogStore`."""
        query = "SELECT number, digest FROM blobs WHERE number > %s ORDER BY number LIMIT 1000"
        return [(number, digest) for number, digest in self._query(query, (after,))]

    def renew(self, instance: str, lease_s: int) -> None:
        """See `LogStore`."""
        self._query(
            "INSERT INTO gateways VALUES (%s, clock_timestamp() + make_interval(secs => %s))"
            " ON CONFLICT (instance) DO UPDATE SET lives_until = excluded.lives_until"
            " RETURNING true",
            (instance, lease_s),
        )

    def living(self) -> frozenset[str]:
        """See `LogStore`."""
        query = "SELECT instance FROM gateways WHERE lives_until > clock_timestamp()"
        return frozenset(instance for (instance,) in self._query(query, ()))

    def may_publish(self) -> bool:
        """See `LogStore`: whoever holds the lock publishes, until its connection ends."""
        with translated():
            if self._publishing is not None:
                try:
                    self._publishing.execute("SELECT true")
                    return True
                except psycopg.Error:
                    self._publishing.close()
                    self._publishing = None
            connection = connect(self._place.conninfo(), self._place.schema)
            query = "SELECT pg_try_advisory_lock(%s)"
            try:
                mine = connection.execute(query, (self._publish_lock,)).fetchone() == (True,)
            except psycopg.Error:
                connection.close()
                raise
            if mine:
                self._publishing = connection
            else:
                connection.close()
            return mine

    def close(self) -> None:
        """See `LogStore`."""
        self._drop_writer()
        if self._publishing is not None:
            self._publishing.close()
            self._publishing = None
        with self._reading:
            self._drop_reader()

    def _query(self, query: str, values: tuple[object, ...]) -> list[Record]:
        """Ask on the reading connection, once more on a new one if the server had ended it."""
        with translated(), self._reading:
            if self._read is not None:
                try:
                    return self._read.execute(query.encode(), values).fetchall()
                except psycopg.OperationalError as exc:
                    self._drop_reader()
                    if not _ended(exc):
                        raise
            self._read = connect(self._place.conninfo(), self._place.schema)
            return self._read.execute(query.encode(), values).fetchall()

    def _ask(self, query: str, values: tuple[object, ...]) -> list[Record]:
        """Ask on the writing connection, inside a turn."""
        with translated():
            return self._writer().execute(query.encode(), values).fetchall()

    def _writer(self) -> Connection:
        if self._write is None:
            self._write = connect(self._place.conninfo(), self._place.schema)
            self._write.execute(_NO_HANGING)
        return self._write

    def _take_lock(self) -> tuple[Connection, int]:
        """Return the writing connection, holding the lock, and the entries that are stored.

        An idle connection may have been ended meanwhile; then this is tried on a new one.
        """
        if self._write is not None:
            try:
                return self._write, self._lock_and_look(self._write)
            except psycopg.OperationalError as exc:
                self._drop_writer()
                if not _ended(exc):
                    raise
        connection = self._writer()
        return connection, self._lock_and_look(connection)

    def _lock_and_look(self, connection: Connection) -> int:
        """Take the lock and read the head: two statements, so that the second sees what is new."""
        query = sql.SQL("SELECT pg_advisory_lock({}); SELECT size FROM head")
        cursor = connection.execute(query.format(sql.Literal(self._append_lock)))
        cursor.nextset()
        found = cursor.fetchone()
        if found is None:
            raise LogRefusedError("log: its head is missing")
        size: int = found[0]
        return size

    def _drop_writer(self) -> None:
        if self._write is not None:
            self._write.close()
            self._write = None

    def _drop_reader(self) -> None:
        if self._read is not None:
            self._read.close()
            self._read = None


def _ended(exc: psycopg.OperationalError) -> bool:
    """Whether the server ended the connection, rather than refused a statement."""
    return exc.sqlstate is None or exc.sqlstate.startswith("57P")
