"""What an append writes into PostgreSQL's tables.

Source: docs/spec/log.md §9.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .postgres_connection import Connection
from .sequencer import AppendPlan
from .store import Row

_ENTRIES: Final = b"INSERT INTO entries SELECT * FROM unnest(%s::bigint[], %s::bytea[])"
_TILES: Final = (
    b"INSERT INTO tiles SELECT * FROM unnest(%s::text[], %s::smallint[], %s::bigint[], %s::bytea[])"
)
_BLOBS: Final = (
    b"INSERT INTO blobs (digest, data) SELECT * FROM unnest(%s::bytea[], %s::bytea[])"
    b" ON CONFLICT (digest) DO NOTHING"
)


def copy_entries(connection: Connection, plan: AppendPlan) -> None:
    """Send the entries' bytes, inside the open transaction."""
    with (
        connection.cursor() as cursor,
        cursor.copy("COPY entries (idx, data) FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(["int8", "bytea"])
        for row in enumerate(plan.entries, plan.replaces.size):
            copy.write_row(row)


def insert_entries(connection: Connection, plan: AppendPlan) -> None:
    """Send the entries' bytes as one statement, which a pipeline can hold."""
    if plan.entries:
        first = plan.replaces.size
        indexes = list(range(first, first + len(plan.entries)))
        connection.execute(_ENTRIES, (indexes, list(plan.entries)))


def statements(
    plan: AppendPlan, rows: Sequence[Row], blobs: Mapping[bytes, bytes]
) -> Iterator[tuple[bytes, tuple[list[Any], ...]]]:
    """Yield what goes in beside the entries: a statement and its columns, one row per element."""
    numbered = list(enumerate(rows, plan.replaces.size))
    grown = (plan.tree, plan.twin) if plan.twin else (plan.tree,)
    tiles = [tile for tree in grown for tile in tree.tiles]
    yield (
        _TILES,
        (
            [tile.world for tile in tiles],
            [tile.level for tile in tiles],
            [tile.index for tile in tiles],
            [tile.hashes for tile in tiles],
        ),
    )
    opened = [(row.opens, row.attempt) for row in rows if row.opens]
    indexes, hs = [one.index for one, _ in opened], [one.h for one, _ in opened]
    yield (
        b"INSERT INTO intents SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::smallint[])",
        (indexes, hs, [attempt for _, attempt in opened]),
    )
    yield (
        b"INSERT INTO dangling SELECT * FROM unnest(%s::bigint[], %s::bytea[], %s::text[])",
        (indexes, hs, [one.instance for one, _ in opened]),
    )
    closed = [(row.closes, i, row.type == "ORPHANED") for i, row in numbered]
    closed = [one for one in closed if one[0] is not None]
    intents = [intent for intent, _, _ in closed]
    yield (
        b"INSERT INTO closings SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::boolean[])",
        (intents, [i for _, i, _ in closed], [orphaned for _, _, orphaned in closed]),
    )
    yield b"DELETE FROM dangling WHERE idx = ANY(%s::bigint[])", (intents,)
    late = [(row.late_for[0], i) for i, row in numbered if row.late_for is not None]
    yield (
        b"INSERT INTO corrections SELECT * FROM unnest(%s::bigint[], %s::bigint[])",
        ([intent for intent, _ in late], [i for _, i in late]),
    )
    kinds = [(row.type, i) for i, row in numbered if row.h is None]
    yield (
        b"INSERT INTO kinds SELECT * FROM unnest(%s::text[], %s::bigint[])",
        ([kind for kind, _ in kinds], [i for _, i in kinds]),
    )
    yield (
        _BLOBS,
        (list(blobs), list(blobs.values())),
    )
