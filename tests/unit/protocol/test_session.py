"""The client's machine: what moves it, what it refuses, and that a refusal changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from attestation.bundle import Freshness
from mifeng.crypto import Sm2PublicKey
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import (
    InterruptedRequestError,
    KeysetRejectedError,
    LogInconsistentError,
    MifengError,
    NodeRejectedError,
    ReceiptRejectedError,
    RefusedError,
    StreamRejectedError,
    UsageError,
)
from mifeng.protocol import jsonc
from mifeng.protocol.envelope import OpenedRequest, open_request
from mifeng.protocol.keyset import Keyset, keyset_digest
from mifeng.protocol.merkle import Digest
from mifeng.protocol.messages import Message, MessageType, Open, Problem
from mifeng.protocol.offer import Offer
from mifeng.protocol.receipt import NotClaimed
from mifeng.protocol.session import (
    CLIENT_AUTH,
    Ask,
    Done,
    Receiving,
    Terms,
    TrustedNode,
    WaitAnswer,
    Waiting,
    WaitRecord,
    WaitStatement,
    begin,
    ended,
    prove,
    step,
    trust,
)
from mifeng.protocol.stream import MAX_DATA, FrameSealer, FrameType
from tests.harness import samples
from tests.harness.world import INTL, SM, World


@dataclass
class Scene:
    """A client that waits, and the node's end of its request under the test's control."""

    world: World
    node: TrustedNode
    state: Waiting
    opened: OpenedRequest
    sealer: FrameSealer

    @classmethod
    async def receiving(cls) -> "Scene":
        """Return the scene after ANSWER."""
        world = World()
        node = await world.trusted()
        waiting, messages = world.start(node, b"question")
        parts = Open.decode(messages[0].payload)
        key = world.keyring.active.decap[SM]
        opened = open_request(parts.header, parts.commitment, key=key)
        answer, sealer = opened.seal_response(now=world.now)
        state, _ = step(waiting, Message(MessageType.ANSWER, answer.encode()), now=world.now)
        assert isinstance(state, Receiving)
        return cls(world, node, state, opened, sealer)

    def frame(self, kind: FrameType, data: bytes = b"", *, final: bool = False) -> bytes:
        """Let the node send one frame; return what the client reads."""
        sealed = self.sealer.seal(kind, data, final=final)
        state, plain = step(self.state, Message(MessageType.FRAME, sealed), now=self.world.now)
        assert not isinstance(state, Done)
        self.state = state
        return plain


def ask(world: World, **changes: object) -> Ask:
    """Return a valid wish with changes."""
    wish = Ask(
        tenant="bank-a",
        model="echo",
        operation="oip.infer",
        deadline=world.now + 60,
        stream=False,
    )
    return replace(wish, **changes)  # type: ignore[arg-type]


# Trust.


async def test_an_answer_to_somebody_elses_challenge_is_no_evidence() -> None:
    """The client made this challenge itself, or the offer is old."""
    world = World()
    offer = await world.offer(Freshness(kind=1, x=random_bytes(32)))
    with pytest.raises(NodeRejectedError, match="challenge"):
        trust(offer, world.terms, nonce32s={bytes(32)}, now=world.now)


async def offered(world: World, change: Callable[[Keyset], Keyset]) -> tuple[bytes, bytes]:
    """Return an honest offer of a changed keyset, and its nonce32."""
    keyset = change(world.keyring.active.keyset).encode()
    freshness = Freshness(kind=1, x=random_bytes(32))
    bundle = await world.attester.collect(keyset, freshness)
    digest = keyset_digest(keyset)
    index, entry = world.log.keyset(keyset, digest, evidence=bundle.evidence_digest, now=world.now)
    proof = world.log.inclusion(index)
    return Offer(bundle.encode(), entry, proof).encode(), freshness.nonce32


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda k: replace(k, simulated=False), "simulation"),
        (lambda k: replace(k, suites={INTL: k.suites[INTL]}), "suite"),
        (lambda k: replace(k, sign={"p256": k.sign["p256"]}), "suite"),
        (lambda k: replace(k, sign={"sm2": bytes(65)}), "verification key"),
        (lambda k: replace(k, log=replace(k.log, quorum=1)), "another log"),
        (lambda k: replace(k, log=replace(k.log, origin="x")), "another log"),
        (lambda k: replace(k, not_before=k.not_after - 1), "not valid"),
    ],
    ids=["simulated", "suites", "no-key", "no-point", "quorum", "origin", "not-yet"],
)
async def test_a_genuine_node_with_a_keyset_we_do_not_want(
    change: Callable[[Keyset], Keyset], why: str
) -> None:
    """Attested and logged, and refused all the same."""
    world = World()
    offer, nonce32 = await offered(world, change)
    with pytest.raises(KeysetRejectedError, match=why):
        trust(offer, world.terms, nonce32s={nonce32}, now=world.now)


async def test_a_suite_this_version_does_not_know_is_no_suite() -> None:
    """A client configured with it finds no node, whatever the node says."""
    world = World()
    offer, nonce32 = await offered(world, lambda k: replace(k, suites={**k.suites, 0x7777: b"key"}))
    terms = Terms(policy=world.terms.policy, log=world.log.pin, suites=(0x7777,))
    with pytest.raises(KeysetRejectedError, match="suite"):
        trust(offer, terms, nonce32s={nonce32}, now=world.now)


async def test_the_entry_must_be_the_keysets_and_the_checkpoint_the_logs() -> None:
    """An entry of another kind or keyset; a proof under somebody else's signature."""
    world, other = World(), World()
    freshness = Freshness(kind=1, x=random_bytes(32))
    offer = Offer.decode(await world.offer(freshness))
    theirs = Offer.decode(await other.offer(freshness))
    world.log.intent(h=bytes(32), keyset=bytes(32), tenant="t", now=1, deadline=2)
    intent = Offer(offer.bundle, world.log.entries[1], world.log.inclusion(1))
    foreign = Offer(offer.bundle, theirs.entry, theirs.proof)
    unsigned = Offer(offer.bundle, offer.entry, replace(offer.proof, note=theirs.proof.note))
    for wrong in (intent, foreign, unsigned):
        with pytest.raises(KeysetRejectedError):
            trust(wrong.encode(), world.terms, nonce32s={freshness.nonce32}, now=world.now)


async def test_a_proof_of_another_tree_is_an_inconsistent_log() -> None:
    """The log signed it, so this is not a mistake of the node."""
    world = World()
    freshness = Freshness(kind=1, x=random_bytes(32))
    offer = Offer.decode(await world.offer(freshness))
    world.log.intent(h=bytes(32), keyset=bytes(32), tenant="t", now=1, deadline=2)
    path = (Digest(bytes(32)),)
    wrong = Offer(offer.bundle, offer.entry, replace(world.log.inclusion(0), path=path))
    with pytest.raises(LogInconsistentError):
        trust(wrong.encode(), world.terms, nonce32s={freshness.nonce32}, now=world.now)


# Sealing.


async def test_a_request_needs_a_current_keyset_a_served_model_and_a_key() -> None:
    """Nothing is sealed to a node that cannot answer."""
    world = World()
    node = await world.trusted()
    with pytest.raises(UsageError, match="does not serve"):
        begin(node, ask(world, model="other"), now=world.now)
    for now in (node.keyset.not_before - 61, node.valid_until):
        with pytest.raises(KeysetRejectedError, match="not valid"):
            begin(node, ask(world), now=now)
    keyset = replace(node.keyset, suites={SM: bytes(65)})
    with pytest.raises(KeysetRejectedError, match="encryption key"):
        begin(replace(node, keyset=keyset), ask(world), now=world.now)


async def test_a_deadline_is_cut_to_the_keysets_life() -> None:
    """The node's keys are gone afterwards."""
    world = World()
    node = await world.trusted()
    exchange = begin(node, ask(world, deadline=node.valid_until + 100), now=world.now).exchange
    header = Open.decode(exchange.opening().payload).header
    assert node.valid_until.to_bytes(8, "big") in header


async def test_who_asks_and_who_may_share_stand_inside_the_seal() -> None:
    """CLIENT_AUTH signs H with the institution's key; ISOLATION carries its 32 bytes."""
    world = World()
    node = await world.trusted()
    exchange = begin(node, ask(world), now=world.now).exchange
    parts = Open.decode(exchange.opening().payload)
    key = world.keyring.active.decap[SM]
    opened = open_request(parts.header, parts.commitment, key=key)
    institution = samples.signing_key()
    auth = opened.frames.open(exchange.authenticate(institution).payload)
    assert (auth.type, auth.final) == (FrameType.CLIENT_AUTH, False)
    assert auth.data[:65] == institution.public_bytes
    Sm2PublicKey.from_bytes(auth.data[:65]).verify(auth.data[65:], CLIENT_AUTH + exchange.h)
    domain = opened.frames.open(exchange.isolate(b"d" * 32).payload)
    assert (domain.type, domain.data) == (FrameType.ISOLATION, b"d" * 32)


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b""],
        [b"x"],
        [bytes(MAX_DATA)],
        [bytes(MAX_DATA + 1)],
        [b"a"] * 10,
        [bytes(200_000)] * 2,
    ],
    ids=["none", "empty", "one", "full", "over", "many", "large"],
)
async def test_a_body_may_come_in_any_cut(pieces: list[bytes]) -> None:
    """The node reads the same bytes; the last frame, and only it, is final."""
    world = World()
    node = await world.trusted()
    exchange = begin(node, ask(world), now=world.now).exchange
    parts = Open.decode(exchange.opening().payload)
    key = world.keyring.active.decap[SM]
    opened = open_request(parts.header, parts.commitment, key=key)
    frames = [opened.frames.open(message.payload) for message in exchange.body(iter(pieces))]
    assert b"".join(frame.data for frame in frames) == b"".join(pieces)
    assert [frame.final for frame in frames] == [False] * (len(frames) - 1) + [True]


# Answers.


async def test_the_order_of_an_answer() -> None:
    """SALT first, then data, with signs of life anywhere; what is read is what was sent."""
    scene = await Scene.receiving()
    assert scene.frame(FrameType.KEEP_ALIVE) == b""
    assert scene.frame(FrameType.SALT, bytes(32)) == b""
    assert scene.frame(FrameType.DATA, b"one ") == b"one "
    assert scene.frame(FrameType.KEEP_ALIVE) == b""
    assert scene.frame(FrameType.DATA, b"two", final=True) == b"two"
    assert isinstance(scene.state, WaitStatement)


@pytest.mark.parametrize(
    ("before", "kind", "data", "final"),
    [
        ((), FrameType.DATA, b"x", False),
        ((), FrameType.DATA, b"x", True),
        ((), FrameType.SALT, bytes(32), True),
        ((FrameType.SALT,), FrameType.SALT, bytes(32), False),
        ((FrameType.SALT,), FrameType.KEEP_ALIVE, b"", True),
        ((FrameType.SALT,), FrameType.ERROR, b'{"code":"x"}', False),
        ((), FrameType.CLIENT_AUTH, bytes(129), False),
        ((), FrameType.ISOLATION, bytes(32), False),
    ],
)
async def test_a_frame_out_of_place_ends_the_answer(
    before: tuple[FrameType, ...], kind: FrameType, data: bytes, *, final: bool
) -> None:
    """Authentic, and refused: even a node must keep the order."""
    scene = await Scene.receiving()
    for each in before:
        scene.frame(each, bytes(32))
    with pytest.raises(StreamRejectedError, match="out of place"):
        scene.frame(kind, data, final=final)


@pytest.mark.parametrize("salted", [False, True])
async def test_a_sealed_failure_is_an_end_too(*, salted: bool) -> None:
    """With or without the salt; it then needs a receipt that says the same."""
    scene = await Scene.receiving()
    if salted:
        scene.frame(FrameType.SALT, bytes(32))
    scene.frame(FrameType.ERROR, jsonc.dumps({"code": "model.failed"}), final=True)
    assert isinstance(scene.state, WaitStatement)
    assert scene.state.answer.problem == "model.failed"


@pytest.mark.parametrize("data", [b"", b"{}", b'{"code":""}', b'{"code":"x","more":1}', b"\xff"])
async def test_a_sealed_failure_of_another_form_is_refused(data: bytes) -> None:
    """One field, and nothing else that a model could have written there."""
    scene = await Scene.receiving()
    with pytest.raises(MifengError):
        scene.frame(FrameType.ERROR, data, final=True)


async def test_messages_out_of_order_are_refused() -> None:
    """Each state takes what it waits for, and problems."""
    world = World()
    node = await world.trusted()
    state, _ = world.start(node, b"x")
    for kind in (
        MessageType.OPEN,
        MessageType.FRAME,
        MessageType.RECORD,
        MessageType.INTENT,
        MessageType.CANCEL,
    ):
        with pytest.raises(StreamRejectedError, match=kind.name):
            step(state, Message(kind, b""), now=world.now)
    scene = await Scene.receiving()
    for kind in (MessageType.ANSWER, MessageType.STATEMENT, MessageType.RECORD):
        with pytest.raises(StreamRejectedError, match="Receiving"):
            step(scene.state, Message(kind, b""), now=world.now)


async def test_a_problem_is_a_refusal_in_every_state() -> None:
    """With its code and its time to wait; it proves nothing about the request."""
    scene = await Scene.receiving()
    problem = Message(MessageType.PROBLEM, Problem("node.lost", "gone", 4).encode())
    with pytest.raises(RefusedError) as caught:
        step(scene.state, problem, now=scene.world.now)
    assert (caught.value.code, caught.value.retry_after_s) == ("node.lost", 4)
    assert caught.value.not_claimed is None


async def test_a_signed_refusal_frees_the_work_for_another_node() -> None:
    """Signed by this node, about this request and keyset; anything else is no refusal."""
    world = World()
    node = await world.trusted()
    state, _ = world.start(node, b"x")
    assert isinstance(state, WaitAnswer)
    epoch = world.keyring.active
    refusal = NotClaimed(
        h=state.exchange.h,
        reason="node.busy",
        origin=world.log.origin,
        intent_index=1,
        keyset=epoch.digest,
        at=world.now,
        marks=(),
    )
    statement = refusal.sign(epoch.signer(SM))
    with pytest.raises(RefusedError) as caught:
        step(state, Message(MessageType.STATEMENT, statement), now=world.now)
    assert (caught.value.code, caught.value.not_claimed) == ("node.busy", statement)
    for wrong in (
        replace(refusal, h=bytes(32)).sign(epoch.signer(SM)),
        replace(refusal, keyset=bytes(32)).sign(epoch.signer(SM)),
        refusal.sign(samples.signing_key()),
        samples.receipt().sign(epoch.signer(SM)),
    ):
        with pytest.raises(ReceiptRejectedError):
            step(state, Message(MessageType.STATEMENT, wrong), now=world.now)


async def test_a_connection_that_ends_early_is_an_interruption() -> None:
    """In every state but the last."""
    scene = await Scene.receiving()
    with pytest.raises(InterruptedRequestError, match="Receiving"):
        ended(scene.state)
    _, done = await World().ask(b"x")
    assert ended(done) is done


async def test_receipts_may_leave_large_bodies_out() -> None:
    """Null digests of plaintexts are accepted; the sealed ones are always compared."""
    world = World()
    limits = replace(world.executor._limits, max_salted_bytes=0)
    world.executor._limits = limits
    answer, done = await world.ask(b"abc")
    assert answer == b"cba"
    assert (done.receipt.salted_request, done.receipt.salted_response) == (None, None)


async def test_a_failure_before_the_answer_began_has_no_salt() -> None:
    """A body beyond the node's limit: claimed, failed, receipted, and nothing else revealed."""
    world = World()
    world.executor._limits = replace(world.executor._limits, max_body_bytes=70_000)
    answer, done = await world.ask(bytes(70_001))
    assert (answer, done.problem, done.receipt.outcome) == (b"", "request.too_large", "failed")
    assert prove(done, world.log.inclusion(done.index)).index == done.index


async def test_a_proof_of_another_record_convicts_the_log() -> None:
    """The promise, the entry and the note are kept as evidence."""
    world = World()
    _, done = await world.ask(b"x")
    proof = world.log.inclusion(done.index)
    assert prove(done, proof).index == done.index
    with pytest.raises(LogInconsistentError) as caught:
        prove(done, replace(proof, index=0))
    assert caught.value.evidence == (done.entry, done.promise, proof.note)


async def test_a_refused_message_leaves_the_state_as_it_was() -> None:
    """A receipt that is refused does not use the state up: the right one is still taken."""
    world = World()
    node = await world.trusted()
    state, request = world.start(node, b"x")
    seen: list[Message] = [message async for message in world.relay(request)]
    for message in seen:
        if message.type is MessageType.STATEMENT:
            assert isinstance(state, WaitStatement)
            bent = Message(message.type, samples.receipt().sign(samples.signing_key()))
            with pytest.raises(ReceiptRejectedError):
                step(state, bent, now=world.now)
        after, _ = step(state, message, now=world.now)
        if isinstance(after, Done):
            assert isinstance(state, WaitRecord)
            assert after.problem is None
            return
        state = after
    pytest.fail("no end")
