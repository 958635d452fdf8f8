"""The gateway's end of the link to one node: dial, multiplex, keep windows. Bytes only.

What the frames mean for admission and for requests is decided in `nodes` and `relay`.

Source: docs/spec/link.md.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from mifeng.errors import MalformedError
from mifeng.protocol.link import (
    Hello,
    LinkFrame,
    LinkKind,
    LinkParser,
    ReceiveWindow,
    SendWindow,
)
from mifeng.protocol.messages import Message, MessageType

READ_BYTES: Final = 256 * 1024
HELLO_S: Final = 10.0


class LinkLostError(Exception):
    """The connection to the node is gone."""


class LinkStream:
    """One exchange on the link."""

    def __init__(self, link: "Link", number: int) -> None:
        self._link, self.number = link, number
        self._inbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._outbound, self._inbound = SendWindow(), ReceiveWindow()
        self._granted = asyncio.Event()
        self.lost = False
        self.sent = False
        """Some byte of the request has been handed to the connection."""

    async def send(self, message: Message) -> None:
        """Send one message; a FRAME waits for the window.

        Raises:
            LinkLostError: the connection is gone.
        """
        if message.type is MessageType.FRAME:
            while not self._outbound.open and not self.lost:
                self._granted.clear()
                await self._granted.wait()
            if not self.lost:
                self._outbound.sent(len(message.payload))
        if self.lost:
            raise LinkLostError
        self.sent = True
        await self._link.send(LinkFrame(self.number, message.type, message.payload))

    async def receive(self) -> Message:
        """Return the next message from the node and open its window again.

        Raises:
            LinkLostError: the connection is gone.
        """
        message = await self._inbox.get()
        if message is None:
            raise LinkLostError
        if message.type is MessageType.FRAME:
            payload = self._inbound.consumed(len(message.payload))
            if payload is not None:
                with contextlib.suppress(LinkLostError):
                    await self._link.send(LinkFrame(self.number, LinkKind.WINDOW, payload))
        return message

    async def cancel(self) -> None:
        """Tell the node that nobody waits for the answer any more."""
        with contextlib.suppress(LinkLostError):
            await self._link.send(LinkFrame(self.number, MessageType.CANCEL, b""))

    def close(self) -> None:
        """Forget the stream; what still arrives for it is dropped."""
        self._link.forget(self.number)

    def _arrived(self, frame: LinkFrame) -> None:
        if frame.kind == LinkKind.WINDOW:
            self._outbound.granted(frame.payload)
            self._granted.set()
            return
        message = Message(MessageType(frame.kind), frame.payload)
        if message.type is MessageType.FRAME:
            self._inbound.received(len(message.payload))
        self._inbox.put_nowait(message)

    def _lose(self) -> None:
        self.lost = True
        self._granted.set()
        self._inbox.put_nowait(None)


class Link:
    """One connection to one node."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        on_frame: Callable[[LinkFrame], None],
    ) -> None:
        """Take a connection and what to do with frames of stream 0."""
        self._reader, self._writer, self._on_frame = reader, writer, on_frame
        self._streams: dict[int, LinkStream] = {}
        self._bundles: dict[int, asyncio.Future[bytes]] = {}
        self._next = 1
        self._lost = False
        self._parser = LinkParser()
        self._pending: list[LinkFrame] = []
        self.log_size = 0
        """Size of the newest checkpoint that the node has been sent on this connection."""

    @classmethod
    async def dial(cls, address: str, *, on_frame: Callable[[LinkFrame], None]) -> "Link":
        """Connect to `unix:PATH` or `tcp:HOST:PORT`; raises `OSError`."""
        scheme, _, rest = address.partition(":")
        if scheme == "unix":
            reader, writer = await asyncio.open_unix_connection(rest)
        else:
            host, _, port = rest.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
        return cls(reader, writer, on_frame=on_frame)

    async def hello(self) -> Hello:
        """Return what the node says of itself, first of all.

        Raises:
            LinkLostError: it says nothing in time, or something else.
        """
        try:
            async with asyncio.timeout(HELLO_S):
                while not self._pending:
                    data = await self._reader.read(READ_BYTES)
                    if not data:
                        raise LinkLostError
                    self._pending = self._parser.feed(data)
            frame = self._pending.pop(0)
            if (frame.stream, frame.kind) != (0, LinkKind.HELLO):
                raise LinkLostError
            hello = Hello.decode(frame.payload)
        except (MalformedError, TimeoutError, ConnectionError) as exc:
            raise LinkLostError from exc
        self.log_size = hello.log_size
        return hello

    async def run(self) -> None:
        """Read until the node closes or misbehaves; then every stream is lost."""
        try:
            for frame in self._pending:
                self._dispatch(frame)
            while data := await self._reader.read(READ_BYTES):
                for frame in self._parser.feed(data):
                    self._dispatch(frame)
        except (MalformedError, ConnectionError, ValueError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close the connection; every stream is lost."""
        self._lost = True
        self._writer.close()
        for stream in tuple(self._streams.values()):
            stream._lose()  # noqa: SLF001 - one module, two halves of one thing
        for future in self._bundles.values():
            if not future.done():
                future.set_exception(LinkLostError())

    async def send(self, frame: LinkFrame) -> None:
        """Write one frame; waits while the node does not read.

        Raises:
            LinkLostError: the connection is gone.
        """
        if self._lost:
            raise LinkLostError
        try:
            self._writer.write(frame.encode())
            await self._writer.drain()
        except (ConnectionError, RuntimeError) as exc:
            raise LinkLostError from exc

    def open_stream(self) -> LinkStream:
        """Return a new stream; its first message must be an INTENT.

        Numbers rise in the order of first messages: the caller sends the first one before
        anything else is awaited on this link.
        """
        stream = LinkStream(self, self._take_number())
        self._streams[stream.number] = stream
        return stream

    async def attest(self, freshness: bytes) -> bytes:
        """Return the node's bundle for freshness kind(1) ‖ x.

        Raises:
            LinkLostError: the connection is gone, or the node refuses.
        """
        number = self._take_number()
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._bundles[number] = future
        try:
            await self.send(LinkFrame(number, LinkKind.ATTEST, freshness))
            return await future
        finally:
            self._bundles.pop(number, None)

    def forget(self, number: int) -> None:
        """Drop a stream."""
        self._streams.pop(number, None)

    def _take_number(self) -> int:
        number, self._next = self._next, self._next + 1
        return number

    def _dispatch(self, frame: LinkFrame) -> None:
        if frame.stream == 0:
            self._on_frame(frame)
        elif frame.stream in self._streams:
            self._streams[frame.stream]._arrived(frame)  # noqa: SLF001 - as above
        elif (future := self._bundles.get(frame.stream)) is not None and not future.done():
            if frame.kind == LinkKind.BUNDLE:
                future.set_result(frame.payload)
            else:
                future.set_exception(LinkLostError())
