"""Connections to PostgreSQL that commit durably, and the names of a log's locks and channel.

Source: docs/storage.md; postgresql.org/docs/15 §20.5, §20.11.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from mifeng.crypto import sm3

from .errors import LogRefusedError
from .store import StoreError

Record = tuple[Any, ...]
Connection = psycopg.Connection[Record]

_SESSION: Final = """
SET lock_timeout = '10s';
SET statement_timeout = '60s';
SET idle_in_transaction_session_timeout = '30s';
SET client_min_messages = 'warning';
"""
_DURABLE: Final = "SELECT current_setting('fsync'), current_setting('full_page_writes')"
_WEAK: Final = "SELECT current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"


def connect(conninfo: str, schema: str | None = None) -> Connection:
    """Return a connection that commits durably, with the log's schema as its search path.

    Raises:
        psycopg.Error: it cannot be made.
        LogRefusedError: the server does not write to its disk before it says so.
    """
    connection = psycopg.connect(
        conninfo, autocommit=True, connect_timeout=5, keepalives_idle=5, keepalives_count=3
    )
    try:
        connection.execute(_SESSION)
        if schema is not None:
            connection.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(schema)))
        if connection.execute(_DURABLE).fetchone() != ("on", "on"):
            raise LogRefusedError("postgres: fsync and full_page_writes must be on")
        if connection.execute(_WEAK).fetchone() == (True,):
            connection.execute("SET synchronous_commit = on")
    except BaseException:
        connection.close()
        raise
    return connection


def lock_number(origin: str, purpose: str) -> int:
    """Return the advisory lock's number for one purpose of one log."""
    return int.from_bytes(sm3(f"{purpose} {origin}".encode())[:8], "big", signed=True)


def channel(origin: str) -> str:
    """Return the NOTIFY channel that tells of a log's rare entries."""
    return f"mifeng_{sm3(origin.encode())[:8].hex()}"


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into `StoreError`."""
    try:
        yield
    except psycopg.Error as exc:
        raise StoreError(f"postgres: {say(exc)}") from exc


def say(exc: psycopg.Error) -> str:
    """Return the first line of an error, with its SQLSTATE; connection strings are not in it."""
    first = str(exc).partition("\n")[0]
    return f"{exc.sqlstate or type(exc).__name__}: {first}"
