"""What has been done, on disk: one JSON line per event of an item, appended and flushed.

An item counts as done when its line is complete; result and receipt are in place before. So a
job killed at any moment resumes by reading this file, and an item whose answer was lost in the
crash is asked again: its result exists once, under its index. For a model that must not run
twice, a line says that an item is about to be sent; if that is its last one, the item is
reported and not asked again.

In memory an item is a byte and eight bytes of its name's digest, whatever the job's size.
"""

import json
import os
from array import array
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from threading import Lock
from typing import Any, Final, Self

from mifeng.crypto import hkdf_expand_sm3, sm3
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import UsageError

from .lock import DirectoryLock

FILE: Final = "manifest.jsonl"
VERSION: Final = 2
PER_FOLDER: Final = 1000
"""Items whose results share a folder: no directory grows without bound."""


INTERRUPTED: Final = "interrupted"
"""Code of an item that may have run."""


class State(IntEnum):
    """Where an item stands."""

    NEW = 0
    SENT = 1
    """Perhaps run; only kept for models that must not run twice."""
    FAILED = 2
    OK = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One finished item."""

    index: int
    source: str
    ok: bool
    code: str
    """Empty when ok, else the stable code of the last failure."""
    input_sm3: str
    """SM3 of the document or line, hexadecimal; empty if it could not be read."""
    result: str
    """Path of the result in the job's directory; empty if there is none."""
    log_index: int | None
    """Where the log keeps the record of the exchange."""


class Manifest:
    """The file of one job in its output directory."""

    def __init__(self, directory: Path, lock: DirectoryLock, secret: bytes, model: str) -> None:
        self.directory, self.model = directory, model
        self._lock, self._secret = lock, secret
        self._states = bytearray()
        self._names = array("Q")
        self._writing = Lock()
        self._file = (directory / FILE).open("ab")

    @classmethod
    def open(cls, directory: Path, *, model: str) -> Self:
        """Begin a job in a directory, or go on with the one that is there.

        Raises:
            UsageError: the directory holds another job, another process works in it, or it
                cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = DirectoryLock.take(directory)
        except OSError as exc:
            raise UsageError(f"{directory}: cannot be written ({exc.strerror})") from exc
        try:
            if not (directory / FILE).exists():
                return cls._begin(directory, lock, model)
            return cls._resume(directory, lock, model)
        except UsageError:
            lock.release()
            raise
        except (OSError, ValueError, KeyError, TypeError) as exc:
            lock.release()
            raise UsageError(f"{directory}: not a batch directory ({exc})") from exc

    @classmethod
    def _begin(cls, directory: Path, lock: DirectoryLock, model: str) -> Self:
        secret = random_bytes(32)
        job = {"v": VERSION, "model": model, "secret": secret.hex()}
        path = directory / FILE
        _replace(path, json.dumps(job).encode() + b"\n", mode=0o600)
        return cls(directory, lock, secret, model)

    @classmethod
    def _resume(cls, directory: Path, lock: DirectoryLock, model: str) -> Self:
        with (directory / FILE).open("r+b") as file:
            job = json.loads(file.readline())
            if job["v"] != VERSION or job["model"] != model:
                raise UsageError(f"{directory}: holds a job for model {job['model']!r}")
            secret = bytes.fromhex(job["secret"])
            # A line that a crash has cut short is taken off, or the next would continue it.
            size, lines = file.tell(), 0
            while file.readline().endswith(b"\n"):
                size, lines = file.tell(), lines + 1
            file.truncate(size)
        manifest = cls(directory, lock, secret, model)
        try:
            manifest._replay(lines)
        except BaseException:
            manifest._file.close()
            raise
        return manifest

    def _replay(self, lines: int) -> None:
        with (self.directory / FILE).open("rb") as file:
            file.readline()
            for _ in range(lines):
                self._note(json.loads(file.readline().decode("utf-8", "surrogateescape")))

    def _note(self, line: dict[str, Any]) -> None:
        if "sent" in line:
            self._set(int(line["sent"]), State.SENT, str(line["source"]))
        else:
            state = State.OK if line["ok"] else State.FAILED
            if line["code"] == INTERRUPTED:
                state = State.SENT
            self._set(int(line["index"]), state, str(line["source"]))

    def _set(self, index: int, state: State, source: str) -> None:
        if missing := index + 1 - len(self._states):
            self._states.extend(bytes(max(0, missing)))
            self._names.extend([0] * max(0, missing))
        self._states[index], self._names[index] = state, _digest(source)

    def state(self, index: int, source: str) -> State:
        """Return where an item stands.

        Args:
            index: its place in the batch.
            source: what it is called now.

        Raises:
            UsageError: at this place was another item: the files given are not the job's.
        """
        if index >= len(self._states) or not self._states[index]:
            return State.NEW
        if self._names[index] != _digest(source):
            raise UsageError(
                f"{source}: item {index} of this job was another; "
                "give the same files in the same order"
            )
        return State(self._states[index])

    def count(self, state: State) -> int:
        """Return how many items are in a state."""
        return self._states.count(state)

    def item_id(self, index: int) -> str:
        """Return the id of an item inside the seal: the same whenever it is asked again."""
        return hkdf_expand_sm3(self._secret, b"mifeng/v1/batch-item\0%d" % index, 16).hex()

    def path(self, index: int) -> str:
        """Return where an item's result goes, relative to the job's directory."""
        return f"{index // PER_FOLDER:05d}/{index:08d}.json"

    def sending(self, index: int, source: str) -> None:
        """Record that an item is about to be sent; durable when this returns."""
        self._append({"sent": index, "source": source})

    def finish(self, item: Done, *, result: bytes | None, receipt: bytes | None) -> None:
        """Put result and receipt in place, then record the item; durable when this returns."""
        path = self.directory / self.path(item.index)
        if result is not None:
            path.parent.mkdir(exist_ok=True)
            _replace(path, result)
        if receipt is not None:
            _replace(path.with_suffix(".receipt.json"), receipt)
        self._append(asdict(item))

    def _append(self, line: dict[str, Any]) -> None:
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"
        with self._writing:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._note(line)

    def close(self) -> None:
        """Close the file and let others work in the directory."""
        self._file.close()
        self._lock.release()


def _digest(source: str) -> int:
    return int.from_bytes(sm3(source.encode("utf-8", "surrogateescape"))[:8], "big")


def _replace(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        temporary.chmod(mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
