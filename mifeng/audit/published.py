"""Read a published log for an export: a directory of tiles, entry bundles and blobs.

What an auditor can get without the operator's database: a copy of what the gateway publishes, in a
directory or fetched from an object store, whichever database the log itself is in. A checkpoint in
it says how far it reaches; nothing of it is believed, the pack's verifier checks all of it.

Source: c2sp.org/tlog-tiles; docs/spec/log.md §11.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol import entries, merkle, note
from mifeng.protocol.checkpoint import Checkpoint
from mifeng.protocol.entries import SignedIntent
from mifeng.protocol.merkle import DIGEST_BYTES, Digest, HashWorld

_HEIGHT: Final = 8
_WIDTH: Final = 1 << _HEIGHT
_BUNDLE: Final = b"mifeng/v1/bundle\0"
_TWIN: Final = "sha256"


class PublishedSource:
    """A directory with a published log; see `source.LogSource`."""

    def __init__(self, folder: Path) -> None:
        """Read the checkpoint of a published log.

        Raises:
            UsageError: there is none.
        """
        self._folder = folder
        # The twin is published last: read first, it is not ahead of the log's own tree.
        twin = folder / _TWIN / "checkpoint"
        notes = [(_TWIN, self._read(twin))] if twin.is_file() else []
        notes.append(("sm3", self._read(folder / "checkpoint")))
        try:
            heads = {name: Checkpoint.decode(note.parse(data).text) for name, data in notes}
        except MalformedError as exc:
            raise UsageError(f"{folder}: not a published log ({exc})") from exc
        self.notes = [data for _, data in notes]
        self.origin = heads["sm3"].origin
        self.size = heads["sm3"].size
        self._sizes = {name: head.size for name, head in heads.items()}
        self._bundle = lru_cache(maxsize=64)(self._load_bundle)
        self._tile = lru_cache(maxsize=1024)(self._load_tile)
        self._requests: dict[bytes, list[int]] | None = None
        self._types: dict[str, list[int]] = {}

    @staticmethod
    def _read(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc

    def _piece(self, kind: str, number: int, width: int) -> bytes:
        """Return a tile or bundle: partial as its checkpoint has it, or full by now."""
        rest, last = divmod(number, 1000)
        parts = [f"{last:03}"]
        while rest:
            rest, part = divmod(rest, 1000)
            parts.insert(0, f"x{part:03}")
        whole = self._folder / kind / "/".join(parts)
        partial = whole.with_name(f"{whole.name}.p") / str(width)
        return self._read(partial if width < _WIDTH and partial.is_file() else whole)

    def _load_bundle(self, number: int) -> tuple[bytes, ...]:
        width = min(_WIDTH, self.size - number * _WIDTH)
        data = self._piece("tile/entries", number, width)
        found: list[bytes] = []
        at = 0
        while at < len(data) and len(found) < width:
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            found.append(data[at + 2 : end])
            at = end
        if len(found) != width or at > len(data):
            raise UsageError(f"published bundle {number} is damaged")
        return tuple(found)

    def entries(self, low: int, high: int) -> list[bytes]:
        """See `LogSource`."""
        if not 0 <= low <= high <= self.size:
            raise UsageError(f"log: published up to {self.size}, asked for {low} to {high}")
        found: list[bytes] = []
        for number in range(low // _WIDTH, -(-high // _WIDTH)):
            begin = number * _WIDTH
            found += self._bundle(number)[max(0, low - begin) : high - begin]
        return found

    def _index(self) -> dict[bytes, list[int]]:
        """Read all entries once, for who asks by request or by type."""
        if self._requests is None:
            self._requests = {}
            for low in range(0, self.size, _WIDTH):
                for index, data in enumerate(self.entries(low, min(self.size, low + _WIDTH)), low):
                    self._note(index, data, self._requests)
        return self._requests

    def _note(self, index: int, data: bytes, requests: dict[bytes, list[int]]) -> None:
        try:
            entry = entries.decode(data)
        except MalformedError:  # exported all the same; the verifier says what is wrong with it
            return
        h = entry.intent.h if isinstance(entry, SignedIntent) else getattr(entry, "h", None)
        if isinstance(h, bytes):
            requests.setdefault(h, []).append(index)
        else:
            self._types.setdefault(entries.entry_type(entry), []).append(index)

    def of_request(self, h: bytes) -> list[int]:
        """See `LogSource`."""
        return self._index().get(h, [])

    def of_type(self, entry_type: str) -> list[int]:
        """See `LogSource`."""
        self._index()
        return self._types.get(entry_type, [])

    def node(self, world: HashWorld, level: int, index: int) -> Digest:
        """See `LogSource`."""
        tile_level, rise = divmod(level, _HEIGHT)
        row = self._tile(world, tile_level, index << rise >> _HEIGHT)
        at = (index << rise) % _WIDTH
        return merkle.root(world, merkle.extend(world, (), 0, row[at : at + (1 << rise)])[0])

    def _load_tile(self, world: HashWorld, level: int, number: int) -> tuple[Digest, ...]:
        whole = self._sizes[world.name] >> (_HEIGHT * level)
        width = min(_WIDTH, whole - number * _WIDTH)
        prefix = f"{_TWIN}/" if world.name == _TWIN else ""
        raw = self._piece(f"{prefix}tile/{level}", number, width)
        if len(raw) < width * DIGEST_BYTES:
            raise UsageError(f"published tile {level}/{number} is damaged")
        ends = range(0, width * DIGEST_BYTES, DIGEST_BYTES)
        return tuple(Digest(raw[i : i + DIGEST_BYTES]) for i in ends)

    def blob(self, digest: bytes) -> bytes | None:
        """See `LogSource`."""
        path = self._folder / "blob" / digest.hex()[:2] / digest.hex()
        return path.read_bytes() if path.is_file() else None

    def bundles(self) -> Iterator[bytes]:
        """See `LogSource`."""
        for path in sorted((self._folder / "blob").glob("*/*")):
            with path.open("rb") as file:
                begins = file.read(len(_BUNDLE)) == _BUNDLE
            if begins:
                yield path.read_bytes()
