"""The durable queue between the log and its anchors: a directory that outlives the process.

A note leaves the queue only when its record is durable. Written: whole file, flushed, renamed,
directory flushed. One process writes to a directory.

Source: docs/anchoring.md §3; the layout is `mifeng.audit.anchors.folder`'s.
"""

import fcntl
import os
from dataclasses import replace
from pathlib import Path
from typing import Self

from gateway import events
from gateway.auditlog.guard import sync_directory
from mifeng.audit.anchors import folder
from mifeng.audit.anchors.folder import Waiting
from mifeng.audit.anchors.record import AnchorRecord

from .kinds import AnchorError


class Queue:
    """A directory of anchors. Use as a context manager, or close it."""

    def __init__(self, directory: Path) -> None:
        """Take `directory`, made if absent.

        Raises:
            AnchorError: another process has it, or it cannot be written.
        """
        self._directory = directory
        self._foreign: set[Path] = set()
        try:
            for part in (folder.RECORDS, folder.QUEUE, folder.STOPPED):
                (directory / part).mkdir(mode=0o750, parents=True, exist_ok=True)
            self._lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise AnchorError("queue", f"{directory}: {exc.strerror}") from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(self._lock)
            raise AnchorError("queue", f"{directory}: another process has it") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def last(self, name: str) -> int:
        """Return the largest size that was ever queued for an anchor, 0 if none was."""
        largest = 0
        for part in (folder.QUEUE, folder.STOPPED):
            for path in (self._directory / part / name).glob("*.json"):
                if (size := folder.size_of(path.name)) is None:
                    self._ignore(path)
                else:
                    largest = max(largest, size)
        for path in (self._directory / folder.RECORDS).glob("*.json"):
            if (known := folder.recorded(path.name)) is None:
                self._ignore(path)
            elif known[1] == name:
                largest = max(largest, known[0])
        return largest

    def put(self, name: str, waiting: Waiting) -> None:
        """Queue a note, or replace what is known of one; durable when this returns."""
        place = self._directory / folder.QUEUE / name
        place.mkdir(mode=0o750, exist_ok=True)
        self._write(place / folder.file_name(waiting.size), waiting.encode(), mode=0o600)

    def waiting(self, name: str) -> list[Waiting]:
        """Return what waits for an anchor, smallest first; raises `UsageError` if damaged."""
        return folder.waiting(self._directory / folder.QUEUE, name)

    def done(self, waiting: Waiting, record: AnchorRecord) -> tuple[str, bytes]:
        """Keep a record, and only then forget that its note waited; returns name and bytes."""
        name = folder.record_name(waiting.size, record.kind, record.name)
        data = record.encode()
        place = self._directory / folder.RECORDS / name
        if not place.exists():  # the process ended between keeping it and forgetting
            self._write(place, data, mode=0o440)
        self._forget(record.name, waiting.size)
        return name, data

    def stop(self, name: str, waiting: Waiting, code: str) -> None:
        """Put a refused note aside, with the reason."""
        place = self._directory / folder.STOPPED / name
        place.mkdir(mode=0o750, exist_ok=True)
        stopped = replace(waiting, stopped=code)
        self._write(place / folder.file_name(waiting.size), stopped.encode(), mode=0o600)
        self._forget(name, waiting.size)

    def records(self) -> list[tuple[str, bytes]]:
        """Return name and bytes of every record."""
        found = folder.records(self._directory / folder.RECORDS)
        return [(path.name, data) for path, data in found if folder.recorded(path.name)]

    def _ignore(self, path: Path) -> None:
        """Say once that a file is none of ours."""
        if path not in self._foreign:
            self._foreign.add(path)
            events.log.warning("anchor.foreign", anchor=path.parent.name)

    def _forget(self, name: str, size: int) -> None:
        place = self._directory / folder.QUEUE / name
        (place / folder.file_name(size)).unlink(missing_ok=True)
        sync_directory(place)

    def _write(self, place: Path, data: bytes, *, mode: int) -> None:
        hidden = place.with_name(f".{place.name}.new")
        fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        hidden.replace(place)
        sync_directory(place.parent)
