"""The replay set of one keyset: each request digest is claimed at most once, ever.

Entries leave only together with the private key that could open the request again, so no clock
and no cache size decides whether a replay succeeds. A full set refuses, and the keyring then
makes a new keyset.
"""

from typing import Final

MAX_CLAIMS: Final = 1 << 22
"""Four million digests, about 400 MiB at worst; an hour at 1 000 requests a second."""


class ClaimSet:
    """Digests of requests that were claimed, or that this node signed away.

    Both operations are one dictionary insertion, hence atomic under the event loop and under
    threads: of two copies arriving together exactly one is new.
    """

    __slots__ = ("_closed", "_limit", "_seen")

    def __init__(self, limit: int = MAX_CLAIMS) -> None:
        self._seen: dict[bytes, object] = {}
        self._limit = limit
        self._closed = False

    @property
    def full(self) -> bool:
        """No further request can be claimed under this keyset."""
        return len(self._seen) >= self._limit

    def insert(self, h: bytes) -> bool:
        """Record `h`; return whether this call was the one that recorded it.

        A full or erased set records nothing: what it cannot remember must not run.
        """
        if self._closed or (self.full and h not in self._seen):
            return False
        mine = object()
        return self._seen.setdefault(h, mine) is mine

    def erase(self) -> None:
        """Forget everything; only ever after the private keys are gone."""
        self._closed = True
        self._seen.clear()
