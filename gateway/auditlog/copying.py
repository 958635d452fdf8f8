"""Write a log's entries again, into an empty store: to restore it, or to move it.

Every hash is computed anew; the caller compares the root with one it trusts before the copy is
used. Index, bytes and therefore every proof stay the same.

Source: docs/spec/log.md §11.3.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from mifeng.crypto import sm3
from mifeng.protocol.entries import decode

from .errors import LogRefusedError
from .guard import Mark
from .intents import row_of
from .sequencer import LogState, plan_append
from .store import LogStore

GROUP: Final = 4096
BEFORE: Final = "before-copy"
"""Holder of an open intent whose gateway is not known any more."""


def replay(
    groups: Iterable[Sequence[bytes]], store: LogStore, *, holders: Mapping[int, str]
) -> LogState:
    """Append all entries to an empty store and return its state.

    Args:
        groups: the log's entries in order.
        store: locked, without entries.
        holders: the gateway that holds an open intent, by index.

    Raises:
        LogRefusedError: the store has entries.
        MalformedError: something is not an entry.
        StoreError: the store cannot be written.
    """
    with store.turn():
        state = store.load()
    if state.size:
        raise LogRefusedError(f"copy: the new log has {state.size} entries already")
    for group in groups:
        plan = plan_append(state, group)
        rows = [
            row_of(decode(entry), index, holders.get(index, BEFORE))
            for index, entry in enumerate(group, state.size)
        ]
        with store.turn():
            store.commit(plan, rows, {})
        state = plan.after
    return state


def copy_blobs(source: LogStore, store: LogStore) -> int:
    """Copy every blob and return how many there are."""
    with store.turn():
        state = store.load()
    at, count = 0, 0
    while numbered := source.blobs(at):
        for _, digest in numbered:
            data = source.blob(digest)
            if data is None or sm3(data) != digest:
                raise LogRefusedError(f"copy: blob {digest.hex()} is missing or damaged")
            put_blob(store, state, digest, data)
        at, count = numbered[-1][0], count + len(numbered)
    return count


def put_blob(store: LogStore, state: LogState, digest: bytes, data: bytes) -> None:
    """Store one blob beside a log that is in `state`."""
    with store.turn():
        store.commit(plan_append(state, []), [], {digest: data})


def migrate(source: LogStore, store: LogStore) -> Mark:
    """Move a log between stores and return its head, the same in both.

    Args:
        source: locked; nobody appends to it meanwhile, nor ever again.
        store: locked, without entries.

    Raises:
        LogRefusedError: the copy differs, or the store is not empty.
    """
    with source.turn():
        before = source.load()
        holders = {index: intent.instance for index, intent in source.open_intents().items()}
    lows = range(0, before.size, GROUP)
    groups = (source.entries(low, min(low + GROUP, before.size)) for low in lows)
    after = replay(groups, store, holders=holders)
    if head(after) != head(before) or (after.twin is None) != (before.twin is None):
        raise LogRefusedError("copy: the new log's tree is not the old one's")
    if after.twin and before.twin and after.twin.checkpoint != before.twin.checkpoint:
        raise LogRefusedError("copy: the new log's twin is not the old one's")
    copy_blobs(source, store)
    return head(after)


def head(state: LogState) -> Mark:
    """Return size and root."""
    return Mark(size=state.size, root=state.tree.checkpoint.root)
