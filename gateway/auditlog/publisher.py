"""Publish a log: tiles, entry bundles and blobs first, then the checkpoint that covers them.

Everything but the checkpoint is immutable. What is published may lag behind the log, never
contradict it: a place that holds another history, or a later one, is refused and left alone.
The SHA-256 twin is a log of its own below `sha256/`.

Source: c2sp.org/tlog-tiles; docs/spec/log.md §11.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mifeng.errors import MifengError
from mifeng.protocol import checkpoint

from .errors import PublishConflictError
from .sequencer import TILE_WIDTH, TreeState
from .store import LogStore, StoreError
from .target import Target
from .tiles import CHECKPOINT, TilePlace, between, bundle
from .views import Published, TreeView

TWIN_PREFIX: Final = "sha256/"
BLOBS: Final = "blob/"


def blob_path(digest: bytes) -> str:
    """Return where a blob stands."""
    return f"{BLOBS}{digest.hex()[:2]}/{digest.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What the target shows of one tree."""

    size: int
    version: str | None


class Publisher:
    """Writes what views have published to one target."""

    def __init__(self, target: Target, store: LogStore, views: Mapping[str, TreeView]) -> None:
        """Prepare to publish; nothing is sent yet.

        Args:
            target: where to.
            store: holds entries, tiles and blobs.
            views: the trees, by path prefix.
        """
        self._target, self._store, self._views = target, store, dict(views)
        self._shown: dict[str, _Shown] = {}
        self._blob = 0
        self._held: set[str] | None = None
        self._lock = threading.Lock()

    def publish(self) -> None:
        """Bring the target up to the views' checkpoints; nothing if another gateway does.

        Raises:
            PublishError: the target cannot be reached; call again.
            PublishConflictError: it shows another history.
            StoreError: the store cannot be read.
        """
        with self._lock:
            if not self._store.may_publish():
                self._shown.clear()
                self._blob, self._held = 0, None
                return
            shown = {prefix: view.shown for prefix, view in self._views.items()}
            self._publish_blobs()
            for prefix, published in shown.items():
                if published is not None:
                    self._publish_tree(prefix, published)

    def _publish_blobs(self) -> None:
        if self._held is None:
            self._held = set(self._target.names(BLOBS))
        while numbered := self._store.blobs(self._blob):
            for number, digest in numbered:
                path = blob_path(digest)
                if path not in self._held:
                    data = self._store.blob(digest)
                    if data is None:
                        raise StoreError(f"blob {digest.hex()} is missing")
                    self._target.put_new(path, data)
                    self._held.add(path)
                self._blob = number

    def _publish_tree(self, prefix: str, now: Published) -> None:
        before = self._shown.get(prefix) or self._read(prefix, now)
        if before.version is not None and before.size == now.tree.size:
            self._shown[prefix] = before
            return
        places = list(between(before.size, now.tree.size))
        for place in places:
            self._target.put_new(prefix + place.path, self._content(place, now.tree))
        self._shown.pop(prefix, None)
        version = self._target.swap(prefix + CHECKPOINT, before.version, now.note)
        self._shown[prefix] = _Shown(size=now.tree.size, version=version)
        for place in places:
            if place.width == TILE_WIDTH:
                self._drop_partials(prefix, place)

    def _read(self, prefix: str, now: Published) -> _Shown:
        """Return what is published, once it is certain that it is a part of this log."""
        found = self._target.read(prefix + CHECKPOINT)
        if found is None:
            return _Shown(size=0, version=None)
        view = self._views[prefix]
        try:
            claim = checkpoint.verify(found.data, view.pin).checkpoint
        except MifengError as exc:
            raise PublishConflictError(f"{prefix}{CHECKPOINT} is not this log's: {exc}") from exc
        if claim.size > now.tree.size:
            raise PublishConflictError(
                f"{claim.size} entries are published, the log has {now.tree.size}: rolled back"
            )
        if view.root(now.tree, claim.size) != claim.root:
            raise PublishConflictError(f"another history is published, of {claim.size} entries")
        return _Shown(size=claim.size, version=found.version)

    def _content(self, place: TilePlace, tree: TreeState) -> bytes:
        low = place.index * TILE_WIDTH
        if place.level is None:
            entries = self._store.entries(low, low + place.width)
            if len(entries) != place.width:
                raise StoreError(f"entries {low} to {low + place.width} are not all there")
            return bundle(entries)
        if place.width < TILE_WIDTH:
            return b"".join(tree.edges[place.level])
        tile = self._store.tile(tree.world.name, place.level, place.index)
        if tile is None:
            raise StoreError(f"tile {place.level}/{place.index} is missing")
        return tile

    def _drop_partials(self, prefix: str, place: TilePlace) -> None:
        """Remove the partial forms of a tile that is full and covered by the checkpoint."""
        for name in list(self._target.names(prefix + place.partials)):
            self._target.remove(name)
