"""Fold leaves, and roots of subtrees that stand for leaves left out, into checkpoints' roots.

One pass over the selected leaves of a log gives the root at every size that somebody signed or a
node stated, so consistency between all of them needs no further proof. Where entries were left
out, the fewest perfect subtrees that cover them stand in, cut at the sizes of checkpoints.

Source: RFC 9162 §2.1; docs/spec/log.md §3.3; docs/spec/audit-pack.md §3.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mifeng.errors import MalformedError
from mifeng.protocol import merkle
from mifeng.protocol.merkle import Digest, HashWorld


def missing(runs: Iterable[tuple[int, int]], cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the gaps between `runs` of leaves [low, high), up to the last cut, split at `cuts`.

    Args:
        runs: ascending and apart.
        cuts: sizes of checkpoints, ascending.
    """
    at, ends = 0, list(cuts)
    size = ends[-1] if ends else 0
    for low, high in (*runs, (size, size)):
        low = min(low, size)  # noqa: PLW2901 - what lies behind the last cut is proved by nothing
        for cut in (*(c for c in ends if at < c < low), low):
            if at < cut:
                yield at, cut
                at = cut
        at = max(at, high)


def gap_nodes(runs: Iterable[tuple[int, int]], cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of every subtree that stands for leaves left out, left to right."""
    for low, high in missing(runs, cuts):
        yield from merkle.cover(low, high)


@dataclass(slots=True)
class Fold:
    """The left part of a tree, as far as it has been read."""

    world: HashWorld
    size: int = 0
    _stack: list[tuple[int, Digest]] = field(default_factory=list)
    """Level and root of the perfect subtrees so far; levels fall."""

    def leaves(self, digests: Sequence[Digest]) -> None:
        """Append leaves."""
        frontier, _ = merkle.extend(
            self.world, tuple(digest for _, digest in self._stack), self.size, digests
        )
        self.size += len(digests)
        bits = [b for b in reversed(range(self.size.bit_length())) if self.size >> b & 1]
        self._stack = list(zip(bits, frontier, strict=True))

    def subtree(self, level: int, digest: Digest) -> None:
        """Append a perfect subtree that stands for 2^level leaves.

        Raises:
            MalformedError: no subtree of that level begins here.
        """
        if self.size & ((1 << level) - 1):
            raise MalformedError(f"tree: no subtree of level {level} begins at {self.size}")
        self.size += 1 << level
        while self._stack and self._stack[-1][0] == level:
            digest = self.world.node_hash(self._stack.pop()[1], digest)
            level += 1
        self._stack.append((level, digest))

    def root(self) -> Digest:
        """Return the root of the tree so far."""
        return merkle.root(self.world, [digest for _, digest in self._stack])
