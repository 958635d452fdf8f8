"""What one gateway of a shared log decides, the others do: policies and revocations of nodes.

    POLICY by another gateway, of another policy   → appraise every node anew under it
    NODE_EXPIRED by another gateway, not just for time's sake → use that keyset no longer

PostgreSQL tells of such entries as they are committed (`auditlog.notices`). What is told is only
where to look: the entries are read from the log. Should the telling fail, the log is looked at
every few seconds anyway.

Source: docs/storage.md.
"""

import asyncio
import contextlib
from typing import Final

import policies
from attestation.policy import Policy
from mifeng.errors import MifengError
from mifeng.protocol import entries
from mifeng.protocol.entries import NodeExpired, PolicyActivated

from .auditlog.config import LogConfig
from .auditlog.errors import AuditLogError, NotInLogError
from .auditlog.log import AuditLog
from .auditlog.places import PostgresPlace
from .events import log
from .expiry import KEYSET_ENDED, VERDICT_ENDED
from .nodes import Nodes

POLL_S: Final = 3.0
_KINDS: Final = (PolicyActivated.TYPE, NodeExpired.TYPE)
_HEARD: Final = _KINDS


class FanOut:
    """Follows the rare entries of a shared log; belongs to one event loop."""

    def __init__(self, config: LogConfig, audit: AuditLog, nodes: Nodes) -> None:
        """Take an open log and what acts on it; entries that are in it already are passed over."""
        self._config, self._audit, self._nodes = config, audit, nodes
        self._seen = audit.size - 1
        self._wake = asyncio.Event()
        self._stack = contextlib.ExitStack()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; where one gateway has the log for itself there is nothing to do."""
        if not isinstance(self._config.path, PostgresPlace):
            return
        from .auditlog.notices import Notice, Notices

        loop = asyncio.get_running_loop()

        def hear(notice: Notice) -> None:
            if notice.type in _HEARD and not loop.is_closed():
                loop.call_soon_threadsafe(self._wake.set)

        notices = Notices(self._config.path, self._config.origin, hear)
        notices.start()
        self._stack.callback(notices.close)
        self._task = asyncio.create_task(self._follow(), name="fan-out")

    async def close(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._stack.close)

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_S)
            self._wake.clear()
            try:
                await self.look()
            except (AuditLogError, MifengError) as exc:
                log.warning("fanout.failed", code=exc.code)

    async def look(self) -> None:
        """Do what was decided since the last look, in the log's order."""
        found = [index for kind in _KINDS for index in await self._audit.of_type(kind)]
        for index in sorted(index for index in found if index > self._seen):
            entry = entries.decode(await self._audit.entry(index))
            if isinstance(entry, PolicyActivated):
                await self._adopt(entry)
            elif isinstance(entry, NodeExpired) and entry.reason not in (
                KEYSET_ENDED,
                VERDICT_ENDED,
            ):
                self._nodes.revoked(entry.keyset)
            self._seen = index

    async def _adopt(self, entry: PolicyActivated) -> None:
        if entry.policy == self._nodes.policy.digest:
            return
        policy = await recorded_policy(self._audit, entry)
        if policy is None:
            log.error("policy.unreadable", code=entry.name)
            return
        log.info("policy.adopted", code=policy.name)
        self._nodes.adopt(policy)


async def recorded_policy(audit: AuditLog, entry: PolicyActivated) -> Policy | None:
    """Return the policy an entry names, from the document beside the log; None if it is no such."""
    try:
        policy = policies.parse(await audit.blob(entry.policy))
    except (policies.PolicyError, NotInLogError):
        return None
    return policy
