"""One exchange through the gateway: check, record, relay, record, release.

    INTENT durable  →  dispatch  →  relay sealed frames  →  COMPLETION durable  →  release

Frames pass through one by one, never a whole body; the final one waits until the node's receipt
is in the log. The exchange belongs to the gateway, not to the client's connection: a client that
goes away cancels the node's work, and the record of how it ended is still made.

Source: docs/spec/messages.md §2.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Final

from mifeng.errors import MalformedError, PeerError
from mifeng.protocol import receipt
from mifeng.protocol.header import Header, request_digest
from mifeng.protocol.messages import Intent, Message, MessageType, Open, Problem, Record

from .admission import Lease, check_request
from .auditlog.errors import AuditLogError, IntentClosedError, LogUnavailableError
from .auditlog.log import AuditLog, Dispatch
from .events import log
from .expiry import UNKNOWN
from .link import LinkLostError, LinkStream
from .metrics import Metrics
from .nodes import Node, Nodes, verify_statement
from .problems import ProblemError
from .quota import Quota
from .subjects.errors import SubjectsError
from .subjects.people import People
from .tenants import Tenant

FINAL_BIT: Final = 0x80
UNREAD_S: Final = 60.0
RETRY_LOG_S: Final = 1.0
CANCEL_GRACE_S: Final = 60.0
"""How long a cancelled exchange waits for the node's receipt before it counts as orphaned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """Bounds of one gateway."""

    max_request_bytes: int
    max_deadline_s: int
    max_exchanges: int
    max_per_tenant: int
    idle_s: float
    """How long the client may pause between two messages of its request."""


@dataclass(slots=True)
class _Exchange:
    tenant: Tenant
    header: Header
    opening: Message
    h: bytes
    node: Node
    lease: Lease
    reference: str | None = None
    """By which the tenant names the person that the request is about."""
    intent: Dispatch | None = None
    answered: bool = False


class Relay:
    """All exchanges of this gateway."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        audit: AuditLog,
        quota: Quota,
        limits: RelayLimits,
        metrics: Metrics,
        people: People | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._people = people
        self._nodes, self._audit, self._quota, self._limits = nodes, audit, quota, limits
        self._metrics, self._clock = metrics, clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._settling: set[asyncio.Task[None]] = set()
        self._by_tenant: Counter[str] = Counter()
        self._intent_locks: dict[str, asyncio.Lock] = {}
        self.draining = False

    @property
    def active(self) -> int:
        """Exchanges under way."""
        return len(self._tasks)

    async def drain(self, timeout_s: float) -> None:
        """Refuse new exchanges and wait for those under way."""
        self.draining = True
        if waiting := (*self._tasks, *self._settling):
            await asyncio.wait(waiting, timeout=timeout_s)

    async def infer(
        self,
        tenant: Tenant,
        inbound: AsyncIterator[Message],
        *,
        reference: str | None = None,
    ) -> AsyncIterator[Message]:
        """Yield what the client gets.

        Args:
            tenant: authenticated.
            inbound: the client's messages, untrusted; ends when the client's side ends.
            reference: names the person that it is about, see `people.parse_reference`.

        Raises:
            ProblemError: refused; only before the first message is yielded.
        """
        if reference is not None and self._people is None:
            raise ProblemError("subject.unavailable", "this gateway records no persons")
        exchange = self._check(tenant, await self._first(inbound))
        exchange.reference = reference
        await self._quota.take(tenant)
        outbound: asyncio.Queue[Message | ProblemError | None] = asyncio.Queue(maxsize=16)
        gone = asyncio.Event()
        task = asyncio.create_task(self._carry(exchange, inbound, outbound, gone))
        self._tasks.add(task)
        self._by_tenant[tenant.name] += 1
        task.add_done_callback(lambda done: self._ended(done, tenant))
        started = False
        try:
            while (item := await outbound.get()) is not None:
                if isinstance(item, ProblemError):
                    if not started:
                        raise item
                    yield Message(MessageType.PROBLEM, _problem(item))
                else:
                    started = True
                    yield item
        finally:
            gone.set()

    def _ended(self, task: "asyncio.Task[None]", tenant: Tenant) -> None:
        self._tasks.discard(task)
        self._by_tenant[tenant.name] -= 1

    # Before the intent.

    async def _first(self, inbound: AsyncIterator[Message]) -> Message:
        try:
            async with asyncio.timeout(self._limits.idle_s):
                message = await anext(inbound, None)
        except TimeoutError:
            raise ProblemError("request.timeout") from None
        except MalformedError as exc:
            raise ProblemError("request.malformed", str(exc)) from None
        if message is None:
            raise ProblemError("request.empty")
        if message.type is not MessageType.OPEN:
            raise ProblemError("request.malformed", "the first message must be OPEN")
        return message

    def _check(self, tenant: Tenant, opening: Message) -> _Exchange:
        """Check everything public about a request; nothing has been recorded yet."""
        if self.draining:
            raise ProblemError("gateway.draining", retry_after_s=1)
        if self.active >= self._limits.max_exchanges:
            raise ProblemError("gateway.overloaded", retry_after_s=1)
        try:
            raw = Open.decode(opening.payload).header
            header = Header.decode(raw)
        except MalformedError as exc:
            raise ProblemError("request.malformed", str(exc)) from None
        tenant.check(header)
        if self._by_tenant[tenant.name] >= self._limits.max_per_tenant:
            raise ProblemError("quota.exceeded", "too many exchanges at once", retry_after_s=1)
        found = self._nodes.find(header.keyset_digest)
        lease = check_request(
            header,
            found[1] if found else None,
            now=int(self._clock()),
            max_deadline_s=self._limits.max_deadline_s,
        )
        if found is None:
            raise ProblemError("keyset.unknown")
        return _Exchange(tenant, header, opening, request_digest(raw), found[0], lease)

    # From the intent on.

    async def _carry(
        self,
        exchange: _Exchange,
        inbound: AsyncIterator[Message],
        outbound: "asyncio.Queue[Message | ProblemError | None]",
        gone: asyncio.Event,
    ) -> None:
        """Carry one exchange to its recorded end. Raises nothing."""
        put = _putter(outbound, gone)
        began = time.monotonic()
        outcome = "failed"
        try:
            outcome = await self._run(exchange, inbound, put, gone)
        except ProblemError as exc:
            outcome = exc.code
            await put(exc)
        except LogUnavailableError as exc:
            outcome = exc.code
            await put(ProblemError(exc.code, retry_after_s=5))
        except Exception as exc:  # noqa: BLE001 - the edge of one exchange: log a code, go on
            log.error("relay.failed", exception=type(exc).__name__)
            await put(ProblemError("node.lost"))
        finally:
            await put(None)
            self._metrics.finished(exchange.header, outcome, time.monotonic() - began)

    async def _run(
        self, exchange: _Exchange, inbound: AsyncIterator[Message], put: "_Put", gone: asyncio.Event
    ) -> str:
        stream = await self._dispatch(exchange)
        sending = asyncio.create_task(self._send(stream, inbound))
        leaving = asyncio.create_task(_cancel_when(gone, stream))
        try:
            return await self._receive(exchange, stream, sending, put)
        except LinkLostError:
            await self._orphan(exchange, "node.lost")
            raise ProblemError("node.lost") from None
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            stream.close()

    async def _dispatch(self, exchange: _Exchange) -> LinkStream:
        """Make the INTENT durable, then send it and OPEN to the node."""
        header, node = exchange.header, exchange.node
        try:
            exchange.intent = await self._audit.intent(
                h=exchange.h,
                keyset=header.keyset_digest,
                tenant=header.tenant,
                deadline=header.deadline,
            )
        except LogUnavailableError:
            raise
        except AuditLogError:
            log.warning("request.replayed", tenant=exchange.tenant.name)
            raise ProblemError("request.replayed") from None
        await self._name_person(exchange, exchange.intent.index)
        link = node.link
        if link is None:
            await self._refuse(exchange, "node.unavailable")
            raise ProblemError("node.unavailable", retry_after_s=1)
        # Proofs chain from message to message, so making one and sending it is one step per node.
        lock = self._intent_locks.setdefault(node.node_id, asyncio.Lock())
        async with lock:
            try:
                head = await self._audit.catch_up(link.log_size)
            except LogUnavailableError:
                self._settle(self._refuse_later(exchange, "log.unavailable"))
                raise
            size = head.checkpoint.size
            if size < link.log_size:
                # Another gateway showed this node a later checkpoint than is witnessed here.
                await self._refuse(exchange, "log.behind")
                raise ProblemError("log.unwitnessed", retry_after_s=1)
            path: tuple[bytes, ...] = ()
            if 0 < link.log_size < size:
                path = (await self._audit.consistency(link.log_size, size)).path
            payload = Intent(exchange.intent.statement, head.note, path).encode()
            stream = link.open_stream()
            try:
                await stream.send(Message(MessageType.INTENT, payload))
                link.log_size = max(link.log_size, size)
                await stream.send(exchange.opening)
            except LinkLostError:
                stream.close()
                await self._refuse(exchange, "node.unavailable")
                raise ProblemError("node.unavailable", retry_after_s=1) from None
        return stream

    async def _name_person(self, exchange: _Exchange, intent: int) -> None:
        """Make SUBJECT durable, if the tenant named somebody; else nothing is dispatched."""
        if exchange.reference is None or self._people is None:
            return
        try:
            await self._people.name(
                tenant=exchange.tenant.name,
                reference=exchange.reference,
                h=exchange.h,
                intent=intent,
            )
        except LogUnavailableError:
            self._settle(self._refuse_later(exchange, "log.unavailable"))
            raise
        except SubjectsError:
            await self._refuse(exchange, "subject.unavailable")
            raise ProblemError("subject.unavailable", retry_after_s=5) from None

    async def _send(self, stream: LinkStream, inbound: AsyncIterator[Message]) -> None:
        """Pass the request's frames on, as fast as the node takes them."""
        total = 0
        try:
            while True:
                async with asyncio.timeout(self._limits.idle_s):
                    message = await anext(inbound, None)
                if message is None:
                    raise ProblemError("request.malformed", "ended before its final frame")
                if message.type is MessageType.CANCEL:
                    raise ProblemError("request.cancelled")
                if message.type is not MessageType.FRAME:
                    raise ProblemError("request.malformed", f"{message.type.name} out of place")
                total += len(message.payload)
                if total > self._limits.max_request_bytes:
                    raise ProblemError("request.too_large")
                await stream.send(message)
                if message.payload[0] & FINAL_BIT:
                    return
        except TimeoutError:
            await stream.cancel()
            raise ProblemError("request.timeout") from None
        except MalformedError as exc:
            await stream.cancel()
            raise ProblemError("request.malformed", str(exc)) from None
        except ProblemError:
            await stream.cancel()
            raise

    async def _receive(
        self,
        exchange: _Exchange,
        stream: LinkStream,
        sending: "asyncio.Task[None]",
        put: "_Put",
    ) -> str:
        """Pass the answer on; hold its end back until it is recorded."""
        final: Message | None = None
        while True:
            message = await self._next(exchange, stream)
            match message.type:
                case MessageType.ANSWER:
                    exchange.answered = True
                    await put(message)
                case MessageType.FRAME if final is None:
                    if message.payload[:1] and message.payload[0] & FINAL_BIT:
                        final = message
                    else:
                        await put(message)
                case MessageType.STATEMENT:
                    return await self._close(exchange, final, message, sending, put)
                case MessageType.PROBLEM:
                    problem = _decode_problem(message.payload)
                    if problem.code == UNKNOWN:  # the node was started anew: its keys are gone
                        self._nodes.expire(exchange.node, exchange.header.keyset_digest, UNKNOWN)
                    await self._orphan(exchange, problem.code)
                    raise self._client_fault(sending) or problem
                case _:
                    raise LinkLostError

    async def _next(self, exchange: _Exchange, stream: LinkStream) -> Message:
        limit = exchange.header.deadline - self._clock() + CANCEL_GRACE_S
        try:
            async with asyncio.timeout(max(limit, 1.0)):
                return await stream.receive()
        except TimeoutError:
            raise LinkLostError from None

    def _client_fault(self, sending: "asyncio.Task[None]") -> ProblemError | None:
        """Return what the client did wrong, if that is what ended the exchange."""
        if sending.done() and not sending.cancelled():
            error = sending.exception()
            if isinstance(error, ProblemError):
                return error
        return None

    async def _close(
        self,
        exchange: _Exchange,
        final: Message | None,
        message: Message,
        sending: "asyncio.Task[None]",
        put: "_Put",
    ) -> str:
        """Record how the node says it ended, then release."""
        if exchange.intent is None:
            raise LinkLostError
        statement, index = message.payload, exchange.intent.index
        if final is None and not exchange.answered:
            refusal = self._refusal(exchange, statement, index)
            if refusal is not None:
                await self._audit.refusal(
                    h=exchange.h, intent=index, reason=refusal.reason, statement=statement
                )
                await put(message)
                return refusal.reason
        try:
            made = verify_statement(statement, exchange.lease, receipt.verify_receipt)
        except PeerError:
            raise LinkLostError from None
        if (made.h, made.intent_index) != (exchange.h, index):
            raise LinkLostError
        try:
            closed = await self._audit.completion(h=exchange.h, intent=index, receipt=statement)
        except (LogUnavailableError, IntentClosedError):
            # Not recorded yet; or this gateway was taken for dead, and the receipt becomes LATE.
            self._settle(self._nodes.record(made, statement))
            raise ProblemError("node.lost", "it ran, and the log has no record of it yet") from None
        if fault := self._client_fault(sending):
            raise fault
        if final is None:
            raise ProblemError("request.cancelled")
        record = Record(closed.index, closed.entry, closed.promise)
        for each in (final, message, Message(MessageType.RECORD, record.encode())):
            await put(each)
        return made.outcome

    def _refusal(
        self, exchange: _Exchange, statement: bytes, index: int
    ) -> receipt.NotClaimed | None:
        """Return a statement that is a valid NOT_CLAIMED for this exchange, else None."""
        try:
            made = verify_statement(statement, exchange.lease, receipt.verify_not_claimed)
        except PeerError:
            return None
        return made if (made.h, made.intent_index) == (exchange.h, index) else None

    async def _refuse(self, exchange: _Exchange, reason: str) -> None:
        if exchange.intent is not None:
            await self._audit.refusal(
                h=exchange.h, intent=exchange.intent.index, reason=reason, statement=None
            )

    async def _refuse_later(self, exchange: _Exchange, reason: str) -> None:
        """Refuse in the log what was not dispatched, as soon as the log can write again."""
        with contextlib.suppress(IntentClosedError):
            while True:
                with contextlib.suppress(LogUnavailableError):
                    await self._refuse(exchange, reason)
                    return
                await asyncio.sleep(RETRY_LOG_S)

    async def _orphan(self, exchange: _Exchange, reason: str) -> None:
        if (intent := exchange.intent) is None:
            return
        try:
            await self._audit.orphan(h=exchange.h, intent=intent.index, reason=reason)
        except LogUnavailableError:
            self._settle(self._orphan_later(exchange.h, intent.index, reason))
        except IntentClosedError:
            return  # its receipt came by another way and is in the log

    async def _orphan_later(self, h: bytes, intent: int, reason: str) -> None:
        with contextlib.suppress(IntentClosedError):
            while True:
                await asyncio.sleep(RETRY_LOG_S)
                with contextlib.suppress(LogUnavailableError):
                    await self._audit.orphan(h=h, intent=intent, reason=reason)
                    return

    def _settle(self, work: Coroutine[None, None, None]) -> None:
        """Keep at something that the log must take in the end."""
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)


_Put = Callable[[Message | ProblemError | None], Coroutine[None, None, None]]


def _putter(queue: "asyncio.Queue[Message | ProblemError | None]", gone: asyncio.Event) -> _Put:
    """Return a way to hand items to the client that gives up once the client is gone."""

    async def put(item: Message | ProblemError | None) -> None:
        if gone.is_set():
            return
        if not queue.full():
            queue.put_nowait(item)
            return
        putting = asyncio.ensure_future(queue.put(item))
        leaving = asyncio.ensure_future(gone.wait())
        await asyncio.wait(
            (putting, leaving), timeout=UNREAD_S, return_when=asyncio.FIRST_COMPLETED
        )
        if not putting.done():
            gone.set()  # a client that does not read does not hold the exchange
        for task in (putting, leaving):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await putting

    return put


async def _cancel_when(gone: asyncio.Event, stream: LinkStream) -> None:
    await gone.wait()
    await stream.cancel()


def _decode_problem(payload: bytes) -> ProblemError:
    try:
        problem = Problem.decode(payload)
    except MalformedError:
        raise LinkLostError from None
    return ProblemError(problem.code, problem.message, problem.retry_after_s)


def _problem(error: ProblemError) -> bytes:
    return Problem(error.code, error.detail or error.title, error.retry_after_s).encode()
