"""Between one event loop, whose coroutines wait, and the writer's thread, which answers.

Outcomes of a group cross over in one call. A coroutine that was cancelled while it waited is
told nothing; if its entry became durable all the same, `abandoned` learns of it.
"""

import asyncio
from collections.abc import Callable, Sequence

from .errors import AuditLogError, LogUnavailableError
from .writer import Appended, Draft, Outcome, Writer

Abandoned = Callable[[Appended], None]


class Submissions:
    """Turns drafts into awaitables."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._writer: Writer | None = None

    def to(self, writer: Writer) -> None:
        """Name the writer; before the first submission."""
        self._writer = writer

    def deliver(self, outcomes: Sequence[Outcome]) -> None:
        """Pass a group's outcomes to the loop; called in the writer's thread."""
        self._loop.call_soon_threadsafe(_tell, outcomes)

    async def entry(self, draft: Draft, *, abandoned: Abandoned | None = None) -> Appended:
        """Return the entry of `draft` once it is durable, or raise what came of it."""
        found = await self.outcome(draft, abandoned=abandoned)
        if found is None:
            raise AuditLogError("log: no entry was written")
        return found

    async def outcome(self, draft: Draft, *, abandoned: Abandoned | None = None) -> Appended | None:
        """Return once `draft` is durable; None if it held no entry."""
        if self._writer is None:
            raise LogUnavailableError("log: not open")
        future: asyncio.Future[Appended | None] = self._loop.create_future()

        def done(outcome: Appended | Exception | None) -> None:
            if future.done():
                if isinstance(outcome, Appended) and abandoned:
                    abandoned(outcome)
            elif isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        draft.done = done
        self._writer.submit(draft)
        return await future


def _tell(outcomes: Sequence[Outcome]) -> None:
    for draft, outcome in outcomes:
        draft.done(outcome)
