"""What must hold between entries: one end for each intent, one chain for each node, one history.

Each rule is a question to the facts. A rule about something that is *not* there is asked only
where the pack holds every entry in which it could be. No question takes longer than the pack is
long: a join of what a pack repeats at will would.

    I1  released ⇒ COMPLETION durable        a tally or a chain that names a receipt not logged
    I2  COMPLETION ⇒ earlier INTENT          same digest, same keyset
    I3  every INTENT closed exactly once     LATE only after ORPHANED, once
    I4  index order = commit order           each INTENT stands where it says

Source: docs/spec/log.md §8.3, §8.4; docs/spec/receipt.md §2, §4; docs/spec/audit-pack.md §4.
"""

from dataclasses import dataclass
from typing import Final

from mifeng.protocol.receipt import first_prev

from . import subjects
from .facts import Facts
from .findings import Findings

GRACE_S: Final = 120
"""How long after its deadline an intent may be open, and a tally ahead, at the end of a log."""

_ABSENCE: Final = ("end.no-intent", "late.unfounded", "keyset.use-before-logged")
"""Rules about something that is not there: only where the pack holds all of the log."""

_CLOSED: Final = (
    (
        "end.no-intent",
        "SELECT e.idx FROM ends e LEFT JOIN intents i ON i.idx = e.intent WHERE i.idx IS NULL",
    ),
    (
        "end.before-intent",
        "SELECT e.idx FROM ends e JOIN intents i ON i.idx = e.intent WHERE e.idx < i.idx",
    ),
    (
        "end.other-request",
        "SELECT e.idx FROM ends e JOIN intents i ON i.idx = e.intent WHERE e.h <> i.h",
    ),
    (
        "end.twice",
        (
            "SELECT e.idx FROM ends e WHERE EXISTS (SELECT 1 FROM ends o"
            " WHERE o.intent = e.intent AND o.idx < e.idx)"
        ),
    ),
    (
        "intent.repeated",
        (
            "SELECT b.idx FROM intents b WHERE EXISTS (SELECT 1 FROM intents a"
            " WHERE a.h = b.h AND a.attempt = b.attempt AND a.idx < b.idx)"
        ),
    ),
    (
        "late.unfounded",
        (
            "SELECT l.idx FROM lates l LEFT JOIN ends e ON e.idx = l.orphaned"
            " AND e.kind = 'ORPHANED' AND e.intent = l.intent AND e.h = l.h AND e.idx < l.idx"
            " WHERE e.idx IS NULL"
        ),
    ),
    (
        "late.twice",
        (
            "SELECT l.idx FROM lates l WHERE EXISTS (SELECT 1 FROM lates o"
            " WHERE o.intent = l.intent AND o.idx < l.idx)"
        ),
    ),
    (
        "receipt.other-keyset",
        (
            "SELECT r.idx FROM receipts r"
            " JOIN (SELECT idx, intent FROM ends UNION ALL SELECT idx, intent FROM lates) e"
            " ON e.idx = r.idx JOIN intents i ON i.idx = e.intent WHERE i.keyset <> r.keyset"
        ),
    ),
    (
        "receipt.mark",
        (
            "SELECT r.idx FROM receipts r WHERE EXISTS (SELECT 1 FROM keysets k"
            " WHERE k.keyset = r.keyset AND k.simulated = 1 - r.simulated)"
        ),
    ),
    (
        "keyset.use-outside-life",
        (
            "SELECT i.idx FROM intents i WHERE i.issued <"
            " (SELECT max(k.not_before) FROM keysets k WHERE k.keyset = i.keyset) - 300"
            " OR i.issued > (SELECT min(k.not_after) FROM keysets k WHERE k.keyset = i.keyset)"
        ),
    ),
    (
        "keyset.use-before-logged",
        (
            "SELECT i.idx FROM intents i WHERE"
            " (SELECT min(k.idx) FROM keysets k WHERE k.keyset = i.keyset) > i.idx"
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Which entries of a log a pack holds."""

    runs: list[tuple[int, int]]
    size: int
    last_at: int
    """Latest time stated in them, Unix seconds."""

    @property
    def whole(self) -> bool:
        """Whether that is every entry of the log."""
        return self.runs == [(0, self.size)]

    @property
    def tail(self) -> int:
        """Everything from this entry on is there; `size` if the last one is not."""
        return self.runs[-1][0] if self.runs and self.runs[-1][1] >= self.size else self.size


def check(facts: Facts, extent: Extent, found: Findings) -> None:
    """Ask every rule and add what does not hold."""
    _closings(facts, extent, found)
    _admissions(facts, found)
    subjects.check(facts, found, whole=extent.whole)
    if extent.whole:
        _retries(facts, found)
        _keysets(facts, found)
        _heartbeats(facts, found)
    _chains(facts, extent, found)


def _closings(facts: Facts, extent: Extent, found: Findings) -> None:
    for code, query in _CLOSED:
        if code in _ABSENCE and not extent.whole:
            continue
        for (index,) in facts.ask(query):
            found.error(code, index)
    query = (
        "SELECT i.idx, i.deadline FROM intents i LEFT JOIN ends e ON e.intent = i.idx"
        " WHERE e.idx IS NULL"
    )
    for index, deadline in facts.ask(query):
        if index < extent.tail:
            found.note("intent.end-outside", index)
        elif deadline + GRACE_S < extent.last_at:
            found.error("intent.unclosed", index)
        else:
            found.note("intent.under-way", index)
    for index, reason in facts.ask("SELECT idx, reason FROM ends WHERE kind = 'ORPHANED'"):
        if facts.one("SELECT 1 FROM lates WHERE orphaned = ?", index) is None:
            found.warning("intent.orphaned", index, subject=str(reason))


def _admissions(facts: Facts, found: Findings) -> None:
    """A node was used beyond the admission that is logged; a later one may not have been."""
    query = (
        "SELECT i.idx FROM intents i WHERE (SELECT max(a.valid_until) FROM admissions a"
        " WHERE a.keyset = i.keyset) + ? < i.issued"
    )
    for (index,) in facts.ask(query, GRACE_S):
        found.warning("admission.expired", index)
    query = (
        "SELECT idx, keyset, 'expired' AS what, at FROM expiries"
        " UNION ALL SELECT idx, keyset, 'admitted', at FROM admissions"
        " UNION ALL SELECT idx, keyset, 'used', issued FROM intents"
        " WHERE keyset IN (SELECT keyset FROM expiries) ORDER BY idx"
    )
    expired: dict[bytes, int] = {}
    for index, keyset, what, at in facts.ask(query):
        if what == "admitted":
            expired.pop(keyset, None)
        elif what == "expired":
            expired[keyset] = min(at, expired.get(keyset, at))
        elif keyset in expired and at > expired[keyset] + GRACE_S:
            found.error("keyset.use-after-expiry", index)


def _retries(facts: Facts, found: Findings) -> None:
    query = (
        "SELECT i.idx FROM intents i LEFT JOIN (SELECT p.h, p.attempt, min(e.idx) AS first"
        " FROM intents p JOIN ends e ON e.intent = p.idx WHERE e.kind = 'REFUSAL'"
        " GROUP BY p.h, p.attempt) r ON r.h = i.h AND r.attempt = i.attempt - 1"
        " WHERE i.attempt > 1 AND coalesce(r.first, i.idx) >= i.idx"
    )
    for (index,) in facts.ask(query):
        found.error("intent.retry-unfounded", index)


def _keysets(facts: Facts, found: Findings) -> None:
    query = (
        "SELECT min(i.idx), count(*), hex(i.keyset) FROM intents i WHERE NOT EXISTS"
        " (SELECT 1 FROM keysets k WHERE k.keyset = i.keyset) GROUP BY i.keyset"
    )
    for index, _, keyset in facts.ask(query):
        found.error("keyset.unlogged", index, subject=keyset.lower())
    query = (
        "SELECT k.idx FROM keysets k WHERE NOT EXISTS"
        " (SELECT 1 FROM admissions a WHERE a.keyset = k.keyset AND a.idx < k.idx)"
    )
    for (index,) in facts.ask(query):
        found.error("keyset.not-admitted", index)
    query = (
        "SELECT x.idx, hex(x.keyset) FROM expiries x WHERE NOT EXISTS"
        " (SELECT 1 FROM admissions a WHERE a.keyset = x.keyset AND a.idx < x.idx)"
    )
    for index, keyset in facts.ask(query):
        found.error("expiry.not-admitted", index, subject=keyset.lower())


def _heartbeats(facts: Facts, found: Findings) -> None:
    before: tuple[int, int] | None = None
    for index, at, interval in facts.ask("SELECT idx, at, interval FROM heartbeats ORDER BY idx"):
        if before is not None and at - before[0] > 2 * before[1] + 5:
            found.warning("heartbeat.gap", index, seconds=at - before[0])
        before = (at, interval)


def _chains(facts: Facts, extent: Extent, found: Findings) -> None:
    """Walk each node's receipts in their own order; memory is one link."""
    keyset, expected, prev = b"", 0, b""
    for index, owner, seq, link, digest in facts.ask(
        "SELECT idx, keyset, seq, prev, digest FROM receipts ORDER BY keyset, seq, idx"
    ):
        if owner != keyset:
            keyset, expected, prev = owner, 0, first_prev(owner)
        if seq < expected:
            found.error("execution.forked", index, subject=owner.hex())
            continue
        if seq > expected and extent.whole:
            gap = seq - expected
            found.error("execution.unlogged", index, subject=owner.hex(), missing=gap)
        elif seq == expected and link != prev:
            found.error("execution.forked", index, subject=owner.hex())
        expected, prev = seq + 1, digest
    _tallies(facts, extent, found)


def _tallies(facts: Facts, extent: Extent, found: Findings) -> None:
    query = (
        "SELECT t.idx, t.keyset, t.count, t.head, t.at, (SELECT r.digest FROM receipts r"
        " WHERE r.keyset = t.keyset AND r.seq = t.count - 1 ORDER BY r.idx LIMIT 1)"
        " FROM tallies t ORDER BY t.idx"
    )
    for index, keyset, count, head, at, digest in facts.ask(query):
        expected = first_prev(keyset) if count == 0 else digest
        if expected is None:
            if not extent.whole:
                continue
            if at + GRACE_S < extent.last_at:
                found.error("execution.unlogged", index, subject=keyset.hex(), tally=count)
            else:
                found.warning("tally.ahead", index, subject=keyset.hex())
        elif expected != head:
            found.error("execution.forked", index, subject=keyset.hex())
    query = (
        "SELECT r.idx, hex(r.keyset) FROM receipts r WHERE r.seq >= (SELECT min(t.count)"
        " FROM tallies t WHERE t.keyset = r.keyset AND t.final = 1)"
    )
    for index, name in facts.ask(query):
        found.error("execution.after-final", index, subject=name.lower())
    if not extent.whole:
        return
    query = (
        "SELECT max(r.idx), hex(r.keyset) FROM receipts r"
        " WHERE r.keyset IN (SELECT keyset FROM keysets)"
        " AND r.seq >= coalesce((SELECT max(t.count) FROM tallies t"
        " WHERE t.keyset = r.keyset), 0) AND r.at < ? GROUP BY r.keyset"
    )
    for index, name in facts.ask(query, extent.last_at - GRACE_S):
        found.warning("tally.missing", index, subject=name.lower())
    query = (
        "SELECT k.idx, hex(k.keyset) FROM keysets k WHERE k.not_after < ? AND NOT EXISTS"
        " (SELECT 1 FROM tallies t WHERE t.keyset = k.keyset AND t.final = 1)"
    )
    for index, name in facts.ask(query, extent.last_at):
        found.warning("tally.no-final", index, subject=name.lower())
