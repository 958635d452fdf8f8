"""Read subtree hashes of a log, for proofs.

New nodes come from the writer and stay in memory for a while; older ones are computed from
finished tiles. Everything is asked against one immutable state, so that a proof is of one tree
even while the log grows.

Source: RFC 9162 §2.1; docs/spec/log.md §9.
"""

from collections.abc import Iterable
from typing import Final

from mifeng.protocol import merkle
from mifeng.protocol.merkle import DIGEST_BYTES, Digest, GetHash, HashWorld, Node

from .errors import LogRefusedError
from .sequencer import TILE_HEIGHT, TILE_WIDTH, Growth, TreeState
from .store import LogStore

_GENERATION: Final = 1 << 16
"""Hashes per generation of the cache, of which there are two: about 20 MiB at most."""


class Hashes:
    """A reader of the hashes of one tree, with a cache. Safe to use from several threads."""

    def __init__(self, store: LogStore, world: HashWorld) -> None:
        self._store, self._world = store, world
        self._young: dict[tuple[int, int], Digest] = {}
        self._old: dict[tuple[int, int], Digest] = {}

    def grown(self, growth: Growth) -> None:
        """Remember what an append computed."""
        first = growth.after.size - len(growth.leaves)
        self._keep(Node(0, first + i, leaf) for i, leaf in enumerate(growth.leaves))
        self._keep(growth.nodes)

    def reader(self, tree: TreeState) -> GetHash:
        """Return a reader of the perfect subtrees inside `tree`."""

        def get(level: int, index: int) -> Digest:
            place = (level, index)
            found = self._young.get(place) or self._old.get(place)
            return found or self._load(tree, level, index)

        return get

    def cached(self) -> GetHash:
        """Return a reader that never touches the store; raises `KeyError` for what is not here."""

        def get(level: int, index: int) -> Digest:
            place = (level, index)
            return self._young.get(place) or self._old[place]

        return get

    def root(self, tree: TreeState, size: int) -> Digest:
        """Return the root that `tree` had at `size` leaves."""
        return merkle.root_at(self._world, self.reader(tree), size)

    def _load(self, tree: TreeState, level: int, index: int) -> Digest:
        tile_level, rise = divmod(level, TILE_HEIGHT)
        tile = index << rise >> TILE_HEIGHT
        if tile == tree.size >> TILE_HEIGHT * (tile_level + 1):
            row = tree.edges[tile_level]
        else:
            row = self._tile(tile_level, tile)
        base = TILE_HEIGHT * tile_level
        nodes = {(base, tile * TILE_WIDTH + i): digest for i, digest in enumerate(row)}
        for node in merkle.extend(self._world, (), 0, row)[1]:
            place = (base + node.level, (tile * TILE_WIDTH >> node.level) + node.index)
            nodes[place] = node.digest
        self._keep(Node(*place, digest) for place, digest in nodes.items())
        return nodes[level, index]

    def _tile(self, level: int, index: int) -> tuple[Digest, ...]:
        raw = self._store.tile(self._world.name, level, index)
        if raw is None or len(raw) != TILE_WIDTH * DIGEST_BYTES:
            raise LogRefusedError(f"tile {level}/{index} is missing or damaged")
        return tuple(Digest(raw[i : i + DIGEST_BYTES]) for i in range(0, len(raw), DIGEST_BYTES))

    def _keep(self, nodes: Iterable[Node]) -> None:
        young = self._young
        for node in nodes:
            young[node.level, node.index] = node.digest
        if len(young) > _GENERATION:
            self._old, self._young = young, {}
