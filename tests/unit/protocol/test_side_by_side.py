"""Encapsulations and receipts made and checked side by side mean what they mean one by one."""

import pickle
from dataclasses import replace

import pytest

from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, PeerError, ReceiptRejectedError, UsageError
from mifeng.protocol import receipt
from mifeng.protocol.messages import Message, MessageType
from mifeng.protocol.receipt import Receipt, VerifiedReceipt, verify_receipt, verify_receipts
from mifeng.protocol.session import (
    Ask,
    Done,
    State,
    WaitRecord,
    WaitStatement,
    begin,
    step,
    wrap_many,
)
from tests.harness import samples
from tests.harness.world import World

ASK = Ask(
    tenant="bank-a", model="echo", operation="oip.infer", deadline=2_000_000_000, stream=False
)


@pytest.mark.parametrize("suite", [0x0001, 0x0002, 0x0101])
async def test_requests_with_wraps_made_together_are_answered(suite: int) -> None:
    """Each wrap carries one request; all are different."""
    world = World(suite=suite)
    node = await world.trusted()
    seen = set()
    for wrap in wrap_many(node, 5):
        state: State = begin(node, ASK, now=world.now, wrap=wrap)
        seen.add(state.exchange.h)
        request = [state.exchange.opening(), *state.exchange.body([b"body"])]
        answer, done = await world.finish(state, world.relay(request))
        assert (answer, done.problem) == (b"ydob", None)
    assert len(seen) == 5


async def test_a_wrap_serves_one_request_to_one_node() -> None:
    """Taken twice or for another node it is a usage error; it shows and pickles nothing."""
    world = World()
    node, other = await world.trusted(), await world.trusted()
    first, second = wrap_many(node, 2)
    begin(node, ASK, now=world.now, wrap=first)
    with pytest.raises(UsageError):
        begin(node, ASK, now=world.now, wrap=first)
    with pytest.raises(UsageError):
        begin(other, ASK, now=world.now, wrap=second)
    assert "secret" in repr(second)
    with pytest.raises(TypeError):
        pickle.dumps(second)


def test_many_receipts_are_verified_as_one_by_one() -> None:
    """Malformed, oversized, of another type, key or signature: refused in place, as alone."""
    keys = [SigningKey.generate(alg) for alg in ("sm2", "p256")]
    made = [replace(samples.receipt(), seq=at) for at in range(11)]
    claims = [(each.sign(keys[at % 2]), keys[at % 2].verify_key()) for at, each in enumerate(made)]
    claims[1] = (claims[1][0][:-9], claims[1][1])
    claims[3] = (bytes(receipt.MAX_STATEMENT_BYTES + 1), claims[3][1])
    claims[4] = (samples.tally().sign(keys[0]), claims[4][1])
    claims[6] = (claims[6][0], keys[1].verify_key())
    claims[8] = (claims[8][0].replace(b'"sig":"', b'"sig":"AAAA', 1)[:-4] + b'"}]}', claims[8][1])
    bad = {1, 3, 4, 6, 8}
    for at, (found, claim) in enumerate(zip(verify_receipts(claims), claims, strict=True)):
        if at in bad:
            assert isinstance(found, PeerError)
            with pytest.raises(type(found)):
                verify_receipt(*claim)
        else:
            assert isinstance(found, VerifiedReceipt)
            assert found.of(*claim) == verify_receipt(*claim) == made[at]
    assert isinstance(verify_receipts(claims)[1], MalformedError)


def test_only_the_verifier_says_that_a_receipt_is_verified() -> None:
    """Nobody else makes one, and none is turned into one about something else."""
    key = SigningKey.generate("sm2")
    statement = samples.receipt().sign(key)
    verified = checked(samples.receipt(), key)
    with pytest.raises(TypeError):
        VerifiedReceipt(statement, key.verify_key(), verified.receipt, object())
    with pytest.raises(TypeError):
        replace(verified, statement=b"another", mint=object())


def checked(made: Receipt, key: SigningKey) -> VerifiedReceipt:
    """Return a receipt that a key signed, verified."""
    (found,) = verify_receipts([(made.sign(key), key.verify_key())])
    assert isinstance(found, VerifiedReceipt)
    return found


async def test_a_receipt_verified_before_is_still_compared_with_the_exchange() -> None:
    """The right one is taken; one that was verified for another statement or key is not."""
    world = World()
    node = await world.trusted()
    state, request = world.start(node, b"body")
    verified: list[VerifiedReceipt] = []
    current: State = state
    async for message in world.relay(request):
        assert not isinstance(current, Done)
        if message.type is MessageType.STATEMENT:
            assert isinstance(current, WaitStatement)
            (found,) = verify_receipts([(message.payload, node.verify_key)])
            assert isinstance(found, VerifiedReceipt)
            verified.append(found)
            own = world.keyring.active.sign["sm2"]
            foreign = checked(replace(found.receipt, h=bytes(32)), own)
            for wrong in (foreign, checked(found.receipt, SigningKey.generate("sm2"))):
                with pytest.raises(ReceiptRejectedError, match="another one"):
                    step(current, message, now=world.now, verified=wrong)
            swapped = Message(MessageType.STATEMENT, foreign.statement)
            with pytest.raises(ReceiptRejectedError, match="request"):
                step(current, swapped, now=world.now, verified=foreign)
            current, _ = step(current, message, now=world.now, verified=found)
            assert isinstance(current, WaitRecord)
        else:
            current, _ = step(current, message, now=world.now)
    assert isinstance(current, Done)
    assert current.receipt == verified[0].receipt
