"""How new the newest collateral was that was ever accepted, in a file: a ratchet over restarts.

Genuine collateral carries numbers that never go back (`Claims.ratchets`). Older collateral is
properly signed and may even be in date; only a memory tells that something newer was seen.

Source: docs/spec/appraisal.md §2 (ratchet).
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Final

from attestation.appraise import raise_floors
from attestation.claims import Claims
from attestation.errors import AttestationError
from attestation.json_strict import parse_object
from mifeng.errors import UsageError

MAX_BYTES: Final = 1 << 20


class Floors:
    """Floors by series name, in memory and, if a path is given, in a file. Safe for threads."""

    def __init__(self, path: Path | None) -> None:
        """Read the file if there is one.

        Raises:
            UsageError: it holds something else. It is not passed over: with it the floors would
                be lost. Deleting it gives them up.
        """
        self._path, self._lock = path, Lock()
        self._now: Mapping[str, int] = self._read()

    @property
    def now(self) -> Mapping[str, int]:
        """The highest number seen, by series."""
        return self._now

    def learn(self, claims: Sequence[Claims]) -> None:
        """Raise the floors to claims that were just accepted; return when they are on disk.

        Another process may write the same file: its floors are kept. Where this raises, the floors
        are raised for this process, and written the next time.

        Raises:
            UsageError: the file was damaged meanwhile.
            OSError: it cannot be written.
        """
        with self._lock:
            self._now = raise_floors(self._now, claims)
            kept = self._read()
            merged = dict(self._now)
            for name, number in kept.items():
                merged[name] = max(number, merged.get(name, number))
            self._now = MappingProxyType(merged)
            if merged != kept:
                self._write(merged)

    def _read(self) -> Mapping[str, int]:
        if self._path is None:
            return MappingProxyType({})
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return MappingProxyType({})
        except OSError as exc:
            raise UsageError(f"floors: {self._path}: {exc.strerror}") from exc
        try:
            tree = parse_object(raw[: MAX_BYTES + 1], what="floors", code="floors")
        except AttestationError as exc:
            raise UsageError(f"floors: {self._path} is damaged") from exc
        found = {name: number for name, number in tree.items() if type(number) is int}
        if len(found) != len(tree):
            raise UsageError(f"floors: {self._path} is damaged")
        return MappingProxyType(found)

    def _write(self, floors: Mapping[str, int]) -> None:
        """Replace the file as a whole, durably."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps(dict(floors), sort_keys=True).encode())
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
