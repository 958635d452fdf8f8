"""Hear, over PostgreSQL's NOTIFY, of rare entries that any gateway has appended.

Policies, releases, tenants, nodes and keys are known to every gateway as soon as one has logged
them. A notice says what to look at, it proves nothing: read the entry. Notices can be lost while
the connection is down; on a new connection one notice of each type is made up for.

Source: docs/storage.md; postgresql.org/docs/15 sql-notify.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import sql

from .places import PostgresPlace
from .postgres_connection import channel, connect

_RETRY_S: Final = 1.0
_LOOK_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Notice:
    """An entry of a rare type that is in the log."""

    type: str
    index: int


class Notices:
    """A thread that listens, from `start` to `close`."""

    def __init__(self, place: PostgresPlace, origin: str, hear: Callable[[Notice], None]) -> None:
        """Prepare to listen.

        Args:
            place: the log's database.
            origin: its origin line.
            hear: told of each notice, in the listening thread.
        """
        self._place, self._channel, self._hear = place, channel(origin), hear
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="auditlog-notices", daemon=True)

    def start(self) -> None:
        """Begin listening."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except psycopg.Error:
                self._stop.wait(_RETRY_S)

    def _listen(self) -> None:
        with connect(self._place.conninfo(), self._place.schema) as connection:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
            newest = connection.execute("SELECT type, max(idx) FROM kinds GROUP BY type")
            for kind, index in newest.fetchall():
                self._hear(Notice(kind, index))
            while not self._stop.is_set():
                for notify in connection.notifies(timeout=_LOOK_S):
                    kind, _, index = notify.payload.partition(" ")
                    self._hear(Notice(kind, int(index)))
