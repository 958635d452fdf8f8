"""Who gets the next free slot: each isolation domain in turn, first come first served inside."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue per isolation domain, visited in rotation.

    A domain that submits a thousand requests delays its own, and another domain's first request
    by one turn at most.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[bytes, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def __iter__(self) -> Iterator[T]:
        return (item for lane in self._lanes.values() for item in lane)

    def push(self, isolation: bytes, item: T) -> None:
        """Add at the end of the domain's own queue."""
        self._lanes.setdefault(isolation, deque()).append(item)

    def pop(self, may: Callable[[bytes], bool]) -> T | None:
        """Return the next item of the first domain that may have one; it then goes last."""
        for isolation, lane in self._lanes.items():
            if may(isolation):
                item = lane.popleft()
                self._lanes.move_to_end(isolation)
                if not lane:
                    del self._lanes[isolation]
                return item
        return None

    def remove(self, isolation: bytes, item: T) -> None:
        """Take one item out, if it is still there."""
        lane = self._lanes.get(isolation)
        if lane is not None and item in lane:
            lane.remove(item)
            if not lane:
                del self._lanes[isolation]
