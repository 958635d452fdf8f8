"""The node's end of the link: accept the gateway, multiplex exchanges, keep windows.

Everything decided here is about bytes and connections. What a request is, is the executor's.
The gateway is not trusted: its first malformed byte closes the connection, and closing it
aborts what it carried (every claim still ends in a receipt, delivered on the next connection).

Source: docs/spec/link.md.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Final

from mifeng.errors import MalformedError
from mifeng.protocol.link import (
    Hello,
    LinkFrame,
    LinkKind,
    LinkParser,
    NodeStatus,
    ReceiveWindow,
    SendWindow,
)
from mifeng.protocol.messages import Message, MessageType, Problem

from .executor import CancelledExchangeError, Executor
from .intents import IntentRefusedError, LogWatch, Noted

log = logging.getLogger("mifeng.node")

READ_BYTES: Final = 256 * 1024
MAX_STREAMS: Final = 4096
STATUS_S: Final = 1.0
MAX_ATTESTING: Final = 16
"""Challenges one connection may have under way."""
MAX_UNREAD_BYTES: Final = 8 << 20
"""What a peer may leave unread before housekeeping cuts it off."""
UNSURE_S: Final = 10.0
"""A statement that left so shortly before its connection broke may be in no log: sent again."""
MAX_UNSURE: Final = 1 << 15
"""Of them, at most: 3276 in a second."""

Attest = Callable[[bytes], Awaitable[bytes]]
"""Freshness kind(1) ‖ x → encoded bundle for the active keyset."""


class _Stream:
    """One exchange on one connection: frames in through a queue, messages out through a window."""

    def __init__(self, connection: "Connection", number: int, noted: Noted) -> None:
        self._connection, self.number, self.noted = connection, number, noted
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._inbound, self.outbound = ReceiveWindow(), SendWindow()
        self.granted = asyncio.Event()
        self.cancelled = False
        self.opened = False

    def arrived(self, frame: bytes) -> None:
        self._inbound.received(len(frame))
        self._frames.put_nowait(frame)

    def cancel(self) -> None:
        self.cancelled = True
        self._frames.put_nowait(None)
        self.granted.set()

    async def frame(self) -> bytes:
        """See `executor.Source`."""
        frame = await self._frames.get()
        if frame is None or self.cancelled:
            raise CancelledExchangeError
        if (payload := self._inbound.consumed(len(frame))) is not None:
            await self._connection.send(LinkFrame(self.number, LinkKind.WINDOW, payload))
        return frame

    async def emit(self, message: Message) -> None:
        """See `executor.Emit`."""
        if message.type is MessageType.FRAME:
            while not self.outbound.open and not self.cancelled:
                self.granted.clear()
                await self.granted.wait()
        if self.cancelled and message.type in (MessageType.ANSWER, MessageType.FRAME):
            raise CancelledExchangeError
        if message.type is MessageType.FRAME:
            self.outbound.sent(len(message.payload))
        await self._connection.send(LinkFrame(self.number, message.type, message.payload))


class Connection:
    """One gateway connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        executor: Executor,
        watch: LogWatch,
        attest: Attest,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._executor, self._watch, self._attest = executor, watch, attest
        self._attesting = 0
        self._streams: dict[int, _Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._highest = 0
        self._closed = False
        self._left: deque[tuple[float, bytes]] = deque(maxlen=MAX_UNSURE)
        """When which statements were written."""

    async def send(self, frame: LinkFrame) -> None:
        """Write one frame, waiting while the peer does not read."""
        if self._closed:
            raise CancelledExchangeError
        try:
            self._write(frame)
            await self._writer.drain()
        except (ConnectionError, RuntimeError):
            raise CancelledExchangeError from None

    def _write(self, frame: LinkFrame) -> None:
        self._writer.write(frame.encode())
        if frame.kind == MessageType.STATEMENT:
            self._forget()
            self._left.append((time.monotonic(), frame.payload))

    def _forget(self) -> None:
        since = time.monotonic() - UNSURE_S
        while self._left and self._left[0][0] < since:
            self._left.popleft()

    def unsure(self) -> list[bytes]:
        """Return the statements of which the peer may have died before it logged them."""
        self._forget()
        return [statement for _, statement in self._left]

    def post(self, frame: LinkFrame) -> bool:
        """Write one frame without waiting; a peer that does not read is cut off.

        Housekeeping goes through here: erasing keys must not wait for anybody's socket.
        """
        if self._closed or self._writer.is_closing():
            return False
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._writer.transport.abort()
            return False
        self._write(frame)
        return True

    async def serve(self, hello: Hello) -> None:
        """Speak until the peer closes, then abort what is left."""
        parser = LinkParser()
        try:
            await self.send(LinkFrame(0, LinkKind.HELLO, hello.encode()))
            while data := await self._reader.read(READ_BYTES):
                frames = parser.feed(data)
                intents = [each.payload for each in frames if each.kind == MessageType.INTENT]
                noted = iter(self._watch.advance_each(intents))
                for frame in frames:
                    self._handle(frame, noted)
        except MalformedError as exc:
            log.warning("link.malformed", extra={"code": exc.code})
        except (ConnectionError, CancelledExchangeError):
            pass
        finally:
            await self._close()

    def _handle(self, frame: LinkFrame, noted: Iterator[Noted | IntentRefusedError]) -> None:
        """Take one frame; `noted` is what came of the INTENTs that were read with it."""
        if frame.kind == LinkKind.ATTEST:
            self._new_stream(frame.stream)
            if self._attesting >= MAX_ATTESTING:
                self._spawn(self._problem(frame.stream, "node.busy"))
            else:
                self._attesting += 1
                self._spawn(self._bundle(frame.stream, frame.payload))
        elif frame.kind == MessageType.INTENT:
            self._intent(frame, next(noted))
        elif frame.stream in self._streams:
            self._on_stream(self._streams[frame.stream], frame)
        elif frame.stream > self._highest:
            raise MalformedError("link: a stream begins with INTENT or ATTEST")

    def _new_stream(self, number: int) -> None:
        if number <= self._highest:
            raise MalformedError("link: stream number")
        self._highest = number

    def _intent(self, frame: LinkFrame, noted: Noted | IntentRefusedError) -> None:
        self._new_stream(frame.stream)
        if len(self._streams) >= MAX_STREAMS:
            self._spawn(self._problem(frame.stream, "node.busy"))
            return
        if isinstance(noted, IntentRefusedError):
            log.warning("intent.refused", extra={"code": noted.detail})
            self._spawn(self._problem(frame.stream, "intent.invalid"))
            return
        self._streams[frame.stream] = _Stream(self, frame.stream, noted)

    def _on_stream(self, stream: _Stream, frame: LinkFrame) -> None:
        match frame.kind:
            case MessageType.OPEN if not stream.opened:
                stream.opened = True
                self._spawn(self._exchange(stream, frame.payload))
            case MessageType.FRAME if stream.opened:
                stream.arrived(frame.payload)
            case LinkKind.WINDOW:
                stream.outbound.granted(frame.payload)
                stream.granted.set()
            case MessageType.CANCEL | LinkKind.RESET:
                stream.cancel()
                if not stream.opened:
                    del self._streams[stream.number]
            case _:
                raise MalformedError(f"link: kind {frame.kind} out of place")

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _exchange(self, stream: _Stream, opening: bytes) -> None:
        try:
            await self._executor.exchange(stream.noted, opening, stream, stream.emit)
        finally:
            self._streams.pop(stream.number, None)

    async def _bundle(self, number: int, freshness: bytes) -> None:
        try:
            with contextlib.suppress(CancelledExchangeError):
                try:
                    bundle = await self._attest(freshness)
                except MalformedError:
                    await self._problem(number, "freshness.malformed")
                else:
                    await self.send(LinkFrame(number, LinkKind.BUNDLE, bundle))
        finally:
            self._attesting -= 1

    async def _problem(self, number: int, code: str) -> None:
        with contextlib.suppress(CancelledExchangeError):
            problem = Problem(code, "refused").encode()
            await self.send(LinkFrame(number, MessageType.PROBLEM, problem))

    def hang_up(self) -> None:
        """Close the connection once what was written has left."""
        self._writer.close()

    async def _close(self) -> None:
        self._closed = True
        for stream in tuple(self._streams.values()):
            stream.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class NodeServer:
    """Listens, keeps the keyring moving, and reports status and tallies."""

    def __init__(
        self,
        *,
        executor: Executor,
        watch: LogWatch,
        attest: Attest,
        node_id: str,
        capacity: int,
        tally_s: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._executor, self._watch, self._attest = executor, watch, attest
        self._node_id, self._capacity, self._tally_s = node_id, capacity, tally_s
        self._clock = clock
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._last_status: bytes = b""

    async def start(self, address: str) -> None:
        """Listen on `unix:/path` or `tcp:host:port`."""
        scheme, _, rest = address.partition(":")
        if scheme == "unix":
            self._server = await asyncio.start_unix_server(self._accept, path=rest)
        elif scheme == "tcp":
            host, _, port = rest.rpartition(":")
            self._server = await asyncio.start_server(self._accept, host=host, port=int(port))
        else:
            raise MalformedError(f"address {address!r}: need unix:PATH or tcp:HOST:PORT")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        watch = self._watch.follow()
        connection = Connection(
            reader, writer, executor=self._executor, watch=watch, attest=self._attest
        )
        self._connections.add(connection)
        hello = Hello(node_id=self._node_id, capacity=self._capacity, log_size=watch.size)
        try:
            await connection.serve(hello)
        finally:
            self._connections.discard(connection)
            self._executor.undelivered += connection.unsure()

    async def housekeeping(self) -> None:
        """Rotate and erase epochs, report status, deliver tallies and kept statements; forever."""
        keyring = self._executor.keyring
        next_tally = self._clock() + self._tally_s
        while True:
            now = int(self._clock())
            if keyring.due(now=now) and not self._executor.draining:
                epoch = keyring.rotate(now=now)
                log.info("keyset.rotated", extra={"epoch": epoch.number})
            for _, tally in keyring.expire(now=now):
                self._broadcast(LinkKind.TALLY, tally)
            if self._clock() >= next_tally:
                next_tally = self._clock() + self._tally_s
                for epoch in keyring.epochs():
                    self._broadcast(LinkKind.TALLY, epoch.tally(now=now, final=False))
            await self._deliver_kept()
            await self.report()
            await asyncio.sleep(STATUS_S)

    async def report(self) -> None:
        """Tell the gateway how busy this node is."""
        executor = self._executor
        status = NodeStatus(
            active=executor.active,
            queued=0,
            capacity=self._capacity,
            draining=executor.draining,
            keyset=executor.keyring.active.digest,
        )
        self._broadcast(LinkKind.STATUS, status.encode())

    async def _deliver_kept(self) -> None:
        kept, self._executor.undelivered = self._executor.undelivered, []
        for statement in kept:
            if not self._broadcast(MessageType.STATEMENT, statement):
                self._executor.undelivered.append(statement)

    def _broadcast(self, kind: int, payload: bytes) -> bool:
        sent = False
        for connection in tuple(self._connections):
            sent |= connection.post(LinkFrame(0, kind, payload))
        return sent

    async def drain(self, timeout_s: float) -> None:
        """Refuse new requests, wait for claimed ones, send the final tallies, stop listening."""
        self._executor.draining = True
        await self.report()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._executor.idle.is_set():  # work may come between setting and waking
                    await self._executor.idle.wait()
        await self._executor.stop()
        await self._deliver_kept()
        for _, tally in self._executor.keyring.close(now=int(self._clock())):
            self._broadcast(LinkKind.TALLY, tally)
        if self._server is not None:
            self._server.close()
            for connection in tuple(self._connections):
                connection.hang_up()
            await self._server.wait_closed()
