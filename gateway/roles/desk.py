"""Where administrators' actions pass: who is it, may they, is it written down.

An action is durable in the log as an ADMIN entry before it happens, and so is one that is refused
for its role. While the log is down no administrator does anything. The actor is a commitment that
the gateway can open until that administrator is erased.

Source: docs/privacy.md §5.
"""

import time
from collections.abc import Callable

from gateway.events import log
from gateway.problems import ProblemError
from gateway.subjects.people import Appending, People
from mifeng.protocol.entries import Admin

from .actions import ROLES, Action
from .directory import Administrator, Administrators


class Desk:
    """Permits and records."""

    def __init__(
        self,
        administrators: Administrators,
        people: People,
        audit: Appending,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.administrators = administrators
        self._people, self._audit, self._clock = people, audit, clock

    async def permit(
        self, authorization: str | None, action: Action, subject: str
    ) -> tuple[Administrator, bytes]:
        """Record an action that is about to happen; return who does it, and their commitment.

        Args:
            authorization: header with the token.
            action: what.
            subject: what it is about, in a few printable characters; no personal data.

        Raises:
            ProblemError: `admin.unauthenticated`, `admin.two_roles`, or `admin.role`.
            LogUnavailableError: it cannot be recorded: do nothing.
        """
        try:
            who = self.administrators.authenticate(authorization)
        except ProblemError as exc:
            log.warning("admin.refused", code=exc.code, operation=action.value)
            raise
        await self._people.flush()
        actor = await self._people.actor(who.name)
        allowed = ROLES[action] is who.role
        await self._record(who, actor, action, subject, success=allowed)
        if not allowed:
            log.warning("admin.refused", code="admin.role", operation=action.value)
            raise ProblemError("admin.role", f"{action.value} belongs to {ROLES[action].value}")
        log.info("admin.action", operation=action.value)
        return who, actor

    async def failed(self, who: Administrator, actor: bytes, action: Action, subject: str) -> None:
        """Record that a permitted action did not come about after all."""
        await self._record(who, actor, action, subject, success=False)

    async def _record(
        self, who: Administrator, actor: bytes, action: Action, subject: str, *, success: bool
    ) -> None:
        await self._audit.append(
            Admin(
                at=int(self._clock()),
                role=who.role.value,
                actor=actor,
                action=action.value,
                subject=subject,
                success=success,
            )
        )
