"""Read a gateway's log for an export: its database, read-only, in one transaction.

The gateway may be running: SQLite's WAL gives a reader one state however long it reads. What is
read is not believed because it stood in a database; the pack's verifier checks all of it. A log
in another kind of database is read by another class with these methods.

Source: docs/spec/log.md §9.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol, Self

from mifeng.errors import UsageError
from mifeng.protocol import merkle
from mifeng.protocol.merkle import DIGEST_BYTES, Digest, HashWorld

FORMAT: Final = "mifeng-log-1"
_HEIGHT: Final = 8
_WIDTH: Final = 1 << _HEIGHT
_BUNDLE: Final = b"mifeng/v1/bundle\0"


class LogSource(Protocol):
    """A log as an exporter reads it. All methods see one state."""

    @property
    def origin(self) -> str:
        """The log's origin line."""
        ...

    @property
    def size(self) -> int:
        """Entries."""
        ...

    def entries(self, low: int, high: int) -> list[bytes]:
        """Return entries [low, high)."""
        ...

    def of_request(self, h: bytes) -> list[int]:
        """Return indexes of everything logged about the request with this header digest."""
        ...

    def of_type(self, entry_type: str) -> list[int]:
        """Return indexes of entries of a type that is not about a request."""
        ...

    def node(self, world: HashWorld, level: int, index: int) -> Digest:
        """Return the root over the 2^level leaves from index·2^level on."""
        ...

    def blob(self, digest: bytes) -> bytes | None:
        """Return a document by its SM3."""
        ...

    def bundles(self) -> Iterator[bytes]:
        """Yield the documents that are attestation bundles."""
        ...


class TableSource:
    """A gateway's tables, whichever database they are in. `_rows` is what the kinds differ in."""

    origin: str
    size: int

    def __init__(self) -> None:
        self._tile = lru_cache(maxsize=1024)(self._load_tile)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query with `?` for its values yields; raises `UsageError`."""
        raise NotImplementedError

    def _open(self, facts: Mapping[str, str], where: str) -> None:
        """Take what the log's `meta` table says; raises `UsageError` if it is no log's."""
        if facts.get("format") != FORMAT:
            raise UsageError(f"{where}: not a log of format {FORMAT}")
        self.origin = facts["origin"]
        ((self.size,),) = self._rows("SELECT coalesce(max(idx) + 1, 0) FROM entries")

    def entries(self, low: int, high: int) -> list[bytes]:
        """See `LogSource`."""
        query = "SELECT data FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx"
        found = [data for (data,) in self._rows(query, low, high)]
        if len(found) != high - low:
            raise UsageError(f"log: entries are missing between {low} and {high}")
        return found

    def of_request(self, h: bytes) -> list[int]:
        """See `LogSource`."""
        query = (
            "SELECT i.idx, c.idx, l.idx FROM intents i LEFT JOIN closings c ON c.intent = i.idx"
            " LEFT JOIN corrections l ON l.intent = i.idx WHERE i.h = ?"
        )
        return sorted({idx for row in self._rows(query, h) for idx in row if idx is not None})

    def of_type(self, entry_type: str) -> list[int]:
        """See `LogSource`."""
        query = "SELECT idx FROM kinds WHERE type = ? ORDER BY idx"
        return [idx for (idx,) in self._rows(query, entry_type)]

    def node(self, world: HashWorld, level: int, index: int) -> Digest:
        """See `LogSource`."""
        tile_level, rise = divmod(level, _HEIGHT)
        row = self._tile(world, tile_level, index << rise >> _HEIGHT)
        at = (index << rise) % _WIDTH
        return merkle.root(world, merkle.extend(world, (), 0, row[at : at + (1 << rise)])[0])

    def _load_tile(self, world: HashWorld, level: int, number: int) -> tuple[Digest, ...]:
        query = "SELECT hashes FROM tiles WHERE world = ? AND level = ? AND idx = ?"
        if found := self._rows(query, world.name, level, number):
            raw: bytes = found[0][0]
            return tuple(
                Digest(raw[i : i + DIGEST_BYTES]) for i in range(0, len(raw), DIGEST_BYTES)
            )
        low = number * _WIDTH
        if level == 0:
            return tuple(world.leaf_hashes(self.entries(low, min(self.size, low + _WIDTH))))
        whole = self.size >> (_HEIGHT * level)
        below = range(low, min(whole, low + _WIDTH))
        rows = (self._tile(world, level - 1, each) for each in below)
        return tuple(merkle.root(world, merkle.extend(world, (), 0, row)[0]) for row in rows)

    def blob(self, digest: bytes) -> bytes | None:
        """See `LogSource`."""
        found = self._rows("SELECT data FROM blobs WHERE digest = ?", digest)
        return found[0][0] if found else None

    def bundles(self) -> Iterator[bytes]:
        """See `LogSource`."""
        query = "SELECT digest FROM blobs WHERE substr(data, 1, ?) = ?"
        for (digest,) in self._rows(query, len(_BUNDLE), _BUNDLE):
            if (data := self.blob(digest)) is not None:
                yield data


class SqliteSource(TableSource):
    """A gateway's SQLite database. Use as a context manager, in one thread."""

    def __init__(self, path: Path) -> None:
        """Open a database read-only.

        Raises:
            UsageError: it is not the database of a log.
        """
        super().__init__()
        try:
            self._db = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
            )
            self._db.execute("BEGIN")
            self._open(dict(self._db.execute("SELECT key, value FROM meta")), str(path))
        except sqlite3.Error as exc:
            raise UsageError(f"{path}: not the database of a log ({exc})") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as exc:
            raise UsageError(f"log: {exc}") from exc
