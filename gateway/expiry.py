"""Say in the log when a keyset that was admitted is used no longer.

    verdict ran out, or the keyset's life did, and nothing took its place  → NODE_EXPIRED
    the node says that it does not know the keyset: it was started anew    → NODE_EXPIRED
    a newer keyset of the node was admitted meanwhile                      → nothing to say

No request is sent under a keyset from the moment its end is seen; the entry follows, at the
latest when the log can write again.

Source: docs/spec/log.md §8.4.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from mifeng.protocol.entries import NodeExpired

from .auditlog.errors import LogUnavailableError
from .auditlog.log import AuditLog
from .events import log

if TYPE_CHECKING:
    from .nodes import Node

LOOK_S: Final = 1.0
KEYSET_ENDED: Final = "keyset.expired"
VERDICT_ENDED: Final = "evidence.expired"
REVOKED: Final = "node.revoked"
"""Another gateway has ended its use, and has said so in the log."""
UNKNOWN: Final = "keyset.unknown"
"""Also what a node answers to a request under such a keyset."""


class Expiry:
    """Watches the leases of nodes. All methods belong to one event loop."""

    def __init__(self, audit: AuditLog, clock: Callable[[], float]) -> None:
        self._audit, self._clock = audit, clock
        self._unsaid: list[NodeExpired] = []

    async def run(self, nodes: Callable[[], Iterable["Node"]]) -> None:
        """Look each second, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            for node in nodes():
                self.look(node)
            await self.say()

    def look(self, node: "Node") -> None:
        """Drop what has run out."""
        now = self._clock()
        for digest, lease in tuple(node.leases.items()):
            if now >= lease.valid_until:
                whole = lease.valid_until >= lease.keyset.not_after
                self.drop(node, digest, KEYSET_ENDED if whole else VERDICT_ENDED)

    def drop(self, node: "Node", digest: bytes, reason: str) -> None:
        """Use a keyset no longer, from now on; `say` writes it down.

        If it was the node's newest one, the node is dialled anew.
        """
        lease = node.leases.pop(digest, None)
        if lease is None:
            return
        replaced = node.lease is not None and node.lease.digest != digest
        if not replaced:
            node.lease = None
            if node.link is not None and reason == UNKNOWN:
                node.link.close()
        if node.keyset_entries.pop(digest, None) is None or (replaced and reason == KEYSET_ENDED):
            return
        log.info("node.expired", node=node.node_id, code=reason)
        self._unsaid.append(
            NodeExpired(at=int(self._clock()), node=node.node_id, keyset=digest, reason=reason)
        )

    async def say(self) -> None:
        """Write what has not been written yet."""
        while self._unsaid:
            entry = self._unsaid.pop(0)
            try:
                await self._audit.append(entry)
            except LogUnavailableError:
                self._unsaid.insert(0, entry)
                return
