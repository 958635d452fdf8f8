"""Read a log in PostgreSQL for an export, while gateways append to it.

One read-only transaction of level REPEATABLE READ: one state however long it takes, no lock that
a gateway would wait for, and nothing can be written by mistake. A role with SELECT on the log's
schema is enough.

Source: docs/storage.md; postgresql.org/docs/15 §13.2.2.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mifeng.errors import UsageError

from .source import TableSource

if TYPE_CHECKING:
    from psycopg import Connection


class PostgresSource(TableSource):
    """A log in one schema of a PostgreSQL database. Use as a context manager, in one thread."""

    def __init__(self, conninfo: str, schema: str = "mifeng") -> None:
        """Connect and begin reading.

        Args:
            conninfo: libpq's connection string; it stays out of messages.
            schema: of the log.

        Raises:
            UsageError: the driver is missing, the server does not answer, or it is no log.
        """
        super().__init__()
        try:
            import psycopg
            from psycopg import sql
        except ImportError as exc:
            raise UsageError("PostgreSQL: install the extra `postgres`") from exc
        self._error = psycopg.Error
        try:
            self._db: Connection[tuple[Any, ...]] = psycopg.connect(
                conninfo, autocommit=True, connect_timeout=10
            )
        except psycopg.Error as exc:
            raise UsageError(f"PostgreSQL: {_first(exc)}") from exc
        try:
            self._rows("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            self._db.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(schema)))
            self._open(dict(self._rows("SELECT key, value FROM meta")), f"schema {schema}")
        except BaseException:
            self._db.close()
            raise

    @classmethod
    def of_file(cls, dsn: Path, schema: str = "mifeng") -> Self:
        """Open the log whose connection string is in a file, as the gateway's is."""
        try:
            return cls(dsn.read_text("utf-8").strip(), schema)
        except (OSError, ValueError) as exc:
            raise UsageError(f"{dsn}: cannot be read") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            cursor = self._db.execute(query.replace("?", "%s").encode(), values)
            return cursor.fetchall() if cursor.description else []
        except self._error as exc:
            raise UsageError(f"log: {_first(exc)}") from exc


def _first(exc: Exception) -> str:
    return str(exc).partition("\n")[0]
