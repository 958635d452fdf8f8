"""Planning an append: the same tree however it is cut into groups."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auditlog.sequencer import (
    TILE_WIDTH,
    LogState,
    TreeState,
    empty,
    grow,
    plan_append,
    state_from_edges,
)
from mifeng.protocol import merkle
from mifeng.protocol.merkle import SHA256, SM3
from tests.unit.auditlog.harness import mth

ORIGIN = "log.example"
START = LogState(tree=empty(ORIGIN, SM3), twin=empty(ORIGIN + "/sha256", SHA256))


def entries(count: int) -> list[bytes]:
    """Return numbered entries."""
    return [b"entry %d" % i for i in range(count)]


@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 700), max_size=4))
def test_groups_make_the_tree_that_single_appends_make(cuts: list[int]) -> None:
    """Roots, unfinished tiles and finished tiles do not depend on the grouping."""
    everything = entries(700)
    state, tiles = START, {}
    bounds = [0, *sorted(cuts), 700]
    for low, high in itertools.pairwise(bounds):
        plan = plan_append(state, everything[low:high])
        assert plan.replaces == state
        state = plan.after
        tiles |= {(t.level, t.index): t.hashes for t in plan.tree.tiles}
    assert state.size == 700
    assert state.tree.checkpoint.root == mth(everything)
    assert state.twin is not None
    assert state.twin.checkpoint.root == mth(everything, twin=True)
    assert sorted(tiles) == [(0, 0), (0, 1)]
    leaves = SM3.leaf_hashes(everything)
    assert tiles[0, 1] == b"".join(leaves[256:512])
    assert state.tree.edges[0] == tuple(leaves[512:])
    assert state.tree.edges[1] == tuple(
        merkle.extend(SM3, (), 0, leaves[low : low + 256])[0][0] for low in (0, 256)
    )


def test_tiles_rise_through_levels() -> None:
    """After 256 tiles of leaves, one tile of their roots is finished."""
    tree = empty(ORIGIN, SHA256)
    tiles = []
    for _ in range(3):
        growth = grow(tree, entries(TILE_WIDTH * 100))
        tree, tiles = growth.after, tiles + list(growth.tiles)
    assert tree.size == 300 * TILE_WIDTH
    assert [(t.level, t.index) for t in tiles if t.level] == [(1, 0)]
    assert len(tiles) == 301
    assert [len(row) for row in tree.edges] == [0, 44, 1]
    assert all(len(t.hashes) == TILE_WIDTH * 32 for t in tiles)


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 700])
def test_a_state_is_restored_from_its_unfinished_tiles(size: int) -> None:
    """What is read back after a restart is what was there before."""
    grown = grow(empty(ORIGIN, SM3), entries(size)).after
    restored = state_from_edges(ORIGIN, SM3, size, grown.edges)
    assert restored.frontier == grown.frontier
    assert restored.checkpoint == grown.checkpoint


def test_a_log_without_a_twin_grows_without_one() -> None:
    """The twin is optional and its absence is kept."""
    plan = plan_append(LogState(tree=empty(ORIGIN, SM3), twin=None), entries(3))
    assert plan.twin is None
    assert plan.after.twin is None
    assert isinstance(plan.after.tree, TreeState)


def test_an_empty_plan_changes_nothing() -> None:
    """Writing only blobs leaves the tree as it is."""
    assert plan_append(START, []).after.tree.checkpoint == START.tree.checkpoint
