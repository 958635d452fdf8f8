"""Set two packs side by side: what only one has, and whether they can be of one history.

Two packs of one log, taken at different times or by different people, must agree wherever both
speak. Where they do not, one of the two was changed, or the log shows two histories.

Source: docs/auditing.md.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mifeng.errors import MalformedError
from mifeng.protocol import note
from mifeng.protocol.checkpoint import Checkpoint
from mifeng.protocol.merkle import DIGEST_BYTES, SM3

from .pack import Pack

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHOWN = 32


@dataclass(slots=True, kw_only=True)
class Difference:
    """How two packs differ. Indexes are the first few; counts are exact."""

    same_log: bool
    only_left: int = 0
    only_right: int = 0
    common: int = 0
    differing: int = 0
    first_differing: list[int] = field(default_factory=list)
    heads: list[tuple[int, str]] = field(default_factory=list)
    """Sizes and worlds at which both have a checkpoint, with different roots."""
    documents: tuple[int, int] = (0, 0)
    """Documents that only the left, only the right has."""

    @property
    def contradictory(self) -> bool:
        """Whether the two cannot both be right."""
        return not self.same_log or bool(self.differing or self.heads)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "contradictory": self.contradictory,
            "same_log": self.same_log,
            "common": self.common,
            "only_left": self.only_left,
            "only_right": self.only_right,
            "differing": self.differing,
            "first_differing": self.first_differing,
            "heads": [{"size": size, "world": world} for size, world in self.heads],
            "documents_only_left": self.documents[0],
            "documents_only_right": self.documents[1],
        }


def compare(left: Path, right: Path) -> Difference:
    """Compare two packs entry by entry; neither is verified here.

    Raises:
        PackMalformedError: one of them is not a pack.
        UsageError: one cannot be read.
    """
    with Pack(left) as a, Pack(right) as b:
        found = Difference(same_log=a.manifest.origin == b.manifest.origin)
        for number in sorted({*a.chunks, *b.chunks}):
            _chunk(found, _leaves(a, number), _leaves(b, number))
        ours, theirs = _heads(a), _heads(b)
        found.heads = sorted(k for k in ours.keys() & theirs if not ours[k] & theirs[k])
        have, has = set(a.blobs), set(b.blobs)
        found.documents = (len(have - has), len(has - have))
        return found


def _leaves(pack: Pack, number: int) -> dict[int, bytes]:
    if number not in pack.chunks:
        return {}
    records = pack.entries(number)
    digests: Iterator[bytes] = iter(SM3.leaf_hashes(data for _, data in records))
    return {index: next(digests) for index, _ in records}


def _chunk(found: Difference, left: dict[int, bytes], right: dict[int, bytes]) -> None:
    common = left.keys() & right.keys()
    found.common += len(common)
    found.only_left += len(left) - len(common)
    found.only_right += len(right) - len(common)
    if left != right:
        bad = sorted(index for index in common if left[index] != right[index])
        found.differing += len(bad)
        found.first_differing += bad[: _SHOWN - len(found.first_differing)]


def _heads(pack: Pack) -> dict[tuple[int, str], set[bytes]]:
    heads: dict[tuple[int, str], set[bytes]] = {}
    for file in pack.notes():
        try:
            claim = Checkpoint.decode(note.parse(file.note).text)
        except MalformedError:
            continue
        heads.setdefault((claim.size, file.world), set()).add(claim.root[:DIGEST_BYTES])
    return heads
