"""Ask a witness for its cosignature.

The witness may be somebody's whom we do not know: what it answers is checked under its pinned key
before anybody sees it.

Source: c2sp.org/tlog-witness; docs/spec/witness.md §6.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from mifeng.errors import MalformedError, PeerError, RefusedError, TransportError
from mifeng.protocol import note
from mifeng.protocol.merkle import Digest
from mifeng.protocol.note import Note, NoteKey, Signature

from .wire import SIZE_TYPE, AddCheckpoint, parse_size

MAX_ANSWER: Final = 64 * 1024
_ATTEMPTS: Final = 3
AHEAD: Final = "witness.ahead"

Prove = Callable[[int], Awaitable[tuple[Digest, ...]]]
"""Returns the consistency proof from a size to the checkpoint that is to be cosigned."""


class ConflictError(Exception):
    """The witness is at another size; prove from there."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class AheadError(RefusedError):
    """The witness has cosigned a later checkpoint than the one it was asked about: `size`.

    Another gateway of the same log may have shown it; if none has, the log was rolled back.
    """

    def __init__(self, message: str, *, size: int) -> None:
        super().__init__(AHEAD, message)
        self.size = size


class WitnessClient:
    """One witness. Remembers the size it is at, so that one request is usually enough."""

    def __init__(self, url: str, key: NoteKey, *, timeout_s: float) -> None:
        """Take the submission prefix (`https://…`, `http://…` or `unix:/path`) and a pinned key."""
        uds = url.removeprefix("unix:") if url.startswith("unix:") else None
        self.key = key
        self.known = 0
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=uds, retries=0),
            base_url="http://witness" if uds else url.rstrip("/"),
            timeout=timeout_s,
            trust_env=False,
        )

    async def close(self) -> None:
        """Release the connection."""
        await self._http.aclose()

    async def cosign(self, signed: bytes, size: int, prove: Prove) -> Signature:
        """Return the witness's line for a note.

        Args:
            signed: the log's own note.
            size: of its checkpoint.
            prove: makes a consistency proof from an older size.

        Raises:
            TransportError: the witness cannot be reached.
            AheadError: it has cosigned a later checkpoint.
            RefusedError: it refused; `witness.409` and `witness.422` mean that it knows another
                history of this log; `witness.moving`, that it moves on while it is asked.
            PeerError: what it answered is not its cosignature.
        """
        for _ in range(_ATTEMPTS):
            if self.known > size:
                ahead, self.known = self.known, 0  # what it says now may not hold next time
                raise AheadError(f"{self.key.name} is at {ahead} already", size=ahead)
            path = await prove(self.known) if 0 < self.known < size else ()
            request = AddCheckpoint(old=self.known, path=path, note=signed)
            try:
                line = await self._post(request)
            except ConflictError as exc:
                if exc.size == self.known:
                    raise RefusedError("witness.409", f"{self.key.name}: another root") from exc
                self.known = exc.size
                continue
            self.known = size
            return line
        raise RefusedError("witness.moving", f"{self.key.name} is at another size each time")

    async def _post(self, request: AddCheckpoint) -> Signature:
        try:
            async with asyncio.timeout(self._timeout_s):
                status, kind, answer = await self._exchange(request.encode())
        except (httpx.HTTPError, TimeoutError) as exc:
            raise TransportError(f"{self.key.name}: {type(exc).__name__}") from exc
        text = answer.decode("utf-8", "replace")
        if status == httpx.codes.CONFLICT:
            size = parse_size(text.removesuffix("\n"))
            if kind == SIZE_TYPE and size is not None:
                raise ConflictError(size)
        if status != httpx.codes.OK:
            reason = text[:200] if text.isprintable() else ""
            raise RefusedError(f"witness.{status}", f"{self.key.name}: {reason}")
        return self._line(request.note, answer)

    async def _exchange(self, body: bytes) -> tuple[int, str | None, bytes]:
        """Return status, content type and body of an answer, which may be long or never end."""
        answer = bytearray()
        async with self._http.stream("POST", "/add-checkpoint", content=body) as response:
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > MAX_ANSWER:
                    raise MalformedError(f"{self.key.name}: too long an answer")
        return response.status_code, response.headers.get("content-type"), bytes(answer)

    def _line(self, signed: bytes, answer: bytes) -> Signature:
        """Find the pinned key's line in an answer and verify it."""
        text = note.parse(signed).text
        lines = note.parse_signatures(answer)
        ours = tuple(
            line for line in lines if (line.name, line.key_id) == (self.key.name, self.key.key_id)
        )
        if not ours:
            raise PeerError(f"{self.key.name}: answered without its own line")
        note.verify(Note(text=text, signatures=ours), [self.key])
        return ours[0]
