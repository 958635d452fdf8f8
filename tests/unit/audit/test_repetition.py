"""A pack may repeat anything at will: no rule takes much longer than the pack is long."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count, islice
from pathlib import Path

import pytest

from attestation.bundle import Bundle, Freshness
from mifeng.audit import evidence, rules
from mifeng.audit.facts import Facts, Rows
from mifeng.audit.findings import Findings
from mifeng.audit.rules import Extent
from mifeng.crypto import sm3
from mifeng.protocol import entries
from tests.unit.audit.made import Made

H, KEYSET, DIGEST = b"h" * 32, b"k" * 32, b"d" * 32
STEPS = 100
"""Instructions of SQLite between two counts."""


def own(at: int) -> bytes:
    """Return a digest of its own for each number."""
    return at.to_bytes(32, "big")


def intents(n: int, *, h: bytes | None = None, attempts: int = 1, first: int = 0) -> Rows:
    """Return intents for one keyset."""
    return {
        "intents": [
            (first + i, h or own(i), 1 + i % attempts, KEYSET, "t", 500, 600) for i in range(n)
        ]
    }


def receipts(n: int, *, seq: int | None = None) -> Rows:
    """Return receipts of one node."""
    return {
        "receipts": [
            (i, KEYSET, i if seq is None else seq, b"p", b"d", 1, b"r", 1, 0, 5, "m", "ok", 5)
            for i in range(n)
        ]
    }


def keysets(n: int) -> Rows:
    """Return the same keyset again and again."""
    return {"keysets": [(n + i, KEYSET, "n", 5, 1, 0, 10) for i in range(n)]}


def admissions(n: int) -> Rows:
    """Return admissions of one keyset."""
    return {"admissions": [(n + i, KEYSET, "n", 5, b"p", b"v", "t", 1, 10) for i in range(n)]}


def tallies(n: int, *, final: int) -> Rows:
    """Return tallies of one node."""
    return {"tallies": [(n + i, KEYSET, 8, b"d", final, 5) for i in range(n)]}


def orphaned(n: int) -> Rows:
    """Return ends of one intent, each orphaned, and receipts that came late for others."""
    return {
        "ends": [(i, 1, H, "ORPHANED", 5, "", "lost") for i in range(n)],
        "lates": [(n + i, 1, H, 2 * n + i, 5) for i in range(n)],
    }


def refused(n: int) -> Rows:
    """Return refusals of intents of one request."""
    return {"ends": [(3 * n + i, i, H, "REFUSAL", 5, "gateway", "x") for i in range(n)]}


REPEATED: dict[str, Callable[[int], Rows]] = {
    "one intent": lambda n: intents(n, h=H),
    "two attempts": lambda n: {**intents(n, h=H, attempts=2), **refused(n)},
    "late receipts": orphaned,
    "keysets and receipts": lambda n: {**receipts(n), **keysets(n)},
    "keysets and intents": lambda n: {**intents(n), **keysets(n)},
    "keysets and admissions": lambda n: {**keysets(n), **admissions(n)},
    "admissions and intents": lambda n: {**intents(n), **admissions(n)},
    "expiries and intents": lambda n: {
        **intents(n, first=2 * n),
        **admissions(n),
        "expiries": [(i, KEYSET, 5) for i in range(n)],
    },
    "receipts and tallies": lambda n: {**receipts(n, seq=7), **tallies(n, final=0)},
    "receipts after the last": lambda n: {**receipts(n, seq=9), **tallies(n, final=1)},
    "tallies and keysets": lambda n: {**keysets(n), **tallies(n, final=0)},
}


def steps(rows: Rows, n: int) -> int:
    """Return how many instructions SQLite needs to judge facts."""
    made = 0

    def more() -> int:
        nonlocal made
        made += 1
        return 0

    with Facts() as facts:
        facts.add(rows)
        facts.complete()
        facts._db.set_progress_handler(more, STEPS)
        extent = Extent(runs=[(0, 4 * n)], size=4 * n, last_at=10**9)
        rules.check(facts, extent, Findings())
    return made


@pytest.mark.parametrize("what", REPEATED)
def test_what_a_pack_repeats_takes_time_in_proportion(what: str) -> None:
    """Four times the entries are not sixteen times the work."""
    made = REPEATED[what]
    assert steps(made(800), 800) < 7 * steps(made(200), 200)


def found(rows: Rows, code: str) -> tuple[int, ...]:
    """Return the entries that a finding of `rows` is about."""
    with Facts() as facts:
        facts.add(rows)
        facts.complete()
        findings = Findings()
        rules.check(facts, Extent(runs=[(0, 99)], size=99, last_at=10**9), findings)
    return next((each.indexes for each in findings.all() if each.code == code), ())


def test_use_between_expiry_and_admission_is_found() -> None:
    """Later than the grace after the earliest expiry; an admission in between allows it again."""
    rows: Rows = {
        "admissions": [
            (0, KEYSET, "n", 5, b"p", b"v", "t", 1, 900),
            (5, KEYSET, "n", 5, b"p", b"v", "t", 1, 900),
        ],
        "expiries": [(2, KEYSET, 300), (3, KEYSET, 700)],
        "intents": [
            (1, own(1), 1, KEYSET, "t", 290, 600),
            (4, own(4), 1, KEYSET, "t", 300 + rules.GRACE_S, 600),
            (6, own(6), 1, KEYSET, "t", 800, 900),
        ],
    }
    assert found(rows, "keyset.use-after-expiry") == ()
    rows["intents"].append((7, own(7), 1, KEYSET, "t", 800, 900))
    rows["expiries"].append((8, KEYSET, 700))
    assert found(rows, "keyset.use-after-expiry") == ()
    late = (4, own(4), 1, KEYSET, "t", 301 + rules.GRACE_S, 600)
    assert found({**rows, "intents": [late]}, "keyset.use-after-expiry") == (4,)


def test_a_retry_needs_a_refusal_before_it() -> None:
    """A refusal of the attempt before, in the log before the next one."""
    first, second = (0, H, 1, KEYSET, "t", 5, 6), (2, H, 2, KEYSET, "t", 5, 6)
    end = (1, 0, H, "REFUSAL", 5, "gateway", "x")
    code = "intent.retry-unfounded"
    assert found({"intents": [first, second], "ends": [end]}, code) == ()
    assert found({"intents": [first, second], "ends": [(3, *end[1:])]}, code) == (2,)
    assert found(
        {"intents": [first, second], "ends": [(*end[:3], "ORPHANED", *end[4:])]}, code
    ) == (2,)
    assert found({"intents": [second]}, code) == (2,)


def test_the_first_entry_that_is_dated_too_late() -> None:
    """For each of several checkpoints: below its size, dated after its limit, whatever the kind."""
    with Facts() as facts:
        facts.add(
            {
                "heartbeats": [(0, 10, "g", 1), (2, 30, "g", 1)],
                "admissions": [(1, KEYSET, "n", 50, b"p", b"v", "t", 1, 90)],
                "lates": [(3, 1, H, 0, 90)],
            }
        )
        facts.complete()
        limits = [(4, 60, "late"), (3, 60, "fine"), (2, 20, "admission"), (1, 9, "first")]
        assert dict(facts.dated_after(limits)) == {"late": 3, "admission": 1, "first": 0}
        assert dict(facts.dated_after([(4, 90, "none")])) == {}
        assert dict(facts.dated_after([])) == {}


def test_bundles_are_read_once_however_often_a_keyset_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once to know what it is, and once more for all entries that describe it."""
    made = Made()
    (bundle,) = map(Bundle.decode, made.source.bundles())
    others = (replace(bundle, freshness=Freshness(kind=1, x=own(i))).encode() for i in count())
    before = (raw for raw in others if sm3(raw) < sm3(bundle.encode()))
    made.source.documents |= {sm3(raw): raw for raw in islice(before, 8)}
    (at,) = made.source.of_type("KEYSET")
    other = replace(bundle, freshness=Freshness(kind=1, x=b"\xff" * 32)).encode()
    made.source.documents[sm3(other)] = other
    entry = entries.decode(made.source.log[at])
    assert isinstance(entry, entries.KeysetLogged)
    unlike = replace(entry, nonce=Bundle.decode(other).freshness.nonce32).encode()
    for _ in range(8):
        made.source.log += [unlike, made.source.log[at]]
    read = []
    decoded = evidence._decoded

    def counted(raw: bytes | None) -> Bundle | None:
        read.append(raw)
        return decoded(raw)

    monkeypatch.setattr(evidence, "_decoded", counted)
    done = made.verified(tmp_path / "pack.zip").appraisals
    assert (done.passed, done.refused) == (9, 8)
    assert len([raw for raw in read if raw and raw.startswith(b"mifeng/v1/bundle\0")]) == 10 + 2
