"""The nodes this gateway was configured with: keep them linked, challenged, admitted.

One task per node: dial → challenge → appraise → log NODE_ADMITTED and KEYSET, or NODE_REJECTED →
watch its status; a new keyset is challenged anew. Client challenges go through here too; they
are coalesced per keyset and rate-limited by the caller.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from attestation import ear
from attestation.bundle import Bundle, Freshness
from attestation.errors import AttestationError
from attestation.policy import Policy
from mifeng.crypto import CryptoError, sm3
from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import MalformedError, PeerError, ReceiptRejectedError, UsageError
from mifeng.floors import Floors
from mifeng.protocol import dsse, entries, receipt
from mifeng.protocol.keyset import Keyset, LogIdentity
from mifeng.protocol.link import LinkFrame, LinkKind, NodeStatus
from mifeng.protocol.messages import MessageType
from mifeng.protocol.offer import Offer
from mifeng.version import VERSION

from .admission import Lease, Rejection, admit
from .auditlog.errors import AuditLogError, IntentClosedError, LogUnavailableError, NotInLogError
from .auditlog.log import AuditLog
from .collateral.staple import Stapler
from .events import log
from .expiry import REVOKED, Expiry
from .freshness import SharedOffers, of_anchor
from .link import Link, LinkLostError
from .pool.rank import Candidate
from .problems import ProblemError

RECONNECT_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
STATUS_S: Final = 1.0
SILENCE_S: Final = 6.0
RENEW_S: Final = 5.0
"""Shortest time between two appraisals of one keyset."""
MAX_NAMED_BLOBS: Final = 64
RETRY_LOG_S: Final = 1.0
CLOSE_S: Final = 5.0
ATTEST_S: Final = 30.0
"""How long a node may take to produce evidence."""


@dataclass(slots=True)
class Node:
    """One configured node and what is known of it now."""

    node_id: str
    address: str
    link: Link | None = None
    status: NodeStatus | None = None
    lease: Lease | None = None
    leases: dict[bytes, Lease] = field(default_factory=dict)
    """Every keyset still in its life, the active one and those draining."""
    admitting: bool = False
    heard: float = 0.0
    """When the node last said how it is; a silent one is dialled anew."""
    renewed: float = 0.0
    appraised_under: bytes = b""
    """Digest of the policy of the last appraisal, also of one that is under way."""
    admitted_under: bytes = b""
    """Digest of the policy that the newest NODE_ADMITTED names."""
    keyset_entries: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    """Keyset digest → index and bytes of its KEYSET entry."""

    def candidate(self, now: float) -> Candidate | None:
        """Return this node for ranking, or None while it cannot be used."""
        if self.link is None or self.status is None or self.lease is None:
            return None
        if now >= self.lease.valid_until:
            return None
        return Candidate(
            node_id=self.node_id,
            active=self.status.active,
            queued=self.status.queued,
            capacity=self.status.capacity,
            draining=self.status.draining,
        )


class Nodes:
    """All nodes of this gateway."""

    def __init__(
        self,
        *,
        addresses: dict[str, str],
        audit: AuditLog,
        policy: Policy,
        identity: LogIdentity,
        stapler: Stapler | None = None,
        floors: Floors | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take node id → address, the log, the operator's appraisal policy, and who asks vendors.

        Without `stapler`, nodes bring all their collateral along. Without `floors`, how new it was
        is remembered for the life of this object.
        """
        self._nodes = {name: Node(name, address) for name, address in addresses.items()}
        self._audit, self._policy, self._identity = audit, policy, identity
        self._stapler, self._clock = stapler, clock
        self._floors = floors or Floors(None)
        self._expiry = Expiry(audit, clock)
        self._shared = SharedOffers(audit)
        self._tasks: list[asyncio.Task[None]] = []
        self._background: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()

    def start(self) -> None:
        """Begin to keep every node linked."""
        self._tasks = [
            asyncio.create_task(self._keep(node), name=f"node-{node.node_id}")
            for node in self._nodes.values()
        ]
        self._tasks.append(asyncio.create_task(self._expiry.run(self.all), name="node-expiry"))

    async def close(self) -> None:
        """Hang up on every node."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for node in self._nodes.values():
            if node.link is not None:
                node.link.close()
        if self._background:  # what nodes have said already belongs in the log
            await asyncio.wait(self._background, timeout=CLOSE_S)

    def all(self) -> tuple[Node, ...]:
        """Return every configured node."""
        return tuple(self._nodes.values())

    def find(self, keyset: bytes) -> tuple[Node, Lease] | None:
        """Return the node and lease of a keyset that is admitted now."""
        now = self._clock()
        for node in self._nodes.values():
            lease = node.leases.get(keyset)
            if lease is not None and now < lease.valid_until and node.link is not None:
                return node, lease
        return None

    def expire(self, node: Node, keyset: bytes, reason: str) -> None:
        """Use a keyset of a node no longer, and say so in the log."""
        self._expiry.drop(node, keyset, reason)
        self._spawn(self._expiry.say())

    def revoked(self, keyset: bytes) -> None:
        """Use a keyset no longer because another gateway of this log has said so in it."""
        for node in self._nodes.values():
            if node.keyset_entries.pop(keyset, None) is not None:
                self._expiry.drop(node, keyset, REVOKED)

    @property
    def policy(self) -> Policy:
        """What nodes are appraised under."""
        return self._policy

    def adopt(self, policy: Policy) -> None:
        """Appraise under another policy from now on; a node at its next status, within a second."""
        self._policy = policy

    async def offer(self, node: Node, freshness: Freshness) -> bytes:
        """Return an encoded offer for a client's challenge, under the newest checkpoint.

        Raises:
            ProblemError: the node is not available.
        """
        if node.link is None or node.lease is None:
            raise ProblemError("node.unavailable", retry_after_s=1)
        raw = await self._challenge(node.link, freshness)
        try:
            bundle = await self._completed(Bundle.decode(raw))
        except AttestationError as exc:
            raise ProblemError("node.unavailable", retry_after_s=1) from exc
        found = node.keyset_entries.get(sm3(bundle.keyset))
        if found is None:
            # The node has just rotated; its new keyset is about to be admitted.
            raise ProblemError("node.unavailable", retry_after_s=1)
        index, entry = found
        proof = await self._audit.inclusion(index)
        return Offer(raw if self._stapler is None else bundle.encode(), entry, proof).encode()

    async def shared_offer(self, node: Node) -> bytes:
        """Return an encoded offer that clients share, made after a note witnesses cosigned.

        Raises:
            ProblemError: the node is not available, or there are no cosignatures.
        """
        if node.lease is None:
            raise ProblemError("node.unavailable", retry_after_s=1)
        return await self._shared.offer(
            node.node_id, node.lease.digest, lambda freshness: self.offer(node, freshness)
        )

    async def _completed(self, bundle: Bundle) -> Bundle:
        return bundle if self._stapler is None else await self._stapler.staple(bundle)

    async def _challenge(self, link: Link, freshness: Freshness) -> bytes:
        try:
            async with asyncio.timeout(ATTEST_S):
                return await link.attest(bytes([freshness.kind]) + freshness.x)
        except (LinkLostError, TimeoutError) as exc:
            raise ProblemError("node.unavailable", retry_after_s=1) from exc

    async def _keep(self, node: Node) -> None:
        """Dial again and again; each connection is admitted anew."""
        failures = 0
        while True:
            try:
                await self._connected(node)
                failures = 0
            except (OSError, LinkLostError, AuditLogError):
                failures += 1
            except Exception as exc:  # noqa: BLE001 - the edge of one node: it must not end here
                log.error("node.failed", node=node.node_id, exception=type(exc).__name__)
                failures += 1
            node.link, node.status = None, None
            self.changed.set()
            await asyncio.sleep(RECONNECT_S[min(failures, len(RECONNECT_S) - 1)])

    async def _connected(self, node: Node) -> None:
        link = await Link.dial(node.address, on_frame=lambda frame: self._on_frame(node, frame))
        hello = await link.hello()
        if hello.node_id != node.node_id:
            log.warning("node.wrong_id", node=node.node_id)
            link.close()
            raise LinkLostError
        reading = asyncio.create_task(link.run())
        try:
            node.link = link
            log.info("node.linked", node=node.node_id)
            node.heard = self._clock()
            await self._admit(node, link)
            while not reading.done() and self._clock() - node.heard < SILENCE_S:
                await asyncio.wait((reading,), timeout=STATUS_S)
            log.warning("node.lost", node=node.node_id)
        finally:
            reading.cancel()
            link.close()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def _admit(self, node: Node, link: Link) -> None:
        """Challenge a node, appraise it, record the verdict, and keep the lease."""
        policy = self._policy
        node.appraised_under = policy.digest
        freshness = await of_anchor(self._audit)
        try:
            raw = await self._challenge(link, freshness)
            bundle = Bundle.decode(raw)
        except ProblemError as exc:
            raise LinkLostError from exc
        except AttestationError as exc:
            log.warning("node.malformed", node=node.node_id, code=exc.code)
            raise LinkLostError from exc
        verdict: Lease | Rejection
        try:
            bundle = await self._completed(bundle)
        except AttestationError as exc:
            # Collateral older than its vendor has already shown: refused, the reason on record.
            now = int(self._clock())
            verdict = Rejection(sm3(bundle.keyset), exc.findings)
        else:
            now = int(self._clock())
            verdict = await asyncio.to_thread(
                admit,
                bundle,
                policy,
                nonce32=freshness.nonce32,
                log=self._identity,
                node_id=node.node_id,
                now=now,
                floors=self._floors.now,
            )
        if isinstance(verdict, Lease):
            await self._learn(verdict)
        node.renewed = now
        blobs = await self._keep_blobs(bundle)
        if isinstance(verdict, Rejection):
            codes = tuple(sorted({finding.code for finding in verdict.findings}))
            await self._audit.append(
                entries.NodeRejected(
                    at=now,
                    node=node.node_id,
                    keyset=verdict.keyset,
                    evidence=blobs[0],
                    collateral=blobs[1],
                    policy=policy.digest,
                    findings=codes,
                )
            )
            node.lease = None
            self.expire(node, verdict.keyset, "node.rejected")
            log.warning("node.rejected", node=node.node_id, code=",".join(codes)[:200])
            return
        await self._log_admission(node, verdict, bundle, blobs, policy=policy, now=now)
        # No client takes a keyset that no checkpoint shows to be in the log.
        await self._audit.covered(node.keyset_entries[verdict.digest][0])
        node.lease = verdict
        node.leases[verdict.digest] = verdict
        self.changed.set()
        log.info("node.admitted", node=node.node_id, tier=verdict.key.tier.label)

    async def _learn(self, lease: Lease) -> None:
        """Raise the floors; what cannot be written down holds for this process, and is logged."""
        try:
            await asyncio.to_thread(self._floors.learn, lease.key.claims)
        except (OSError, UsageError) as exc:
            log.error("floors.failed", node=lease.node_id, exception=type(exc).__name__)

    async def _keep_blobs(self, bundle: Bundle) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        put = self._audit.put_blob
        evidence = [bundle.cpu.raw, *(each.evidence.raw for each in bundle.accelerators)]
        items = [data for _, data in bundle.cpu_collateral.items]
        items += [data for each in bundle.accelerators for _, data in each.collateral.items]
        collateral = list(dict.fromkeys(items))
        if max(len(evidence), len(collateral)) > MAX_NAMED_BLOBS:
            raise LinkLostError
        return tuple([await put(each) for each in evidence]), tuple(
            [await put(each) for each in collateral]
        )

    async def _log_admission(
        self,
        node: Node,
        lease: Lease,
        bundle: Bundle,
        blobs: tuple[tuple[bytes, ...], tuple[bytes, ...]],
        *,
        policy: Policy,
        now: int,
    ) -> None:
        logged = lease.digest in node.keyset_entries
        same = node.admitted_under == policy.digest
        if logged and same and node.leases[lease.digest].valid_until >= lease.valid_until:
            return
        await self._audit.put_blob(bundle.keyset)
        await self._audit.put_blob(bundle.encode())
        fresh = bundle.freshness.nonce32
        issue = ear.Issue(now=now, build=VERSION, policy=policy, nonce=fresh)
        appraised = [ear.Appraised(claims=each) for each in lease.key.claims]
        document = ear.accepted(appraised, issue)
        verdict = await self._audit.put_blob(json.dumps(document, sort_keys=True).encode())
        simulated = lease.key.simulated
        await self._audit.append(
            entries.NodeAdmitted(
                at=now,
                node=node.node_id,
                keyset=lease.digest,
                evidence=blobs[0],
                collateral=blobs[1],
                policy=policy.digest,
                verdict=verdict,
                tier=lease.key.tier.label,
                simulated=simulated,
                valid_until=lease.valid_until,
            )
        )
        node.admitted_under = policy.digest
        if logged:
            return  # appraised again: the keyset is the same, its admission lasts longer
        entry = entries.KeysetLogged(
            at=now,
            node=node.node_id,
            epoch=lease.keyset.epoch,
            keyset=lease.digest,
            evidence=blobs[0],
            collateral=blobs[1],
            freshness=bundle.freshness.kind,
            nonce=bundle.freshness.nonce32,
            simulated=simulated,
            not_before=lease.keyset.not_before,
            not_after=lease.keyset.not_after,
        )
        recorded = await self._audit.append(entry)
        node.keyset_entries[lease.digest] = (recorded.index, recorded.entry)

    # What a node says on its own.

    def _on_frame(self, node: Node, frame: LinkFrame) -> None:
        match frame.kind:
            case LinkKind.STATUS:
                status = NodeStatus.decode(frame.payload)
                known = node.status.keyset if node.status else status.keyset
                node.status, node.heard = status, self._clock()
                self.changed.set()
                known_policy = node.appraised_under in (b"", self._policy.digest)
                stale = not known_policy or (
                    node.lease is not None and self._stale(node, node.lease, status)
                )
                if (
                    node.link is not None
                    and not node.admitting
                    and (status.keyset != known or stale)
                ):
                    node.admitting = True
                    self._spawn(self._readmit(node, node.link))
            case LinkKind.TALLY:
                self._spawn(self._tally(node, frame.payload))
            case MessageType.STATEMENT:
                self._spawn(self._late(node, frame.payload))
            case _:
                raise MalformedError(f"link: kind {frame.kind} on stream 0")

    def _stale(self, node: Node, lease: Lease, status: NodeStatus) -> bool:
        """Whether a node must be appraised again: another keyset, or the verdict runs out."""
        if lease.digest != status.keyset:
            return True
        now = self._clock()
        if lease.valid_until >= lease.keyset.not_after or now - node.renewed < RENEW_S:
            return False
        return now >= lease.valid_until - max(RENEW_S, (lease.valid_until - node.renewed) / 4)

    async def _readmit(self, node: Node, link: Link) -> None:
        try:
            await self._admit(node, link)
        except (LinkLostError, AuditLogError):
            link.close()
        except Exception as exc:  # noqa: BLE001 - as in `_keep`, which then dials again
            log.error("node.failed", node=node.node_id, exception=type(exc).__name__)
            link.close()
        finally:
            node.admitting = False

    async def _keys(self, keyset: bytes) -> list[VerifyKey]:
        """Return the keys of a keyset that was admitted once, from the log's own documents."""
        found = Keyset.decode(await self._audit.blob(keyset))
        return [VerifyKey(alg, public) for alg, public in found.sign.items()]

    async def _tally(self, node: Node, statement: bytes) -> None:
        with contextlib.suppress(PeerError, CryptoError, AuditLogError):
            claimed = receipt.Tally.decode(dsse.parse(statement).payload)
            tally = _signed(statement, await self._keys(claimed.keyset), receipt.verify_tally)
            entry = entries.Tally(
                at=int(self._clock()),
                node=node.node_id,
                keyset=tally.keyset,
                statement=statement,
            )
            await self._audit.append(entry)

    async def _late(self, node: Node, statement: bytes) -> None:
        """A receipt whose exchange had lost its connection: it belongs in the log all the same."""
        del node
        with contextlib.suppress(PeerError, CryptoError, NotInLogError):
            claimed = receipt.Receipt.decode(dsse.parse(statement).payload)
            made = _signed(statement, await self._keys(claimed.keyset), receipt.verify_receipt)
            await self.record(made, statement)

    async def record(self, made: receipt.Receipt, statement: bytes) -> None:
        """Record a receipt whose intent may be closed already; goes on until the log takes it."""
        said = entries.decode(await self._audit.entry(made.intent_index))
        wanted = (made.h, made.keyset)
        if not isinstance(said, entries.SignedIntent) or wanted != (
            said.intent.h,
            said.intent.keyset,
        ):
            log.warning("receipt.foreign", index=made.intent_index)
            return
        while True:
            try:
                await self._close_late(made, statement)
            except LogUnavailableError:
                log.error("receipt.waiting", index=made.intent_index)
                await asyncio.sleep(RETRY_LOG_S)
            else:
                return

    async def _close_late(self, made: receipt.Receipt, statement: bytes) -> None:
        """Close the intent with its receipt, or correct the ORPHANED that closed it."""
        intent = made.intent_index
        try:
            await self._audit.completion(h=made.h, intent=intent, receipt=statement)
        except IntentClosedError as exc:
            if exc.closing is None:
                return
            with contextlib.suppress(IntentClosedError):
                await self._audit.late(
                    h=made.h, intent=intent, orphaned=exc.closing, receipt=statement
                )

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


T = TypeVar("T")


class _OfKeyset(Protocol):
    @property
    def keyset(self) -> bytes: ...


S = TypeVar("S", bound=_OfKeyset)


def verify_statement(statement: bytes, lease: Lease, verify: Callable[[bytes, VerifyKey], S]) -> S:
    """Return a statement that a keyset's key signed about itself, or raise `PeerError`."""
    keys = [VerifyKey(alg, public) for alg, public in lease.keyset.sign.items()]
    made = _signed(statement, keys, verify)
    if made.keyset != lease.digest:
        raise ReceiptRejectedError("statement: about another keyset")
    return made


def _signed(
    statement: bytes, keys: Sequence[VerifyKey], verify: Callable[[bytes, VerifyKey], T]
) -> T:
    for key in keys:
        with contextlib.suppress(ReceiptRejectedError):
            return verify(statement, key)
    raise ReceiptRejectedError("statement: signed by no key of this keyset")
