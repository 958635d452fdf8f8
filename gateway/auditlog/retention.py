"""Remove from a published log what no rule asks to be kept any longer; nothing does so by itself.

Only bundles of entries go, and only those whose newest entry is older than the retention. Tiles
and blobs stay, so that whoever kept an entry can still prove it. A pruned log cannot be restored
from what is published.

Source: 网络安全法 art. 21 (six months of logs at least); docs/spec/log.md §11.2.
"""

from dataclasses import dataclass
from typing import Final

from mifeng.errors import UsageError
from mifeng.protocol.entries import SignedIntent, decode

from .publisher import TWIN_PREFIX
from .sequencer import TILE_WIDTH
from .target import Target
from .tiles import TilePlace, unbundle

FLOOR_DAYS: Final = 180
DEFAULT_DAYS: Final = 1095
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long entries stay published."""

    days: int = DEFAULT_DAYS

    def __post_init__(self) -> None:
        """Refuse less than the floor."""
        if self.days < FLOOR_DAYS:
            raise UsageError(f"retention of {self.days} days, at least {FLOOR_DAYS}")

    def prune(self, target: Target, size: int, *, now: int) -> int:
        """Remove the full bundles that are older, oldest first, and return how many.

        Args:
            target: where the log is published.
            size: entries that are published.
            now: Unix seconds.

        Raises:
            MalformedError: a bundle is damaged; nothing after it is touched.
            PublishError: the target cannot be reached.
        """
        before, removed = now - self.days * DAY_S, 0
        for index in range(size // TILE_WIDTH):
            place = TilePlace(level=None, index=index)
            found = target.read(place.path)
            if found is None:
                continue
            if max(written_at(entry) for entry in unbundle(found.data, TILE_WIDTH)) >= before:
                break
            for prefix in ("", TWIN_PREFIX):
                target.remove(prefix + place.path)
            removed += 1
        return removed


def written_at(entry: bytes) -> int:
    """Return the Unix seconds an entry says it was written at; raises `MalformedError`."""
    found = decode(entry)
    return found.intent.issued if isinstance(found, SignedIntent) else found.at
