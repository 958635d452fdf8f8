"""Ask a witness for its cosignature.

The witness may be somebody's whom we do not know: what it answers is checked under its pinned key
before anybody sees it.

Source: c2sp.org/tlog-witness; docs/spec/witness.md §6.
"""

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

Prove = Callable[[int], Awaitable[tuple[Digest, ...]]]
"""Returns the consistency proof from a size to the checkpoint that is to be cosigned."""


class ConflictError(Exception):
    """The witness is at another size; prove from there."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class WitnessClient:
    """One witness. Remembers the size it is at, so that one request is usually enough."""

    def __init__(self, url: str, key: NoteKey, *, timeout_s: float) -> None:
        """Take the submission prefix (`https://…`, `http://…` or `unix:/path`) and a pinned key."""
        uds = url.removeprefix("unix:") if url.startswith("unix:") else None
        self.key = key
        self.known = 0
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
            RefusedError: it refused; `witness.409` and `witness.422` mean that it knows another
                history of this log.
            PeerError: what it answered is not its cosignature.
        """
        for _ in range(_ATTEMPTS):
            if self.known > size:
                raise RefusedError("witness.409", f"{self.key.name} is at {self.known} already")
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
        raise RefusedError("witness.409", f"{self.key.name} changes its mind")

    async def _post(self, request: AddCheckpoint) -> Signature:
        try:
            response = await self._http.post("/add-checkpoint", content=request.encode())
        except httpx.HTTPError as exc:
            raise TransportError(f"{self.key.name}: {type(exc).__name__}") from exc
        if len(response.content) > MAX_ANSWER:
            raise MalformedError(f"{self.key.name}: too long an answer")
        if response.status_code == httpx.codes.CONFLICT:
            size = parse_size(response.text.removesuffix("\n"))
            if response.headers.get("content-type") == SIZE_TYPE and size is not None:
                raise ConflictError(size)
        if response.status_code != httpx.codes.OK:
            reason = response.text[:200] if response.text.isprintable() else ""
            raise RefusedError(f"witness.{response.status_code}", f"{self.key.name}: {reason}")
        return self._line(request.note, response.content)

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
