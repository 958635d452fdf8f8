"""Anchor `file`: a directory that only ever gains files, e.g. a write-once mount elsewhere.

Names are `<size>-<SM3 of the note>.note`. A file is made once (O_EXCL), flushed, and made
read-only; nothing is ever replaced. A note of a smaller tree than one that lies there, or of
another tree of the same size, is refused for good: the log was rolled back, or forked.

Source: docs/spec/anchor.md §3.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.auditlog.guard import sync_directory
from mifeng.crypto import sm3
from mifeng.errors import MalformedError
from mifeng.protocol.jsonc import Json

from .kinds import AnchorRefusedError, AnchorUnavailableError, Note

_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WormAnchor:
    """See the module; implements `kinds.Anchor`."""

    name: str
    directory: Path
    kind: str = "file"

    def prepare(self, note: Note, old: bytes) -> bytes:
        """Return the name of the file to make."""
        del old
        return f"{note.claim.size:016d}-{sm3(note.data).hex()}".encode()

    def submit(self, note: Note, ticket: bytes) -> dict[str, Json]:
        """Make the file, unless it is there already; see `kinds.Anchor`."""
        try:
            self._check(note)
            return {"file": self._make(ticket.decode(), note.data)}
        except OSError as exc:
            raise AnchorUnavailableError("file", f"{self.directory}: {exc.strerror}") from exc

    def close(self) -> None:
        """Do nothing."""

    def _check(self, note: Note) -> None:
        self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        for path in sorted(self.directory.glob("*.note"), reverse=True):
            size = path.name[:16]
            if not size.isdecimal() or int(size) < note.claim.size:
                break
            try:
                held = Note.of(path.read_bytes()).claim
            except MalformedError:  # cut short by a crash while it was written
                continue
            if held.size > note.claim.size:
                raise AnchorRefusedError("file.ahead", f"{path.name} is of a larger tree")
            if held != note.claim:
                raise AnchorRefusedError("file.conflict", f"{path.name} is of another tree")

    def _make(self, stem: str, data: bytes) -> str:
        for attempt in range(_ATTEMPTS):
            path = self.directory / (f"{stem}.{attempt}.note" if attempt else f"{stem}.note")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                fd = os.open(path, flags, 0o400)
            except FileExistsError:
                if path.read_bytes() == data:
                    return path.name
                continue  # what a crash left of it stays: nothing is ever replaced
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(fd, 0o444)
                os.fsync(fd)
            sync_directory(self.directory)
            return path.name
        raise AnchorRefusedError("file.conflict", f"{stem}: other bytes stand there")
