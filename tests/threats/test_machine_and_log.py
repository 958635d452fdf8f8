"""Threats 5, 6, 9b, 10, 19, 27, 29, 34-38: machines, gateways and logs that lie.

Rows that need an auditor or witnesses beyond what one client sees are named in
docs/threat-model.md with the tests that hold them elsewhere.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

import policies
from attestation.appraise import appraise
from attestation.bundle import Bundle, Freshness
from attestation.errors import AttestationError, EvidenceUntrustedError, PolicyViolatedError
from attestation.evidence import Evidence, EvidenceKind
from attestation.simulated import forge
from enclave.intents import IntentRefusedError
from mifeng.crypto import sm3
from mifeng.errors import (
    KeysetRejectedError,
    LogInconsistentError,
    MalformedError,
    NodeRejectedError,
    PeerError,
    PromiseRejectedError,
    ReceiptRejectedError,
)
from mifeng.protocol import jsonc, promise
from mifeng.protocol.bodydigest import body_digest, salted
from mifeng.protocol.entries import Completion
from mifeng.protocol.keyset import Keyset
from mifeng.protocol.merkle import SM3
from mifeng.protocol.messages import Message, MessageType, Problem, Record
from mifeng.protocol.offer import Offer
from mifeng.protocol.receipt import Receipt, next_prev
from mifeng.protocol.session import prove, trust
from tests.harness.memorylog import MemoryLog
from tests.harness.world import MEASUREMENT, NOW, POLICY, World

CHALLENGE = Freshness(kind=1, x=bytes(range(32)))


async def bundle_of(world: World) -> Bundle:
    """Return a genuine bundle for `CHALLENGE`."""
    return await world.attester.collect(world.keyring.active.keyset_bytes, CHALLENGE)


async def answer_to(world: World, request: list[Message]) -> list[Message]:
    """Return everything the gateway would send back for a request."""
    return [message async for message in world.relay(request)]


async def replay(messages: list[Message]) -> AsyncIterator[Message]:
    """Yield recorded messages."""
    for message in messages:
        yield message


@pytest.mark.parametrize("name", ["unsafe-simulated", "production-cpu-only"])
async def test_threat_05_debug_is_refused_under_every_policy(name: str) -> None:
    """The machine says that its owner can inspect it; not even the laxest policy takes it."""
    world = World()
    bundle = await bundle_of(world)
    debug = forge(
        report_data=bundle.cpu.raw[0x40:0x80],
        measurement=MEASUREMENT,
        issued_at=NOW,
        hardware_id=bytes(32),
        debug=True,
    )
    bent = replace(bundle, cpu=Evidence(EvidenceKind.SIMULATED, debug))
    with pytest.raises(PolicyViolatedError) as refused:
        appraise(bent, policies.shipped(name), nonce32=CHALLENGE.nonce32, now=NOW)
    codes = {finding.code for finding in refused.value.findings}
    assert codes & {"policy.debug", "simulated.debug"}


async def test_threat_06_old_evidence_is_not_fresh() -> None:
    """The gateway replays evidence: for another challenge, or the same one too late."""
    world = World()
    offer = await world.offer(CHALLENGE)
    other = Freshness(kind=1, x=bytes(32))
    with pytest.raises(NodeRejectedError):
        trust(offer, world.terms, nonce32s={other.nonce32}, now=NOW)
    trust(offer, world.terms, nonce32s={CHALLENGE.nonce32}, now=NOW)
    late = NOW + POLICY.max_evidence_age_s + 1
    with pytest.raises(PeerError):
        trust(offer, world.terms, nonce32s={CHALLENGE.nonce32}, now=late)


async def test_threat_06_expiry_is_looked_at_on_every_request() -> None:
    """A keyset was trusted an hour ago and is used after its end."""
    world = World()
    node = await world.trusted()
    world.start(node, b"x")
    world.now = node.valid_until
    with pytest.raises(KeysetRejectedError):
        world.start(node, b"x")


async def test_threat_09b_naming_a_digest_is_not_verifying_it() -> None:
    """A submitter writes the right digest beside evidence whose signature is wrong or missing."""
    world = World()
    bundle = await bundle_of(world)
    raw = bundle.cpu.raw
    unsigned = replace(bundle, cpu=Evidence(EvidenceKind.SIMULATED, raw[:0xC0] + bytes(64)))
    for wrong in (unsigned, replace(bundle, cpu=Evidence(EvidenceKind.SIMULATED, b""))):
        with pytest.raises(AttestationError):
            appraise(wrong, POLICY, nonce32=CHALLENGE.nonce32, now=NOW)


async def test_threat_10_there_is_one_reading_of_a_document() -> None:
    """Duplicate keys, spaces, escapes, fractions, depth: whatever two parsers could read apart."""
    valid = World().keyring.active.keyset_bytes
    for wrong in (
        valid.replace(b'"v":1', b'"v":1,"v":1'),
        valid.replace(b'"v":1', b'"v": 1'),
        valid.replace(b'"v":1', b'"v":1.0'),
        valid.replace(b'"epoch":0', b'"epoch":-0'),
        valid.replace(b"node-1", b"node\\u002d1"),
        valid + b"\n",
        b"[" * 2000 + b"]" * 2000,
        b'{"v":1e400}',
    ):
        with pytest.raises(MalformedError):
            Keyset.decode(wrong)
    with pytest.raises(MalformedError):
        jsonc.loads(b'"' + b"a" * 2_000_000 + b'"')


async def test_threat_19_a_gateway_cannot_put_its_own_key_under_evidence() -> None:
    """The gateway swaps the keyset for one whose private keys it holds."""
    mine, genuine = World(), World()
    bundle = await bundle_of(genuine)
    forged = replace(bundle, keyset=mine.keyring.active.keyset_bytes)
    with pytest.raises(EvidenceUntrustedError):
        appraise(forged, POLICY, nonce32=CHALLENGE.nonce32, now=NOW)


async def test_threat_19_the_policy_is_the_clients() -> None:
    """The gateway's own verdict, however favourable, does not reach a client's decision."""
    world = World()
    strict = replace(world.terms, policy=policies.shipped("production-cpu-only"))
    with pytest.raises(NodeRejectedError):
        trust(await world.offer(CHALLENGE), strict, nonce32s={CHALLENGE.nonce32}, now=NOW)


async def test_threat_27_receipts_are_over_what_travelled() -> None:
    """The gateway bends a frame of the request; the receipt is about the bytes the node saw."""
    world = World()
    _, done = await world.ask(b"x")
    frames = [m.payload for m in world.sent_to_node if m.type is MessageType.FRAME]
    assert done.receipt.sealed_request == body_digest(b"".join(frames))


async def test_threat_29_a_receipt_for_another_model_is_refused() -> None:
    """The node runs other weights than the keyset names and says so in its receipt."""
    world = World()
    state, request = world.start(await world.trusted(), b"x")
    messages = await answer_to(world, request)
    signer = world.keyring.active.sign["sm2"]
    at = next(i for i, m in enumerate(messages) if m.type is MessageType.STATEMENT)
    from mifeng.protocol.receipt import verify_receipt

    made = verify_receipt(messages[at].payload, signer.verify_key())
    other = replace(made, model_digest=bytes(32)).sign(signer)
    messages[at] = Message(MessageType.STATEMENT, other)
    with pytest.raises(ReceiptRejectedError, match="model"):
        await world.finish(state, replay(messages))


async def test_threat_34_a_note_without_a_trusted_witness_is_no_freshness() -> None:
    """Evidence made for a checkpoint note that no witness of ours cosigned looks recent."""
    world = World()
    note = Freshness(kind=2, x=world.log.note())
    with pytest.raises(NodeRejectedError):
        trust(await world.offer(note), world.terms, nonce32s=set(), now=NOW)


async def test_threat_35_no_result_without_a_record() -> None:
    """The gateway releases the whole answer and keeps the log's record back."""
    from mifeng.errors import InterruptedRequestError

    world = World()
    state, request = world.start(await world.trusted(), b"x")
    messages = [m for m in await answer_to(world, request) if m.type is not MessageType.RECORD]
    with pytest.raises(InterruptedRequestError):
        await world.finish(state, replay(messages))


async def test_threat_35_a_record_of_something_else_is_none() -> None:
    """The gateway promises to keep an entry that is not about this exchange."""
    world = World()
    node = await world.trusted()
    _, other = await world.ask(b"other", node=node)
    state, request = world.start(node, b"x")
    messages = await answer_to(world, request)
    for entry in (
        other.entry,
        Completion(at=NOW, h=bytes(32), intent=0, receipt=other.statement).encode(),
    ):
        index = world.log.append(entry)
        record = Record(index, entry, world.log.promise(index, entry, now=NOW))
        spoilt = [*messages[:-1], Message(MessageType.RECORD, record.encode())]
        again = await _fresh(world, spoilt)
        with pytest.raises(PeerError):
            await world.finish(again[0], replay(again[1]))
    del state


async def _fresh(world: World, like: list[Message]) -> tuple[object, list[Message]]:
    state, request = world.start(await world.trusted(), b"x")
    return state, [*(await answer_to(world, request))[:-1], like[-1]]


async def test_threat_35_a_promise_by_another_key_is_none() -> None:
    """The gateway promises with a key that the client did not pin."""
    world = World()
    state, request = world.start(await world.trusted(), b"x")
    messages = await answer_to(world, request)
    record = Record.decode(messages[-1].payload)
    forged = promise.issue(
        MemoryLog().key,
        origin=world.log.origin,
        index=record.index,
        leaf=SM3.leaf_hash(record.entry),
        issued=NOW,
        merge_by=NOW + 60,
    )
    messages[-1] = Message(MessageType.RECORD, Record(record.index, record.entry, forged).encode())
    with pytest.raises(PromiseRejectedError):
        await world.finish(state, replay(messages))


async def test_threat_35_a_gap_in_the_chain_shows() -> None:
    """An answer is given and its receipt withheld from the log: the next receipt tells."""
    world = World()
    node = await world.trusted()
    receipts: list[Receipt] = []
    statements = []
    for _ in range(3):
        _, done = await world.ask(b"x", node=node)
        receipts.append(done.receipt)
        statements.append(done.statement)
    assert receipts[2].prev == next_prev(statements[1])
    assert receipts[2].prev != next_prev(statements[0])
    assert [r.seq for r in receipts] == [0, 1, 2]


async def test_threat_36_a_node_obeys_only_the_log_it_was_measured_with() -> None:
    """The host mounts a log key of its own and signs the intents itself."""
    world, foreign = World(), World()
    _, request = world.start(await world.trusted(), b"x")
    world.log, own = foreign.log, world.log
    with pytest.raises(IntentRefusedError):
        await answer_to(world, request)
    world.log = own
    assert not world.engine.runs  # type: ignore[attr-defined]
    with pytest.raises(KeysetRejectedError):
        terms = replace(world.terms, log=foreign.log.pin)
        trust(await world.offer(CHALLENGE), terms, nonce32s={CHALLENGE.nonce32}, now=NOW)


async def test_threat_36_an_intent_for_something_else_is_refused() -> None:
    """The gateway dispatches a request under an intent for another request, tenant or deadline."""
    world = World()
    node = await world.trusted()
    _, request = world.start(node, b"x")
    epoch = world.keyring.active
    from mifeng.protocol.header import Header, request_digest
    from mifeng.protocol.messages import Intent, Open

    header = Header.decode(Open.decode(request[0].payload).header)
    h = request_digest(Open.decode(request[0].payload).header)
    good = {
        "h": h,
        "keyset": epoch.digest,
        "tenant": header.tenant,
        "now": NOW,
        "deadline": header.deadline,
    }
    for change in (
        {"h": bytes(32)},
        {"keyset": bytes(32)},
        {"tenant": "bank-b"},
        {"deadline": header.deadline + 1},
        {"now": NOW + 10_000},
    ):
        _, statement = world.log.intent(**(good | change))
        payload = Intent(statement, world.log.note(), world.log.consistency(world.watch.size))
        back = world.dispatch(Message(MessageType.INTENT, payload.encode()), request)
        messages = [message async for message in back]
        assert Problem.decode(messages[0].payload).code == "intent.invalid"
    assert not world.engine.runs  # type: ignore[attr-defined]


async def test_threat_26_a_forked_log_is_caught_by_the_node() -> None:
    """The log shows a node a history that does not contain the one it showed before."""
    from mifeng.protocol.messages import Intent

    world = World()
    await world.ask(b"x")
    forked = MemoryLog(key=world.log.key)
    for number in range(9):
        forked.append(b"other history %d" % number)
    _, statement = forked.intent(
        h=bytes(32), keyset=bytes(32), tenant="bank-a", now=NOW, deadline=NOW + 60
    )
    payload = Intent(statement, forked.note(), forked.consistency(world.watch.size))
    with pytest.raises(IntentRefusedError, match=r"log\.inconsistent"):
        world.watch.advance(payload.encode())


async def test_threat_26_a_forked_log_is_caught_by_the_client() -> None:
    """The record a client was promised is not where a later checkpoint says."""
    world = World()
    _, done = await world.ask(b"x")
    honest = world.log.inclusion(done.index)
    world.log.entries[done.index] = b"rewritten"
    with pytest.raises(LogInconsistentError) as convicted:
        prove(done, world.log.inclusion(done.index))
    assert convicted.value.evidence
    world.log.entries[done.index] = done.entry
    assert prove(done, honest).index == done.index


async def test_threat_37_a_keyset_must_be_public() -> None:
    """A victim is shown a keyset that is in no log, or under somebody else's entry."""
    world = World()
    offer = Offer.decode(await world.offer(CHALLENGE))
    other = World(log=world.log, node_id="node-2")
    elsewhere = Offer.decode(await other.offer(CHALLENGE))
    for wrong in (
        Offer(offer.bundle, elsewhere.entry, elsewhere.proof),
        Offer(offer.bundle, offer.entry, elsewhere.proof),
    ):
        with pytest.raises((KeysetRejectedError, LogInconsistentError)):
            trust(wrong.encode(), world.terms, nonce32s={CHALLENGE.nonce32}, now=NOW)


async def test_threat_38_a_receipt_does_not_give_away_a_yes_or_no() -> None:
    """Somebody with the log tries every possible answer against the published digests."""
    world = World()
    _, done = await world.ask(b"approve")
    answer = b"approve"[::-1]
    published = {done.receipt.salted_request, done.receipt.salted_response}
    guesses = {
        digest
        for guess in (b"approve", answer, b"deny", b"")
        for digest in (
            body_digest(guess),
            sm3(guess),
            salted(body_digest(guess), salt=bytes(32), direction=b"response"),
            salted(body_digest(guess), salt=bytes(32), direction=b"request"),
        )
    }
    assert not published & guesses
    _, again = await world.ask(b"approve")
    assert published.isdisjoint({again.receipt.salted_request, again.receipt.salted_response})
    assert set(done.receipt.usage.values()) == {256}
