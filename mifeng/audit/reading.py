"""Read one chunk of a pack: hash it, decode it, check its signatures, state its facts.

A chunk is read alone, so several processes can read several chunks. What spans entries is left
to `rules`.

Source: docs/spec/log.md §8; docs/spec/audit-pack.md §4.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mifeng.crypto import CryptoError
from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import MalformedError
from mifeng.protocol import dsse, entries, receipt
from mifeng.protocol.entries import Entry, SignedIntent
from mifeng.protocol.keyset import Keyset
from mifeng.protocol.merkle import SM3
from mifeng.protocol.receipt import SIMULATED, UNWITNESSED, NotClaimed, Receipt, Tally

from . import forms
from .container import PackMalformedError
from .export import named_documents
from .findings import Finding, Findings
from .pack import Pack
from .signatures import Batch

MAX_SKEW_S = 300
"""How far clocks of one institution may differ, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """What one chunk says."""

    number: int
    runs: list[tuple[int, int]]
    """Indexes [low, high) that it holds."""
    types: Mapping[str, int]
    first_at: int
    last_at: int
    """Smallest and largest time stated; 0 if none is."""
    signatures: int
    """Signatures checked."""
    receipts: int
    rows: Mapping[str, list[tuple[Any, ...]]]
    findings: tuple[Finding, ...]


def _envelope(statement: bytes) -> dsse.Envelope:
    """Return the envelope in a statement that `entries.decode` has just found canonical.

    `dsse.parse` would check its form once more, which is a quarter of the time of reading a log.
    """
    return forms.statement(statement) or dsse.parse(statement)


class NodeKeys:
    """Verification keys of the keysets whose bytes are in the pack."""

    def __init__(self, pack: Pack) -> None:
        self._pack = pack
        self._known: dict[bytes, Mapping[str, VerifyKey] | None] = {}

    def find(self, keyset: bytes) -> Mapping[str, VerifyKey] | None:
        """Return the keys of a keyset by their id in statements; None if it is not in the pack."""
        if keyset not in self._known:
            self._known[keyset] = self._load(keyset)
        return self._known[keyset]

    def _load(self, keyset: bytes) -> Mapping[str, VerifyKey] | None:
        data = self._pack.blob(keyset)
        if data is None:
            return None
        try:
            keys = [VerifyKey(alg, raw) for alg, raw in Keyset.decode(data).sign.items()]
        except (MalformedError, CryptoError):
            return None
        return {dsse.key_id(key.alg, key.public_bytes): key for key in keys}


@dataclass(slots=True)
class _Reading:
    origin: str
    log_keys: Mapping[str, VerifyKey]
    nodes: NodeKeys
    found: Findings = field(default_factory=Findings)
    batch: Batch = field(default_factory=Batch)
    types: Counter[str] = field(default_factory=Counter)
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    low_at: int = 0
    high_at: int = 0
    receipts: int = 0

    def row(self, table: str, *values: object) -> None:
        self.rows.setdefault(table, []).append(values)

    def time(self, index: int, at: int) -> None:
        if at < self.high_at - MAX_SKEW_S:
            self.found.warning("time.backwards", index)
        self.low_at = min(at, self.low_at or at)
        self.high_at = max(at, self.high_at)

    def entry(self, index: int, data: bytes) -> None:
        if not self.common(index, data):
            self.strict(index, data)

    def common(self, index: int, data: bytes) -> bool:
        """State an entry of the kinds that most are of; whether it was one, and well formed."""
        if data.startswith(b'{"payload"'):
            if (intent := forms.intent(data)) is None:
                return False
            self.types[entries.Intent.TYPE] += 1
            self.time(index, intent[0].issued)
            self.intent(index, *intent)
            return True
        if (done := forms.completion(data)) is None:
            return False
        if done.receipt.payload_type != receipt.RECEIPT_TYPE:
            return False
        if (made := forms.receipt(done.receipt.payload)) is None:
            return False
        self.types[entries.Completion.TYPE] += 1
        self.time(index, done.at)
        self.row("ends", index, done.intent, done.h, "COMPLETION", done.at, "", "")
        self.made(index, done, made, done.receipt)
        return True

    def strict(self, index: int, data: bytes) -> None:
        try:
            entry = entries.decode(data)
        except MalformedError as exc:
            self.found.error("entry.malformed", index, why=str(exc)[:80])
            self.types["?"] += 1
            return
        self.types[entries.entry_type(entry)] += 1
        self.time(index, entry.intent.issued if isinstance(entry, SignedIntent) else entry.at)
        for digest in named_documents(entry):
            self.row("documents", index, digest)
        try:
            self.state(index, entry)
        except MalformedError as exc:
            self.found.error("statement.malformed", index, why=str(exc)[:80])

    def state(self, index: int, entry: Entry) -> None:
        match entry:
            case SignedIntent():
                self.intent(index, entry.intent, _envelope(entry.statement))
            case entries.Completion():
                self.row("ends", index, entry.intent, entry.h, "COMPLETION", entry.at, "", "")
                self.receipt(index, entry, entry.receipt)
            case entries.Refusal():
                self.refusal(index, entry)
            case entries.Orphaned():
                end = (entry.intent, entry.h, "ORPHANED", entry.at, "", entry.reason)
                self.row("ends", index, *end)
            case entries.Late():
                self.row("lates", index, entry.intent, entry.h, entry.orphaned, entry.at)
                self.receipt(index, entry, entry.receipt)
            case entries.Tally():
                self.tally(index, entry)
            case entries.KeysetLogged() | entries.NodeAdmitted() | entries.NodeExpired():
                self.use(index, entry)
            case entries.Heartbeat():
                self.row("heartbeats", index, entry.at, entry.instance, entry.interval)
            case _:
                self.row("others", index, entry.TYPE, entry.at, entry.encode())

    def use(
        self,
        index: int,
        entry: entries.KeysetLogged | entries.NodeAdmitted | entries.NodeExpired,
    ) -> None:
        """State from when and until when a keyset is used."""
        if isinstance(entry, entries.NodeAdmitted):
            said = (entry.tier, int(entry.simulated), entry.valid_until)
            about = (entry.keyset, entry.node, entry.at, entry.policy, entry.verdict)
            self.row("admissions", index, *about, *said)
            return
        if isinstance(entry, entries.KeysetLogged):
            life = (int(entry.simulated), entry.not_before, entry.not_after)
            self.row("keysets", index, entry.keyset, entry.node, entry.at, *life)
        else:
            self.row("expiries", index, entry.keyset, entry.at)
        self.row("others", index, entry.TYPE, entry.at, entry.encode())

    def intent(
        self, index: int, said: forms.SaidIntent | entries.Intent, envelope: dsse.Envelope
    ) -> None:
        if said.index != index or said.origin != self.origin:
            self.found.error("intent.elsewhere", index, says=f"{said.origin} {said.index}"[:80])
        self.signed(index, envelope, self.log_keys, "intent.signature")
        times = (said.issued, said.deadline)
        self.row("intents", index, said.h, said.attempt, said.keyset, said.tenant, *times)

    def signed(
        self,
        index: int,
        envelope: dsse.Envelope,
        keys: Mapping[str, VerifyKey] | None,
        code: str,
    ) -> None:
        if keys is None:
            self.found.error("statement.unverifiable", index)
        elif (key := keys.get(envelope.keyid)) is None:
            self.found.error(code, index)
        else:
            message = dsse.pae(envelope.payload_type, envelope.payload)
            self.batch.add(key, envelope.signature, message, index)

    def receipt(self, index: int, entry: entries.Completion | entries.Late, raw: bytes) -> None:
        envelope = _envelope(raw)
        if envelope.payload_type != receipt.RECEIPT_TYPE:
            self.found.error("receipt.type", index)
            return
        self.made(index, entry, Receipt.decode(envelope.payload), envelope)

    def made(
        self,
        index: int,
        entry: forms.SaidCompletion | entries.Completion | entries.Late,
        made: forms.SaidReceipt | Receipt,
        envelope: dsse.Envelope,
    ) -> None:
        self.receipts += 1
        if (made.h, made.intent_index, made.origin) != (entry.h, entry.intent, self.origin):
            self.found.error("receipt.other-request", index)
        if made.started > made.finished or made.finished > entry.at + MAX_SKEW_S:
            self.found.warning("receipt.time", index)
        self.signed(index, envelope, self.nodes.find(made.keyset), "receipt.signature")
        chain = (made.keyset, made.seq, made.prev, receipt.link(envelope.payload))
        head = (made.log_size, made.log_root)
        marks = (int(SIMULATED in made.marks), int(UNWITNESSED in made.marks))
        about = (made.finished, made.model, made.outcome, entry.at)
        self.row("receipts", index, *chain, *head, *marks, *about)

    def refusal(self, index: int, entry: entries.Refusal) -> None:
        end = (entry.intent, entry.h, "REFUSAL", entry.at, entry.by, entry.reason)
        self.row("ends", index, *end)
        if (entry.statement is None) is (entry.by == "node"):
            self.found.error("refusal.statement", index)
        if entry.statement is None:
            return
        envelope = _envelope(entry.statement)
        if envelope.payload_type != receipt.NOT_CLAIMED_TYPE:
            self.found.error("refusal.statement", index)
            return
        said = NotClaimed.decode(envelope.payload)
        if (said.h, said.intent_index, said.origin) != (entry.h, entry.intent, self.origin):
            self.found.error("refusal.other-request", index)
        self.signed(index, envelope, self.nodes.find(said.keyset), "refusal.signature")

    def tally(self, index: int, entry: entries.Tally) -> None:
        envelope = _envelope(entry.statement)
        if envelope.payload_type != receipt.TALLY_TYPE:
            self.found.error("tally.statement", index)
            return
        said = Tally.decode(envelope.payload)
        if said.keyset != entry.keyset:
            self.found.error("tally.statement", index)
        self.signed(index, envelope, self.nodes.find(said.keyset), "tally.signature")
        self.row("tallies", index, said.keyset, said.count, said.head, int(said.final), said.at)


def read_chunk(
    pack: Pack, number: int, *, origin: str, log_keys: Mapping[str, VerifyKey], nodes: NodeKeys
) -> Chunk:
    """Return the facts of one chunk; damage in it becomes findings.

    Args:
        pack: open in this process.
        number: of the chunk.
        origin: of the log that the auditor trusts.
        log_keys: the log's verified keys, by their id in statements.
        nodes: of this pack.
    """
    reading = _Reading(origin, log_keys, nodes)
    member = f"entries/{number:012d}"
    for name in (member, f"leaves/{number:012d}"):
        if not pack.intact(name):
            reading.found.error("member.altered", subject=name)
    try:
        records = pack.entries(number)
    except PackMalformedError as exc:
        reading.found.error("member.malformed", subject=member, why=str(exc)[:80])
        records = []
    leaves = SM3.leaf_hashes(data for _, data in records)
    filed = pack.leaves(number)
    if len(filed) != len(leaves):
        reading.found.error("leaves.count", subject=f"leaves/{number:012d}")
    for (index, _), ours, theirs in zip(records, leaves, filed, strict=False):
        if ours != theirs:
            reading.found.error("entry.altered", index)
    for index, data in records:
        reading.entry(index, data)
    for index in reading.batch.done():
        reading.found.error("signature.wrong", index)
    return Chunk(
        number=number,
        runs=_runs([index for index, _ in records]),
        types=reading.types,
        first_at=reading.low_at,
        last_at=reading.high_at,
        signatures=reading.batch.count,
        receipts=reading.receipts,
        rows=reading.rows,
        findings=reading.found.all(),
    )


def _runs(indexes: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index in indexes:
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs
