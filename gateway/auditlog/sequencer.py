"""Decide what an append would write. Pure: the writer and a store carry the plan out.

Plan, then commit: every hash is computed before anything is written, and the write names the
state it extends. A state holds O(log n) digests and the unfinished tiles, not the entries.

Source: RFC 9162 §2.1; c2sp.org/tlog-tiles (tiles of height 8); docs/spec/log.md §9.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mifeng.protocol import merkle
from mifeng.protocol.checkpoint import Checkpoint
from mifeng.protocol.merkle import Digest, Frontier, HashWorld, Node

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeState:
    """One tree, as much of it as extending needs."""

    world: HashWorld
    origin: str
    size: int
    frontier: Frontier
    edges: tuple[tuple[Digest, ...], ...]
    """Unfinished tile per tile level: its 0 … 255 hashes."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that describes this tree."""
        root = merkle.root(self.world, self.frontier)
        return Checkpoint(origin=self.origin, size=self.size, root=root)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """The log's tree, and its SHA-256 twin over the same entries where there is one."""

    tree: TreeState
    twin: TreeState | None

    @property
    def size(self) -> int:
        """Entries in the log."""
        return self.tree.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A finished tile: 256 hashes of tree level `8 · level`."""

    world: str
    level: int
    index: int
    hashes: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What one tree gains by an append."""

    after: TreeState
    leaves: tuple[Digest, ...]
    nodes: tuple[Node, ...]
    """Every perfect subtree above the leaves that was completed."""
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendPlan:
    """One atomic step of the log."""

    replaces: LogState
    """What the store must still hold, or the append is refused."""
    entries: tuple[bytes, ...]
    tree: Growth
    twin: Growth | None

    @property
    def after(self) -> LogState:
        """The log once this is done."""
        return LogState(tree=self.tree.after, twin=self.twin.after if self.twin else None)


def empty(origin: str, world: HashWorld) -> TreeState:
    """Return the tree without leaves."""
    return TreeState(world=world, origin=origin, size=0, frontier=(), edges=())


def plan_append(state: LogState, entries: Sequence[bytes]) -> AppendPlan:
    """Return the step that adds `entries`, in order, after everything in `state`."""
    return AppendPlan(
        replaces=state,
        entries=tuple(entries),
        tree=grow(state.tree, entries),
        twin=grow(state.twin, entries) if state.twin else None,
    )


def grow(tree: TreeState, entries: Sequence[bytes]) -> Growth:
    """Return what `tree` gains by `entries`."""
    leaves = tree.world.leaf_hashes(entries)
    frontier, nodes = merkle.extend(tree.world, tree.frontier, tree.size, leaves)
    size = tree.size + len(leaves)
    edges, tiles = _grow_tiles(tree, leaves, nodes)
    after = TreeState(
        world=tree.world, origin=tree.origin, size=size, frontier=frontier, edges=edges
    )
    return Growth(after=after, leaves=tuple(leaves), nodes=tuple(nodes), tiles=tuple(tiles))


def _grow_tiles(
    tree: TreeState, leaves: Sequence[Digest], nodes: Sequence[Node]
) -> tuple[tuple[tuple[Digest, ...], ...], list[Tile]]:
    new: dict[int, list[Digest]] = {0: list(leaves)}
    for node in nodes:
        if node.level % TILE_HEIGHT == 0:
            new.setdefault(node.level // TILE_HEIGHT, []).append(node.digest)
    edges: list[tuple[Digest, ...]] = []
    tiles: list[Tile] = []
    for level in range(max(len(tree.edges), len(new))):
        before = tree.edges[level] if level < len(tree.edges) else ()
        row = (*before, *new.get(level, ()))
        first = tree.size >> (TILE_HEIGHT * (level + 1))
        full = len(row) // TILE_WIDTH
        for i in range(full):
            hashes = b"".join(row[i * TILE_WIDTH : (i + 1) * TILE_WIDTH])
            tiles.append(Tile(world=tree.world.name, level=level, index=first + i, hashes=hashes))
        edges.append(tuple(row[full * TILE_WIDTH :]))
    return tuple(edges), tiles


def state_from_edges(
    origin: str, world: HashWorld, size: int, edges: Sequence[Sequence[Digest]]
) -> TreeState:
    """Return the state of a stored tree from its unfinished tiles.

    Args:
        origin: the tree's origin line.
        world: its hash.
        size: its leaves.
        edges: the unfinished tile of each level, as `TreeState.edges`.
    """
    frontier: list[Digest] = []
    for row in reversed(edges):
        at = 0
        for level in reversed(range(TILE_HEIGHT)):
            if len(row) >> level & 1:
                part, _ = merkle.extend(world, (), 0, row[at : at + (1 << level)])
                frontier += part
                at += 1 << level
    return TreeState(
        world=world,
        origin=origin,
        size=size,
        frontier=tuple(frontier),
        edges=tuple(tuple(row) for row in edges),
    )
