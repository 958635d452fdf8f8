"""Verify an audit pack offline, believing nothing in it that was not checked.

    1 container and manifest     every byte is some check's business
    2 the log's keys             from the auditor's pin, along KEY entries
    3 entries                    form, leaf hashes, every signature (several processes)
    4 checkpoints and tree       one history, to which every stated head belongs
    5 rules between entries      intents, ends, chains, tallies
    6 evidence                   appraised again at its recorded instant
    7 promises                   that clients bring along
    8 anchors                    what third parties hold, as far as the auditor knows them

Damage never stops the rest: everything that can be said is said. Only a file that is no pack is
an error instead of a finding.

Source: docs/spec/audit-pack.md §4.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from mifeng.crypto.signatures import VerifyKey
from mifeng.errors import PeerError
from mifeng.protocol import promise
from mifeng.protocol.merkle import SM3

from . import history, rules
from .anchors import check as anchoring
from .evidence import reappraise, shipped_policies
from .export import Progress
from .facts import Facts
from .findings import Findings
from .logkeys import LogKeysSeen, log_keys
from .pack import CHUNK, Attribution, Pack
from .reading import MAX_SKEW_S, Chunk, NodeKeys, read_chunk
from .report import Head, Report
from .rules import Extent
from .trust import Trust

_MIN_CHUNKS = 4
"""Fewer chunks are not worth starting processes for."""


@dataclass(slots=True)
class _Sums:
    """What is added up over chunks."""

    runs: list[tuple[int, int]] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    first_at: int = 0
    last_at: int = 0
    signatures: int = 0
    receipts: int = 0

    def add(self, chunk: Chunk, found: Findings) -> None:
        for low, high in chunk.runs:
            if self.runs and self.runs[-1][1] == low:
                self.runs[-1] = (self.runs[-1][0], high)
            else:
                self.runs.append((low, high))
        self.types.update(chunk.types)
        if chunk.first_at and chunk.first_at < self.last_at - MAX_SKEW_S:
            found.warning("time.backwards", chunk.number * CHUNK)
        self.first_at = min(self.first_at or chunk.first_at, chunk.first_at or self.first_at)
        self.last_at = max(self.last_at, chunk.last_at)
        self.signatures += chunk.signatures
        self.receipts += chunk.receipts


def verify(
    path: Path,
    trust: Trust,
    *,
    now: int,
    at: int | None = None,
    promises: Sequence[bytes] = (),
    jobs: int = 1,
    progress: Progress = lambda _done, _total: None,
) -> Report:
    """Return everything that can be said about the pack at `path`.

    Args:
        path: untrusted; any file.
        trust: what the auditor trusts beforehand.
        now: Unix seconds; what is dated later was not written honestly.
        at: Unix seconds at which evidence is judged instead of its recorded instant.
        promises: of the log, as clients received them.
        jobs: processes to use.
        progress: called between chunks.

    Raises:
        PackMalformedError: the file is not a pack in its one form; the message says where.
        UsageError: it cannot be read.
    """
    found = Findings()
    with Pack(path) as pack, Facts() as facts:
        signed_by = _attribution(pack, trust, found)
        if pack.manifest.origin != trust.log.origin:
            found.error("pack.other-log", subject=pack.manifest.origin)
        keys = log_keys(pack, trust.log, found)
        sums = _Sums()
        done = 0
        for chunk in _chunks(pack, trust.log.origin, keys.by_id, jobs):
            sums.add(chunk, found)
            facts.add(chunk.rows)
            found.extend(chunk.findings)
            done += sum(high - low for low, high in chunk.runs)
            progress(done, pack.manifest.count)
        facts.complete()
        _documents(pack, facts, trust, found)
        seen = history.checkpoints(pack, trust.log, keys, found)
        size = max((each.size for each in seen if each.world is SM3), default=0)
        extent = Extent(runs=sums.runs, size=size, last_at=sums.last_at)
        _count(pack, extent, done, found)
        compared = history.check_heads(pack, facts, sums.runs, seen, found)
        _times(facts, seen, found, last_at=sums.last_at, now=now)
        _witnessed(facts, seen, trust, found)
        rules.check(facts, extent, found)
        appraisals = reappraise(pack, facts, trust, found, log_keys=keys.names, at=at)
        _promises(pack, keys, promises, found, origin=trust.log.origin, extent=extent)
        anchored = anchoring.anchors(pack, trust.anchors, trust.log, seen, found)
        anchoring.check(anchored, trust.anchors, facts, extent, found)
        marks = [facts.one(f"SELECT coalesce(sum({m}), 0) FROM receipts") for m in _MARKS]  # noqa: S608
        if marks[0] or appraisals.simulated:
            found.note("mark.simulated", receipts=marks[0])
        return Report(
            origin=trust.log.origin,
            scope=pack.manifest.scope,
            made_at=pack.manifest.made_at,
            signed_by=signed_by,
            entries=done,
            extent=extent,
            first_at=sums.first_at,
            types=sums.types,
            heads=tuple(_head(each) for each in seen),
            heads_compared=compared,
            anchors=anchored,
            signatures=sums.signatures,
            receipts=sums.receipts,
            intents=facts.one("SELECT count(*) FROM intents"),
            ends=dict(facts.ask("SELECT kind, count(*) FROM ends GROUP BY kind ORDER BY kind")),
            appraisals=appraisals,
            simulated=marks[0],
            unwitnessed=marks[1],
            findings=found.all(),
        )


_MARKS = ("simulated", "unwitnessed")


def _head(seen: history.Seen) -> Head:
    claim = seen.signed.checkpoint
    return Head(
        world=seen.world.name, size=claim.size, root=claim.root, witnesses=seen.signed.cosigned
    )


def _attribution(pack: Pack, trust: Trust, found: Findings) -> Attribution | None:
    try:
        signed = pack.signature(trust.exporters)
    except PeerError as exc:
        found.error("pack.signature", subject="signature.json", why=str(exc)[:80])
        return None
    if signed is None and trust.exporters:
        found.error("pack.unsigned")
    elif signed is not None and not signed.trusted:
        add = found.error if trust.exporters else found.note
        add("pack.signer-unknown", subject=signed.keyid)
    return signed


def _documents(pack: Pack, facts: Facts, trust: Trust, found: Findings) -> None:
    """Check that documents are what they are filed under, and that none is missing."""
    for digest in pack.blobs:
        name = f"blobs/{digest.hex()}"
        if pack.blob(digest) is not None and pack.intact(name):
            continue
        query = "SELECT DISTINCT idx FROM documents WHERE digest = ? ORDER BY idx LIMIT 16"
        found.error("document.altered", *(i for (i,) in facts.ask(query, digest)), subject=name)
    have = {*pack.blobs, *(policy.digest for policy in (*shipped_policies(), *trust.policies))}
    for digest, index in facts.ask("SELECT digest, min(idx) FROM documents GROUP BY digest"):
        if digest not in have:
            found.warning("document.missing", index, subject=digest.hex())


def _count(pack: Pack, extent: Extent, done: int, found: Findings) -> None:
    if done != pack.manifest.count or extent.size != pack.manifest.size:
        found.error("pack.count", have=done, said=pack.manifest.count)
    if extent.runs and extent.runs[-1][1] > extent.size:
        found.error("entry.uncovered", max(extent.size, extent.runs[-1][0]))
    if not extent.whole:
        found.note("pack.partial", have=done, size=extent.size)


def _times(
    facts: Facts, seen: list[history.Seen], found: Findings, *, last_at: int, now: int
) -> None:
    """Entries are not dated after the verifier, nor after a witness that saw them."""
    if last_at > now + MAX_SKEW_S:
        found.error("time.future", at=last_at)
    limits = []
    for each in seen:
        times = [signed.time for signed in each.signed.cosigned if signed.time is not None]
        if times and each.world is SM3:
            limits.append((each.size, min(times) + MAX_SKEW_S, each.member))
    for member, index in facts.dated_after(limits):
        found.error("time.after-witness", index, subject=member)


def _witnessed(facts: Facts, seen: list[history.Seen], trust: Trust, found: Findings) -> None:
    """Receipts are seen by witnesses before their keys could have leaked (audit-pack.md §4)."""
    quorum, before = trust.log.quorum, 0
    if not quorum:
        return
    for each in seen:
        times = sorted(s.time for s in each.signed.cosigned if s.time is not None)
        if each.world is not SM3 or len(times) < quorum:
            continue
        query = (
            "SELECT r.idx FROM receipts r WHERE r.idx >= ? AND r.idx < ? AND"
            " (SELECT min(k.not_after) FROM keysets k WHERE k.keyset = r.keyset) + ? < ?"
        )
        window = (before, each.size, promise.MAX_MERGE_S, times[quorum - 1])
        for (index,) in facts.ask(query, *window):
            found.warning("receipt.witnessed-late", index)
        before = max(before, each.size)


def _promises(
    pack: Pack,
    keys: LogKeysSeen,
    promises: Sequence[bytes],
    found: Findings,
    *,
    origin: str,
    extent: Extent,
) -> None:
    """Hold what the log promised its clients against what is there."""
    for number, data in enumerate(promises, 1):
        name = f"promise {number}"
        try:
            made = promise.Promise.decode(data)
            promise.verify(
                data,
                origin=origin,
                leaf=made.leaf,
                keys=list(keys.by_id.values()),
                now=made.issued,
            )
        except PeerError as exc:
            found.error("promise.invalid", subject=name, why=str(exc)[:80])
            continue
        leaf = _leaf(pack, made.index)
        if leaf == made.leaf:
            continue
        absent = leaf is None and made.index >= extent.size
        if absent and made.merge_by + rules.GRACE_S >= extent.last_at:
            found.note("promise.pending", made.index, subject=name)
        elif leaf is None and not absent:
            found.note("promise.outside", made.index, subject=name)
        else:
            found.error("promise.broken", made.index, subject=name)


def _leaf(pack: Pack, index: int) -> bytes | None:
    if index // CHUNK not in pack.chunks:
        return None
    return next(
        (SM3.leaf_hash(data) for at, data in pack.entries(index // CHUNK) if at == index), None
    )


def _chunks(
    pack: Pack, origin: str, log_keys: Mapping[str, VerifyKey], jobs: int
) -> Iterator[Chunk]:
    """Read all chunks, in order; at most a few wait in memory."""
    numbers = pack.chunks
    if jobs == 1 or len(numbers) < _MIN_CHUNKS:
        nodes = NodeKeys(pack)
        for number in numbers:
            yield read_chunk(pack, number, origin=origin, log_keys=log_keys, nodes=nodes)
        return
    public = tuple(key.public_bytes for key in log_keys.values())
    with ProcessPoolExecutor(
        jobs,
        mp_context=get_context("spawn"),
        initializer=_start,
        initargs=(pack.path, origin, public),
    ) as pool:
        waiting: deque[Future[Chunk]] = deque()
        for number in numbers:
            waiting.append(pool.submit(_read, number))
            if len(waiting) > 2 * jobs:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


_worker: list[Callable[[int], Chunk]] = []
"""Of a worker process: how it reads a chunk of the one pack it was started for."""


def _start(path: Path, origin: str, public: Sequence[bytes]) -> None:
    from mifeng.protocol import dsse

    pack = Pack(path)
    nodes = NodeKeys(pack)
    keys = {dsse.key_id("sm2", raw): VerifyKey("sm2", raw) for raw in public}
    _worker.append(
        lambda number: read_chunk(pack, number, origin=origin, log_keys=keys, nodes=nodes)
    )


def _read(number: int) -> Chunk:
    return _worker[-1](number)
