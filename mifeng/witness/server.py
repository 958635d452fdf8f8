"""Listen: HTTP/1.1 by h11 over asyncio, one route. Small enough to audit, nothing to install.

h11 comes with httpx, which the base package needs anyway; a web framework would bring routing,
validation and a dependency tree that a single POST has no use for. TLS and rate limits belong to
the reverse proxy in front (docs/spec/witness.md §5).

Source: c2sp.org/tlog-witness.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import h11

from mifeng.errors import MalformedError
from mifeng.protocol.checkpoint import LogPin

from .keys import WitnessKeys
from .rules import Refusal, cosign, decide, origin_of
from .state import State
from .wire import MAX_REQUEST, SIZE_TYPE, AddCheckpoint

PATH: Final = b"/add-checkpoint"
IDLE_S: Final = 60.0
MAX_CONNECTIONS: Final = 512
_PLAIN: Final = "text/plain; charset=utf-8"
_HEADER_BYTES: Final = 16 * 1024
_PIECE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back."""

    status: int
    body: bytes
    kind: str = _PLAIN


@dataclass(slots=True)
class Witness:
    """Decides, remembers, cosigns; knows nothing of HTTP."""

    keys: WitnessKeys
    logs: Mapping[str, LogPin]
    state: State
    clock: Callable[[], int] = lambda: int(time.time())
    _locks: defaultdict[str, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    async def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one request. Checking and remembering are one step, per log."""
        try:
            request = AddCheckpoint.decode(body)
            origin = origin_of(request)
            if origin not in self.logs:
                raise Refusal(status=404, reason="unknown log")
            async with self._locks[origin]:
                accepted = decide(request, self.logs, self.state.latest(origin))
                await asyncio.to_thread(self.state.remember, origin, accepted.signed)
        except MalformedError as exc:
            return Answer(400, f"{exc}\n".encode())
        except OSError:
            # Not remembered, so not cosigned.
            return Answer(503, b"the witness cannot write\n")
        except Refusal as exc:
            if exc.evidence:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(self.state.keep_evidence, body)
            if exc.status == 409 and exc.size is not None:  # noqa: PLR2004 - the specification's own
                return Answer(409, f"{exc.size}\n".encode(), SIZE_TYPE)
            return Answer(exc.status, f"{exc.reason}\n".encode())
        return Answer(200, cosign(accepted.signed, self.keys.cosigners(self.clock())))


class Server:
    """Serves one witness at one address."""

    def __init__(self, witness: Witness) -> None:
        self._witness = witness
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listen: str) -> None:
        """Listen at `unix:/path` or `tcp:host:port`; raises `OSError`."""
        scheme, _, rest = listen.partition(":")
        if scheme == "unix":
            self._server = await asyncio.start_unix_server(self._accept, rest)
            return
        host, _, port = rest.rpartition(":")
        self._server = await asyncio.start_server(self._accept, host, int(port))

    @property
    def port(self) -> int:
        """The TCP port that is listened at."""
        assert self._server is not None  # noqa: S101 - started
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(task)
        try:
            await _Connection(self._witness, reader, writer).run()
        except (h11.RemoteProtocolError, ConnectionError, TimeoutError, asyncio.CancelledError):
            pass  # nobody is left to tell
        finally:
            self._connections.discard(task)
            writer.close()


@dataclass(slots=True)
class _Connection:
    witness: Witness
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection = field(
        default_factory=lambda: h11.Connection(h11.SERVER, max_incomplete_event_size=_HEADER_BYTES)
    )

    async def run(self) -> None:
        """Answer requests until the peer leaves or breaks a rule."""
        async for request in self._requests():
            body = await self._body()
            if body is None:
                answer = Answer(413, b"too long\n")
            elif request.target.partition(b"?")[0] != PATH:
                answer = Answer(404, b"no such path\n")
            elif request.method != b"POST":
                answer = Answer(405, b"POST only\n")
            else:
                answer = await self.witness.add_checkpoint(body)
            await self._send(answer, head=request.method == b"HEAD")
            if self.http.our_state is not h11.DONE or self.http.their_state is not h11.DONE:
                return
            self.http.start_next_cycle()

    async def _event(self) -> object:
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                return event
            async with asyncio.timeout(IDLE_S):
                self.http.receive_data(await self.reader.read(_PIECE))

    async def _requests(self) -> AsyncIterator[h11.Request]:
        while isinstance(event := await self._event(), h11.Request):
            yield event

    async def _body(self) -> bytes | None:
        """Return the request's body, or None as soon as it is too long."""
        body = bytearray()
        if self.http.they_are_waiting_for_100_continue:
            go_on = self.http.send(h11.InformationalResponse(status_code=100, headers=[]))
            self.writer.write(go_on or b"")
        while isinstance(event := await self._event(), h11.Data):
            body += event.data
            if len(body) > MAX_REQUEST:
                return None
        return bytes(body)

    async def _send(self, answer: Answer, *, head: bool) -> None:
        headers = [
            ("content-type", answer.kind),
            ("content-length", str(len(answer.body))),
            ("cache-control", "no-store"),
        ]
        parts = (
            h11.Response(status_code=answer.status, headers=headers),
            h11.Data(data=b"" if head else answer.body),
            h11.EndOfMessage(),
        )
        self.writer.write(b"".join(self.http.send(part) or b"" for part in parts))
        await self.writer.drain()
