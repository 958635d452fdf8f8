"""Where a log is published: what the publisher asks of a place, and a directory that is one.

Objects are either immutable, and written once, or swapped against the version that was read.

Source: docs/spec/log.md §11.
"""

import fcntl
import hashlib
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import PublishConflictError, PublishError
from .guard import sync_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object and the version it was read at."""

    data: bytes
    version: str


class Target(Protocol):
    """A place to publish to. Used by one thread at a time.

    Every method raises `PublishError` if the place cannot be reached; whether a write persisted
    is then unknown, and doing it again is safe.
    """

    def read(self, path: str) -> Stored | None:
        """Return an object, or None if there is none."""
        ...

    def put_new(self, path: str, data: bytes) -> None:
        """Write an immutable object; writing the same bytes again changes nothing.

        Raises:
            PublishConflictError: other bytes stand there.
        """
        ...

    def swap(self, path: str, old: str | None, data: bytes) -> str:
        """Replace the object whose version is `old`, or make it if `old` is None.

        Returns: its new version.

        Raises:
            PublishConflictError: it has another version by now.
        """
        ...

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the path of every object below `prefix`, which ends in a slash."""
        ...

    def remove(self, path: str) -> None:
        """Remove an object; it need not exist."""
        ...


class DirectoryTarget:
    """A directory that any web server can serve. Files appear whole, by link and rename."""

    def __init__(self, folder: Path) -> None:
        """Publish below `folder`, which is made if it does not exist; raises `PublishError`."""
        self._folder, self._count = folder, itertools.count()
        with _translated():
            folder.mkdir(parents=True, exist_ok=True)

    def read(self, path: str) -> Stored | None:
        """See `Target`."""
        with _translated():
            try:
                data = (self._folder / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return Stored(data=data, version=_version(data))

    def put_new(self, path: str, data: bytes) -> None:
        """See `Target`."""
        place = self._folder / path
        with _translated():
            written = self._write(place, data, mode=0o444)
            try:
                os.link(written, place)
            except FileExistsError:
                if place.read_bytes() != data:
                    raise PublishConflictError(f"{path} holds other bytes") from None
            finally:
                written.unlink()
            sync_directory(place.parent)

    def swap(self, path: str, old: str | None, data: bytes) -> str:
        """See `Target`."""
        place = self._folder / path
        with _translated(), self._locked():
            found = self.read(path)
            if (found.version if found else None) != old:
                raise PublishConflictError(f"{path} was replaced meanwhile")
            self._write(place, data, mode=0o644).replace(place)
            sync_directory(place.parent)
        return _version(data)

    def names(self, prefix: str) -> Iterator[str]:
        """See `Target`."""
        with _translated():
            for root, _, files in os.walk(self._folder / prefix):
                for name in files:
                    if not name.startswith("."):
                        yield (Path(root) / name).relative_to(self._folder).as_posix()

    def remove(self, path: str) -> None:
        """See `Target`."""
        with _translated():
            (self._folder / path).unlink(missing_ok=True)

    def _write(self, place: Path, data: bytes, *, mode: int) -> Path:
        """Return a flushed file beside `place`, under a name that nobody reads."""
        place.parent.mkdir(parents=True, exist_ok=True)
        hidden = place.with_name(f".{place.name}.{os.getpid()}.{next(self._count)}")
        fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        return hidden

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise PublishError(f"directory: {exc}") from exc
