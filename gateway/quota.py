"""How much each tenant may ask, by the `limits` library; in this process's memory."""

import math
import time

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from .problems import ProblemError
from .tenants import Tenant


class Quota:
    """Counts requests per tenant, and challenges per tenant."""

    def __init__(self, *, challenges: str = "20/second") -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._items: dict[str, RateLimitItem] = {}
        self._challenges = challenges

    async def take(self, tenant: Tenant) -> None:
        """Count one request.

        Raises:
            ProblemError: `quota.exceeded`, with the seconds until one more fits.
        """
        await self._take(tenant.quota, "infer", tenant.name)

    async def take_challenge(self, tenant: Tenant) -> None:
        """Count one request for fresh evidence, which costs a node work (THREATS 32)."""
        await self._take(self._challenges, "attest", tenant.name)

    async def _take(self, rate: str, *key: str) -> None:
        if (item := self._items.get(rate)) is None:
            item = self._items[rate] = parse(rate)
        if not await self._limiter.hit(item, *key):
            reset = (await self._limiter.get_window_stats(item, *key)).reset_time
            raise ProblemError(
                "quota.exceeded", retry_after_s=max(1, math.ceil(reset - time.time()))
            )
