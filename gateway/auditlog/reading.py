"""The log's reading half: entries, blobs, and proofs under published checkpoints.

Source: docs/spec/log.md §6.
"""

import asyncio
from collections.abc import Sequence

from mifeng.crypto import sm3
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.proof import ConsistencyProof, InclusionProof

from .errors import NotInLogError
from .store import LogStore, Trace
from .views import Published, TreeView


class LogReader:
    """What anybody may ask of a log; the gateway's API and the publisher do."""

    def __init__(self, store: LogStore, tree: TreeView, twin: TreeView | None) -> None:
        self._store = store
        self.tree = tree
        """The SM3 tree."""
        self.twin = twin
        """The SHA-256 twin for public tools, if the log has one."""

    @property
    def pin(self) -> LogPin:
        """What a verifier pins to believe this log."""
        return self.tree.pin

    def checkpoint(self) -> Published:
        """Return the newest published checkpoint of the SM3 tree."""
        return self.tree.published

    async def inclusion(self, index: int) -> InclusionProof:
        """Return the proof of an entry under the published checkpoint; see `TreeView`."""
        return await self.tree.inclusion(index)

    async def consistency(self, old: int, new: int | None = None) -> ConsistencyProof:
        """Return a consistency proof up to the published checkpoint; see `TreeView`."""
        return await self.tree.consistency(old, new)

    async def entry(self, index: int) -> bytes:
        """Return an entry's bytes; raises `NotInLogError`."""
        found = await asyncio.to_thread(self._store.entry, index) if index >= 0 else None
        if found is None:
            raise NotInLogError(f"log: no entry {index}")
        return found

    async def entries(self, low: int, high: int) -> Sequence[bytes]:
        """Return entries [low, high), as many of them as exist."""
        return await asyncio.to_thread(self._store.entries, low, high)

    async def of_type(self, entry_type: str) -> Sequence[int]:
        """Return the indexes of entries of a type that is not about a request, ascending."""
        return await asyncio.to_thread(self._store.of_type, entry_type)

    async def blob(self, digest: bytes) -> bytes:
        """Return a blob by its SM3; raises `NotInLogError`, also if its bytes have changed."""
        found = await asyncio.to_thread(self._store.blob, digest)
        if found is None or sm3(found) != digest:
            raise NotInLogError(f"log: no blob {digest.hex()}")
        return found

    async def trace(self, h: bytes) -> Trace:
        """Return where the request with this header digest stands in the log."""
        return await asyncio.to_thread(self._store.trace, h)
