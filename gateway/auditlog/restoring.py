"""Rebuild a log from what it published, after its database is gone.

What comes back is the log up to the published checkpoint. If the guard has seen more, those
entries are lost and going on would fork the log: refused. A new log, with another origin, is
then the honest way.

Source: docs/spec/log.md §11.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from mifeng.crypto import sm3
from mifeng.errors import MifengError
from mifeng.protocol import checkpoint
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import Sm2NoteSigner

from .config import LogConfig, create_guard, create_store, open_guard, open_store
from .copying import GROUP, head, put_blob, replay
from .errors import LogRefusedError
from .guard import Guard, Mark
from .keys import LogKeys
from .publisher import BLOBS, blob_path
from .sequencer import TILE_WIDTH
from .target import Target
from .tiles import CHECKPOINT, TilePlace, unbundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What came back."""

    head: Mark
    blobs: int


def log_pin(origin: str, keys: LogKeys) -> LogPin:
    """Return what pins the log of the operator's own keys."""
    signers = [key for key in (keys.signer, keys.previous) if key]
    names = tuple(Sm2NoteSigner(origin, key).key for key in signers)
    return LogPin(origin=origin, world=SM3, keys=names, witnesses=(), quorum=0)


def published_head(target: Target, pin: LogPin) -> Mark:
    """Return the size and root of the published checkpoint.

    Raises:
        LogRefusedError: there is none, or it is not of this log.
        PublishError: the target cannot be read.
    """
    found = target.read(CHECKPOINT)
    if found is None:
        raise LogRefusedError("restore: no checkpoint is published there")
    try:
        claim = checkpoint.verify(found.data, pin).checkpoint
    except MifengError as exc:
        raise LogRefusedError(f"restore: the published checkpoint: {exc}") from exc
    return Mark(size=claim.size, root=claim.root)


def published_entries(target: Target, size: int) -> Iterator[list[bytes]]:
    """Yield the first `size` entries, in groups, as they are published; not yet verified.

    Raises:
        LogRefusedError: a bundle is missing.
        MalformedError: one is damaged.
        PublishError: the target cannot be read.
    """
    group: list[bytes] = []
    for low in range(0, size, TILE_WIDTH):
        place = TilePlace(level=None, index=low // TILE_WIDTH, width=min(TILE_WIDTH, size - low))
        found = target.read(place.path)
        if found is None:
            raise LogRefusedError(f"restore: {place.path} is not published (any more)")
        group += unbundle(found.data, place.width)
        if len(group) >= GROUP:
            yield group
            group = []
    if group:
        yield group


def restore(target: Target, config: LogConfig, keys: LogKeys) -> Restored:
    """Make the log's store anew from what is published, and check it against the guard.

    An operator's act. The guard is made only if there is none: whoever removed it vouches that
    nothing newer was acknowledged.

    Raises:
        LogRefusedError: the store exists; what is published is not this log, is incomplete, or
            is older than what the guard has seen.
        PublishError, StoreError: not all could be read or written; remove the new store, retry.
    """
    claim = published_head(target, log_pin(config.origin, keys))
    guard = _guard(config, claim)
    try:
        mark = guard.read()
        if mark.size > claim.size:
            raise LogRefusedError(
                f"restore: {claim.size} entries are published, the guard has seen {mark.size}:"
                f" {mark.size - claim.size} are lost; begin a log with another origin"
            )
        create_store(config)
        store = open_store(config)
        try:
            state = replay(published_entries(target, claim.size), store, holders={})
            if head(state) != claim:
                raise LogRefusedError("restore: the entries are not those of the checkpoint")
            blobs = 0
            for path in target.names(BLOBS):
                found = target.read(path)
                if found is None or blob_path(digest := sm3(found.data)) != path:
                    raise LogRefusedError(f"restore: {path} is missing or damaged")
                put_blob(store, state, digest, found.data)
                blobs += 1
        finally:
            store.close()
    finally:
        guard.close()
    return Restored(head=claim, blobs=blobs)


def _guard(config: LogConfig, claim: Mark) -> Guard:
    try:
        return open_guard(config)
    except LogRefusedError:
        return create_guard(config, claim)
