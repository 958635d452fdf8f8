"""Threats 12-18, 20, 21, 23, 40: what an attacker between client and node may do to an exchange.

One test per row of docs/threat-model.md; the attack stands in the docstring.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from mifeng.crypto import Sm4Gcm
from mifeng.crypto.suites import SUITES
from mifeng.errors import (
    EnvelopeRejectedError,
    InterruptedRequestError,
    PeerError,
    RefusedError,
    StreamRejectedError,
    UsageError,
)
from mifeng.protocol import stream as streams
from mifeng.protocol.envelope import ResponseOpen, encapsulate, open_request, seal
from mifeng.protocol.header import Header, request_digest
from mifeng.protocol.messages import Message, MessageType, Open
from mifeng.protocol.session import Ask, Done, begin
from mifeng.protocol.stream import FrameOpener, FrameSealer, FrameType
from tests.harness.bend import bent
from tests.harness.world import NOW, EchoEngine, World


async def answer_to(world: World, request: list[Message]) -> list[Message]:
    """Return everything the gateway would send back for a request."""
    return [message async for message in world.relay(request)]


async def replay(messages: list[Message]) -> AsyncIterator[Message]:
    """Yield recorded messages."""
    for message in messages:
        yield message


async def problem_code(world: World, request: list[Message]) -> str:
    """Return the code with which the node refuses a request."""
    from mifeng.protocol.messages import Problem

    messages = await answer_to(world, request)
    assert [message.type for message in messages] == [MessageType.PROBLEM]
    return Problem.decode(messages[0].payload).code


async def test_threat_12_no_header_field_decides_who_can_read_the_answer() -> None:
    """The middle rewrites the header hoping that the answer is sealed to a key of its own."""
    world = World()
    node = await world.trusted()
    state, request = world.start(node, b"secret")
    parts = Open.decode(request[0].payload)
    mine = SUITES[1].generate()
    ct, _ = encapsulate(1, mine.public_bytes)
    forged = replace(Header.decode(parts.header), ct=ct).encode()
    request[0] = Message(MessageType.OPEN, Open(forged, parts.commitment).encode())
    assert await problem_code(world, request) == "seal.invalid"
    assert not world.engine.runs  # type: ignore[attr-defined]
    assert state.exchange.h != request_digest(forged)


async def test_threat_13_request_frames_are_not_answer_frames() -> None:
    """The middle reflects the client's own sealed frames back as the answer."""
    world = World()
    state, request = world.start(await world.trusted(), b"secret")
    messages = await answer_to(world, request)
    reflected = [messages[0], *(m for m in request if m.type is MessageType.FRAME)]
    with pytest.raises(StreamRejectedError):
        await world.finish(state, replay(reflected))


async def test_threat_14_answers_of_one_tenant_and_model_are_not_interchangeable() -> None:
    """The middle swaps two answers in flight: same node, same tenant, same model."""
    world = World()
    node = await world.trusted()
    first, one = world.start(node, b"approve loan 1")
    second, two = world.start(node, b"approve loan 2")
    answers = [await answer_to(world, request) for request in (one, two)]
    with pytest.raises(StreamRejectedError):
        await world.finish(first, replay(answers[1]))
    with pytest.raises(StreamRejectedError):
        await world.finish(second, replay([answers[1][0], *answers[0][1:]]))


async def test_threat_15_cut_reordered_repeated_answers_are_refused() -> None:
    """The middle cuts the answer at every message, repeats one, or changes their order."""
    world = World()
    node = await world.trusted()
    body = bytes(200_000)
    state, request = world.start(node, body)
    whole = await answer_to(world, request)
    frames = [at for at, m in enumerate(whole) if m.type is MessageType.FRAME]
    assert len(frames) >= 4
    for cut in range(len(whole)):
        again, request = world.start(node, body)
        messages = (await answer_to(world, request))[:cut]
        with pytest.raises(InterruptedRequestError):
            await world.finish(again, replay(messages))
    for a, b in ((frames[0], frames[1]), (frames[1], frames[2]), (frames[-2], frames[-1])):
        for shuffled in ("swap", "repeat", "drop"):
            again, request = world.start(node, body)
            messages = await answer_to(world, request)
            if shuffled == "swap":
                messages[a], messages[b] = messages[b], messages[a]
            elif shuffled == "repeat":
                messages.insert(a, messages[a])
            else:
                del messages[a]
            with pytest.raises(StreamRejectedError):
                await world.finish(again, replay(messages))
    _, done = await world.finish(state, replay(whole))
    assert isinstance(done, Done)


async def test_threat_15_every_byte_of_an_answer_counts() -> None:
    """The middle flips, drops, doubles or swaps bytes anywhere in the answer."""
    world = World()
    node = await world.trusted()
    state, request = world.start(node, b"x")
    whole = await answer_to(world, request)
    for at, message in enumerate(whole):
        for wrong in bent(message.payload, step=max(1, len(message.payload) // 12)):
            if wrong == message.payload:
                continue
            fresh, request = world.start(node, b"x")
            messages = await answer_to(world, request)
            spoilt = wrong if at < 3 else _transplant(messages[at].payload, message.payload, wrong)
            messages[at] = Message(message.type, spoilt)
            with pytest.raises((PeerError, RefusedError, InterruptedRequestError)):
                await world.finish(fresh, replay(messages))
    await world.finish(state, replay(whole))


def _transplant(fresh: bytes, original: bytes, wrong: bytes) -> bytes:
    """Spoil `fresh` as `wrong` spoils `original`: cut to the same length, or flip a bit."""
    if len(wrong) != len(original):
        return fresh[: min(len(wrong), len(fresh) - 1)]
    at = next(i for i, (a, b) in enumerate(zip(original, wrong, strict=True)) if a != b)
    at = min(at, len(fresh) - 1)
    return fresh[:at] + bytes([fresh[at] ^ 1]) + fresh[at + 1 :]


async def test_threat_16_a_request_runs_once() -> None:
    """The gateway replays a recorded request: at once, later, and on another node."""
    world = World()
    node = await world.trusted()
    state, request = world.start(node, b"pay 100")
    await world.finish(state, world.relay(request))
    assert await problem_code(world, request) == "request.replayed"
    other = World(log=world.log, node_id="node-2")
    assert await problem_code(other, request) == "keyset.unknown"
    restarted = World(log=world.log)
    assert await problem_code(restarted, request) == "keyset.unknown"
    assert len(world.engine.runs) == 1  # type: ignore[attr-defined]


async def test_threat_16_two_copies_at_once_run_once() -> None:
    """Two copies of one request reach the node in the same instant."""
    world = World()
    _, request = world.start(await world.trusted(), b"pay 100")
    both = await asyncio.gather(answer_to(world, request), answer_to(world, request))
    assert sorted(m[0].type.name for m in both) == ["ANSWER", "PROBLEM"]
    assert len(world.engine.runs) == 1  # type: ignore[attr-defined]


async def test_threat_16_garbage_does_not_fill_the_replay_set() -> None:
    """An attacker without the key tries to fill the node's replay set."""
    world = World()
    node = await world.trusted()
    claims = world.keyring.active.claims
    for _ in range(20):
        _, request = world.start(node, b"x")
        payload = bytearray(request[1].payload)
        payload[10] ^= 1
        request[1] = Message(MessageType.FRAME, bytes(payload))
        assert await problem_code(world, request) == "seal.invalid"
    assert len(claims._seen) == 0


async def test_threat_17_every_header_byte_is_authenticated() -> None:
    """The gateway edits model, tenant, deadline, policy or any other byte of the header."""
    world = World()
    _, request = world.start(await world.trusted(), b"x")
    parts = Open.decode(request[0].payload)
    refused = {"seal.invalid", "request.malformed", "keyset.unknown", "deadline.too_far"}
    for at in range(len(parts.header)):
        header = parts.header[:at] + bytes([parts.header[at] ^ 1]) + parts.header[at + 1 :]
        forged = Message(MessageType.OPEN, Open(header, parts.commitment).encode())
        fresh = World(log=world.log)
        fresh.keyring, fresh.executor.keyring = world.keyring, world.keyring
        try:
            decoded = Header.decode(header)
        except PeerError:
            continue
        assert decoded.encode() == header
        fresh.watch.__init__(world.log.pin)  # type: ignore[misc]
        assert await problem_code(fresh, [forged, *request[1:]]) in refused
    assert not world.engine.runs  # type: ignore[attr-defined]


async def test_threat_18_there_is_no_weaker_mode() -> None:
    """Another version, an unknown suite, an empty body: nothing falls back to anything."""
    world = World()
    node = await world.trusted()
    _, request = world.start(node, b"x")
    parts = Open.decode(request[0].payload)
    for version in (0, 2, 255):
        with pytest.raises(PeerError):
            Header.decode(bytes([version]) + parts.header[1:])
    strange = replace(Header.decode(parts.header), suite=0x0003).encode()
    request[0] = Message(MessageType.OPEN, Open(strange, parts.commitment).encode())
    assert await problem_code(world, request) == "seal.invalid"
    answer, done = await world.ask(b"")
    assert answer == b""
    assert done.receipt.outcome == "completed"


async def test_threat_20_one_nodes_key_opens_nothing_of_another() -> None:
    """One node is compromised; its keys are tried on another node's traffic."""
    one, two = World(), World(node_id="node-2")
    _, request = one.start(await one.trusted(), b"x")
    parts = Open.decode(request[0].payload)
    with pytest.raises(EnvelopeRejectedError):
        open_request(parts.header, parts.commitment, key=two.keyring.active.decap[1])
    opened = open_request(parts.header, parts.commitment, key=one.keyring.active.decap[1])
    assert opened.h == request_digest(parts.header)


def test_threat_21_two_keys_do_not_open_one_ciphertext() -> None:
    """A salamander: a GCM ciphertext that verifies under two keys is built on purpose.

    GCM is not committing, so the collision itself succeeds; the commitment, expanded from the
    same secret as the key and compared first, refuses the second key.
    """
    nonce, aad = bytes(12), b"head"
    key_a, key_b = bytes(16), bytes([1]) * 16
    frame = _salamander(key_a, key_b, nonce, aad)
    assert Sm4Gcm(key_a).open(nonce, frame, aad) != Sm4Gcm(key_b).open(nonce, frame, aad)
    one, two = SUITES[1].generate(), SUITES[1].generate()
    from tests.harness import samples

    ct, ss = encapsulate(1, one.public_bytes)
    header = replace(samples.header(), ct=ct)
    request = seal(header, public=one.public_bytes, ss=ss)
    with pytest.raises(EnvelopeRejectedError):
        open_request(request.header, request.commitment, key=two)
    for wrong in (bytes(32), request.commitment[::-1]):
        with pytest.raises(EnvelopeRejectedError):
            open_request(request.header, wrong, key=one)


def _salamander(key_a: bytes, key_b: bytes, nonce: bytes, aad: bytes) -> bytes:
    """Return ciphertext ‖ tag that opens under both keys (one free block solves the tags)."""
    hash_a, pad_a = _gcm_parts(key_a, nonce)
    hash_b, pad_b = _gcm_parts(key_b, nonce)
    lengths = ((len(aad) * 8) << 64) | (16 * 8)
    padded = int.from_bytes(aad.ljust(16, b"\0"), "big")

    def known(h: int) -> int:
        return _mul(padded, _pow(h, 3)) ^ _mul(lengths, h)

    difference = known(hash_a) ^ pad_a ^ known(hash_b) ^ pad_b
    factor = _pow(hash_a, 2) ^ _pow(hash_b, 2)
    block = _mul(difference, _inverse(factor))
    tag = known(hash_a) ^ _mul(block, _pow(hash_a, 2)) ^ pad_a
    return block.to_bytes(16, "big") + tag.to_bytes(16, "big")


def _gcm_parts(key: bytes, nonce: bytes) -> tuple[int, int]:
    """Return the GHASH key and the tag's mask."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    block = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()
    h = int.from_bytes(block.update(bytes(16)), "big")
    return h, int.from_bytes(block.update(nonce + b"\0\0\0\1"), "big")


def _mul(x: int, y: int) -> int:
    """Multiply in GCM's field (bit 0 leftmost)."""
    z, v = 0, y
    for i in range(127, -1, -1):
        if x >> i & 1:
            z ^= v
        v = (v >> 1) ^ (0xE1 << 120 if v & 1 else 0)
    return z


def _pow(x: int, n: int) -> int:
    result = 1 << 127
    for _ in range(n):
        result = _mul(result, x)
    return result


def _inverse(x: int) -> int:
    """Return x⁻¹ = x^(2¹²⁸ - 2)."""
    result, square = 1 << 127, x
    for _ in range(127):
        square = _mul(square, square)
        result = _mul(result, square)
    return result


def test_threat_23_a_counter_is_never_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream runs until its counter is exhausted; the sealer refuses before it repeats."""
    monkeypatch.setattr(streams, "MAX_FRAMES", 3)
    sealer = FrameSealer(Sm4Gcm(bytes(16)), bytes(12))
    frames = [sealer.seal(FrameType.DATA, b"x", final=False) for _ in range(3)]
    assert len(set(frames)) == 3
    with pytest.raises(UsageError):
        sealer.seal(FrameType.DATA, b"x", final=True)
    done = FrameSealer(Sm4Gcm(bytes(16)), bytes(12))
    done.seal(FrameType.DATA, b"x", final=True)
    with pytest.raises(UsageError):
        done.seal(FrameType.DATA, b"x", final=False)


def test_threat_40_a_tag_is_no_digest() -> None:
    """Whoever holds the key makes two plaintexts with one tag; body digests tell them apart."""
    from mifeng.protocol.bodydigest import body_digest

    key, nonce, aad = bytes(16), bytes(12), b""
    h, _ = _gcm_parts(key, nonce)
    gcm = Sm4Gcm(key)
    sealed = gcm.seal(nonce, bytes(32), aad)
    c1, c2 = (int.from_bytes(sealed[i : i + 16], "big") for i in (0, 16))
    delta = 1 << 64
    other = (c1 ^ delta, c2 ^ _mul(delta, h))
    forged = b"".join(block.to_bytes(16, "big") for block in other) + sealed[32:]
    assert gcm.open(nonce, forged, aad) != gcm.open(nonce, sealed, aad)
    assert forged[32:] == sealed[32:]
    assert body_digest(forged) != body_digest(sealed)


async def test_threat_40_an_answer_with_another_commitment_is_refused() -> None:
    """The node's answer opening is replaced: the commitment is compared before any frame."""
    world = World()
    state, request = world.start(await world.trusted(), b"x")
    whole = await answer_to(world, request)
    opened = ResponseOpen.decode(whole[0].payload)
    wrong = ResponseOpen(opened.h, opened.created, opened.salt, bytes(32))
    with pytest.raises(StreamRejectedError):
        state.exchange.sealed_request.open_response(wrong)
    opener = state.exchange.sealed_request.open_response(opened)
    assert isinstance(opener, FrameOpener)


async def test_threat_41_a_label_alone_shares_no_cache() -> None:
    """The gateway labels another tenant's request as the victim's to share its cache."""
    engine = EchoEngine()
    world = World(engine=engine)
    node = await world.trusted()
    for _ in range(2):
        await world.ask(b"same prompt", node=node)
    assert len(set(engine.isolations)) == 2

    shared = bytes(range(32))
    for secret in (shared, shared, bytes(32)):
        ask = Ask(
            tenant="bank-a", model="echo", operation="oip.infer", deadline=NOW + 60, stream=False
        )
        state = begin(node, ask, now=NOW)
        exchange = state.exchange
        messages = [exchange.opening(), exchange.isolate(secret), *exchange.body([b"same prompt"])]
        await world.finish(state, world.relay(messages))
    assert engine.isolations[2] == engine.isolations[3] != engine.isolations[4]
