"""Merkle trees over log entries: hashing, appending, proving and checking.

Proofs are made from a reader of stored subtree hashes and checked from bytes alone. Checks
return the root that a proof implies; the caller compares it with a signed one, so nobody can
forget to look. Two hash worlds: SM3 is the log, SHA-256 its twin for public tools.

Source: RFC 9162 §2.1, whose names fn, sn, fr, sr are kept; docs/spec/log.md §3.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, NewType, final

from mifeng.crypto import sm3, sm3_many
from mifeng.errors import MalformedError

DIGEST_BYTES: Final = 32
MAX_SIZE: Final = 2**53
"""Leaves in the largest tree we name: indexes stay exact in canonical JSON."""

Digest = NewType("Digest", bytes)
Frontier = tuple[Digest, ...]
"""Roots of the perfect subtrees that make up a tree, largest first; one per set bit of its size."""

GetHash = Callable[[int, int], Digest]
"""`get(level, index)`: root over the 2^level leaves from index·2^level on."""


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _sha256_many(items: Sequence[bytes]) -> list[bytes]:
    return [hashlib.sha256(item).digest() for item in items]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HashWorld:
    """A hash function and the two ways a tree uses it (RFC 9162 §2.1.1)."""

    name: str
    digest: Callable[[bytes], bytes]
    digest_many: Callable[[Sequence[bytes]], list[bytes]]
    """Several digests at once: what the native core computes in parallel lanes."""

    def leaf_hash(self, entry: bytes) -> Digest:
        """Hash a log entry. The 0x00 prefix keeps leaves and nodes apart."""
        return Digest(self.digest(b"\x00" + entry))

    def node_hash(self, left: Digest, right: Digest) -> Digest:
        """Hash two children into their parent."""
        return Digest(self.digest(b"\x01" + left + right))

    def leaf_hashes(self, entries: Iterable[bytes]) -> list[Digest]:
        """Hash many entries."""
        return [Digest(d) for d in self.digest_many([b"\x00" + entry for entry in entries])]

    def parents(self, nodes: Sequence[Digest]) -> list[Digest]:
        """Hash neighbours pairwise; `nodes` has an even length."""
        pairs = zip(nodes[::2], nodes[1::2], strict=True)
        return [Digest(d) for d in self.digest_many([b"\x01" + a + b for a, b in pairs])]

    @property
    def empty_root(self) -> Digest:
        """Root of the tree without leaves: the hash of nothing."""
        return Digest(self.digest(b""))


SM3: Final = HashWorld(name="sm3", digest=sm3, digest_many=sm3_many)
SHA256: Final = HashWorld(name="sha256", digest=_sha256, digest_many=_sha256_many)
WORLDS: Final = {world.name: world for world in (SM3, SHA256)}


@dataclass(frozen=True, slots=True)
class Node:
    """A perfect subtree and where it stands."""

    level: int
    index: int
    digest: Digest


class ConsistencyRoots(NamedTuple):
    """What a consistency proof implies about both trees."""

    old: Digest
    new: Digest


def push(world: HashWorld, frontier: Frontier, size: int, leaf: Digest) -> Frontier:
    """Append one leaf to a tree of `size` leaves and return the new frontier."""
    stack = [*frontier, leaf]
    while size & 1:
        right, left = stack.pop(), stack.pop()
        stack.append(world.node_hash(left, right))
        size >>= 1
    return tuple(stack)


def extend(
    world: HashWorld, frontier: Frontier, size: int, leaves: Sequence[Digest]
) -> tuple[Frontier, list[Node]]:
    """Append many leaves, level by level, so that hashing can run in parallel lanes.

    Returns: the new frontier, and every perfect subtree above the leaves that this completed.
    """
    by_level = dict(zip(_levels(size), frontier, strict=True))
    done: list[Node] = []
    level, start, row = 0, size, list(leaves)
    while row:
        if start & 1:
            row.insert(0, by_level.pop(level))
            start -= 1
        if len(row) & 1:
            by_level[level] = row.pop()
        row, start, level = world.parents(row), start >> 1, level + 1
        done += (Node(level, start + i, digest) for i, digest in enumerate(row))
    return tuple(by_level[b] for b in sorted(by_level, reverse=True)), done


def root(world: HashWorld, frontier: Sequence[Digest]) -> Digest:
    """Fold a frontier into the root of the whole tree."""
    if not frontier:
        return world.empty_root
    *rest, result = frontier
    for left in reversed(rest):
        result = world.node_hash(left, result)
    return result


def cover(low: int, high: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of the fewest perfect subtrees that make up leaves [low, high)."""
    while low < high:
        level = (high - low).bit_length() - 1
        if low:
            level = min(level, (low & -low).bit_length() - 1)
        yield level, low >> level
        low += 1 << level


def _subtree(world: HashWorld, get: GetHash, low: int, high: int) -> Digest:
    return root(world, [get(level, index) for level, index in cover(low, high)])


def _split(low: int, high: int) -> int:
    """Return where RFC 9162 §2.1.1 splits [low, high): the largest power of two that fits."""
    return low + (1 << ((high - low - 1).bit_length() - 1))


def root_at(world: HashWorld, get: GetHash, size: int) -> Digest:
    """Return the root the tree had at `size` leaves."""
    return _subtree(world, get, 0, size)


def inclusion_path(world: HashWorld, get: GetHash, *, index: int, size: int) -> list[Digest]:
    """Return PATH(index, D_size), sibling digests from leaf to root.

    Args:
        world: the tree's hash.
        get: reader of stored subtree hashes; called only for perfect subtrees inside `size`.
        index: 0-based leaf, below `size`.
        size: leaves of the tree the proof is for; not above what is stored.

    Source: RFC 9162 §2.1.3.1.
    """
    low, high = 0, size
    path: list[Digest] = []
    while high - low > 1:
        k = _split(low, high)
        if index < k:
            path.append(_subtree(world, get, k, high))
            high = k
        else:
            path.append(_subtree(world, get, low, k))
            low = k
    path.reverse()
    return path


def consistency_path(world: HashWorld, get: GetHash, *, old: int, new: int) -> list[Digest]:
    """Return PROOF(old, D_new); empty when `old` is 0 or equals `new`.

    Source: RFC 9162 §2.1.4.1; c2sp.org/tlog-witness for size 0.
    """
    if old in (0, new):
        return []
    low, high = 0, new
    path: list[Digest] = []
    while old != high:
        k = _split(low, high)
        if old <= k:
            path.append(_subtree(world, get, k, high))
            high = k
        else:
            path.append(_subtree(world, get, low, k))
            low = k
    if low:
        path.append(_subtree(world, get, low, high))
    path.reverse()
    return path


def root_from_inclusion(
    world: HashWorld, leaf: Digest, *, index: int, size: int, path: Sequence[Digest]
) -> Digest:
    """Return the root that `path` implies; the caller compares it with a signed one.

    Args:
        world: the tree's hash.
        leaf: hash of the entry.
        index: 0-based position of the leaf, below `size`.
        size: number of leaves in the tree, at least 1.
        path: sibling digests from leaf to root.

    Raises:
        MalformedError: no tree of `size` has a path of this length to `index`.

    Source: RFC 9162 §2.1.3.2.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise MalformedError(f"inclusion: leaf {index} of a tree of {size}")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            raise MalformedError("inclusion: path too long")
        if fn & 1 or fn == sn:
            r = world.node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = world.node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise MalformedError("inclusion: path too short")
    return r


def roots_from_consistency(
    world: HashWorld, *, old: int, new: int, old_root: Digest, path: Sequence[Digest]
) -> ConsistencyRoots:
    """Return the roots of both trees that `path` implies; the caller compares *both*.

    Args:
        world: the trees' hash.
        old: leaves of the older tree, at least 1.
        new: leaves of the newer tree, more than `old`. (Equal sizes have equal roots, and size 0
            implies nothing: neither has a path to check. See `checkpoint.check_consistent`.)
        old_root: the older root, which RFC 9162 leaves out of the path when `old` is a power
            of two.
        path: digests of the proof.

    Raises:
        MalformedError: no two trees of these sizes have a proof of this length.

    Source: RFC 9162 §2.1.4.2.
    """
    if not 0 < old < new <= MAX_SIZE:
        raise MalformedError(f"consistency: from {old} to {new}")
    if not path:
        raise MalformedError("consistency: path too short")
    first, *rest = path if old & (old - 1) else (old_root, *path)
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = first
    for c in rest:
        if sn == 0:
            raise MalformedError("consistency: path too long")
        if fn & 1 or fn == sn:
            fr, sr = world.node_hash(c, fr), world.node_hash(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = world.node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise MalformedError("consistency: path too short")
    return ConsistencyRoots(fr, sr)


def range_path(get: GetHash, *, low: int, high: int, size: int) -> list[Digest]:
    """Return what proves leaves [low, high) against a tree of `size`: the subtrees beside them.

    First those that cover [0, low), then those that cover [high, size), each left to right.
    Source: docs/spec/log.md §3.3.
    """
    return [get(*node) for node in (*cover(0, low), *cover(high, size))]


def root_from_range(
    world: HashWorld, leaves: Sequence[Digest], *, low: int, size: int, path: Sequence[Digest]
) -> Digest:
    """Return the root that consecutive `leaves` starting at `low`, and `path`, imply.

    Raises:
        MalformedError: no tree of `size` holds this range with a path of this length.
    """
    high = low + len(leaves)
    if not 0 <= low < high <= size <= MAX_SIZE:
        raise MalformedError(f"range: leaves {low} to {high} of a tree of {size}")
    left, right = list(cover(0, low)), list(cover(high, size))
    if len(path) != len(left) + len(right):
        raise MalformedError("range: path of another length")
    frontier, _ = extend(world, tuple(path[: len(left)]), low, leaves)
    stack = list(zip(_levels(high), frontier, strict=True))
    for (level, _), digest in zip(right, path[len(left) :], strict=True):
        at, node = level, digest
        while stack and stack[-1][0] == at:
            at, node = at + 1, world.node_hash(stack.pop()[1], node)
        stack.append((at, node))
    return root(world, [digest for _, digest in stack])


def _levels(size: int) -> list[int]:
    """Return the set bits of `size`, highest first: the levels of its frontier."""
    return [b for b in reversed(range(size.bit_length())) if size >> b & 1]
