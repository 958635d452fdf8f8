"""Read a tree's state back from a store: from its finished tiles and its last entries.

Source: docs/spec/log.md §9.
"""

from mifeng.protocol import merkle
from mifeng.protocol.merkle import DIGEST_BYTES, Digest, HashWorld

from . import sequencer
from .errors import LogRefusedError
from .sequencer import TILE_WIDTH, TreeState
from .store import LogStore


def load_tree(store: LogStore, origin: str, world: HashWorld, size: int) -> TreeState:
    """Return the state of one tree of `size` entries.

    Raises:
        StoreError: it cannot be read.
        LogRefusedError: entries or tiles that the state depends on are missing.
    """
    edges: list[list[Digest]] = []
    low = size // TILE_WIDTH * TILE_WIDTH
    tail = store.entries(low, size)
    if len(tail) != size - low:
        raise LogRefusedError(f"log {origin}: entries are missing near {size}")
    edges.append(world.leaf_hashes(tail))
    below, level = size // TILE_WIDTH, 1
    while below:
        first = below // TILE_WIDTH * TILE_WIDTH
        edges.append([_tile_root(store, world, level - 1, i) for i in range(first, below)])
        below, level = below // TILE_WIDTH, level + 1
    return sequencer.state_from_edges(origin, world, size, edges)


def _tile_root(store: LogStore, world: HashWorld, level: int, index: int) -> Digest:
    raw = store.tile(world.name, level, index)
    if raw is None:
        raise LogRefusedError(f"log: tile {level}/{index} is missing")
    hashes = [Digest(raw[i : i + DIGEST_BYTES]) for i in range(0, len(raw), DIGEST_BYTES)]
    return merkle.extend(world, (), 0, hashes)[0][0]
