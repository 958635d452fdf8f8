"""A guard in a second PostgreSQL server, one row swapped by a conditional UPDATE.

For gateways on several hosts. The server must be neither a replica of the log's nor restored
with it.

Source: docs/spec/log.md §10.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import psycopg

from mifeng.protocol.merkle import Digest

from .errors import LogRefusedError
from .guard import Mark
from .places import PostgresGuardPlace
from .postgres_connection import Connection, connect

_TABLE = (
    "CREATE TABLE IF NOT EXISTS mifeng_guard"
    " (origin text PRIMARY KEY, size bigint NOT NULL, root bytea NOT NULL)"
)


class PostgresGuard:
    """See `Guard`."""

    def __init__(self, place: PostgresGuardPlace, origin: str) -> None:
        """Open an existing guard.

        Raises:
            LogRefusedError: there is none, or it cannot be reached now.
        """
        self._place, self._origin = place, origin
        self._open: Connection | None = None
        try:
            self.read()
        except (OSError, LogRefusedError) as exc:
            self.close()
            raise LogRefusedError(f"guard: {exc}") from exc

    @classmethod
    def create(cls, place: PostgresGuardPlace, origin: str, first: Mark) -> Self:
        """Make a guard and open it; raises `LogRefusedError` if there is one."""
        try:
            with connect(place.conninfo()) as connection:
                connection.execute(_TABLE)
                connection.execute(
                    "INSERT INTO mifeng_guard VALUES (%s, %s, %s)",
                    (origin, first.size, first.root),
                )
        except psycopg.Error as exc:
            raise LogRefusedError(f"guard: {type(exc).__name__}") from exc
        return cls(place, origin)

    def read(self) -> Mark:
        """See `Guard`; raises `OSError` if the server cannot be reached."""
        with self._connected() as connection:
            query = "SELECT size, root FROM mifeng_guard WHERE origin = %s"
            found = connection.execute(query, (self._origin,)).fetchone()
        if found is None:
            raise LogRefusedError("there is none for this log")
        return Mark(size=found[0], root=Digest(found[1]))

    def swap(self, old: Mark, new: Mark) -> None:
        """See `Guard`."""
        with self._connected() as connection:
            done = connection.execute(
                "UPDATE mifeng_guard SET size = %s, root = %s"
                " WHERE origin = %s AND size = %s AND root = %s",
                (new.size, new.root, self._origin, old.size, old.root),
            )
        if done.rowcount != 1:
            raise LogRefusedError(f"guard is not at {old.size}: another writer")

    def close(self) -> None:
        """See `Guard`."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            if self._open is None or self._open.closed:
                self._open = connect(self._place.conninfo())
            yield self._open
        except psycopg.Error as exc:
            self.close()
            raise OSError(f"guard: {type(exc).__name__}") from exc
