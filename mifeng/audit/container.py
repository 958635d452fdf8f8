"""The file an audit pack is: a zip archive with exactly one spelling.

Any zip program opens it. This reader accepts only what this writer writes: members stored, in
ascending order of name, without dates, comments, extra fields or bytes between them. So no byte of
a pack is outside somebody's check, and equal contents make equal files. What the members mean is
`pack`'s business.

Source: PKWARE APPNOTE 6.3.10 §4.3; docs/spec/audit-pack.md §1.
"""

import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from mifeng.errors import MalformedError, UsageError

MAX_MEMBERS: Final = 65_534
MAX_BYTES: Final = 2**32 - 2
"""One more of either would need zip64; a longer log is exported in ranges."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._/-]{0,127}")
_LOCAL: Final = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END: Final = struct.Struct("<4sHHHHIIH")
_VERSION: Final = 20
_DATE: Final = 0x21  # 1 January 1980, the first day zip knows
_PIECE: Final = 1 << 20


class PackMalformedError(MalformedError):
    """The file is not an audit pack in its one form; the message says where."""

    code = "audit.pack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file inside the archive."""

    name: str
    offset: int
    """Where its content begins."""
    size: int
    crc: int

    def local(self) -> bytes:
        """Return the header that stands before the content."""
        name = self.name.encode()
        head = (b"PK\3\4", _VERSION, 0, 0, 0, _DATE, self.crc, self.size, self.size, len(name), 0)
        return _LOCAL.pack(*head) + name

    def central(self) -> bytes:
        """Return the record in the directory."""
        name = self.name.encode()
        start = self.offset - _LOCAL.size - len(name)
        head = (b"PK\1\2", _VERSION, _VERSION, 0, 0, 0, _DATE, self.crc, self.size, self.size)
        return _CENTRAL.pack(*head, len(name), 0, 0, 0, 0, 0, start) + name


class ContainerWriter:
    """Writes members one after another. Use as a context manager; an error removes the file."""

    def __init__(self, path: Path) -> None:
        """Create `path`.

        Raises:
            UsageError: it exists, or cannot be written.
        """
        try:
            self._file = path.open("xb")
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        self._path = path
        self._members: list[Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._file.close()
            if kind is not None:
                self._path.unlink(missing_ok=True)

    def add(self, name: str, content: Iterable[bytes]) -> int:
        """Write one member and return its size; names must come in ascending order."""
        last = self._members[-1].name if self._members else ""
        if not _NAME.fullmatch(name) or name <= last:
            raise UsageError(f"pack: member {name!r} after {last!r}")
        start = self._file.tell()
        offset = start + _LOCAL.size + len(name)
        self._file.seek(offset)
        size = crc = 0
        for piece in content:
            self._file.write(piece)
            size, crc = size + len(piece), zlib.crc32(piece, crc)
        if offset + size > MAX_BYTES or len(self._members) == MAX_MEMBERS:
            raise UsageError("pack: more than one file holds; export in ranges")
        member = Member(name=name, offset=offset, size=size, crc=crc)
        self._file.seek(start)
        self._file.write(member.local())
        self._file.seek(offset + size)
        self._members.append(member)
        return size

    def _finish(self) -> None:
        directory = b"".join(member.central() for member in self._members)
        self._file.write(directory + _end(len(self._members), directory, self._file.tell()))
        self._file.flush()
        os.fsync(self._file.fileno())


def _end(count: int, directory: bytes, offset: int) -> bytes:
    return _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), offset, 0)


class Container:
    """An archive opened for reading. Several threads may read; each process opens its own."""

    def __init__(self, path: Path) -> None:
        """Open an archive and check every byte that is not content.

        Raises:
            PackMalformedError: not an archive in the one form; nothing in it is believed.
            UsageError: it cannot be read.
        """
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        try:
            self._members = {member.name: member for member in self._directory()}
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @property
    def members(self) -> Mapping[str, Member]:
        """Members by name, in ascending order."""
        return self._members

    def read(self, name: str, *, limit: int = MAX_BYTES) -> bytes:
        """Return a member's content.

        Raises:
            PackMalformedError: there is none, it is longer than `limit`, or its checksum differs.
        """
        return b"".join(self.pieces(name, limit=limit))

    def pieces(self, name: str, *, limit: int = MAX_BYTES) -> Iterator[bytes]:
        """Yield a member's content; its checksum is known only after the last piece."""
        member = self._members.get(name)
        if member is None:
            raise PackMalformedError(f"pack: no member {name}")
        if member.size > limit:
            raise PackMalformedError(f"pack: {name} has {member.size} bytes, limit {limit}")
        at, end, crc = member.offset, member.offset + member.size, 0
        while at < end:
            piece = self._at(at, min(_PIECE, end - at))
            at, crc = at + len(piece), zlib.crc32(piece, crc)
            yield piece
        if crc != member.crc:
            raise PackMalformedError(f"pack: {name} does not have its checksum")

    def _at(self, offset: int, size: int) -> bytes:
        data = os.pread(self._fd, size, offset) if offset >= 0 else b""
        if len(data) != size:
            raise PackMalformedError(f"pack: ends before byte {offset + size}")
        return data

    def _directory(self) -> list[Member]:
        length = os.fstat(self._fd).st_size
        if not _END.size <= length <= MAX_BYTES + _END.size + MAX_MEMBERS * 256:
            raise PackMalformedError(f"pack: a file of {length} bytes")
        end = self._at(length - _END.size, _END.size)
        _, _, _, count, _, size, start, _ = _END.unpack(end)
        if start + size + _END.size != length or count > MAX_MEMBERS:
            raise PackMalformedError("pack: its end is damaged, or something follows it")
        raw = self._at(start, size)
        if end != _end(count, raw, start):
            raise PackMalformedError("pack: its end is damaged")
        members = _records(raw, count)
        at = 0
        for member in members:
            expected = member.local()
            if member.offset != at + len(expected) or self._at(at, len(expected)) != expected:
                raise PackMalformedError(f"pack: header of {member.name} is damaged")
            at = member.offset + member.size
        if at != start:
            raise PackMalformedError("pack: bytes that belong to no member")
        return members


def _records(raw: bytes, count: int) -> list[Member]:
    members: list[Member] = []
    at, last = 0, ""
    for _ in range(count):
        head = raw[at : at + _CENTRAL.size]
        if len(head) != _CENTRAL.size:
            raise PackMalformedError(f"pack: directory ends after {last or 'nothing'}")
        fields = _CENTRAL.unpack(head)
        crc, size, name_size, start = fields[7], fields[9], fields[10], fields[16]
        name = raw[at + len(head) : at + len(head) + name_size].decode("ascii", "replace")
        if not _NAME.fullmatch(name) or name <= last:
            raise PackMalformedError(f"pack: directory is damaged after {last or 'nothing'}")
        offset = start + _LOCAL.size + name_size
        member = Member(name=name, offset=offset, size=size, crc=crc)
        record = member.central()
        if raw[at : at + len(record)] != record:
            raise PackMalformedError(f"pack: directory record of {name} is damaged")
        members.append(member)
        at, last = at + len(record), name
    if at != len(raw):
        raise PackMalformedError("pack: directory is longer than its records")
    return members
