"""What the gateway does for a caller, whichever protocol the call came by.

HTTP and gRPC call these and translate; so the two cannot drift apart.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from attestation.bundle import CHALLENGE_BYTES, Freshness
from mifeng.protocol.merkle import MAX_SIZE
from mifeng.protocol.proof import InclusionProof

from .admission import Lease
from .auditlog.errors import NotInLogError
from .auditlog.log import AuditLog
from .metrics import Metrics
from .nodes import Node, Nodes
from .pool.rank import rank
from .problems import ProblemError
from .quota import Quota
from .relay import Relay
from .releases import Listed, Releases
from .subjects.errors import SubjectsError, SubjectUnknownError
from .subjects.people import People
from .tenants import Tenant, Tenants

MAX_OFFERS: Final = 8
OFFER_S: Final = 4.0
"""How long one node may take to answer a client's challenge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """One ranked node with evidence for the caller's challenge."""

    node_id: str
    offer: bytes
    active: int
    capacity: int


def _serves(lease: Lease, model: str | None, tenant: Tenant) -> bool:
    """Whether a node serves a model, or, if none is named, anything this tenant may use."""
    models = lease.keyset.models
    if model is not None:
        return model in models
    return tenant.models is None or not tenant.models.isdisjoint(models)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Everything an API needs."""

    nodes: Nodes
    audit: AuditLog
    relay: Relay
    quota: Quota
    tenants: Tenants
    people: People | None = None
    """Persons that requests are about, where they are recorded."""
    releases: Releases | None = None
    """What is released, and who may release."""

    def measure(self, metrics: Metrics) -> None:
        """Bring the gauges up to date."""
        now = time.time()
        metrics.nodes.set(sum(node.candidate(now) is not None for node in self.nodes.all()))
        metrics.active.set(self.relay.active)
        metrics.log_size.set(self.audit.size)

    async def erase(self, tenant: Tenant, reference: str) -> tuple[bytes, bool]:
        """Destroy the key of a person whom this tenant named.

        Returns:
            The commitment, and whether ERASURE is in the log already.

        Raises:
            ProblemError: this gateway records no persons, or knows none by this reference.
        """
        if self.people is None:
            raise ProblemError("subject.unavailable")
        try:
            subject = await self.people.find(tenant.name, reference)
            actor = await self.people.actor(f"tenant:{tenant.name}")
            recorded = await self.people.erase(subject, reason="tenant", actor=actor)
        except SubjectUnknownError:
            raise ProblemError("subject.unknown") from None
        except SubjectsError:
            raise ProblemError("subject.unavailable", retry_after_s=5) from None
        return subject, recorded

    async def attestations(
        self, tenant: Tenant, *, model: str | None, challenge: bytes
    ) -> list[Attested]:
        """Return nodes that serve `model`, least loaded first, each challenged now.

        With an empty challenge, each with evidence that clients share, made after a note that the
        log's witnesses cosigned.

        Raises:
            ProblemError: a bad challenge, no such model, no node available, or no witnesses.
        """
        if len(challenge) not in (0, CHALLENGE_BYTES):
            raise ProblemError("request.malformed", f"challenge: need {CHALLENGE_BYTES} bytes")
        if challenge:
            await self.quota.take_challenge(tenant)
        if tenant.models is not None and model is not None and model not in tenant.models:
            raise ProblemError("tenant.forbidden")
        nodes = {
            node.node_id: node
            for node in self.nodes.all()
            if node.lease is not None and _serves(node.lease, model, tenant)
        }
        now = time.time()
        candidates = [c for node in nodes.values() if (c := node.candidate(now)) is not None]
        ranked = rank(candidates)[:MAX_OFFERS]
        if not ranked:
            # A node that serves it and cannot be reached now does not make the model unknown.
            known = not nodes and any(node.lease is not None for node in self.nodes.all())
            raise ProblemError("model.unknown" if known else "node.unavailable", retry_after_s=1)
        freshness = Freshness(kind=1, x=challenge) if challenge else None
        offers = await asyncio.gather(
            *(self._offer(nodes[c.node_id], freshness) for c in ranked), return_exceptions=True
        )
        attested = []
        for candidate, offer in zip(ranked, offers, strict=True):
            if isinstance(offer, bytes):
                attested.append(
                    Attested(
                        node_id=candidate.node_id,
                        offer=offer,
                        active=candidate.active,
                        capacity=candidate.capacity,
                    )
                )
            elif not isinstance(offer, ProblemError):
                raise offer
        if not attested and not challenge:
            raise ProblemError("freshness.none")
        if not attested:
            raise ProblemError("node.unavailable", retry_after_s=1)
        return attested

    async def _offer(self, node: Node, freshness: Freshness | None) -> bytes:
        """Return a node's offer, or refuse for it: a slow node must not slow the others' down."""
        try:
            async with asyncio.timeout(OFFER_S):
                if freshness is None:
                    return await self.nodes.shared_offer(node)
                return await self.nodes.offer(node, freshness)
        except TimeoutError:
            raise ProblemError("node.unavailable", retry_after_s=1) from None

    async def proof(self, index: int) -> tuple[bytes, InclusionProof]:
        """Return an entry and its proof under the newest checkpoint.

        Raises:
            ProblemError: `log.not_found`, there is no such entry under a checkpoint yet.
        """
        if not 0 <= index < MAX_SIZE:
            raise ProblemError("log.not_found")
        try:
            return await self.audit.entry(index), await self.audit.inclusion(index)
        except NotInLogError:
            raise ProblemError("log.not_found", retry_after_s=1) from None

    def witnesses(self) -> dict[str, object]:
        """Return how it goes with the log's witnesses."""
        showing, now = self.audit.showing, time.monotonic()
        witnesses, shown = showing.witnesses, self.audit.tree.shown
        return {
            "entries": self.audit.size,
            "shown": shown.tree.size if shown else None,
            "quorum": witnesses.quorum if witnesses else 0,
            "waiting_s": round(showing.waiting_s, 1),
            "taking_requests": showing.ready,
            "alarms": [{"witness": name, "code": code} for name, code in sorted(showing.alarms)],
            "witnesses": [
                {
                    "name": each.name,
                    "size": each.size,
                    "cosigned_s_ago": round(now - each.cosigned_at, 1)
                    if each.cosigned_at is not None
                    else None,
                    "code": each.code,
                }
                for each in (witnesses.standing.values() if witnesses else ())
            ],
        }

    async def released(self) -> Listed:
        """Return the RELEASE entries that can be proven now, and their documents."""
        return await self.releases.index() if self.releases else Listed(entries=(), documents=())

    async def release(self, document: bytes) -> list[int]:
        """Append what a signed document releases; return the indexes of its entries.

        Raises:
            ProblemError: `release.refused`, no configured key signed it.
        """
        if self.releases is None:
            raise ProblemError("release.refused")
        return await self.releases.append(document)

    async def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `old` entries is the start of that of `new`."""
        if not 0 < old <= new < MAX_SIZE:
            raise ProblemError("log.not_found")
        try:
            return (await self.audit.consistency(old, new)).path
        except NotInLogError:
            raise ProblemError("log.not_found") from None
