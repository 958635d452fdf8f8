"""The facts of a pack in a temporary database: what the rules are asked over.

One row per statement, a hundred bytes or so. SQLite keeps them on disk, so an auditor's memory
does not grow with the log; the file is private, unnamed and gone afterwards.

Source: docs/spec/audit-pack.md §4.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop
from typing import Any, Final, Self

_CACHE_KIB: Final = 32 * 1024
TABLES: Final = {
    "intents": "idx INTEGER PRIMARY KEY, h BLOB, attempt INT, keyset BLOB, tenant TEXT,"
    " issued INT, deadline INT",
    "ends": "idx INTEGER PRIMARY KEY, intent INT, h BLOB, kind TEXT, at INT, by TEXT, reason TEXT",
    "lates": "idx INTEGER PRIMARY KEY, intent INT, h BLOB, orphaned INT, at INT",
    "receipts": "idx INTEGER PRIMARY KEY, keyset BLOB, seq INT, prev BLOB, digest BLOB,"
    " log_size INT, log_root BLOB, simulated INT, unwitnessed INT, finished INT, model TEXT,"
    " outcome TEXT, at INT",
    "tallies": "idx INTEGER PRIMARY KEY, keyset BLOB, count INT, head BLOB, final INT, at INT",
    "keysets": "idx INTEGER PRIMARY KEY, keyset BLOB, node TEXT, at INT, simulated INT,"
    " not_before INT, not_after INT",
    "admissions": "idx INTEGER PRIMARY KEY, keyset BLOB, node TEXT, at INT, policy BLOB,"
    " verdict BLOB, tier TEXT, simulated INT, valid_until INT",
    "expiries": "idx INTEGER PRIMARY KEY, keyset BLOB, at INT",
    "heartbeats": "idx INTEGER PRIMARY KEY, at INT, instance TEXT, interval INT",
    "documents": "idx INT, digest BLOB",
    "others": "idx INTEGER PRIMARY KEY, type TEXT, at INT, data BLOB",
}
_INDEXES: Final = (
    "CREATE INDEX intents_h ON intents (h, attempt)",
    "CREATE INDEX ends_intent ON ends (intent)",
    "CREATE INDEX lates_intent ON lates (intent)",
    "CREATE INDEX lates_orphaned ON lates (orphaned)",
    "CREATE INDEX receipts_chain ON receipts (keyset, seq)",
    "CREATE INDEX receipts_head ON receipts (log_size, log_root)",
    "CREATE INDEX tallies_keyset ON tallies (keyset, count)",
    "CREATE INDEX tallies_final ON tallies (keyset, final, count)",
    "CREATE INDEX keysets_keyset ON keysets (keyset)",
    "CREATE INDEX keysets_mark ON keysets (keyset, simulated)",
    "CREATE INDEX keysets_begin ON keysets (keyset, not_before)",
    "CREATE INDEX keysets_end ON keysets (keyset, not_after)",
    "CREATE INDEX admissions_keyset ON admissions (keyset)",
    "CREATE INDEX admissions_end ON admissions (keyset, valid_until)",
    "CREATE INDEX documents_digest ON documents (digest)",
)
ALL_TIMES: Final = (
    "(SELECT idx, issued AS at FROM intents UNION ALL SELECT idx, at FROM ends"
    " UNION ALL SELECT idx, at FROM lates UNION ALL SELECT idx, at FROM admissions"
    " UNION ALL SELECT idx, at FROM heartbeats UNION ALL SELECT idx, at FROM others)"
)
"""When entries say that they were written, by index."""
Rows = Mapping[str, list[tuple[Any, ...]]]


class Facts:
    """A temporary database. Use as a context manager, in one thread."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # a private file on disk
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        for name, columns in TABLES.items():
            self._db.execute(f"CREATE TABLE {name} ({columns})")
        self._places = {
            name: ",".join("?" * (columns.count(",") + 1)) for name, columns in TABLES.items()
        }
        self._db.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def add(self, rows: Rows) -> None:
        """Insert rows by table; a second row at one index is ignored, since indexes ascend."""
        for name, values in rows.items():
            query = f"INSERT OR IGNORE INTO {name} VALUES ({self._places[name]})"  # noqa: S608
            self._db.executemany(query, values)

    def complete(self) -> None:
        """Make the indexes, once all rows are in."""
        for statement in _INDEXES:
            self._db.execute(statement)

    def ask(self, query: str, *values: object) -> Iterable[tuple[Any, ...]]:
        """Yield the rows of a query."""
        return self._db.execute(query, values)

    def one(self, query: str, *values: object) -> Any:  # noqa: ANN401 - whatever was asked
        """Return the only value of a query, or None."""
        row = self._db.execute(query, values).fetchone()
        return row[0] if row else None

    def dated_after(self, limits: Iterable[tuple[int, int, str]]) -> Iterator[tuple[str, int]]:
        """Yield what was seen before an entry in it says that it was written; in one pass.

        Args:
            limits: size of what was seen, Unix seconds after which nothing in it can be dated, and
                what to call it.

        Yields:
            What it is called, and the first such entry.
        """
        heap = [(limit, size, name) for size, limit, name in limits]
        if not heap:
            return
        heapify(heap)
        query = f"SELECT idx, at FROM {ALL_TIMES} WHERE idx < ? AND at > ? ORDER BY idx"  # noqa: S608
        for index, at in self.ask(query, max(size for _, size, _ in heap), heap[0][0]):
            while heap and heap[0][0] < at:
                _, size, name = heappop(heap)
                if index < size:
                    yield name, index
