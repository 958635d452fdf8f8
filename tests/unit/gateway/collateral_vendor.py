"""A SIMULATED vendor: an HTTP server on the loopback interface that answers what it is told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One HTTP answer."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    stated: int | None = None
    """Content-Length where it is not the body's own; -1 for none."""


@dataclass(kw_only=True)
class Vendor:
    """Answers by path, or by default; remembers what it was asked."""

    replies: dict[str, Reply] = field(default_factory=dict)
    otherwise: Reply = field(default_factory=lambda: Reply(status=404))
    queue: list[Reply] = field(default_factory=list)
    """Answered first, whatever is asked."""

    posted: Callable[[bytes], Reply] | None = None
    """Answers what has a body, by that body."""

    asked: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    silent: bool = False
    active: int = 0
    most: int = 0
    slow_s: float = 0.0
    base: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's one request."""
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value for name, _, value in (row.partition(": ") for row in head[1:])
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            path = head[0].split(" ")[1]
            self.asked.append((path, headers, body))
            await asyncio.sleep(self.slow_s)
            if self.silent:
                await reader.read()
                return
            writer.write(self._reply(path, headers, body))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.active -= 1
            writer.close()

    def _reply(self, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        reply = self.queue.pop(0) if self.queue else self.replies.get(path, self.otherwise)
        if body and self.posted is not None:
            reply = self.posted(body)
        etag = reply.headers.get("ETag")
        if etag and headers.get("if-none-match") == etag:
            reply = Reply(status=304, headers=reply.headers)
        rows = [f"HTTP/1.1 {reply.status} X", "Connection: close"]
        length = len(reply.body) if reply.stated is None else reply.stated
        rows += [f"Content-Length: {length}"] if length >= 0 else []
        rows += [f"{name}: {value}" for name, value in reply.headers.items()]
        return ("\r\n".join(rows) + "\r\n\r\n").encode() + reply.body


@asynccontextmanager
async def serving(vendor: Vendor) -> AsyncIterator[Vendor]:
    """Serve a vendor while the context lasts."""
    server = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    vendor.base = f"http://127.0.0.1:{port}"
    try:
        yield vendor
    finally:
        server.close()
