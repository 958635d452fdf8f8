"""What the log says about persons: SUBJECT when a request names one, ERASURE when one is erased.

No SUBJECT follows the ERASURE of its commitment: an erasure waits for namings under way and lets
none begin. If the log is down when a key is destroyed, the ERASURE is kept and appended later.

Source: docs/spec/log.md §8.6; docs/privacy.md.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol, TypeVar

from gateway.auditlog.errors import AuditLogError
from gateway.auditlog.log import Recorded
from gateway.events import log
from gateway.problems import ProblemError
from mifeng.errors import MifengError
from mifeng.protocol import entries
from mifeng.protocol.entries import Entry
from mifeng.protocol.subject import HEADER, REFERENCE_BYTES, seal

from .errors import SubjectsError, SubjectUnknownError
from .store import Hold, Person, SubjectStore

T = TypeVar("T")


class Appending(Protocol):
    """Of the audit log, what is needed here."""

    async def append(self, entry: Entry) -> Recorded:
        """See `AuditLog.append`."""
        ...


def parse_reference(value: str | None) -> str | None:
    """Return the reference in a request's header, None if it names nobody.

    Exactly 64 lower-case hex digits: a name or an identity number cannot be sent by mistake.

    Raises:
        ProblemError: `subject.malformed`.
    """
    if value is None:
        return None
    try:
        raw = bytes.fromhex(value)
    except ValueError:
        raw = b""
    if len(raw) != REFERENCE_BYTES or raw.hex() != value:
        raise ProblemError("subject.malformed", f"need {REFERENCE_BYTES} bytes of lower-case hex")
    return value


class People:
    """Persons of one gateway; made once, in its event loop."""

    def __init__(
        self,
        store: SubjectStore,
        audit: Appending,
        *,
        origin: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._audit, self._origin, self._clock = store, audit, origin, clock
        self._naming = 0
        self._quiet = asyncio.Condition()
        self._erasing = False
        self._flushing = asyncio.Lock()
        # Readers may wait for another gateway's erasure; they must not keep ours from its end.
        self._readers = ThreadPoolExecutor(4, "subjects-read")
        self._eraser = ThreadPoolExecutor(1, "subjects-erase")

    async def name(self, *, tenant: str, reference: str, h: bytes, intent: int) -> None:
        """Append SUBJECT for an INTENT; durable when this returns.

        Raises:
            LogUnavailableError: dispatch nothing.
            SubjectsError: neither then.
        """
        async with self._steady(), self._known(tenant, reference) as person:
            sealed = seal(person.key, person.fields, origin=self._origin, intent=intent)
            await self._audit.append(
                entries.Subject(
                    at=int(self._clock()),
                    h=h,
                    intent=intent,
                    subject=person.subject,
                    sealed=sealed,
                )
            )

    async def actor(self, name: str) -> bytes:
        """Return the commitment to an administrator, or to a tenant that acts."""
        async with self._steady(), self._known("", name) as person:
            return person.subject

    async def find(self, tenant: str, reference: str) -> bytes:
        """Return the commitment to a person that there is; raises `SubjectUnknownError`."""
        return (await self._read(partial(self._store.find, tenant, reference))).subject

    async def open(self, subject: bytes) -> Person:
        """Return the person of a commitment; raises `SubjectUnknownError` if there is none now."""
        return await self._read(partial(self._store.opened, subject))

    async def erase(self, subject: bytes, *, reason: str, actor: bytes) -> bool:
        """Destroy a person's key and append ERASURE.

        Args:
            subject: the commitment.
            reason: stable code.
            actor: commitment to who asked.

        Returns:
            Whether the ERASURE is in the log already; else it is appended as soon as it can be.

        Raises:
            SubjectUnknownError: there is no such person.
            SubjectsError: nothing was destroyed, or the disk failed at the end; see
                `SubjectStore.erase`. ERASURE is never told before the old key is overwritten.
        """
        entry = entries.Erasure(at=int(self._clock()), subject=subject, reason=reason, actor=actor)
        data = entry.encode()
        async with self._quiet:
            await self._quiet.wait_for(lambda: not self._erasing)
            self._erasing = True
            try:
                await self._quiet.wait_for(lambda: self._naming == 0)
                erased = partial(self._erased, subject, data)
                hold = await self._holding(self._eraser, erased, lambda held: held)
                try:
                    log.info("subject.erased")
                    return await self.flush()
                finally:
                    hold.close()
            finally:
                self._erasing = False
                self._quiet.notify_all()

    async def remember(self, entry: Entry) -> None:
        """Keep an entry until the log takes it."""
        await self._run(self._eraser, partial(self._store.remember, entry.encode()))
        await self.flush()

    async def flush(self) -> bool:
        """Append what is pending; returns whether nothing is left."""
        async with self._flushing:
            for number, data in await self._run(self._eraser, self._store.pending):
                try:
                    await self._audit.append(entries.decode(data))
                except (AuditLogError, MifengError):
                    return False
                await self._run(self._eraser, partial(self._store.done, number))
            return not await self._run(self._eraser, self._store.unsettled)

    async def close(self) -> None:
        """Release the store."""
        await self._run(self._eraser, self._store.close)
        self._readers.shutdown(wait=False)
        self._eraser.shutdown(wait=False)

    def _erased(self, subject: bytes, entry: bytes) -> Hold:
        """Erase, holding the store alone, and keep it until ERASURE is appended."""
        hold = self._store.hold(alone=True)
        try:
            self._store.erase(subject, entry)
        except BaseException:
            hold.close()
            raise
        return hold

    @contextlib.asynccontextmanager
    async def _known(self, tenant: str, reference: str) -> AsyncIterator[Person]:
        """Hold the store while a person is named. Inside, no thread of ours is needed."""

        def named() -> tuple[Hold, Person]:
            hold = self._store.hold(alone=False)
            try:
                return hold, self._store.person(tenant, reference)
            except BaseException:
                hold.close()
                raise

        hold, person = await self._holding(self._readers, named, lambda found: found[0])
        try:
            yield person
        finally:
            hold.close()

    async def _read(self, ask: Callable[[], Person]) -> Person:
        def asked() -> Person:
            with contextlib.closing(self._store.hold(alone=False)):
                return ask()

        return await self._run(self._readers, asked)

    async def _holding(
        self, threads: ThreadPoolExecutor, work: Callable[[], T], hold_of: Callable[[T], Hold]
    ) -> T:
        """Return what `work` returns; if we are cancelled meanwhile, let go of its hold."""
        future = asyncio.get_running_loop().run_in_executor(threads, work)

        def let_go(done: "asyncio.Future[T]") -> None:
            if not done.cancelled() and done.exception() is None:
                hold_of(done.result()).close()

        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(let_go)
            raise

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)

    @contextlib.asynccontextmanager
    async def _steady(self) -> AsyncIterator[None]:
        """Hold off erasures while inside."""
        async with self._quiet:
            await self._quiet.wait_for(lambda: not self._erasing)
            self._naming += 1
        try:
            yield
        finally:
            async with self._quiet:
                self._naming -= 1
                self._quiet.notify_all()


__all__ = ["HEADER", "People", "SubjectUnknownError", "SubjectsError", "parse_reference"]
