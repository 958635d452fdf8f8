"""What a witness remembers: per log the newest checkpoint it cosigned, on disk before it answers.

One file per log, replaced atomically and flushed with its directory. The folder is made once, with
the keys; a witness whose memory is gone does not begin anew, because it would then cosign a fork.
One process at a time: the folder is locked.

Source: c2sp.org/tlog-witness ("MUST persist"); docs/spec/witness.md §4.
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from mifeng.crypto import sm3
from mifeng.errors import PeerError, UsageError
from mifeng.protocol import checkpoint
from mifeng.protocol.checkpoint import LogPin, SignedCheckpoint

MARKER: Final = "witness-state-v1"
MAX_EVIDENCE: Final = 1024
"""Requests kept that may convict a log; the first ones matter."""


class State:
    """The memory of one witness. Use as a context manager."""

    def __init__(self, folder: Path, logs: Mapping[str, LogPin]) -> None:
        """Lock a folder and read what it remembers of `logs`.

        Raises:
            UsageError: it was never made, is in use, or holds something that is not the log's.
        """
        self._folder, self._logs = folder, logs
        if not (folder / MARKER).is_file():
            raise UsageError(f"{folder} is not the state of a witness; `mifeng witness keygen`")
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._latest = {origin: self._read(origin) for origin in logs}
        except OSError as exc:
            os.close(self._lock)
            raise UsageError(f"{folder}: {exc.strerror or 'in use'}") from exc
        except UsageError:
            os.close(self._lock)
            raise

    @staticmethod
    def create(folder: Path) -> None:
        """Make an empty memory; raises `UsageError` if there is one."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / MARKER).open("x"):
                pass
            (folder / "evidence").mkdir(exist_ok=True)
        except OSError as exc:
            raise UsageError(f"{folder}: {exc.strerror}") from exc
        _sync(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def latest(self, origin: str) -> SignedCheckpoint | None:
        """Return the newest checkpoint of a log that was cosigned."""
        return self._latest.get(origin)

    def remember(self, origin: str, signed: SignedCheckpoint) -> None:
        """Replace what is remembered; durable when this returns. Raises `OSError`."""
        path = self._path(origin)
        new = path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(signed.note)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync(self._folder)
        self._latest[origin] = signed

    def keep_evidence(self, request: bytes) -> None:
        """Keep a request that a log signed and that contradicts what it signed before."""
        folder = self._folder / "evidence"
        path = folder / sm3(request).hex()
        if not path.exists() and len(list(folder.iterdir())) < MAX_EVIDENCE:
            path.write_bytes(request)

    def _path(self, origin: str) -> Path:
        return self._folder / f"{sm3(origin.encode()).hex()}.note"

    def _read(self, origin: str) -> SignedCheckpoint | None:
        path = self._path(origin)
        if not path.exists():
            return None
        try:
            return checkpoint.verify(path.read_bytes(), self._logs[origin])
        except PeerError as exc:
            # Damaged, or the log's keys changed: guessing a size could cosign a fork.
            raise UsageError(f"{path}: not a checkpoint of {origin} under its keys") from exc


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
