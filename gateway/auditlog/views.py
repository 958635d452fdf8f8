"""One tree of the log as outsiders see it: the checkpoint that is shown, and proofs under it.

The SM3 tree and its SHA-256 twin are two views of the same entries. Which checkpoint is shown, and
when, is `showing`'s business: a log with witnesses shows none before they have cosigned it.

Source: docs/spec/log.md §5, §6.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mifeng.protocol import checkpoint, merkle
from mifeng.protocol.checkpoint import Checkpoint, LogPin
from mifeng.protocol.merkle import Digest, GetHash
from mifeng.protocol.note import NoteSigner
from mifeng.protocol.proof import ConsistencyProof, InclusionProof

from . import failpoints
from .errors import LogUnwitnessedError, NotInLogError
from .failpoints import Failpoints
from .hashes import Hashes
from .sequencer import TreeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A signed checkpoint and the tree it is of."""

    note: bytes
    tree: TreeState

    @property
    def checkpoint(self) -> Checkpoint:
        """What the note says."""
        return self.tree.checkpoint


class TreeView:
    """Signs checkpoints of one tree, shows the newest one, proves under it."""

    def __init__(
        self, hashes: Hashes, signers: Sequence[NoteSigner], first: TreeState, points: Failpoints
    ) -> None:
        self._hashes, self._signers, self._points = hashes, tuple(signers), points
        self._first = first
        self.shown: Published | None = None
        """The newest checkpoint that outsiders may see; None before the first."""

    @property
    def published(self) -> Published:
        """The newest checkpoint that is shown.

        Raises:
            LogUnwitnessedError: none has been cosigned yet.
        """
        if self.shown is None:
            raise LogUnwitnessedError(f"{self._first.origin}: no checkpoint is witnessed yet")
        return self.shown

    @property
    def pin(self) -> LogPin:
        """What a verifier pins to believe this view; without witnesses."""
        return LogPin(
            origin=self._first.origin,
            world=self._first.world,
            keys=tuple(signer.key for signer in self._signers),
            witnesses=(),
            quorum=0,
        )

    def root(self, tree: TreeState, size: int) -> Digest:
        """Return the root that `tree` had at `size`; may read the store."""
        return self._hashes.root(tree, size)

    def show(self, new: Published) -> Published:
        """Let outsiders see a checkpoint, unless they see a later one; return what they see."""
        if self.shown is None or new.tree.size > self.shown.tree.size:
            self.shown = new
        return self.shown

    def sign(self, tree: TreeState) -> Published:
        """Return a signed checkpoint of `tree`, which is durable. Nobody sees it yet."""
        note = checkpoint.sign(tree.checkpoint, self._signers)
        self._points.reach(failpoints.PUBLISHING)
        return Published(note=note, tree=tree)

    async def inclusion(self, index: int) -> InclusionProof:
        """Return the proof of an entry under the published checkpoint.

        Raises:
            NotInLogError: the published tree has no such entry (yet).
        """
        now = self.published
        path = await self._inclusion_path(now.tree, index, now.tree.size)
        return InclusionProof(index=index, path=path, note=now.note)

    async def inclusion_path(self, index: int, size: int) -> tuple[Digest, ...]:
        """Return the path of an entry in the tree of `size`, which must have been published.

        Raises:
            NotInLogError: no such entry or tree.
        """
        return await self._inclusion_path(self.published.tree, index, size)

    async def consistency(self, old: int, new: int | None = None) -> ConsistencyProof:
        """Return the proof from a tree of `old` entries to `new`, or to the published one.

        Raises:
            NotInLogError: `old` is above `new`, or `new` is not published.
        """
        tree = self.published.tree
        new = tree.size if new is None else new
        if not 0 <= old <= new <= tree.size:
            raise NotInLogError(f"log: published up to {tree.size}, asked for {old} to {new}")

        return ConsistencyProof(old=old, new=new, path=await self._from(tree, old, new))

    async def extension(self, tree: TreeState, old: int) -> tuple[Digest, ...]:
        """Return the path from a tree of `old` entries to `tree`, which need not be shown yet.

        Raises:
            NotInLogError: `old` is not below the size of `tree`.
        """
        if not 0 < old < tree.size:
            raise NotInLogError(f"log: {tree.size} entries, asked to extend {old}")
        return await self._from(tree, old, tree.size)

    async def _from(self, tree: TreeState, old: int, new: int) -> tuple[Digest, ...]:
        def make(get: GetHash) -> list[Digest]:
            return merkle.consistency_path(tree.world, get, old=old, new=new)

        return await self._read(tree, make)

    async def _inclusion_path(self, tree: TreeState, index: int, size: int) -> tuple[Digest, ...]:
        if not 0 <= index < size <= tree.size:
            raise NotInLogError(f"log: published up to {tree.size}, asked for {index} of {size}")

        def make(get: GetHash) -> list[Digest]:
            return merkle.inclusion_path(tree.world, get, index=index, size=size)

        return await self._read(tree, make)

    async def _read(
        self, tree: TreeState, make: Callable[[GetHash], list[Digest]]
    ) -> tuple[Digest, ...]:
        """Make a path from memory; where something has left it, in a thread, from the store."""
        try:
            return tuple(make(self._hashes.cached()))
        except KeyError:
            return tuple(await asyncio.to_thread(make, self._hashes.reader(tree)))
