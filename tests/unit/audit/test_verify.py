"""An honest log stands; every lie is found, with its code and its entries."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import policies
from attestation.bundle import Freshness
from mifeng.audit.findings import Finding, Severity
from mifeng.audit.pack import CHUNK
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.crypto import sm2_many, sm3
from mifeng.crypto.signatures import SigningKey
from mifeng.protocol import entries
from mifeng.protocol.entries import KeyChange
from mifeng.protocol.note import Cosigner, Sm2NoteSigner
from mifeng.protocol.receipt import Tally
from policies.load import shipped_bytes
from tests.unit.audit.made import ORIGIN, WITNESS, WITNESS_NAME, Made, codes

Lie = Callable[[Made], object]


def found(made: Made, path: Path, code: str) -> Finding:
    """Export, verify, and return the finding with this code."""
    report = made.verified(path / "pack.zip")
    return next(f for f in report.findings if f.code == code)


def test_an_honest_log_stands(tmp_path: Path) -> None:
    """All kinds of ends, a retry, a late receipt and a final tally: nothing but the marks."""
    made = Made()
    made.work(3)
    made.log_head = (made.source.size, made.head().root)
    refused = made.intent()
    made.refuse(refused)
    made.complete(made.intent(made.asked(refused).h, attempt=2))
    lost = made.intent()
    orphaned = made.orphan(lost)
    receipt = made.receipt(lost)
    h = made.asked(lost).h
    made.add(entries.Late(at=made.now, h=h, intent=lost, orphaned=orphaned, receipt=receipt))
    made.tally(final=True)
    report = made.verified(tmp_path / "pack.zip")
    assert report.stands
    assert codes(report) == {"mark.simulated", "mark.unwitnessed"}
    assert report.extent.whole
    assert report.ends == {"COMPLETION": 4, "ORPHANED": 1, "REFUSAL": 1}
    assert report.appraisals.passed == 1
    assert report.simulated == 5
    assert report.heads_compared == 3, "one checkpoint and two different heads in receipts"


def twice(made: Made) -> object:
    """Close an intent a second time."""
    intent = made.intent()
    made.complete(intent)
    return made.orphan(intent)


def before(made: Made) -> object:
    """Close an intent that comes later."""
    h = sm3(b"later")
    orphaned = made.add(
        entries.Orphaned(at=made.now, h=h, intent=made.source.size + 1, reason="gateway.restart")
    )
    made.intent(h)
    return orphaned


def forgotten(made: Made) -> object:
    """Leave an intent open long past its deadline."""
    intent = made.intent()
    made.now += 1000
    made.work(1)
    return intent


def dropped(made: Made) -> object:
    """Execute something and log nothing of it, then go on."""
    made.receipt(made.intent())
    made.source.log.pop()
    made.work(1)
    return None


def forked(made: Made) -> object:
    """Let the node sign two receipts with one number."""
    made.work(1)
    made.seq -= 1
    return made.complete(made.intent())


def broken_link(made: Made) -> object:
    """Let a receipt follow something else than the one before."""
    made.work(1)
    return made.complete(made.intent(), prev=sm3(b"another"))


def wrong_tally(made: Made) -> object:
    """State another head."""
    made.work(1)
    return made.tally(head=sm3(b"another"))


def hidden_tail(made: Made) -> object:
    """Log a tally of receipts that are not logged, and live on."""
    index = made.tally(count=made.seq + 3, head=sm3(b"hidden"))
    made.now += 1000
    made.complete(made.intent())
    made.tally()
    return index


def after_final(made: Made) -> object:
    """Sign on after the final tally."""
    made.tally(final=True)
    return made.complete(made.intent())


def foreign_intent(made: Made) -> object:
    """Let somebody else sign an intent."""
    made.key, kept = SigningKey.generate("sm2"), made.key
    index = made.intent()
    made.key = kept
    made.refuse(index)
    return index


def bad_receipt(made: Made) -> object:
    """Bend a receipt after signing it."""
    index = made.complete(made.intent())
    data = made.source.log[index]
    at = data.index(b'"sig":"') + 20
    bent = data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]
    made.source.log[index] = bent
    return index


def foreign_receipt(made: Made) -> object:
    """Let another key sign a receipt."""
    keys = made.epoch.sign
    kept, keys["sm2"] = keys["sm2"], SigningKey.generate("sm2")
    index = made.complete(made.intent())
    keys["sm2"] = kept
    return index


def other_request(made: Made) -> object:
    """File a receipt under another request."""
    return made.complete(made.intent(), h=sm3(b"another"))


def other_history(made: Made) -> object:
    """Let the node state a head that this log never had."""
    made.work(3)
    made.log_head = (5, sm3(b"the log it was shown"))
    index = made.complete(made.intent())
    made.tally()
    return index


def moved_intent(made: Made) -> object:
    """Put an intent where it does not belong."""
    index = made.intent()
    made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
    log = made.source.log
    log[index], log[index + 1] = log[index + 1], log[index]
    return index + 1


def repeated(made: Made) -> object:
    """Permit one attempt twice."""
    first = made.intent()
    made.refuse(first)
    second = made.intent(made.asked(first).h)
    made.refuse(second)
    return second


def unfounded_retry(made: Made) -> object:
    """Permit a second attempt of something that may have run."""
    first = made.intent()
    made.complete(first)
    index = made.intent(made.asked(first).h, attempt=2)
    made.complete(index)
    return index


def use_after_life(made: Made) -> object:
    """Send a request to a keyset that is over."""
    made.now += 4000
    index = made.intent()
    made.complete(index)
    return index


def unlogged_keyset(made: Made) -> object:
    """Use a keyset that the log does not know."""
    for index in range(len(made.source.log)):
        if b'"type":"KEYSET"' in made.source.log[index]:
            made.source.log[index] = entries.Heartbeat(
                at=made.now, instance="g", interval=60
            ).encode()
    return made.complete(made.intent()) and None


def silent(made: Made) -> object:
    """Let the log be silent for an hour."""
    made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
    made.now += 3600
    return made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))


def backwards(made: Made) -> object:
    """Turn the clock back by an hour."""
    made.now -= 3600
    return made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))


def garbage(made: Made) -> object:
    """Log something that is no entry."""
    return made.add(b'{"type":"NONSENSE"}')


def unmarked(made: Made) -> object:
    """Leave the SIMULATED mark out of a receipt."""
    return made.complete(made.intent(), marks=("UNWITNESSED",))


def expired(made: Made, keyset: bytes) -> int:
    """Log that a keyset is used no longer."""
    reason = "keyset.unknown"
    return made.add(entries.NodeExpired(at=made.now, node="node-1", keyset=keyset, reason=reason))


def use_after_expiry(made: Made) -> object:
    """Go on using a keyset after the log said that it is used no longer."""
    expired(made, made.keyset)
    made.now += 200
    index = made.intent()
    made.complete(index)
    return index


def expiry_of_a_stranger(made: Made) -> object:
    """End the use of a keyset that nobody admitted."""
    return expired(made, bytes(32))


LIES: list[tuple[Lie, str]] = [
    (twice, "end.twice"),
    (before, "end.before-intent"),
    (forgotten, "intent.unclosed"),
    (dropped, "execution.unlogged"),
    (forked, "execution.forked"),
    (broken_link, "execution.forked"),
    (wrong_tally, "execution.forked"),
    (hidden_tail, "execution.unlogged"),
    (after_final, "execution.after-final"),
    (foreign_intent, "intent.signature"),
    (bad_receipt, "signature.wrong"),
    (foreign_receipt, "receipt.signature"),
    (other_request, "receipt.other-request"),
    (other_history, "head.other-history"),
    (moved_intent, "intent.elsewhere"),
    (repeated, "intent.repeated"),
    (unfounded_retry, "intent.retry-unfounded"),
    (use_after_life, "keyset.use-outside-life"),
    (unlogged_keyset, "keyset.unlogged"),
    (garbage, "entry.malformed"),
    (unmarked, "receipt.mark"),
    (use_after_expiry, "keyset.use-after-expiry"),
    (expiry_of_a_stranger, "expiry.not-admitted"),
]


@pytest.mark.parametrize(("lie", "code"), LIES, ids=[f"{c}:{lie.__name__}" for lie, c in LIES])
def test_every_lie_is_found(lie: Lie, code: str, tmp_path: Path) -> None:
    """A gateway that signs everything it wants to is still convicted by what it must log."""
    made = Made()
    made.work(2)
    index = lie(made)
    finding = found(made, tmp_path, code)
    assert finding.severity is Severity.ERROR
    if index is not None:
        assert index in finding.indexes


def use_after_admission(made: Made) -> object:
    """Go on using a node whose logged admission has run out."""
    made.now += 1000
    index = made.intent()
    made.complete(index)
    return index


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (silent, "heartbeat.gap"),
        (backwards, "time.backwards"),
        (use_after_admission, "admission.expired"),
    ],
)
def test_what_is_odd_is_a_warning(lie: Lie, code: str, tmp_path: Path) -> None:
    """Silence and clocks that jump are shown, and refute nothing."""
    made = Made()
    made.work(1)
    index = lie(made)
    finding = found(made, tmp_path, code)
    assert (finding.severity, finding.indexes) == (Severity.WARNING, (index,))


def test_a_keyset_may_be_admitted_again_after_its_end(tmp_path: Path) -> None:
    """What was used no longer, and was appraised anew, may be used again."""
    made = Made()
    made.work(1)
    expired(made, made.keyset)
    made.now += 200
    made.appraise(made.freshness)
    made.work(1)
    assert made.verified(tmp_path / "p.zip").stands


def test_receipts_after_the_last_tally_are_pointed_out(tmp_path: Path) -> None:
    """Whoever withholds tallies is told of it once the log has gone on."""
    made = Made()
    made.work(1)
    made.complete(made.intent())
    made.now += 1000
    made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
    assert found(made, tmp_path, "tally.missing").severity is Severity.WARNING


def test_a_request_under_way_is_no_fault(tmp_path: Path) -> None:
    """At the end of a pack an intent may be open and a tally may be ahead."""
    made = Made()
    made.work(1)
    open_ = made.intent()
    made.tally(count=made.seq + 1, head=sm3(b"on its way"))
    report = made.verified(tmp_path / "pack.zip")
    assert report.stands
    assert {"intent.under-way", "tally.ahead"} <= codes(report)
    assert next(f for f in report.findings if f.code == "intent.under-way").indexes == (open_,)


def test_another_history_under_the_same_key_does_not_fit_its_checkpoint(tmp_path: Path) -> None:
    """Entries that were changed behind a published checkpoint are found by its root."""
    made = Made()
    made.work(2)
    note = made.note()
    made.source.log[5], made.source.log[3] = made.source.log[3], made.source.log[5]
    report = made.verified(tmp_path / "pack.zip", note)
    assert not report.stands
    assert "tree.root" in codes(report)


def test_two_checkpoints_that_no_history_joins(tmp_path: Path) -> None:
    """Of two signed heads of one size at most one fits; the other convicts."""
    made, other = Made(), Made()
    made.work(2)
    other.work(1)
    report = made.verified(tmp_path / "pack.zip", made.note(), other.note(other.source.size))
    wrong = [f for f in report.findings if f.code == "tree.root"]
    assert [f.subject for f in wrong] == [f"checkpoints/{other.source.size:016d}-sm3-00.note"]


def witnessed(made: Made, quorum: int) -> Trust:
    """Return trust in one witness."""
    key = Cosigner(WITNESS_NAME, WITNESS, 0).key
    return Trust(log=replace(made.pin, witnesses=(key,), quorum=quorum))


def test_witnesses_are_asked_for_as_the_pin_says(tmp_path: Path) -> None:
    """A quorum that is met takes the UNWITNESSED note away; one that is not is an error."""
    made = Made()
    made.work(1)
    with_it = made.pack(tmp_path / "a.zip", made.note(seen_at=made.now))
    report = verify(with_it, witnessed(made, 1), now=made.now)
    assert report.stands
    assert "mark.unwitnessed" not in codes(report)
    assert [w.key.name for w in report.heads[0].witnesses] == [WITNESS_NAME]
    without = made.pack(tmp_path / "b.zip")
    report = verify(without, witnessed(made, 1), now=made.now)
    assert "checkpoint.unwitnessed" in codes(report)


def test_receipts_count_if_a_witness_saw_them_in_time(tmp_path: Path) -> None:
    """A first witnessed checkpoint after the keys' end shows nothing of when they signed."""
    made = Made()
    made.work(2)
    early = made.note(seen_at=made.now)
    made.tally(final=True)
    made.now += 7200
    made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
    late = made.note(seen_at=made.now)
    both = verify(made.pack(tmp_path / "a.zip", early, late), witnessed(made, 1), now=made.now)
    assert "receipt.witnessed-late" not in codes(both)
    only = verify(made.pack(tmp_path / "b.zip", late), witnessed(made, 1), now=made.now)
    finding = next(f for f in only.findings if f.code == "receipt.witnessed-late")
    assert (finding.severity, finding.count) == (Severity.WARNING, 2)


def test_an_entry_is_not_dated_after_its_witness(tmp_path: Path) -> None:
    """A cosignature's time bounds the times of everything under it."""
    made = Made()
    made.work(1)
    pack = made.pack(tmp_path / "a.zip", made.note(seen_at=made.now - 3600))
    assert "time.after-witness" in codes(verify(pack, witnessed(made, 1), now=made.now))


def test_a_pack_of_another_log_is_refused(tmp_path: Path) -> None:
    """Nothing of a log that is not pinned counts."""
    made = Made(key=SigningKey.generate("sm2"))
    made.work(1)
    report = verify(made.pack(tmp_path / "a.zip"), Made().trust, now=made.now)
    assert {"checkpoint.signature", "checkpoint.none", "key.not-pinned"} <= codes(report)


def test_keys_change_along_their_chain(tmp_path: Path) -> None:
    """After a rotation intents of both keys count, whichever of the two is pinned."""
    made = Made()
    made.work(1)
    old = made.signer
    new = Sm2NoteSigner(ORIGIN, SigningKey.generate("sm2"))
    change = KeyChange(origin=ORIGIN, key=new.key.encode(), twin="", previous=old.key.encode())
    statement = entries.sign_key_change(change, made.key)
    made.add(entries.Key(at=made.now, statement=statement))
    made.key = new.signer
    made.work(1)
    pack = made.pack(tmp_path / "a.zip")
    report = verify(pack, Trust(log=made.pin), now=made.now)
    assert report.stands, report.findings
    report = verify(pack, Trust(log=replace(made.pin, keys=(old.key,))), now=made.now)
    assert codes(report) >= {"checkpoint.none"}, "the checkpoint has no line by the old key"
    assert "intent.signature" not in codes(report)


def test_a_key_that_nobody_introduced_is_found(tmp_path: Path) -> None:
    """A change signed by the new key itself breaks the chain."""
    made = Made()
    stranger = Sm2NoteSigner(ORIGIN, SigningKey.generate("sm2"))
    change = KeyChange(
        origin=ORIGIN, key=stranger.key.encode(), twin="", previous=stranger.key.encode()
    )
    statement = entries.sign_key_change(change, stranger.signer)
    index = made.add(entries.Key(at=made.now, statement=statement))
    assert found(made, tmp_path, "key.chain").indexes == (index,)


def test_evidence_is_appraised_again(tmp_path: Path) -> None:
    """Evidence that is missing, other, or refused by the auditor's own policy is named."""
    made = Made()
    made.work(1)
    strict = Trust(log=made.pin, policies=(policies.shipped("production-cpu-only"),))
    report = verify(made.pack(tmp_path / "a.zip"), strict, now=made.now)
    finding = next(f for f in report.findings if f.code == "evidence.own-policy")
    assert finding.indexes == (made.keyset_index,)
    assert report.appraisals.refused == 1
    bundle = sm3(made.bundle.encode())
    kept = made.source.documents.pop(bundle)
    assert found(made, tmp_path, "evidence.missing").indexes == (made.keyset_index,)
    made.source.documents[bundle] = kept


def test_old_evidence_verifies_years_later(tmp_path: Path) -> None:
    """It is judged at its recorded instant; judged today it has run out (THREATS 31)."""
    made = Made()
    made.work(1)
    pack = made.pack(tmp_path / "a.zip")
    later = made.now + 2 * 365 * 86_400
    assert verify(pack, made.trust, now=later).stands
    report = verify(pack, made.trust, now=later, at=later)
    assert "evidence.refused" in codes(report)


def test_evidence_after_a_note_counts_only_under_a_witness(tmp_path: Path) -> None:
    """A note that nobody we trust cosigned could have been signed long before (THREATS 34)."""
    made = Made()
    cases = ((None, True), (made.now, False), (made.now - 3601, True), (made.now - 60, False))
    for number, (seen_at, wrong) in enumerate(cases):
        made.freshness = Freshness(kind=2, x=made.note(seen_at=seen_at))
        made.admit()
        pack = made.pack(tmp_path / f"{number}.zip", made.note(seen_at=made.now))
        finding = list(verify(pack, witnessed(made, 1), now=made.now).findings)
        named = [f for f in finding if f.code == "freshness.note"]
        assert any(made.keyset_index in each.indexes for each in named) is wrong


def test_an_admission_that_claims_more_is_found(tmp_path: Path) -> None:
    """A verdict better than the evidence gives is a lie of the gateway."""
    made = Made()
    for index, data in enumerate(made.source.log):
        entry = entries.decode(data)
        if isinstance(entry, entries.NodeAdmitted):
            made.source.log[index] = replace(entry, tier="tee").encode()
    assert found(made, tmp_path, "admission.verdict-differs").severity is Severity.ERROR


def test_a_foreign_log_key_in_the_node_is_found(tmp_path: Path) -> None:
    """A node that obeys another log convicts whoever admitted it (THREATS 36)."""
    made = Made()
    made.key, kept = SigningKey.generate("sm2"), made.key
    made.admit()
    made.key = kept
    finding = found(made, tmp_path, "keyset.other-log")
    assert finding.indexes == (made.keyset_index,)


def test_promises_are_held_against_the_log(tmp_path: Path) -> None:
    """A promise that was kept is silent; a broken one convicts; a strange one is no promise."""
    made = Made()
    made.work(2)
    kept = made.promise(4)
    about_another = made.promise(6)
    made.source.log[6], made.source.log[7] = made.source.log[7], made.source.log[6]
    report = made.verified(tmp_path / "a.zip", promises=[kept, about_another, b"?"])
    named = {f.code: f.subject for f in report.findings if f.code.startswith("promise")}
    assert named == {"promise.broken": "promise 2", "promise.invalid": "promise 3"}


def test_a_promise_for_an_entry_that_never_came(tmp_path: Path) -> None:
    """It is pending until its time is over, then it is broken."""
    made = Made()
    made.work(1)
    made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
    promised = made.promise(made.source.size - 1)
    made.source.log.pop()
    report = made.verified(tmp_path / "a.zip", promises=[promised])
    assert "promise.pending" in codes(report)
    made.now += 1000
    size = made.source.size
    made.source.log = made.source.log[:size]
    made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
    report = made.verified(tmp_path / "b.zip", promises=[promised])
    assert "promise.broken" in codes(report)


def test_who_exported_is_checked_against_the_trust_file(tmp_path: Path) -> None:
    """A signature counts only by a trusted exporter; without one it is a claim."""
    made = Made()
    auditor, other = SigningKey.generate("sm2"), SigningKey.generate("sm2")
    strict = Trust(log=made.pin, exporters=(auditor.verify_key(),))
    good = made.pack(tmp_path / "a.zip", signer=auditor)
    report = verify(good, strict, now=made.now)
    assert report.stands
    assert report.signed_by is not None
    assert report.signed_by.trusted
    strange = made.pack(tmp_path / "b.zip", signer=other)
    assert "pack.signer-unknown" in codes(verify(strange, strict, now=made.now))
    assert verify(strange, made.trust, now=made.now).stands
    bare = made.pack(tmp_path / "c.zip")
    assert "pack.unsigned" in codes(verify(bare, strict, now=made.now))


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the work is spread changes nothing about the report."""
    monkeypatch.setattr("mifeng.audit.verify._MIN_CHUNKS", 2)
    made = Made()
    made.work(1)
    beat = entries.Heartbeat(at=made.now, instance="g", interval=60).encode()
    made.source.log += [beat] * CHUNK
    broken_link(made)
    pack = made.pack(tmp_path / "a.zip")
    alone = verify(pack, made.trust, now=made.now, jobs=1)
    together = verify(pack, made.trust, now=made.now, jobs=2)
    assert together.to_json() == alone.to_json()
    assert "execution.forked" in codes(together)


def own_policy(made: Made, name: str) -> bytes:
    """Return a policy document of the operator's own, and let the admission name it."""
    raw = shipped_bytes(name) + b"\n# the operator's own copy\n"
    for index, data in enumerate(made.source.log):
        entry = entries.decode(data)
        if isinstance(entry, entries.NodeAdmitted):
            made.source.log[index] = replace(entry, policy=sm3(raw)).encode()
    return raw


def test_a_policy_from_the_pack_is_replayed(tmp_path: Path) -> None:
    """A document that the admission names counts; without it the verdict cannot be replayed."""
    made = Made()
    raw = own_policy(made, "unsafe-simulated")
    unknown = made.verified(tmp_path / "a.zip")
    assert {"policy.unknown", "document.missing"} <= codes(unknown)
    assert unknown.appraisals.undecided == 1
    made.put(raw)
    report = made.verified(tmp_path / "b.zip")
    assert report.appraisals.passed == 1
    assert "policy.unknown" not in codes(report)
    made = Made()
    made.put(own_policy(made, "production-cpu-only"))
    report = made.verified(tmp_path / "c.zip")
    assert "evidence.refused" in codes(report)
    made = Made()
    own_policy(made, "unsafe-simulated")
    made.source.documents[sm3(b"x")] = b"x"
    for index, data in enumerate(made.source.log):
        entry = entries.decode(data)
        if isinstance(entry, entries.NodeAdmitted):
            made.source.log[index] = replace(entry, policy=sm3(b"x")).encode()
    assert "policy.unknown" in codes(made.verified(tmp_path / "d.zip"))


def changed_keyset(made: Made, **changes: object) -> int:
    """Change what the KEYSET entry says."""
    entry = entries.decode(made.source.log[made.keyset_index])
    assert isinstance(entry, entries.KeysetLogged)
    made.source.log[made.keyset_index] = replace(entry, **changes).encode()  # type: ignore[arg-type]
    return made.keyset_index


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"nonce": bytes(32)}, "evidence.other"),
        ({"freshness": 2}, "evidence.other"),
        ({"collateral": (bytes(32),)}, "evidence.other"),
        ({"epoch": 99}, "keyset.entry-differs"),
        ({"node": "node-2"}, "keyset.entry-differs"),
        ({"simulated": False}, "keyset.entry-differs"),
        ({"keyset": bytes(32)}, "evidence.missing"),
        ({"keyset": bytes(32)}, "keyset.not-admitted"),
    ],
)
def test_an_entry_says_what_its_evidence_says(
    changes: dict[str, object], code: str, tmp_path: Path
) -> None:
    """A KEYSET entry that differs from keyset or evidence in one field is named."""
    made = Made()
    made.work(1)
    index = changed_keyset(made, **changes)
    assert index in found(made, tmp_path, code).indexes


def wrong_type(made: Made, statement: bytes, code: str) -> tuple[int, str]:
    """File a statement of one type where another belongs."""
    intent = made.intent()
    h = made.asked(intent).h
    match code:
        case "receipt.type":
            entry: entries.Entry = entries.Completion(
                at=made.now, h=h, intent=intent, receipt=statement
            )
        case "refusal.statement":
            entry = entries.Refusal(
                at=made.now, h=h, intent=intent, by="node", reason="x", statement=statement
            )
        case _:
            entry = entries.Tally(
                at=made.now, node="node-1", keyset=made.keyset, statement=statement
            )
    return made.add(entry), code


@pytest.mark.parametrize("code", ["receipt.type", "refusal.statement", "tally.statement"])
def test_a_statement_stands_only_where_its_type_belongs(code: str, tmp_path: Path) -> None:
    """A receipt is no refusal, a tally no receipt; each is named."""
    made = Made()
    made.work(1)
    tally = Tally(keyset=made.keyset, count=1, head=made.prev, final=False, at=made.now)
    statement = tally.sign(made.node_key)
    if code == "tally.statement":
        statement = made.receipt(made.intent())
    index, code = wrong_type(made, statement, code)
    assert index in found(made, tmp_path, code).indexes


def test_a_refusal_without_the_nodes_word_is_found(tmp_path: Path) -> None:
    """What a node is said to have refused needs its statement."""
    made = Made()
    intent = made.intent()
    h = made.asked(intent).h
    refusal = entries.Refusal(
        at=made.now, h=h, intent=intent, by="node", reason="x", statement=None
    )
    index = made.add(refusal)
    assert found(made, tmp_path, "refusal.statement").indexes == (index,)


def test_without_the_native_core_the_same_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One signature at a time gives the verdicts that batches give."""
    made = Made()
    made.work(2)
    bad_receipt(made)
    pack = made.pack(tmp_path / "a.zip")
    batched = verify(pack, made.trust, now=made.now)
    monkeypatch.setattr("mifeng.crypto.signatures.sm2_verify_many", sm2_many._verify)
    single = verify(pack, made.trust, now=made.now)
    assert single.to_json() == batched.to_json()
    assert "signature.wrong" in codes(single)
