"""What evidence is made after: a challenge, or a note that this log's witnesses have cosigned.

The evidence under which a keyset comes into use, and the evidence that clients share, are made
after such a note where the log has witnesses: whoever pins them can tell how young it is, years
later too. A client that challenges gets evidence of its own (`Nodes.offer`).

Source: docs/spec/binding.md §2; docs/spec/keyset.md §4.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from attestation.bundle import CHALLENGE_BYTES, Freshness
from mifeng.crypto.randomness import random_bytes

from .auditlog.errors import LogUnwitnessedError
from .auditlog.log import AuditLog
from .problems import ProblemError

NOTE_AGE_S: Final = 5
"""How old, at most, the cosignatures are that new evidence is made after."""
SHARED_S: Final = 60.0
"""How long clients are given the same evidence."""


async def of_anchor(audit: AuditLog) -> Freshness:
    """Return what the evidence of a new keyset is to be made after.

    A note, if the log has witnesses and they answer; otherwise this gateway's own challenge, which
    proves the same to this gateway and nothing to anybody else.
    """
    if audit.pin.quorum:
        with suppress(LogUnwitnessedError):
            return Freshness(kind=2, x=await audit.cosigned_note(max_age_s=NOTE_AGE_S))
    return Freshness(kind=1, x=random_bytes(CHALLENGE_BYTES))


@dataclass(frozen=True, slots=True)
class _Shared:
    keyset: bytes
    offer: bytes
    made: float


class SharedOffers:
    """One offer per node, for every client that trusts the log's witnesses."""

    def __init__(self, audit: AuditLog, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._audit, self._monotonic = audit, monotonic
        self._offers: dict[str, _Shared] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def offer(
        self, node_id: str, keyset: bytes, make: Callable[[Freshness], Awaitable[bytes]]
    ) -> bytes:
        """Return an encoded offer for a keyset, made after a cosigned note.

        Args:
            node_id: whose.
            keyset: digest of the keyset it offers now.
            make: asks the node for evidence.

        Raises:
            ProblemError: the log has no witnesses, they do not answer, or the node does not.
        """
        if not self._audit.pin.quorum:
            raise ProblemError("freshness.none", "this log has no witnesses")
        async with self._locks[node_id]:
            known = self._offers.get(node_id)
            if known and known.keyset == keyset and self._monotonic() < known.made + SHARED_S:
                return known.offer
            try:
                note = await self._audit.cosigned_note(max_age_s=NOTE_AGE_S)
            except LogUnwitnessedError as exc:
                raise ProblemError("freshness.none", "its witnesses do not answer") from exc
            made = self._monotonic()
            offer = await make(Freshness(kind=2, x=note))
            self._offers[node_id] = _Shared(keyset, offer, made)
            return offer
