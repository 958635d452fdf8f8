"""A small honest log of one gateway and one node, in memory; tests bend it and export it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from attestation.bundle import Bundle, Freshness
from enclave.epochs import Identity, KeyRing
from enclave.evidence.simulated import SimulatedAttester
from mifeng.audit.export import Choice, export
from mifeng.audit.report import Report
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError
from mifeng.protocol import checkpoint, entries, merkle, promise
from mifeng.protocol.checkpoint import Checkpoint, LogPin
from mifeng.protocol.entries import Entry, Intent, KeyChange
from mifeng.protocol.keyset import LogIdentity, Model, Software
from mifeng.protocol.merkle import SM3, Digest, HashWorld
from mifeng.protocol.note import Cosigner, Sm2NoteSigner
from mifeng.protocol.receipt import NotClaimed, Receipt, Tally, first_prev, next_prev
from tests.harness.world import MEASUREMENT, POLICY

ORIGIN = "log.example/audit"
NOW = 1_800_000_000
TENANT = "bank-a"
LOG_KEY = SigningKey.generate("sm2")
WITNESS = SigningKey.generate("sm2")
WITNESS_NAME = "witness.example/w1"


@dataclass
class MemorySource:
    """A log in lists, as an exporter reads it."""

    origin: str = ORIGIN
    log: list[bytes] = field(default_factory=list)
    documents: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """See `LogSource`."""
        return len(self.log)

    def entries(self, low: int, high: int) -> list[bytes]:
        """See `LogSource`."""
        return self.log[low:high]

    def of_request(self, h: bytes) -> list[int]:
        """See `LogSource`."""
        return [index for index, entry in self._decoded() if h == request_of(entry)]

    def of_type(self, entry_type: str) -> list[int]:
        """See `LogSource`."""
        found = self._decoded()
        return [index for index, entry in found if entries.entry_type(entry) == entry_type]

    def _decoded(self) -> Iterator[tuple[int, Entry]]:
        for index, data in enumerate(self.log):
            try:
                yield index, entries.decode(data)
            except MalformedError:
                continue

    def node(self, world: HashWorld, level: int, index: int) -> Digest:
        """See `LogSource`."""
        data = self.log[index << level : (index + 1) << level]
        return merkle.root(world, merkle.extend(world, (), 0, world.leaf_hashes(data))[0])

    def blob(self, digest: bytes) -> bytes | None:
        """See `LogSource`."""
        return self.documents.get(digest)

    def bundles(self) -> Iterator[bytes]:
        """See `LogSource`."""
        yield from (d for d in self.documents.values() if d.startswith(b"mifeng/v1/bundle\0"))


def request_of(entry: entries.Entry) -> bytes | None:
    """Return the header digest an entry is about."""
    if isinstance(entry, entries.SignedIntent):
        return entry.intent.h
    return getattr(entry, "h", None)


@dataclass
class Made:
    """Writes a log, entry by entry, as an honest gateway and node would."""

    source: MemorySource = field(default_factory=MemorySource)
    key: SigningKey = LOG_KEY
    now: int = NOW
    seq: int = 0
    prev: bytes = b""
    requests: int = 0
    log_head: tuple[int, bytes] = (0, b"")
    freshness: Freshness = Freshness(kind=1, x=bytes(range(32)))  # noqa: RUF009 - immutable

    def __post_init__(self) -> None:
        change = KeyChange(origin=ORIGIN, key=self.signer.key.encode(), twin="", previous="")
        statement = entries.sign_key_change(change, self.key)
        self.add(entries.Key(at=self.now, statement=statement))
        self.admit()

    @property
    def signer(self) -> Sm2NoteSigner:
        """What signs checkpoints."""
        return Sm2NoteSigner(ORIGIN, self.key)

    @property
    def pin(self) -> LogPin:
        """What an auditor pins; without witnesses."""
        return LogPin(origin=ORIGIN, world=SM3, keys=(self.signer.key,), witnesses=(), quorum=0)

    @property
    def trust(self) -> Trust:
        """What an auditor trusts."""
        return Trust(log=self.pin)

    def add(self, entry: entries.Entry | bytes) -> int:
        """Append an entry and return its index."""
        self.source.log.append(entry if isinstance(entry, bytes) else entry.encode())
        return self.source.size - 1

    def put(self, data: bytes) -> bytes:
        """File a document."""
        self.source.documents[sm3(data)] = data
        return sm3(data)

    def admit(self) -> None:
        """Let the node make a keyset, appraise it and log that."""
        software = Software(image=bytes(32), config=bytes(32), policy=POLICY.digest)
        identity = Identity(
            node_id="node-1",
            suites=(1,),
            software=software,
            models={"echo": Model(digest=bytes([7]) * 32, idempotent=True)},
            log=LogIdentity.of(self.pin),
            simulated=True,
            life_s=3600,
            active_s=1800,
        )
        self.epoch = KeyRing(identity, now=self.now).active
        self.keyset = self.epoch.digest
        self.seq, self.prev = 0, first_prev(self.keyset)
        self.appraise(self.freshness)

    def appraise(self, freshness: Freshness) -> None:
        """Challenge the node's keyset, as each gateway of a log does, and log that."""
        attester = SimulatedAttester(
            node_id="node-1", measurement=MEASUREMENT, clock=lambda: self.now
        )
        self.bundle: Bundle = asyncio.run(attester.collect(self.epoch.keyset_bytes, freshness))
        evidence = (self.put(self.bundle.cpu.raw),)
        collateral = tuple(self.put(data) for _, data in self.bundle.cpu_collateral.items)
        self.put(self.bundle.keyset)
        self.put(self.bundle.encode())
        verdict = self.put(b"{}")
        keyset = self.epoch.keyset
        self.add(
            entries.NodeAdmitted(
                at=self.now,
                node="node-1",
                keyset=self.keyset,
                evidence=evidence,
                collateral=collateral,
                policy=POLICY.digest,
                verdict=verdict,
                tier="simulated",
                simulated=True,
                valid_until=self.now + 600,
            )
        )
        self.keyset_index = self.add(
            entries.KeysetLogged(
                at=self.now,
                node="node-1",
                epoch=keyset.epoch,
                keyset=self.keyset,
                evidence=evidence,
                collateral=collateral,
                freshness=freshness.kind,
                nonce=freshness.nonce32,
                simulated=True,
                not_before=keyset.not_before,
                not_after=keyset.not_after,
            )
        )

    @property
    def node_key(self) -> SigningKey:
        """What the node signs with."""
        return self.epoch.sign["sm2"]

    def intent(self, h: bytes | None = None, *, attempt: int = 1, tenant: str = TENANT) -> int:
        """Append an INTENT and return its index."""
        self.requests += 1
        intent = Intent(
            origin=ORIGIN,
            index=self.source.size,
            h=h or sm3(b"request %d" % self.requests),
            keyset=self.keyset,
            attempt=attempt,
            tenant=tenant,
            issued=self.now,
            deadline=self.now + 60,
        )
        return self.add(intent.sign(self.key))

    def asked(self, index: int) -> Intent:
        """Return the intent at an index."""
        entry = entries.decode(self.source.log[index])
        assert isinstance(entry, entries.SignedIntent)
        return entry.intent

    def receipt(self, index: int, **changes: object) -> bytes:
        """Return the node's receipt for an intent, the next one of its chain."""
        size, root = self.log_head
        made = Receipt(
            h=self.asked(index).h,
            outcome="completed",
            reason="",
            origin=ORIGIN,
            intent_index=index,
            seq=self.seq,
            prev=self.prev,
            keyset=self.keyset,
            model="echo",
            model_digest=bytes([7]) * 32,
            backend="echo/1",
            device="test",
            sealed_request=bytes(32),
            sealed_response=bytes(32),
            salted_request=None,
            salted_response=None,
            node_policy=POLICY.digest,
            client_policy=POLICY.digest,
            usage={"input_bytes": 256},
            client_auth=None,
            started=self.now,
            finished=self.now,
            log_size=size,
            log_root=root or SM3.empty_root,
            marks=("SIMULATED", "UNWITNESSED"),
        )
        statement = replace(made, **changes).sign(self.node_key)  # type: ignore[arg-type]
        self.seq, self.prev = self.seq + 1, next_prev(statement)
        return statement

    def complete(self, index: int, **changes: object) -> int:
        """Append the COMPLETION of an intent."""
        statement = self.receipt(index, **changes)
        h = self.asked(index).h
        return self.add(entries.Completion(at=self.now, h=h, intent=index, receipt=statement))

    def refuse(self, index: int) -> int:
        """Append the REFUSAL of an intent by the node."""
        h = self.asked(index).h
        statement = NotClaimed(
            h=h,
            reason="node.busy",
            origin=ORIGIN,
            intent_index=index,
            keyset=self.keyset,
            at=self.now,
            marks=("SIMULATED", "UNWITNESSED"),
        ).sign(self.node_key)
        return self.add(
            entries.Refusal(
                at=self.now, h=h, intent=index, by="node", reason="node.busy", statement=statement
            )
        )

    def orphan(self, index: int) -> int:
        """Append the ORPHANED of an intent."""
        h = self.asked(index).h
        return self.add(entries.Orphaned(at=self.now, h=h, intent=index, reason="gateway.restart"))

    def tally(self, *, final: bool = False, **changes: object) -> int:
        """Append the node's TALLY."""
        made = Tally(keyset=self.keyset, count=self.seq, head=self.prev, final=final, at=self.now)
        statement = replace(made, **changes).sign(self.node_key)  # type: ignore[arg-type]
        return self.add(
            entries.Tally(at=self.now, node="node-1", keyset=self.keyset, statement=statement)
        )

    def work(self, requests: int) -> None:
        """Serve so many requests, a second apart, with a tally at the end."""
        for _ in range(requests):
            self.complete(self.intent())
            self.now += 1
        self.tally()

    def head(self, size: int | None = None) -> Checkpoint:
        """Return the checkpoint at a size."""
        size = self.source.size if size is None else size
        leaves = SM3.leaf_hashes(self.source.log[:size])
        root = merkle.root(SM3, merkle.extend(SM3, (), 0, leaves)[0])
        return Checkpoint(origin=ORIGIN, size=size, root=root)

    def note(self, size: int | None = None, *, seen_at: int | None = None) -> bytes:
        """Return a signed checkpoint, cosigned at a time if one is given."""
        signers = [self.signer]
        if seen_at is not None:
            signers.append(Cosigner(WITNESS_NAME, WITNESS, seen_at))  # type: ignore[arg-type]
        return checkpoint.sign(self.head(size), signers)

    def promise(self, index: int) -> bytes:
        """Return the log's promise about an entry."""
        return promise.issue(
            self.key,
            origin=ORIGIN,
            index=index,
            leaf=SM3.leaf_hash(self.source.log[index]),
            issued=self.now,
            merge_by=self.now + 60,
        )

    def pack(self, path: Path, *notes: bytes, choice: Choice | None = None, **more: object) -> Path:
        """Export the log."""
        export(
            self.source,
            notes or [self.note()],
            path,
            choice=choice or Choice(),
            now=self.now,
            **more,  # type: ignore[arg-type]
        )
        return path

    def verified(self, path: Path, *notes: bytes, **more: object) -> Report:
        """Export and verify."""
        return verify(self.pack(path, *notes), self.trust, now=self.now, **more)  # type: ignore[arg-type]


def codes(report: Report) -> set[str]:
    """Return the codes found."""
    return {finding.code for finding in report.findings}
