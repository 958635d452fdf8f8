"""What an operator does to a log while no gateway runs on it: restore, move, prune.

Each returns one line that says what was done. Nothing here is ever done by a gateway itself.

Source: docs/storage.md; docs/spec/log.md §11.
"""

from pathlib import Path

from mifeng.errors import UsageError

from .config import LogConfig, create_guard, create_store, open_store, open_target
from .copying import migrate
from .errors import LogRefusedError
from .guard import FileGuard, Mark
from .hashes import Hashes
from .keys import LogKeys
from .restoring import log_pin, published_head, restore
from .retention import Retention
from .sqlite import SqliteStore
from .store import LogStore
from .target import Target


def restore_published(config: LogConfig, keys: LogKeys) -> str:
    """Make the log's store anew from where it is published; see `restoring.restore`."""
    done = restore(_target(config), config, keys)
    root = done.head.root.hex()
    return f"restored {done.head.size} entries and {done.blobs} blobs, root {root}"


def move(database: Path, guard: Path, config: LogConfig) -> str:
    """Move a log from its SQLite file into the configured store.

    The old file stays as it is; its guard is moved along or, if another one is configured,
    renamed to `….moved`, so that the old file does not open again.

    Args:
        database: the SQLite file. No gateway may run on it.
        guard: its guard.
        config: the new store, empty or not made yet, and the new guard.

    Raises:
        LogRefusedError: the old log and its guard disagree, the copy differs, or the new store
            or guard exists already.
        LogLockedError: a gateway runs on the old log.
        StoreError: not all could be read or written.
    """
    old = FileGuard(guard, config.origin)
    try:
        source = SqliteStore(database, config.origin)
        try:
            mark = _checked(source, old.read())
            create_store(config)
            store = open_store(config)
            try:
                head = migrate(source, store)
            finally:
                store.close()
        finally:
            source.close()
        if config.guard == guard:
            old.swap(mark, head)
        else:
            create_guard(config, head).close()
            guard.rename(guard.with_name(f"{guard.name}.moved"))
    finally:
        old.close()
    return f"moved {head.size} entries, root {head.root.hex()}"


def prune_published(config: LogConfig, keys: LogKeys, days: int, *, now: int) -> str:
    """Remove published entries older than `days`, never less than the floor.

    Args:
        config: the log's.
        keys: the log's: what is published must be of this log.
        days: at least `retention.FLOOR_DAYS`.
        now: Unix seconds.

    Raises:
        UsageError: fewer days than the floor.
        LogRefusedError: what is published is not this log.
        PublishError: the target cannot be reached.
    """
    retention, target = Retention(days=days), _target(config)
    size = published_head(target, log_pin(config.origin, keys)).size
    removed = retention.prune(target, size, now=now)
    return f"removed {removed} bundles older than {days} days; {size} entries are published"


def _checked(source: LogStore, mark: Mark) -> Mark:
    state = source.load()
    if mark.size > state.size:
        raise LogRefusedError(f"log has {state.size} entries, its guard has seen {mark.size}")
    if Hashes(source, state.tree.world).root(state.tree, mark.size) != mark.root:
        raise LogRefusedError(f"log is not the one its guard has seen at {mark.size}")
    return mark


def _target(config: LogConfig) -> Target:
    target = open_target(config)
    if target is None:
        raise UsageError("log.publish: no place is configured")
    return target
