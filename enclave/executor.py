"""One exchange inside the node: check, open, claim, run, seal, sign.

    before the claim    every failure of the seal is one code, `seal.invalid`, in one timing
                        class, unsigned; a request that opened but cannot be run now is refused
                        with a signed NOT_CLAIMED and can never be claimed later
    the claim           one insertion of H, after header, commitment and first frame verified
    after the claim     exactly one signed receipt, whatever happens: completed, failed, aborted

The executor owns no socket: messages come from a `Source` and leave through `emit`.

Source: docs/spec/messages.md §4, docs/spec/receipt.md.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from mifeng.crypto import DecryptionError, SignatureError, Sm2PublicKey, sm3
from mifeng.crypto.errors import KeyFormatError
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import EnvelopeRejectedError, MalformedError, StreamRejectedError
from mifeng.protocol import dsse, jsonc, receipt
from mifeng.protocol.bodydigest import BodyDigest, salted
from mifeng.protocol.envelope import OpenedRequest, open_unwrapped
from mifeng.protocol.header import FLAG_STREAM, Header
from mifeng.protocol.messages import Message, MessageType, Open, Problem
from mifeng.protocol.receipt import NotClaimed, Receipt, bucket_usage
from mifeng.protocol.stream import MAX_DATA, Frame, FrameSealer, FrameType
from mifeng.together import Together

from .engines import Engine, EngineError, Job
from .epochs import Epoch, KeyRing
from .intents import IntentRefusedError, LogView, LogWatch, Noted
from .pacing import Beat, Paced, attended, close, paced
from .together import sign, unwrap

ISOLATION_BYTES: Final = 32
CLIENT_AUTH: Final = b"mifeng/v1/client-auth\0"
_CLIENT_AUTH_BYTES: Final = 65 + 64
DELIVERY_S: Final = 30.0
"""How long a finished answer waits for a peer that does not read."""
MAX_REASONS: Final = 256
_CANCELLED: Final = "request.cancelled"
REFUSAL_SLOT_S: Final = 0.010
"""Failures before the claim answer at the next multiple of this since the request came, so that
their time does not tell how far opening got."""


class CancelledExchangeError(Exception):
    """The client or the gateway gave up, or the connection is gone."""


class Source(Protocol):
    """The sealed frames of one request, in order."""

    async def frame(self) -> bytes:
        """Return the next frame's bytes, or raise `CancelledExchangeError`."""
        ...


log = logging.getLogger("mifeng.node")

Emit = Callable[[Message], Awaitable[None]]
"""Sends one message; waits for the window; raises `CancelledExchangeError` when nobody listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one node, from its measured configuration."""

    concurrency: int
    """Claimed requests at once; one more is refused with NOT_CLAIMED."""
    max_body_bytes: int
    first_frame_s: float
    """How long a request may take to show its first frame."""
    max_salted_bytes: int
    """Plaintexts above this get no salted digest."""


class _ProblemError(Exception):
    """Refused before the claim, unsigned."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(code, message)


@dataclass(slots=True)
class _Exchange:
    """What is known of one request as it goes along."""

    header: Header
    epoch: Epoch
    view: LogView
    opened: OpenedRequest
    started: int
    sealed_in: BodyDigest = field(default_factory=BodyDigest)
    sealed_out: BodyDigest = field(default_factory=BodyDigest)
    plain_in: BodyDigest = field(default_factory=BodyDigest)
    plain_out: BodyDigest = field(default_factory=BodyDigest)
    body: bytearray = field(default_factory=bytearray)
    bytes_out: int = 0
    answer: bytes = b""
    answered: bool = False
    last: bytes | None = None
    """The FINAL frame, kept back until the receipt exists."""
    client_auth: bytes | None = None
    isolation: bytes = field(default_factory=lambda: random_bytes(ISOLATION_BYTES))
    salt: bytes = field(default_factory=lambda: random_bytes(32))


class Executor:
    """Runs exchanges for one node."""

    def __init__(
        self,
        *,
        keyring: KeyRing,
        engines: Mapping[str, Engine],
        log: LogWatch,
        limits: Limits,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keyring, self._engines, self._log, self._limits = keyring, engines, log, limits
        self._clock = clock
        self._unwrapping, self._signing = Together(unwrap), Together(sign)
        self.active = 0
        self._owing = 0
        """Requests decided upon whose end has not been handed over."""
        self.idle = asyncio.Event()
        self.idle.set()
        self.draining = False
        self._tasks: set[asyncio.Task[object]] = set()
        self.undelivered: list[bytes] = []
        """Statements whose connection went away; the server hands them over later."""
        self.refusals: dict[str, int] = {}
        """Why requests were refused, for the node's own operator; never sent."""

    async def exchange(self, noted: Noted, opening: bytes, source: Source, emit: Emit) -> None:
        """Carry one exchange to its end.

        Args:
            noted: what came of INTENT (`LogWatch.advance`).
            opening: payload of OPEN, untrusted.
            source: the sealed frames.
            emit: sends one message back; may wait for the window.
        """
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        arrived = time.monotonic()
        try:
            exchange = await self._admit(noted, opening, source)
        except _ProblemError as refusal:
            await _slot(arrived)
            await _deliver(emit, Message(MessageType.PROBLEM, refusal.problem.encode()))
            return
        with self._owed():
            if reason := self._busy(exchange):
                statement = await self._not_claimed(exchange, reason)
                await _deliver(emit, Message(MessageType.STATEMENT, statement))
                return
            await self._claimed(exchange, source, emit)

    @contextlib.contextmanager
    def _owed(self) -> Iterator[None]:
        """Not be idle before the end of a request has left: who drains cancels what is idle."""
        self._owing += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._owing -= 1
            if not self._owing:
                self.idle.set()

    async def stop(self) -> None:
        """Cancel every exchange and wait until each claim has signed how it ended."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    # Before the claim.

    def _address(self, opening: bytes, now: int) -> tuple[Open, Header, Epoch]:
        """Return what a request says in clear, and the keys it is for."""
        try:
            parts = Open.decode(opening)
            header = Header.decode(parts.header)
        except MalformedError as exc:
            raise self._problem("request.malformed", "header", str(exc)) from None
        epoch = self.keyring.find(header.keyset_digest)
        if epoch is None or now >= epoch.keyset.not_after:
            raise self._problem("keyset.unknown", "keyset", "this node has no such keyset")
        if header.deadline > epoch.keyset.not_after:
            raise self._problem("deadline.too_far", "deadline", "it outlives the keyset")
        return parts, header, epoch

    async def _admit(self, noted: Noted, opening: bytes, source: Source) -> _Exchange:
        """Check everything that needs no claim, and claim nothing."""
        now = int(self._clock())
        parts, header, epoch = self._address(opening, now)
        try:
            opened = await self._open(epoch, parts, header)
            view = self._log.check(noted, header, opened.h, now=now)
            async with asyncio.timeout(self._limits.first_frame_s):
                first = await source.frame()
            exchange = _Exchange(header, epoch, view, opened, now)
            self._take(exchange, first, first=True)
        except IntentRefusedError as exc:
            raise self._problem(
                "intent.invalid", exc.detail, "the log's intent is not valid"
            ) from None
        except (EnvelopeRejectedError, StreamRejectedError, MalformedError) as exc:
            raise self._problem(
                "seal.invalid", type(exc).__name__, "request does not open"
            ) from None
        except EngineError as exc:
            raise self._problem(exc.code, "first-frame", str(exc)) from None
        except TimeoutError:
            raise self._problem("request.timeout", "first-frame", "no frame arrived") from None
        except CancelledExchangeError:
            raise self._problem("request.cancelled", "cancelled", "cancelled") from None
        if self.keyring.find(header.keyset_digest) is not epoch:
            raise self._problem("keyset.unknown", "keyset", "it ended while the request arrived")
        if not epoch.claims.insert(opened.h):
            raise self._problem("request.replayed", "replay", "this request was seen before")
        return exchange

    async def _open(self, epoch: Epoch, parts: Open, header: Header) -> OpenedRequest:
        key = epoch.decap.get(header.suite)
        if key is None:
            raise EnvelopeRejectedError("request does not open")
        try:
            ss = await self._unwrapping.submit((key, header.ct))
        except DecryptionError:
            raise EnvelopeRejectedError("request does not open") from None
        return open_unwrapped(parts.header, parts.commitment, key=key, ss=ss)

    def _busy(self, exchange: _Exchange) -> str | None:
        """Return why a request that opened is not run now, or None.

        H is in the replay set either way: a refusal that could be taken back would let a
        gateway have one request run twice.
        """
        header, now = exchange.header, int(self._clock())
        model = exchange.epoch.keyset.models.get(header.model)
        engine = self._engines.get(header.model)
        if self.draining:
            return "node.draining"
        if now >= min(header.deadline, exchange.epoch.keyset.not_after):
            return "deadline.expired"
        if model is None or engine is None or model.digest != header.model_digest:
            return "model.unknown"
        if header.operation not in engine.operations:
            return "operation.unknown"
        if self.active >= self._limits.concurrency:
            return "node.busy"
        return None

    async def _not_claimed(self, exchange: _Exchange, reason: str) -> bytes:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1
        refusal = NotClaimed(
            h=exchange.opened.h,
            reason=reason,
            origin=exchange.view.origin,
            intent_index=exchange.view.index,
            keyset=exchange.epoch.digest,
            at=int(self._clock()),
            marks=self.keyring.identity.marks,
        )
        signer = exchange.epoch.signer(exchange.header.suite)
        return await self._signing.submit((signer, receipt.NOT_CLAIMED_TYPE, refusal.encode()))

    def _problem(self, code: str, detail: str, message: str) -> _ProblemError:
        key = f"{code}:{detail}"[:96]
        if key not in self.refusals and len(self.refusals) >= MAX_REASONS:
            key = code
        self.refusals[key] = self.refusals.get(key, 0) + 1
        return _ProblemError(code, message)

    # After the claim.

    async def _claimed(self, exchange: _Exchange, source: Source, emit: Emit) -> None:
        """Run a claimed request; exactly one receipt comes out of every path."""
        answer, sealer = exchange.opened.seal_response(now=int(self._clock()))
        exchange.answer = answer.encode()
        self.active += 1
        exchange.epoch.running += 1
        try:
            try:
                outcome, reason = await self._work(exchange, sealer, source, emit)
            except BaseException:
                self._keep(exchange, self._receipt(exchange, receipt.ABORTED, "node.stopped"))
                raise
            finally:
                memoryview(exchange.body)[:] = bytes(len(exchange.body))
                self.active -= 1
            if exchange.last is not None:  # sealed to its end: what broke later was only tidying
                outcome, reason = receipt.COMPLETED, ""
            if reason and reason != _CANCELLED:
                data = jsonc.dumps({"code": reason})
                exchange.last = self._seal(exchange, sealer, FrameType.ERROR, data, final=True)
            statement = await self._signed(exchange, self._receipt(exchange, outcome, reason))
        finally:
            exchange.epoch.running -= 1
        await self._finish(exchange, statement, emit)

    async def _signed(self, exchange: _Exchange, payload: bytes) -> bytes:
        """Return a receipt that has its place in the chain, signed with others that wait."""
        signer = exchange.epoch.signer(exchange.header.suite)
        try:
            return await self._signing.submit((signer, receipt.RECEIPT_TYPE, payload))
        except BaseException:
            self._keep(exchange, payload)
            raise

    def _keep(self, exchange: _Exchange, payload: bytes) -> None:
        """Sign a receipt at once and keep it for the next connection."""
        signer = exchange.epoch.signer(exchange.header.suite)
        self.undelivered.append(dsse.sign(payload, receipt.RECEIPT_TYPE, signer))

    async def _work(
        self, exchange: _Exchange, sealer: FrameSealer, source: Source, emit: Emit
    ) -> tuple[str, str]:
        """Receive the rest, run the engine, and return how it ended."""
        try:
            async with asyncio.timeout(exchange.header.deadline - self._clock()):
                await self._receive(exchange, source)
                await self._run(exchange, sealer, source, emit)
        except EngineError as exc:
            return receipt.FAILED, exc.code
        except (StreamRejectedError, MalformedError):
            return receipt.FAILED, "request.incomplete"
        except TimeoutError:
            return receipt.ABORTED, "deadline.expired"
        except CancelledExchangeError:
            return receipt.ABORTED, _CANCELLED
        except Exception as exc:  # noqa: BLE001 - an engine is foreign code; the claim still ends
            log.error("engine.failed", extra={"code": type(exc).__name__})  # noqa: TRY400 - its text may quote the input
            return receipt.FAILED, "engine.failed"
        return receipt.COMPLETED, ""

    async def _receive(self, exchange: _Exchange, source: Source) -> None:
        frames = exchange.opened.frames
        while not frames.finished:
            self._take(exchange, await source.frame(), first=False)

    def _take(self, exchange: _Exchange, data: bytes, *, first: bool) -> None:
        """Open one request frame and file its contents."""
        frame = exchange.opened.frames.open(data)
        exchange.sealed_in.update(data)
        match frame.type:
            case FrameType.DATA:
                if len(exchange.body) + len(frame.data) > self._limits.max_body_bytes:
                    raise EngineError("request.too_large", "the request body is too large")
                exchange.body += frame.data
                exchange.plain_in.update(frame.data)
            case FrameType.KEEP_ALIVE:
                pass
            case FrameType.CLIENT_AUTH if first:
                exchange.client_auth = _client_auth(frame, exchange.opened.h)
            case FrameType.ISOLATION if len(frame.data) == ISOLATION_BYTES and not exchange.body:
                exchange.isolation = sm3(b"mifeng/v1/isolation\0" + frame.data)
            case _:
                raise StreamRejectedError("stream: a frame out of place")

    async def _run(
        self, exchange: _Exchange, sealer: FrameSealer, source: Source, emit: Emit
    ) -> None:
        """Run the engine and send every frame but the last, which the receipt goes with."""
        await emit(Message(MessageType.ANSWER, exchange.answer))
        exchange.answered = True
        salt_frame = self._seal(exchange, sealer, FrameType.SALT, exchange.salt)
        await emit(Message(MessageType.FRAME, salt_frame))
        stream = bool(exchange.header.flags & FLAG_STREAM)
        engine = self._engines[exchange.header.model]
        pacing = engine.pacing if stream and isinstance(engine, Paced) else None
        beat = Beat() if pacing is not None else None
        job = Job(
            operation=exchange.header.operation,
            body=memoryview(exchange.body),
            isolation=exchange.isolation,
            stream=stream,
            tenant=exchange.header.tenant,
            beat=beat,
        )
        pieces = engine.run(job)
        if isinstance(engine, Paced):
            pieces = attended(pieces, source.frame)
        if pacing is not None:
            await self._pace(exchange, sealer, paced(pieces, pacing, beat=beat), emit)
            return
        try:
            held = b""
            async for piece in pieces:
                exchange.plain_out.update(piece)
                exchange.bytes_out += len(piece)
                held += piece
                at = 0
                while len(held) - at > (0 if stream else MAX_DATA):
                    data = held[at : at + MAX_DATA]
                    at += len(data)
                    frame = self._seal(exchange, sealer, FrameType.DATA, data)
                    await emit(Message(MessageType.FRAME, frame))
                held = held[at:]
        finally:
            await close(pieces)
        exchange.last = self._seal(exchange, sealer, FrameType.DATA, held, final=True)

    async def _pace(
        self,
        exchange: _Exchange,
        sealer: FrameSealer,
        frames: AsyncIterator[tuple[bytes, bool]],
        emit: Emit,
    ) -> None:
        """Send one frame for each item, with something in it or not, when it comes."""
        try:
            async for data, final in frames:
                exchange.plain_out.update(data)
                exchange.bytes_out += len(data)
                frame = self._seal(exchange, sealer, FrameType.DATA, data, final=final)
                if final:
                    exchange.last = frame
                else:
                    await emit(Message(MessageType.FRAME, frame))
        finally:
            await close(frames)

    def _seal(
        self,
        exchange: _Exchange,
        sealer: FrameSealer,
        frame_type: FrameType,
        data: bytes,
        *,
        final: bool = False,
    ) -> bytes:
        frame = sealer.seal(frame_type, data, final=final)
        exchange.sealed_out.update(frame)
        return frame

    def _receipt(self, exchange: _Exchange, outcome: str, reason: str) -> bytes:
        """Take the next place in the chain; return the payload, which must now be signed."""
        header, view, epoch = exchange.header, exchange.view, exchange.epoch
        identity = self.keyring.identity
        ran = self._engines[header.model].ran

        def make(seq: int, prev: bytes) -> Receipt:
            return Receipt(
                h=exchange.opened.h,
                outcome=outcome,
                reason=reason,
                origin=view.origin,
                intent_index=view.index,
                seq=seq,
                prev=prev,
                keyset=epoch.digest,
                model=header.model,
                model_digest=header.model_digest,
                backend=ran.backend,
                device=ran.device,
                sealed_request=exchange.sealed_in.digest(),
                sealed_response=exchange.sealed_out.digest(),
                salted_request=self._salted(exchange, b"request"),
                salted_response=self._salted(exchange, b"response"),
                node_policy=identity.software.policy,
                client_policy=header.client_policy,
                usage={
                    "input_bytes": bucket_usage(len(exchange.body)),
                    "output_bytes": bucket_usage(exchange.bytes_out),
                },
                client_auth=exchange.client_auth,
                started=exchange.started,
                finished=int(self._clock()),
                log_size=view.size,
                log_root=view.root,
                marks=identity.marks,
            )

        return epoch.chain(make)

    def _salted(self, exchange: _Exchange, direction: bytes) -> bytes | None:
        size = len(exchange.body) if direction == b"request" else exchange.bytes_out
        if size > self._limits.max_salted_bytes:
            return None
        plain = exchange.plain_in if direction == b"request" else exchange.plain_out
        return salted(plain.digest(), salt=exchange.salt, direction=direction)

    async def _finish(self, exchange: _Exchange, statement: bytes, emit: Emit) -> None:
        """Hand over the end of the answer and the receipt, or keep the receipt for later."""
        try:
            async with asyncio.timeout(DELIVERY_S):
                if exchange.last is not None:
                    with contextlib.suppress(CancelledExchangeError):
                        if not exchange.answered:
                            await emit(Message(MessageType.ANSWER, exchange.answer))
                        await emit(Message(MessageType.FRAME, exchange.last))
                await emit(Message(MessageType.STATEMENT, statement))
        except (CancelledExchangeError, TimeoutError):
            self.undelivered.append(statement)
        except BaseException:
            self.undelivered.append(statement)
            raise


def _client_auth(frame: Frame, h: bytes) -> bytes:
    """Return the SM3 of the key that signed this request, or raise."""
    if len(frame.data) != _CLIENT_AUTH_BYTES:
        raise StreamRejectedError("stream: client authentication")
    try:
        Sm2PublicKey.from_bytes(frame.data[:65]).verify(frame.data[65:], CLIENT_AUTH + h)
    except (KeyFormatError, SignatureError):
        raise StreamRejectedError("stream: client authentication") from None
    return sm3(frame.data[:65])


async def _slot(arrived: float) -> None:
    elapsed = time.monotonic() - arrived
    slots = int(elapsed / REFUSAL_SLOT_S) + 1
    await asyncio.sleep(slots * REFUSAL_SLOT_S - elapsed)


async def _deliver(emit: Emit, message: Message) -> None:
    try:
        await emit(message)
    except CancelledExchangeError:
        return
