"""Log entries: every type reads what it writes, and nothing else."""

import dataclasses
import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, PeerError, UsageError
from mifeng.protocol import dsse, entries
from mifeng.protocol.entries import Intent, SignedIntent
from mifeng.protocol.jsonc import dumps
from tests.unit.protocol.bend import bent

LOG = SigningKey.generate("sm2")
NODE = SigningKey.generate("sm2")
ORIGIN = "log.example/2026"
D1, D2 = bytes(range(32)), bytes(32)
STATEMENT = dsse.sign(b'{"x":1}', "application/vnd.mifeng.receipt+json", NODE)
INTENT = Intent(
    origin=ORIGIN,
    index=4,
    h=D1,
    keyset=D2,
    attempt=1,
    tenant="bank-a",
    issued=1_800_000_000,
    deadline=1_800_000_030,
)
SIGNED = SignedIntent(intent=INTENT, statement=INTENT.sign(LOG))
CHANGE = entries.KeyChange(origin=ORIGIN, key="k+00+AA", twin="", previous="")
PLAIN = (
    entries.Completion(at=1, h=D1, intent=4, receipt=STATEMENT),
    entries.Refusal(at=1, h=D1, intent=4, by="node", reason="node.full", statement=STATEMENT),
    entries.Refusal(at=1, h=D1, intent=4, by="gateway", reason="deadline", statement=None),
    entries.Orphaned(at=1, h=D1, intent=4, reason="gateway.restart"),
    entries.Late(at=1, h=D1, intent=4, orphaned=5, receipt=STATEMENT),
    entries.Tally(at=1, node="n1", keyset=D2, statement=STATEMENT),
    entries.NodeAdmitted(
        at=1,
        node="n1",
        keyset=D2,
        evidence=(D1, D2),
        collateral=(),
        policy=D1,
        verdict=D2,
        tier="simulated",
        simulated=True,
        valid_until=99,
    ),
    entries.NodeRejected(
        at=1,
        node="n1",
        keyset=D2,
        evidence=(D1,),
        collateral=(D2,),
        policy=D1,
        findings=("snp.tcb", "policy.measurement"),
    ),
    entries.NodeExpired(at=1, node="n1", keyset=D2, reason="drained"),
    entries.KeysetLogged(
        at=1,
        node="n1",
        epoch=3,
        keyset=D2,
        evidence=(D1,),
        collateral=(),
        freshness=1,
        nonce=D1,
        simulated=False,
        not_before=1,
        not_after=2,
    ),
    entries.Key(at=1, statement=entries.sign_key_change(CHANGE, LOG)),
    entries.PolicyActivated(at=1, name="production", policy=D1, actor=D2),
    entries.Release(
        at=1, kind="model", name="ocr", version="1", digest="sm3:00", blob=(D1,), withdrawn=False
    ),
    entries.Tenant(at=1, tenant="bank-a", action="created", detail=D1, actor=D2),
    entries.Admin(at=1, role="audit", actor=D1, action="export", subject="1-20", success=True),
    entries.Subject(at=1, h=D1, intent=3, subject=D2, sealed="00ff"),
    entries.Erasure(at=1, subject=D1, reason="data-subject", actor=D2),
    entries.Heartbeat(at=1, instance="g1", interval=10),
)
ALL = (SIGNED, *PLAIN)


def test_every_type_has_an_example_here() -> None:
    """The list above covers the union, and the union covers the names."""
    assert {type(entry) for entry in ALL} == set(get_args(entries.Entry))
    assert {entries.entry_type(entry) for entry in ALL} == set(entries.TYPES)


@pytest.mark.parametrize("entry", ALL, ids=entries.entry_type)
def test_entries_round_trip(entry: entries.Entry) -> None:
    """Bytes decode to the entry, and the entry encodes to the bytes."""
    data = entry.encode()
    assert entries.decode(data) == entry
    assert entries.decode(data).encode() == data


@pytest.mark.parametrize("entry", PLAIN, ids=entries.entry_type)
def test_plain_entries_are_flat_json_with_version_type_and_time(entry: entries.Record) -> None:
    """Anybody can read an entry with a JSON parser."""
    document = json.loads(entry.encode())
    assert (document["v"], document["type"], document["at"]) == (1, entry.TYPE, 1)


@pytest.mark.parametrize("entry", ALL, ids=entries.entry_type)
def test_bent_entries_are_refused_or_other_entries(entry: entries.Entry) -> None:
    """A changed byte never decodes to the same entry, and always to a canonical one."""
    valid = entry.encode()
    for wrong in bent(valid):
        try:
            found = entries.decode(wrong)
        except MalformedError:
            continue
        assert found != entry
        assert found.encode() == wrong


@pytest.mark.parametrize("entry", PLAIN, ids=entries.entry_type)
def test_missing_unknown_and_mistyped_fields_are_refused(entry: entries.Record) -> None:
    """Every field is needed, none is optional, and none takes a value of another type."""
    document = json.loads(entry.encode())
    for name in document:
        for change in (1.5, [], {}, None, "\n", -1, True, [7], "x" * 2000):
            bad = {**document, name: change}
            if change == document[name] or isinstance(change, float):
                continue
            if (name, change) in (("statement", None), ("findings", []), ("simulated", True)):
                continue
            if change is True and isinstance(document[name], bool):
                continue
            if change == [] and isinstance(document[name], list):
                continue
            with pytest.raises(MalformedError):
                entries.decode(dumps(bad))
        with pytest.raises(MalformedError):
            entries.decode(dumps({k: v for k, v in document.items() if k != name}))
    with pytest.raises(MalformedError):
        entries.decode(dumps({**document, "note": "plaintext"}))


@pytest.mark.parametrize(
    "change",
    [
        {"h": D1[:31]},
        {"h": "00" * 32},
        {"intent": -1},
        {"intent": True},
        {"intent": 2**53},
        {"by": "client"},
        {"by": 1},
        {"reason": ""},
        {"reason": "a\nb"},
        {"reason": "x" * 65},
        {"reason": 5},
        {"statement": b"{}"},
        {"statement": "x"},
    ],
)
def test_what_could_not_be_read_is_not_written(change: dict[str, object]) -> None:
    """Writing refuses exactly what reading would refuse."""
    wrong = dataclasses.replace(PLAIN[1], **change)
    with pytest.raises((UsageError, MalformedError)):
        wrong.encode()


@pytest.mark.parametrize(
    "wrong",
    [
        dataclasses.replace(PLAIN[6], simulated=1),
        dataclasses.replace(PLAIN[6], evidence=[D1]),
        dataclasses.replace(PLAIN[6], evidence=(D1,) * 65),
        dataclasses.replace(PLAIN[7], findings=["a"]),
        dataclasses.replace(PLAIN[7], findings=("a",) * 65),
        dataclasses.replace(PLAIN[7], findings=("a\0",)),
    ],
)
def test_lists_and_flags_are_checked_when_written(wrong: entries.Record) -> None:
    """Too many items, other containers and numbers for booleans are usage errors."""
    with pytest.raises(UsageError):
        wrong.encode()


def test_an_intent_is_verified_by_the_logs_key_only() -> None:
    """The node accepts the pinned log's intents for the pinned origin, and nothing else."""
    keys = (NODE.verify_key(), LOG.verify_key())
    assert entries.verify_intent(SIGNED.statement, origin=ORIGIN, keys=keys) == INTENT
    with pytest.raises(PeerError):
        entries.verify_intent(SIGNED.statement, origin=ORIGIN, keys=keys[:1])
    with pytest.raises(PeerError):
        entries.verify_intent(SIGNED.statement, origin="other", keys=keys)
    foreign = dsse.sign(INTENT.encode(), "application/vnd.mifeng.receipt+json", LOG)
    with pytest.raises(PeerError):
        entries.verify_intent(foreign, origin=ORIGIN, keys=keys)


def test_every_bent_byte_of_an_intent_is_refused() -> None:
    """Nothing in a signed intent can change."""
    for wrong in bent(SIGNED.statement):
        with pytest.raises(PeerError):
            entries.verify_intent(wrong, origin=ORIGIN, keys=(LOG.verify_key(),))


def test_other_payloads_under_the_intent_type_are_refused() -> None:
    """A signed payload that is not an intent is malformed, signature or not."""
    for payload in (b"{}", b"x", CHANGE.encode(), dumps({"v": 2, "type": "INTENT"})):
        statement = dsse.sign(payload, entries.INTENT_TYPE, LOG)
        with pytest.raises(MalformedError):
            entries.decode(statement)
        with pytest.raises(MalformedError):
            entries.verify_intent(statement, origin=ORIGIN, keys=(LOG.verify_key(),))


def test_a_statement_of_another_type_is_no_entry() -> None:
    """A receipt by itself is not an entry of the log."""
    with pytest.raises(MalformedError):
        entries.decode(STATEMENT)


def test_a_key_change_is_signed_by_the_key_before() -> None:
    """The change verifies under the old key, for the pinned log."""
    statement = entries.sign_key_change(CHANGE, LOG)
    keys = (LOG.verify_key(),)
    assert entries.verify_key_change(statement, origin=ORIGIN, keys=keys) == CHANGE
    with pytest.raises(PeerError):
        entries.verify_key_change(statement, origin="other", keys=keys)
    with pytest.raises(PeerError):
        entries.verify_key_change(statement, origin=ORIGIN, keys=(NODE.verify_key(),))
    wrong = dsse.sign(INTENT.encode(), entries.KEY_TYPE, LOG)
    with pytest.raises(MalformedError):
        entries.verify_key_change(wrong, origin=ORIGIN, keys=keys)


@pytest.mark.parametrize(
    "document",
    [
        [],
        "x",
        {},
        {"v": 1},
        {"v": 1, "type": "NOPE"},
        {"v": 2, "type": "ADMIN"},
        {"payloadType": 1},
    ],
)
def test_unknown_shapes_are_malformed(document: object) -> None:
    """Unknown types and versions are refused, not skipped."""
    with pytest.raises(MalformedError):
        entries.decode(dumps(document))


@given(data=st.binary(max_size=80))
def test_decode_is_total(data: bytes) -> None:
    """Random bytes are malformed."""
    with pytest.raises(MalformedError):
        entries.decode(data)


def test_many_intents_are_verified_as_one_by_one() -> None:
    """What is malformed, of another log, not signed or signed by nobody pinned fails alone."""
    keys = (NODE.verify_key(), LOG.verify_key())
    good, foreign = SIGNED.statement, SigningKey.generate("sm2")
    bent_one = bytearray(good)
    bent_one[-12] ^= 1
    statements = [good] * 11
    statements[1] = b"{}"
    statements[4] = INTENT.sign(foreign)
    statements[6] = bytes(bent_one)
    statements[8] = dataclasses.replace(INTENT, origin="other").sign(LOG)
    found = entries.verify_intents(statements, origin=ORIGIN, keys=keys)
    assert [at for at, each in enumerate(found) if isinstance(each, PeerError)] == [1, 4, 6, 8]
    assert all(each == INTENT for each in found if not isinstance(each, PeerError))
