"""Cut an audit pack out of a log: all of it, a range, a tenant, or one request.

What is chosen by tenant or request carries along what is needed to judge it: the log's keys, the
policies, and the admission of every node that was asked. Entries left out are stood for by
subtree roots, so the pack still leads to the log's own checkpoints.

Source: docs/spec/audit-pack.md §2, §3.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from attestation.bundle import Bundle
from attestation.errors import AttestationError
from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, UsageError
from mifeng.protocol import entries, note
from mifeng.protocol.checkpoint import Checkpoint
from mifeng.protocol.merkle import MAX_SIZE, SM3, WORLDS, Digest

from .anchors.record import AnchorRecord
from .container import ContainerWriter
from .pack import CHUNK, MAX_RECORD_BYTES, MAX_RECORDS, Manifest, PackWriter, Scope
from .source import LogSource
from .tree import gap_nodes

MAX_ANCHORS: Final = 1024
"""Records of one anchor in one pack."""

Progress = Callable[[int, int], None]
"""Told how many entries of how many are done."""

_ABOUT_KEYSETS = (
    entries.KeysetLogged.TYPE,
    entries.NodeAdmitted.TYPE,
    entries.NodeExpired.TYPE,
)
_ALWAYS = (
    entries.Key.TYPE,
    entries.PolicyActivated.TYPE,
    entries.Release.TYPE,
    entries.Erasure.TYPE,
)
"""Types of which every entry goes into every pack."""
_NAMING_BLOBS = (
    entries.KeysetLogged.TYPE,
    entries.NodeAdmitted.TYPE,
    entries.NodeRejected.TYPE,
    entries.PolicyActivated.TYPE,
    entries.Release.TYPE,
)
_TWIN = "/sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to export; of the three at most one is given."""

    low: int = 0
    high: int | None = None
    """Entries [low, high), the high end being the newest checkpoint if None."""
    tenant: str | None = None
    h: bytes | None = None

    def scope(self, size: int) -> Scope:
        """Return how the pack calls this."""
        if self.h is not None:
            return Scope(kind="request", subject=self.h.hex())
        if self.tenant is not None:
            return Scope(kind="tenant", subject=self.tenant)
        if (low_high := (self.low, self.high or size)) != (0, size):
            return Scope(kind="range", subject=f"{low_high[0]}-{low_high[1]}")
        return Scope(kind="all", subject="")


def export(
    source: LogSource,
    notes: Sequence[bytes],
    out: Path,
    *,
    choice: Choice,
    now: int,
    signer: SigningKey | None = None,
    anchors: Sequence[bytes] = (),
    progress: Progress = lambda _done, _total: None,
) -> Manifest:
    """Write a pack to `out`, which must not exist, and return its manifest.

    Args:
        source: the log.
        notes: checkpoint notes of this log or its twin, with whatever cosignatures they have. The
            newest SM3 one decides how far the pack reaches.
        out: file to make.
        choice: what to export.
        now: Unix seconds.
        signer: signs the manifest: the auditor's or the operator's key.
        anchors: anchor records of this log; their notes are added to `notes`. Those ahead of the
            database are left out.
        progress: called between chunks.

    Raises:
        UsageError: no checkpoint of this log, nothing to export, or a checkpoint that is ahead of
            the database.
    """
    held = _held(source, anchors)
    known = [_place(source, data) for data in (*notes, *(record.note for record, _ in held))]
    sizes = sorted({size for size, world, _ in known if world == SM3.name})
    if not sizes:
        raise UsageError("export: needs a checkpoint of the log itself")
    size = max(place[0] for place in known)
    if size > source.size:
        raise UsageError(f"export: checkpoint of {size} entries, the database has {source.size}")
    chosen = _choose(source, choice, sizes[-1])
    with ContainerWriter(out) as container:
        writer = PackWriter(container)
        writer.anchors((record.claim.size, record.kind, data) for record, data in held)
        for digest in sorted(_documents(source, chosen)):
            if (data := source.blob(digest)) is not None:
                writer.blob(data)
        writer.checkpoints(known)
        done = 0
        for number, indexes in groupby(_indexes(chosen), lambda index: index // CHUNK):
            records = _records(source, list(indexes))
            writer.chunk(number, records, b"".join(SM3.leaf_hashes(e for _, e in records)))
            done += len(records)
            progress(done, _length(chosen))
        return writer.finish(
            gaps=_gaps(source, chosen, known),
            origin=source.origin,
            scope=choice.scope(sizes[-1]),
            made_at=now,
            size=sizes[-1],
            signer=signer,
        )


Runs = list[tuple[int, int]]
"""Ranges [low, high) of indexes, ascending and apart."""


def _place(source: LogSource, data: bytes) -> tuple[int, str, bytes]:
    head = Checkpoint.decode(note.parse(data).text)
    if head.origin == source.origin:
        return head.size, "sm3", data
    if head.origin == source.origin + _TWIN:
        return head.size, "sha256", data
    raise UsageError(f"export: checkpoint of {head.origin}, the log is {source.origin}")


def _held(source: LogSource, anchors: Iterable[bytes]) -> list[tuple[AnchorRecord, bytes]]:
    """Return anchor records of this log, up to its size, with their bytes.

    Of one anchor at most `MAX_ANCHORS`, fewer if a pack may not hold so many, evenly spread, the
    newest among them: a newer one covers all that an older one does.
    """
    try:
        records = [(AnchorRecord.decode(data), data) for data in anchors]
        held = [(record, data) for record, data in records if record.claim.size <= source.size]
        held.sort(key=lambda each: (each[0].name, each[0].claim.size))
    except MalformedError as exc:
        raise UsageError(f"export: not an anchor record ({exc})") from exc
    groups = [list(group)[::-1] for _, group in groupby(held, lambda each: each[0].name)]
    most = MAX_ANCHORS
    while most:
        thinned = [each for mine in groups for each in mine[:: -(-len(mine) // most)]]
        volume = sum(len(data) for _, data in thinned)
        if len(thinned) <= MAX_RECORDS and volume <= MAX_RECORD_BYTES:
            return thinned
        most //= 2
    raise UsageError("export: more anchors than a pack may hold; name fewer directories")


def _choose(source: LogSource, choice: Choice, size: int) -> Runs:
    if choice.h is not None:
        found = {index for index in source.of_request(choice.h) if index < size}
        if not found:
            raise UsageError(f"export: nothing is logged about {choice.h.hex()}")
    elif choice.tenant is not None:
        found = set(_of_tenant(source, choice.tenant, size))
        if not found:
            raise UsageError(f"export: nothing is logged for tenant {choice.tenant}")
    else:
        high = size if choice.high is None else choice.high
        if not 0 <= choice.low < high <= size:
            raise UsageError(f"export: no entries {choice.low} to {high} below {size}")
        if (choice.low, high) == (0, size):
            return [(0, size)]
        found = set(range(choice.low, high))
    return _runs({*found, *_context(source, found, size)})


def _of_tenant(source: LogSource, tenant: str, size: int) -> Iterator[int]:
    for low in range(0, size, CHUNK):
        for data in source.entries(low, min(size, low + CHUNK)):
            entry = _entry(data)
            if isinstance(entry, entries.SignedIntent) and entry.intent.tenant == tenant:
                yield from (i for i in source.of_request(entry.intent.h) if i < size)


def _context(source: LogSource, found: Iterable[int], size: int) -> Iterator[int]:
    """Yield what chosen entries are judged by: keys, policies, releases, admissions."""
    for kind in _ALWAYS:
        yield from (index for index in source.of_type(kind) if index < size)
    used: set[bytes] = set()
    chosen = set(found)
    for low, high in _runs(chosen):
        for data in source.entries(low, high):
            entry = _entry(data)
            if isinstance(entry, entries.SignedIntent):
                used.add(entry.intent.keyset)
            elif isinstance(entry, entries.Tally):
                used.add(entry.keyset)
    for kind in _ABOUT_KEYSETS:
        for index in source.of_type(kind):
            entry = _entry(*source.entries(index, index + 1))
            if index < size and getattr(entry, "keyset", None) in used:
                yield index
    yield from _persons(source, chosen, size)


def _persons(source: LogSource, chosen: set[int], size: int) -> Iterator[int]:
    for index in source.of_type(entries.Subject.TYPE):
        entry = _entry(*source.entries(index, index + 1))
        if index < size and isinstance(entry, entries.Subject) and entry.intent in chosen:
            yield index


def _entry(data: bytes) -> entries.Entry | None:
    try:
        return entries.decode(data)
    except MalformedError:  # exported all the same; the verifier says what is wrong with it
        return None


def _documents(source: LogSource, chosen: Runs) -> set[bytes]:
    """Return the digests of every document that a chosen entry names, bundles included."""
    wanted: set[bytes] = set()
    keysets: set[bytes] = set()
    for kind in _NAMING_BLOBS:
        for index in source.of_type(kind):
            if not _inside(chosen, index):
                continue
            entry = _entry(*source.entries(index, index + 1))
            if entry is not None:
                wanted |= set(named_documents(entry))
            if isinstance(entry, entries.KeysetLogged):
                keysets.add(entry.keyset)
    for data in source.bundles():
        try:
            keyset = Bundle.decode(data).keyset
        except AttestationError:
            continue
        if sm3(keyset) in keysets:
            wanted.add(sm3(data))
    return wanted


def named_documents(entry: entries.Entry) -> tuple[bytes, ...]:
    """Return the digests of documents that an entry names, keyset bytes included."""
    match entry:
        case entries.KeysetLogged():
            return (entry.keyset, *entry.evidence, *entry.collateral)
        case entries.NodeAdmitted():
            return (entry.keyset, *entry.evidence, *entry.collateral, entry.policy, entry.verdict)
        case entries.NodeRejected():
            return (*entry.evidence, *entry.collateral, entry.policy)
        case entries.PolicyActivated():
            return (entry.policy,)
        case entries.Release():
            return entry.blob
        case _:
            return ()


def _records(source: LogSource, indexes: Sequence[int]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for low, high in _runs(set(indexes)):
        found += enumerate(source.entries(low, high), low)
    return found


def _gaps(
    source: LogSource, chosen: Runs, known: Sequence[tuple[int, str, bytes]]
) -> dict[str, list[Digest]]:
    gaps: dict[str, list[Digest]] = {}
    for name in sorted({world for _, world, _ in known}):
        cuts = sorted({size for size, world, _ in known if world == name})
        world = WORLDS[name]
        nodes = [source.node(world, *place) for place in gap_nodes(chosen, cuts)]
        if nodes:
            gaps[name] = nodes
    return gaps


def _runs(indexes: set[int]) -> Runs:
    runs: Runs = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def _inside(chosen: Runs, index: int) -> bool:
    at = bisect_right(chosen, (index, MAX_SIZE)) - 1
    return at >= 0 and index < chosen[at][1]


def _indexes(chosen: Runs) -> Iterator[int]:
    for low, high in chosen:
        yield from range(low, high)


def _length(chosen: Runs) -> int:
    return sum(high - low for low, high in chosen)
