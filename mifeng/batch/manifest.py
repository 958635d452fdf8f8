"""What has been done, on disk: one JSON line per finished item, appended and flushed.

An item counts as done when its line is complete; result and receipt are in place before. So a
job killed at any moment resumes by reading this file, and an item whose answer was lost in the
crash is asked again: its result exists once, under its index.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mifeng.crypto import hkdf_expand_sm3
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import UsageError

FILE = "manifest.jsonl"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One finished item."""

    index: int
    source: str
    ok: bool
    code: str
    """Empty when ok, else the stable code of the last failure."""
    log_index: int | None

    def to_json(self) -> dict[str, Any]:
        """Return the line's document."""
        return {
            "index": self.index,
            "source": self.source,
            "ok": self.ok,
            "code": self.code,
            "log_index": self.log_index,
        }


class Manifest:
    """The file of one job in its output directory."""

    def __init__(self, directory: Path, secret: bytes, model: str, done: dict[int, Done]) -> None:
        self.directory, self.model, self.done = directory, model, done
        self._secret = secret
        self._file = (directory / FILE).open("ab")

    @classmethod
    def open(cls, directory: Path, *, model: str) -> Self:
        """Begin a job in a directory, or go on with the one that is there.

        Raises:
            UsageError: the directory holds another job, or cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / FILE
            if not path.exists():
                return cls._begin(directory, path, model)
            head, *lines = path.read_bytes().splitlines(keepends=True)
            job = json.loads(head)
            if job["v"] != VERSION or job["model"] != model:
                raise UsageError(f"{directory}: holds a job for model {job['model']!r}")
            whole = [line for line in lines if line.endswith(b"\n")]
            if len(whole) != len(lines):  # the last line was cut by a crash
                _replace(path, head + b"".join(whole))
            done = [Done(**json.loads(line)) for line in whole]
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise UsageError(f"{directory}: not a batch directory ({exc})") from exc
        secret = bytes.fromhex(job["secret"])
        return cls(directory, secret, model, {item.index: item for item in done})

    @classmethod
    def _begin(cls, directory: Path, path: Path, model: str) -> Self:
        secret = random_bytes(32)
        job = {"v": VERSION, "model": model, "secret": secret.hex()}
        _replace(path, json.dumps(job).encode() + b"\n")
        path.chmod(0o600)
        return cls(directory, secret, model, {})

    def item_id(self, index: int) -> str:
        """Return the id of an item inside the seal: the same whenever it is asked again."""
        return hkdf_expand_sm3(self._secret, b"mifeng/v1/batch-item\0%d" % index, 16).hex()

    def finish(self, item: Done, *, result: bytes | None, receipt: bytes | None) -> None:
        """Put result and receipt in place, then record the item; durable when this returns."""
        stem = self.directory / f"{item.index:08d}"
        if result is not None:
            _replace(stem.with_suffix(".json"), result)
        if receipt is not None:
            _replace(stem.with_suffix(".receipt.json"), receipt)
        self._file.write(json.dumps(item.to_json(), ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done[item.index] = item

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
