"""Complete a node's bundle with what its vendors say; take nothing away.

Fresh answers come from the store without a question. In an outage the last answer is stapled,
however old: whether it still decides anything is the verifier's to say, which knows its dates.
A vendor that failed is left alone for a while, so that an outage costs one delay and not one for
every admission.

Source: docs/collateral.md §5.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from attestation.bundle import MAX_ITEMS, Bundle, Device
from attestation.errors import AttestationError
from attestation.evidence import Collateral, Evidence, Role
from gateway.events import log

from .age import check, mark
from .fetch import Fetcher, FetchError
from .request import Answer, Request
from .sources import Plan, Urls, plan, second
from .store import CollateralStoreError, Kept, Store

_Planner = Callable[[Evidence, Collateral, Urls], Plan]
_STEPS: Final[tuple[_Planner, ...]] = (plan, second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When vendors are asked, in seconds."""

    refresh_s: int = 3600
    """Age from which an answer is asked for anew."""
    rest_s: int = 30
    """How long a question that failed is not asked again."""
    budget_s: float = 15.0
    """How long one bundle may wait for vendors altogether."""


class Stapler:
    """Fetches, keeps and staples."""

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        store: Store,
        urls: Urls,
        timing: Timing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts; the caller closes the fetcher."""
        self._fetcher, self._store, self._urls = fetcher, store, urls
        self._timing, self._clock = timing, clock
        self._locks: dict[str, asyncio.Lock] = {}
        self._resting: dict[str, float] = {}

    async def staple(self, bundle: Bundle) -> Bundle:
        """Return `bundle` with the collateral it lacks behind what the node delivered.

        What cannot be had is left out: the verifier names what it misses.

        Raises:
            EvidenceUntrustedError: the node delivered collateral older than was seen before
                (code `collateral.downgrade`), or from the future (`collateral.age.future`).
        """
        deadline = asyncio.get_running_loop().time() + self._timing.budget_s
        subjects = [(bundle.cpu, bundle.cpu_collateral)]
        subjects += [(each.evidence, each.collateral) for each in bundle.accelerators]
        done = await asyncio.gather(
            *(self._complete(evidence, given, deadline) for evidence, given in subjects),
            return_exceptions=True,
        )
        completed: list[Collateral] = []
        for each in done:
            if isinstance(each, BaseException):
                raise each
            completed.append(each)
        cpu, *rest = completed
        devices: tuple[Device, ...] = tuple(
            replace(device, collateral=items)
            for device, items in zip(bundle.accelerators, rest, strict=True)
        )
        return replace(bundle, cpu_collateral=cpu, accelerators=devices)

    async def _complete(self, evidence: Evidence, given: Collateral, deadline: float) -> Collateral:
        for step in _STEPS:
            try:
                found = await asyncio.to_thread(step, evidence, given, self._urls)
            except AttestationError:
                return given  # it does not parse, which its verifier says with its reason
            await asyncio.to_thread(self._check_delivered, found)
            items = await self._items(found.missing, deadline)
            have = {data for _, data in given.items}
            new = [item for item in dict.fromkeys(items) if item[1] not in have]
            room = MAX_ITEMS - len(given.items)
            given = Collateral((*given.items, *new[:room]))
        return given

    def _check_delivered(self, found: Plan) -> None:
        """Compare what the node delivered with the newest seen; it does not raise the mark.

        Anybody can write a date; only what a vendor's own server said counts as seen.
        """
        now = int(self._clock())
        for request, data in found.delivered:
            try:
                stated = mark(request.role, data)
                kept = self._store.find(request)
            except CollateralStoreError as exc:
                log.error("collateral.failed", code=exc.code)
                continue
            except AttestationError:
                continue
            check(request.role, stated, kept.seen if kept else (), now=now)

    async def _items(
        self, requests: Sequence[Request], deadline: float
    ) -> list[tuple[Role, bytes]]:
        found = await asyncio.gather(*(self._answer(each, deadline) for each in requests))
        items: list[tuple[Role, bytes]] = []
        for request, answer in zip(requests, found, strict=True):
            if answer is None:
                continue
            items.append((request.role, answer.body))
            if answer.chain:
                items.append((Role.CERT_CHAIN, answer.chain))
        return items

    async def _answer(self, request: Request, deadline: float) -> Answer | None:
        """Return the newest answer there is; one question at a time is asked once."""
        kept: Kept | None = None
        try:
            async with (
                asyncio.timeout_at(deadline),
                self._locks.setdefault(request.key, asyncio.Lock()),
            ):
                kept = await asyncio.to_thread(self._store.find, request)
                now = self._clock()
                fresh = kept is not None and 0 <= now - kept.checked < self._timing.refresh_s
                if fresh or now < self._resting.get(request.key, 0):
                    return kept.answer if kept else None
                kept = await self._ask(request, kept)
        except CollateralStoreError as exc:
            log.error("collateral.failed", code=exc.code)
        except TimeoutError:
            self._rest(request, "collateral.fetch.budget")
        except FetchError as exc:
            self._rest(request, exc.code)
        except AttestationError as exc:
            self._rest(request, exc.findings[0].code)
        return kept.answer if kept else None

    async def _ask(self, request: Request, kept: Kept | None) -> Kept:
        answer = await self._fetcher.fetch(request, etag=kept.answer.etag if kept else "")
        if answer is None:
            assert kept is not None  # noqa: S101 - only an ETag of ours is answered so
            answer = kept.answer
        self._resting.pop(request.key, None)
        return await asyncio.to_thread(self._store.keep, request, answer, now=int(self._clock()))

    def _rest(self, request: Request, code: str) -> None:
        self._resting[request.key] = self._clock() + self._timing.rest_s
        log.warning("collateral.failed", code=code, host=urlsplit(request.url).hostname or "")
