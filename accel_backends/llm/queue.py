"""Who gets the next free slot: tenants in turn, inside each its isolation domains in turn.

The tenant is the gateway's word. It decides about turns only, which a gateway could deny anyway;
isolation, which decides about sharing, is sealed by the client. Both are needed: a request
without an isolation secret has a domain of its own, so that by domains alone a tenant would have
as many turns as requests.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

__all__ = ["FairQueue"]

T = TypeVar("T")


class FairQueue(Generic[T]):
    """A queue per tenant and isolation domain, visited in rotation on both levels.

    A tenant that submits a thousand requests delays its own, and another tenant's first request
    by one turn at most; so does a domain among those of its tenant.
    """

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, OrderedDict[bytes, deque[T]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(lane) for lanes in self._tenants.values() for lane in lanes.values())

    def __iter__(self) -> Iterator[T]:
        for lanes in self._tenants.values():
            for lane in lanes.values():
                yield from lane

    def push(self, tenant: str, isolation: bytes, item: T) -> None:
        """Add at the end of the domain's own queue."""
        lanes = self._tenants.setdefault(tenant, OrderedDict())
        lanes.setdefault(isolation, deque()).append(item)

    def pop(self, may: Callable[[str, bytes], bool]) -> T | None:
        """Return the next item whose tenant and domain may have one; both then go last."""
        for tenant, lanes in self._tenants.items():
            for isolation, lane in lanes.items():
                if may(tenant, isolation):
                    item = lane.popleft()
                    lanes.move_to_end(isolation)
                    self._tenants.move_to_end(tenant)
                    self._tidy(tenant, isolation)
                    return item
        return None

    def remove(self, tenant: str, isolation: bytes, item: T) -> None:
        """Take one item out, if it is still there."""
        lanes = self._tenants.get(tenant)
        lane = lanes.get(isolation) if lanes is not None else None
        if lane is not None and item in lane:
            lane.remove(item)
            self._tidy(tenant, isolation)

    def _tidy(self, tenant: str, isolation: bytes) -> None:
        lanes = self._tenants[tenant]
        if not lanes[isolation]:
            del lanes[isolation]
        if not lanes:
            del self._tenants[tenant]
