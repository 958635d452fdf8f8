"""Where a published log's tiles stand and what they hold. Pure.

A tile is 256 hashes of one tree level, an entry bundle the 256 entries below a tile of level 0;
the last of each level is partial, and its path says how wide it is. Writing them anywhere is
`publisher`'s part.

Source: c2sp.org/tlog-tiles; docs/spec/log.md §11.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.merkle import MAX_SIZE

from .sequencer import TILE_HEIGHT, TILE_WIDTH

CHECKPOINT: Final = "checkpoint"
MAX_BUNDLED: Final = 0xFFFF
"""Bytes of the largest entry: a bundle counts them in a u16."""
MAX_LEVEL: Final = 63
_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TilePlace:
    """One tile, or one bundle of entries."""

    level: int | None
    """0 … 63 counted in tiles; None for a bundle of entries."""
    index: int
    width: int = TILE_WIDTH
    """Hashes or entries in it: 1 … 256, less than 256 if partial."""

    @property
    def path(self) -> str:
        """Return its path below the log's prefix."""
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return self.whole_path + suffix

    @property
    def whole_path(self) -> str:
        """Return the path it has once it is full."""
        rest, last = divmod(self.index, 1000)
        parts = [f"{last:03}"]
        while rest:
            rest, part = divmod(rest, 1000)
            parts.insert(0, f"x{part:03}")
        kind = "entries" if self.level is None else str(self.level)
        return f"tile/{kind}/{'/'.join(parts)}"

    @property
    def partials(self) -> str:
        """Return the prefix under which its partial forms stand."""
        return f"{self.whole_path}.p/"

    @classmethod
    def parse(cls, path: str) -> Self:
        """Return the place a path names.

        Raises:
            MalformedError: not a path, or not the shortest one of its index.
        """
        found = _PATH.fullmatch(path)
        if found is None or len(path) > 64:  # noqa: PLR2004 -- 2^53 needs fewer
            raise MalformedError("tile: not a tile's path")
        kind, number, width = found.groups()
        place = cls(
            level=None if kind == "entries" else int(kind),
            index=int(number.replace("x", "").replace("/", "")),
            width=TILE_WIDTH if width is None else int(width),
        )
        if place.path != path or (place.level or 0) > MAX_LEVEL or place.index >= MAX_SIZE:
            raise MalformedError("tile: path is not canonical")
        return place


def between(old: int, new: int) -> Iterator[TilePlace]:
    """Yield the tiles and bundles that a tree of `new` entries has and one of `old` has not.

    Args:
        old: entries of the tree published before, 0 if none was.
        new: entries of the tree to publish, at least `old`.
    """
    if not 0 <= old <= new <= MAX_SIZE:
        raise UsageError(f"tiles: from {old} to {new}")
    level = 0
    while new >> TILE_HEIGHT * level:
        before, after = old >> TILE_HEIGHT * level, new >> TILE_HEIGHT * level
        kinds = (None, 0) if level == 0 else (level,)
        for index in range(before // TILE_WIDTH, -(-after // TILE_WIDTH)):
            width = min(TILE_WIDTH, after - index * TILE_WIDTH)
            if index * TILE_WIDTH + width > before:
                yield from (TilePlace(level=kind, index=index, width=width) for kind in kinds)
        level += 1


def bundle(entries: Sequence[bytes]) -> bytes:
    """Return up to 256 entries as one bundle."""
    if len(entries) > TILE_WIDTH or any(len(entry) > MAX_BUNDLED for entry in entries):
        raise UsageError("bundle: too many entries, or one too long")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unbundle(data: bytes, width: int) -> list[bytes]:
    """Return the entries of a bundle.

    Raises:
        MalformedError: it does not hold exactly `width` entries.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data) and len(entries) < width:
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if at + 2 > len(data) or end > len(data):
            raise MalformedError("bundle: cut short")
        entries.append(data[at + 2 : end])
        at = end
    if at != len(data) or len(entries) != width:
        raise MalformedError(f"bundle: not {width} entries")
    return entries
