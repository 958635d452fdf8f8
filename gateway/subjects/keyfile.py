"""The key that wraps every person's key: a small file outside the database, written in place.

Erasing one person replaces it: what remains is wrapped anew, and the old key is overwritten. So the
erased person's key is gone from the database, from its journal and from every backup of it, as
long as no backup holds this file.

    slot = "mifeng-kek-v1" ‖ 0x00 0x00 0x00 ‖ id (16) ‖ secret (32) ‖ SM3(all of it)

Two slots; more than one is full only while a replacement is under way.

Source: docs/privacy.md §3.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mifeng.crypto import hkdf_sm3, sm3
from mifeng.crypto.randomness import random_bytes

from .errors import SubjectsRefusedError

ID_BYTES: Final = 16
_MAGIC: Final = b"mifeng-kek-v1\0\0\0"
_SECRET_BYTES: Final = 32
_SLOT: Final = len(_MAGIC) + ID_BYTES + _SECRET_BYTES + 32
_SLOTS: Final = 2
_INFO: Final = b"mifeng/v1/subject-kek\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kek:
    """A wrapping key and what is derived from it."""

    id: bytes
    secret: bytes = field(repr=False)

    def derive(self, passphrase: bytes) -> tuple[bytes, bytes]:
        """Return the wrapping key (16 bytes) and the key of the index (32 bytes)."""
        made = hkdf_sm3(self.secret + passphrase, salt=self.id, info=_INFO, length=48)
        return made[:16], made[16:]


class KeyFile:
    """The file. One process uses it, the one that has the store's lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slots: list[Kek | None] = [None] * _SLOTS

    @classmethod
    def create(cls, path: Path) -> "KeyFile":
        """Make the file with one key; raises `FileExistsError` if it is there."""
        made = cls(path)
        kek = _generate()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with contextlib.closing(os.fdopen(descriptor, "wb")) as file:
            file.write(_encode(kek) + bytes(_SLOT))
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)
        made._slots[0] = kek
        return made

    @classmethod
    def open(cls, path: Path) -> "KeyFile":
        """Return the keys in the file.

        Raises:
            SubjectsRefusedError: it is not there, or damaged.
        """
        made = cls(path)
        try:
            raw = path.read_bytes()
        except OSError as exc:
            raise SubjectsRefusedError(f"subjects: {path}: {exc.strerror}") from exc
        if len(raw) != _SLOT * _SLOTS:
            raise SubjectsRefusedError(f"subjects: {path} is not a key file")
        for place in range(_SLOTS):
            made._slots[place] = _decode(raw[place * _SLOT : (place + 1) * _SLOT])
        if not any(made._slots):
            raise SubjectsRefusedError(f"subjects: {path} holds no whole key")
        return made

    def __iter__(self) -> Iterator[Kek]:
        return (kek for kek in self._slots if kek is not None)

    def find(self, kek_id: bytes) -> Kek | None:
        """Return the key of that id, if it is there."""
        return next((kek for kek in self if kek.id == kek_id), None)

    def add(self) -> Kek:
        """Write a new key beside the present one; durable when this returns."""
        place = self._slots.index(None)
        kek = _generate()
        self._write(place, _encode(kek))
        self._slots[place] = kek
        return kek

    def keep(self, kek_id: bytes) -> None:
        """Overwrite every other key; durable when this returns."""
        for place, kek in enumerate(self._slots):
            if kek is not None and kek.id != kek_id:
                self._erase(place)

    def only(self, kek_id: bytes) -> None:
        """Overwrite every other slot, whatever it reads as; durable when this returns."""
        if self.find(kek_id) is None:
            raise SubjectsRefusedError(f"subjects: {self._path} does not hold that key")
        for place, kek in enumerate(self._slots):
            if kek is None or kek.id != kek_id:
                self._erase(place)

    def _erase(self, place: int) -> None:
        self._write(place, random_bytes(_SLOT))
        self._write(place, bytes(_SLOT))
        self._slots[place] = None

    def _write(self, place: int, data: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY)
        try:
            os.pwrite(descriptor, data, place * _SLOT)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _generate() -> Kek:
    return Kek(id=random_bytes(ID_BYTES), secret=random_bytes(_SECRET_BYTES))


def _encode(kek: Kek) -> bytes:
    body = _MAGIC + kek.id + kek.secret
    return body + sm3(body)


def _decode(raw: bytes) -> Kek | None:
    """Return the key in a slot; None for an empty one, or one whose writing a crash cut short."""
    body, check = raw[:-32], raw[-32:]
    if not body.startswith(_MAGIC) or sm3(body) != check:
        return None
    start = len(_MAGIC)
    return Kek(id=body[start : start + ID_BYTES], secret=body[start + ID_BYTES :])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
