"""The guard: a memory of the log's head that a restored database cannot roll back.

It lives outside the database and moves with every group commit, before anybody is told. When a
log opens, its tree must have the guard's root at the guard's size: an older backup, another
fork, or a second instance on a copy is refused; only a tail that a crash left unacknowledged,
extending the guard's tree, is adopted. Whoever can rewrite guard *and* database can still fork
the log; witnesses are what makes that visible.

Source: docs/spec/log.md §10.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Self

from mifeng.crypto import sm3
from mifeng.protocol.merkle import DIGEST_BYTES, Digest

from . import failpoints
from .errors import LogLockedError, LogRefusedError
from .failpoints import UNARMED, Failpoints

_SLOT: Final = 4096
_MAGIC: Final = b"mifeng-guard-v1\0"
_BODY: Final = len(_MAGIC) + DIGEST_BYTES + 8 + 8 + DIGEST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A head of the log: it had this root at this size."""

    size: int
    root: Digest


class Guard(Protocol):
    """Remembers one mark and swaps it atomically. Used by one thread at a time."""

    def read(self) -> Mark:
        """Return the mark as stored now; raises `LogRefusedError` if there is none."""
        ...

    def swap(self, old: Mark, new: Mark) -> None:
        """Durably replace `old` by `new`.

        Raises:
            LogRefusedError: the stored mark is not `old`: another writer is at work.
            OSError: it could not be written; the stored mark is either of the two.
        """
        ...

    def close(self) -> None:
        """Release it."""
        ...


class FileGuard:
    """A guard in a file with two slots, written in turn, so that a torn write spoils only one.

    Holds the file's lock for as long as it is open, or, if several gateways on one host share
    it, for each swap. Put it on another volume than the database: what is restored together
    does not guard.
    """

    def __init__(
        self, path: Path, origin: str, *, shared: bool = False, points: Failpoints = UNARMED
    ) -> None:
        """Open an existing guard file and, unless it is `shared`, lock it.

        Raises:
            LogRefusedError: the file does not exist.
            LogLockedError: another process has it.
        """
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError as exc:
            raise LogRefusedError(f"guard {path} does not exist") from exc
        self._path, self._log, self._points = path, sm3(origin.encode()), points
        self._shared = shared
        try:
            fcntl.flock(self._fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(self._fd)
            raise LogLockedError(f"guard {path} is held by another process") from exc

    @classmethod
    def create(cls, path: Path, origin: str, first: Mark, *, points: Failpoints = UNARMED) -> Self:
        """Make a guard file for a log that does not exist yet, and open it.

        Raises:
            LogRefusedError: the file exists.
        """
        slot = encode_mark(sm3(origin.encode()), 0, first).ljust(_SLOT, b"\0")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError as exc:
            raise LogRefusedError(f"guard {path} exists already") from exc
        try:
            os.write(fd, slot + bytes(_SLOT))
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_directory(path.parent)
        return cls(path, origin, points=points)

    def read(self) -> Mark:
        """Return the newer of the two slots that are whole."""
        return self._newest()[1]

    def swap(self, old: Mark, new: Mark) -> None:
        """Overwrite the older slot, flush, and only then return."""
        with self._alone():
            self._swap(old, new)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._shared:
            yield
            return
        lock = os.open(f"{self._path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _swap(self, old: Mark, new: Mark) -> None:
        count, stored = self._newest()
        if stored != old:
            raise LogRefusedError(
                f"guard {self._path} is at {stored.size}, not {old.size}: another writer"
            )
        count += 1
        os.pwrite(self._fd, encode_mark(self._log, count, new), count % 2 * _SLOT)
        self._points.reach(failpoints.GUARD_WRITTEN)
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Unlock and close the file."""
        os.close(self._fd)

    def _newest(self) -> tuple[int, Mark]:
        raw = os.pread(self._fd, 2 * _SLOT, 0)
        slots = [decode_mark(self._log, raw[at : at + _SLOT]) for at in (0, _SLOT)]
        whole = [slot for slot in slots if slot is not None]
        if not whole:
            raise LogRefusedError(f"guard {self._path} is damaged, or of another log")
        return max(whole, key=lambda slot: slot[0])


def encode_mark(log: bytes, count: int, mark: Mark) -> bytes:
    """Return the bytes of the mark that is the `count`th of the log with this origin's SM3."""
    body = _MAGIC + log + count.to_bytes(8, "big") + mark.size.to_bytes(8, "big") + mark.root
    return body + sm3(body)


def decode_mark(log: bytes, slot: bytes) -> tuple[int, Mark] | None:
    """Return count and mark, or None if the bytes are damaged or of another log."""
    body, check = slot[:_BODY], slot[_BODY : _BODY + DIGEST_BYTES]
    if len(body) != _BODY or sm3(body) != check or not body.startswith(_MAGIC + log):
        return None
    at = len(_MAGIC) + DIGEST_BYTES
    count, size = (int.from_bytes(body[i : i + 8], "big") for i in (at, at + 8))
    return count, Mark(size=size, root=Digest(body[at + 16 :]))


def sync_directory(path: Path) -> None:
    """Make a new name in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
