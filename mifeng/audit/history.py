"""Rebuild the tree of a pack and hold every signed or stated head against it.

Heads are the checkpoints in the pack and what nodes wrote into their receipts: nodes witness the
log too. All of them must be points of the one history that the pack's entries make.

Source: docs/spec/log.md §3, §5; docs/spec/audit-pack.md §3.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mifeng.errors import MalformedError, PeerError
from mifeng.protocol import checkpoint, merkle
from mifeng.protocol.checkpoint import LogPin, SignedCheckpoint
from mifeng.protocol.merkle import SHA256, SM3, Digest, HashWorld

from .container import PackMalformedError
from .facts import Facts
from .findings import Findings
from .logkeys import LogKeysSeen
from .pack import Pack
from .tree import Fold, missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A checkpoint whose signature verified, and where its note lies."""

    signed: SignedCheckpoint
    world: HashWorld
    member: str

    @property
    def size(self) -> int:
        """Leaves it covers."""
        return self.signed.checkpoint.size


def checkpoints(pack: Pack, pin: LogPin, keys: LogKeysSeen, found: Findings) -> list[Seen]:
    """Return the notes that the pinned log, or its twin, signed: SM3 first, by size."""
    seen: list[Seen] = []
    for file in pack.notes():
        if not pack.intact(file.member):
            found.error("member.altered", subject=file.member)
        wanted = pin if file.world == SM3.name else keys.twin
        if wanted is None:
            found.error("checkpoint.twin-unknown", subject=file.member)
            continue
        try:
            signed = checkpoint.verify(file.note, wanted)
        except PeerError as exc:
            found.error("checkpoint.signature", subject=file.member, why=str(exc)[:80])
            continue
        if signed.checkpoint.size != file.size:
            found.error("checkpoint.name", subject=file.member)
        seen.append(Seen(signed=signed, world=wanted.world, member=file.member))
    ours = [each for each in seen if each.world is SM3]
    if not ours:
        found.error("checkpoint.none")
    elif pin.quorum == 0:
        found.note("mark.unwitnessed")
    elif len((newest := max(ours, key=_order)).signed.cosigned) < pin.quorum:
        have = len(newest.signed.cosigned)
        found.error("checkpoint.unwitnessed", subject=newest.member, have=have, need=pin.quorum)
    return sorted(seen, key=lambda each: (each.world is not SM3, each.size))


def _order(seen: Seen) -> tuple[int, int]:
    """By size, then by cosignatures: one checkpoint may be here in several notes."""
    return seen.size, len(seen.signed.cosigned)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Somebody's word that the tree had this root."""

    root: Digest
    member: str
    """Of the checkpoint that says so; empty for a receipt."""
    index: int
    """Of the first receipt that says so; -1 for a checkpoint."""


def check_heads(
    pack: Pack, facts: Facts, runs: list[tuple[int, int]], seen: list[Seen], found: Findings
) -> int:
    """Hold every head against the tree, per hash world; returns how many were compared."""
    compared = 0
    for (index,) in facts.ask("SELECT idx FROM receipts WHERE log_size > idx"):
        found.error("head.ahead", index)
    for world in (SM3, SHA256):
        cuts = sorted({each.size for each in seen if each.world is world})
        if not cuts:
            continue
        claims = _claims(facts, world, [each for each in seen if each.world is world])
        last_good = 0
        walk = _Walk(pack, world, runs, cuts, found)
        for size, root in walk.roots(sorted(claims)):
            for claim in claims[size]:
                compared += 1
                if claim.root == root:
                    last_good = size
                elif claim.member:
                    found.error("tree.root", subject=claim.member, low=last_good, high=size)
                else:
                    found.error("head.other-history", claim.index, size=size)
    return compared


def _claims(facts: Facts, world: HashWorld, signed: list[Seen]) -> dict[int, list[_Claim]]:
    claims: dict[int, list[_Claim]] = {}
    for each in signed:
        claim = _Claim(each.signed.checkpoint.root, each.member, -1)
        claims.setdefault(each.size, []).append(claim)
    if world is SM3:
        query = (
            "SELECT log_size, log_root, min(idx) FROM receipts WHERE log_size <= ?"
            " GROUP BY log_size, log_root"
        )
        for size, root, index in facts.ask(query, max(claims)):
            claims.setdefault(size, []).append(_Claim(Digest(root), "", index))
    return claims


@dataclass(frozen=True, slots=True)
class _Walk:
    """From left to right through the leaves and gaps of one tree."""

    pack: Pack
    world: HashWorld
    runs: list[tuple[int, int]]
    cuts: list[int]
    found: Findings

    def roots(self, sizes: list[int]) -> Iterator[tuple[int, Digest]]:
        """Yield (size, root) for each of `sizes` that entries and gaps of this pack reach."""
        name = f"gaps/{self.world.name}"
        if name in self.pack.manifest.members and not self.pack.intact(name):
            self.found.error("member.altered", subject=name)
        fold, wanted = Fold(self.world), iter(sizes)
        size = next(wanted, None)
        subtrees = iter(self.pack.gaps(self.world.name))
        try:
            for low, high, leaves in self._pieces():
                while size is not None and size <= low:
                    if size == fold.size:
                        yield size, fold.root()
                    size = next(wanted, None)
                if leaves is None:
                    _gap(fold, low, high, subtrees)
                    continue
                at = low
                while size is not None and size <= high:
                    fold.leaves(leaves[at - low : size - low])
                    at = size
                    yield size, fold.root()
                    size = next(wanted, None)
                fold.leaves(leaves[at - low :])
            if size is not None and size == fold.size:
                yield size, fold.root()
            if next(subtrees, None) is not None:
                raise MalformedError("more subtree roots than gaps")
        except MalformedError as exc:
            self.found.error("tree.incomplete", subject=self.world.name, why=str(exc)[:80])

    def _pieces(self) -> Iterator[tuple[int, int, list[Digest] | None]]:
        """Yield gaps (None) and leaves, left to right, as far as the last cut."""
        gaps = missing(self.runs, self.cuts)
        gap = next(gaps, None)
        for low, leaves in _leaves(self.pack, self.world):
            while gap is not None and gap[0] < low:
                yield gap[0], gap[1], None
                gap = next(gaps, None)
            if low < self.cuts[-1]:
                yield low, low + len(leaves), leaves
        while gap is not None:
            yield gap[0], gap[1], None
            gap = next(gaps, None)


def _gap(fold: Fold, low: int, high: int, subtrees: Iterator[Digest]) -> None:
    for level, _ in merkle.cover(low, high):
        digest = next(subtrees, None)
        if digest is None:
            raise MalformedError(f"no subtree roots for entries {low} to {high}")
        fold.subtree(level, digest)


def _leaves(pack: Pack, world: HashWorld) -> Iterable[tuple[int, list[Digest]]]:
    """Yield runs of leaf hashes: of entries as they are, whatever the leaf files say."""
    for number in pack.chunks:
        try:
            records = pack.entries(number)
        except PackMalformedError:  # reported when the chunk was read
            continue
        hashes = world.leaf_hashes(data for _, data in records)
        start = 0
        for at in range(1, len(records) + 1):
            if at == len(records) or records[at][0] != records[at - 1][0] + 1:
                yield records[start][0], hashes[start:at]
                start = at
