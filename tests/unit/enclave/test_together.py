"""What exchanges ask for in one turn is done together, and nobody can tell but by the clock."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from enclave.intents import IntentRefusedError, Noted
from enclave.together import sign, unwrap
from mifeng.crypto import DecryptionError
from mifeng.crypto.signatures import SigningKey
from mifeng.crypto.suites import SUITES
from mifeng.protocol import receipt
from mifeng.protocol.header import Header
from mifeng.protocol.messages import Intent, Message, MessageType, Open, Problem
from mifeng.protocol.receipt import first_prev, next_prev, verify_receipt
from mifeng.together import Together
from tests.harness import samples
from tests.harness.world import SM, World

MANY = 19
"""More than two times eight, and not a multiple of it."""


class Counting:
    """Work that notes how many jobs came at once."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, jobs: Sequence[int]) -> list[bytes | Exception]:
        """Answer each job with itself; 13 fails."""
        self.sizes.append(len(jobs))
        return [ValueError("13") if job == 13 else b"%d" % job for job in jobs]


async def test_what_is_asked_in_one_turn_is_done_at_once() -> None:
    """One call for all of a turn, one more for the next turn; each gets its own result."""
    work = Counting()
    together = Together(work)

    async def ask(job: int) -> bytes:
        return await together.submit(job)

    assert await asyncio.gather(*map(ask, range(5))) == [b"0", b"1", b"2", b"3", b"4"]
    assert await ask(7) == b"7"
    assert work.sizes == [5, 1]


async def test_a_failure_is_its_own() -> None:
    """Who fails gets the exception; the others get their results."""
    together = Together(Counting())
    first, bad, last = (together.submit(job) for job in (1, 13, 2))
    assert (await first, await last) == (b"1", b"2")
    with pytest.raises(ValueError, match="13"):
        await bad


async def test_who_gave_up_is_left_out() -> None:
    """A cancelled job is not done, and does not shift the results of the others."""
    work = Counting()
    together = Together(work)
    futures = [together.submit(job) for job in range(3)]
    futures[1].cancel()
    assert (await futures[0], await futures[2]) == (b"0", b"2")
    assert work.sizes == [2]


async def test_broken_work_reaches_everyone_who_waits() -> None:
    """If the work itself raises, each that waits gets that, and the next turn works again."""
    broken = [True]

    def work(jobs: Sequence[int]) -> list[bytes]:
        if broken.pop():
            raise OSError("no randomness")
        return [b"fine" for _ in jobs]

    together = Together(work)
    futures = [together.submit(job) for job in range(2)]
    for future in futures:
        with pytest.raises(OSError, match="no randomness"):
            await future
    broken.append(False)
    assert await together.submit(1) == b"fine"


def test_unwrapping_keeps_order_across_keys_and_suites() -> None:
    """Each encapsulation meets its own key; spoilt ones are refused one by one."""
    keys = [suite.generate() for suite in SUITES.values() for _ in range(2)]
    jobs, secrets = [], []
    for at in range(MANY):
        key = keys[at % len(keys)]
        ct, ss = SUITES[key.suite_id].encap(key.public_bytes)
        jobs.append((key, ct))
        secrets.append(ss)
    assert unwrap(jobs) == secrets
    spoilt = next(at for at, (key, _) in enumerate(jobs) if key.suite_id == SM)
    key, ct = jobs[spoilt]
    jobs[spoilt] = (key, ct[:-1] + bytes([ct[-1] ^ 1]))
    jobs[-1] = (jobs[-1][0], b"short")
    results = unwrap(jobs)
    assert [at for at, each in enumerate(results) if isinstance(each, DecryptionError)] == [
        spoilt,
        MANY - 1,
    ]
    assert results[spoilt + 1 : -1] == secrets[spoilt + 1 : -1]


def test_statements_of_several_keys_and_kinds_are_signed_in_their_order() -> None:
    """Each comes back as its own key's statement of its own type."""
    keys = [SigningKey.generate(alg) for alg in ("sm2", "p256", "sm2")]
    made = [replace(samples.receipt(), seq=at) for at in range(MANY)]
    jobs = [(keys[at % 3], receipt.RECEIPT_TYPE, each.encode()) for at, each in enumerate(made)]
    refusal = samples.not_claimed()
    *signed, last = sign([*jobs, (keys[0], receipt.NOT_CLAIMED_TYPE, refusal.encode())])
    assert isinstance(last, bytes)
    assert receipt.verify_not_claimed(last, keys[0].verify_key()) == refusal
    for at, statement in enumerate(signed):
        assert isinstance(statement, bytes)
        assert verify_receipt(statement, keys[at % 3].verify_key()) == made[at]


class Crowd:
    """Requests that reach one node in one turn of its loop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kept: list[Message] = []

    async def ask(self, messages: list[Message]) -> list[Message]:
        """Carry one request to the node and return all it sends."""
        return [message async for message in self.world.relay(messages)]


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """Note how many jobs each turn did."""
    found: dict[str, list[int]] = {"unwrap": [], "sign": []}

    def noting(name: str, work: Callable[[Sequence[Any]], Any]) -> Callable[[Sequence[Any]], Any]:
        def done(jobs: Sequence[Any]) -> Any:
            found[name].append(len(jobs))
            return work(jobs)

        return done

    monkeypatch.setattr("enclave.executor.unwrap", noting("unwrap", unwrap))
    monkeypatch.setattr("enclave.executor.sign", noting("sign", sign))
    return found


async def test_a_crowd_is_served_in_lanes_and_its_receipts_form_one_chain(
    turns: dict[str, list[int]],
) -> None:
    """Requests that come together are unwrapped and signed together; seq and prev have no gap."""
    world = World()
    node = await world.trusted()
    crowd = Crowd(world)
    started = [world.start(node, b"%d" % at) for at in range(4)]
    answers = await asyncio.gather(*(crowd.ask(request) for _, request in started))
    assert max(turns["unwrap"]) > 1
    assert max(turns["sign"]) > 1
    statements = [
        message.payload
        for answer in answers
        for message in answer
        if message.type is MessageType.STATEMENT
    ]
    made = {one.seq: (one, raw) for raw in statements for one in [_verified(raw, world)]}
    assert sorted(made) == [0, 1, 2, 3]
    prev = first_prev(world.keyring.active.digest)
    for seq in range(4):
        assert made[seq][0].prev == prev
        prev = next_prev(made[seq][1])
    assert world.keyring.active.head == prev


async def test_one_spoilt_envelope_in_a_crowd_fails_alone(turns: dict[str, list[int]]) -> None:
    """It is refused as it would be alone, unsigned and without detail; the others are answered."""
    world = World()
    node = await world.trusted()
    crowd = Crowd(world)
    requests = [world.start(node, b"%d" % at)[1] for at in range(4)]
    opened = Open.decode(requests[2][0].payload)
    header = Header.decode(opened.header)
    bad = replace(header, ct=header.ct[:-1] + bytes([header.ct[-1] ^ 1])).encode()
    requests[2][0] = Message(MessageType.OPEN, Open(bad, opened.commitment).encode())
    answers = await asyncio.gather(*map(crowd.ask, requests))
    assert max(turns["unwrap"]) > 1
    (refused,) = answers[2]
    assert refused.type is MessageType.PROBLEM
    assert Problem.decode(refused.payload).code == "seal.invalid"
    for at in (0, 1, 3):
        assert answers[at][-1].type is MessageType.RECORD


async def test_a_receipt_that_has_its_number_is_signed_even_if_its_exchange_is_stopped(
    turns: dict[str, list[int]],
) -> None:
    """Stopped between number and signature, the receipt is kept for delivery: no gap arises."""
    world = World()
    node = await world.trusted()
    _, request = world.start(node, b"body")
    crowd = Crowd(world)
    running = asyncio.create_task(crowd.ask(request))
    epoch = world.keyring.active
    while not epoch.count:
        await asyncio.sleep(0)
    assert epoch.running == 1, "erasure waits for the signature"
    await world.executor.stop()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    (kept,) = world.executor.undelivered
    made = _verified(kept, world)
    assert (made.seq, made.outcome) == (0, "completed")
    assert epoch.head == next_prev(kept)
    assert epoch.running == 0


def _verified(statement: bytes, world: World) -> receipt.Receipt:
    return verify_receipt(statement, world.keyring.active.sign["sm2"].verify_key())


async def test_intents_of_one_read_are_followed_in_their_order() -> None:
    """A foreign intent among good ones is refused alone, and the log is followed past it."""
    world = World()
    node = await world.trusted()
    payloads = []
    for at in range(4):
        _, request = world.start(node, b"%d" % at)
        header = Header.decode(Open.decode(request[0].payload).header)
        payloads.append(world.intend(request[0], header)[2].payload)
    made = Intent.decode(payloads[2])
    path = world.log.consistency(len(world.log.entries) - 3)
    assert made.note != Intent.decode(payloads[0]).note
    payloads[1] = replace(made, statement=world.log.entries[0]).encode()
    payloads[2] = Intent(made.statement, world.log.note(), path).encode()
    payloads[3] = b"\0"
    noted = world.watch.advance_each(payloads)
    assert [isinstance(each, Noted) for each in noted] == [True, False, True, False]
    last = noted[2]
    assert isinstance(last, Noted)
    assert world.watch.size == last.size
    with pytest.raises(IntentRefusedError):
        world.watch.advance(payloads[1])
    assert world.watch.advance_each([]) == []
