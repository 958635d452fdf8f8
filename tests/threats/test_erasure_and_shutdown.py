"""Erasure, replay and shutdown under peers that misbehave: what must hold whatever they do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from enclave.engines import Job
from enclave.intents import Noted
from enclave.pacing import Pacing
from enclave.server import Attest, NodeServer
from mifeng.protocol.header import Header
from mifeng.protocol.link import LinkFrame, LinkKind
from mifeng.protocol.messages import Message, MessageType, Open
from mifeng.protocol.session import Ask, TrustedNode, begin
from tests.harness.world import EchoEngine, World


class Held:
    """Frames of a request, each behind a gate."""

    def __init__(self, frames: list[bytes], gate: asyncio.Event) -> None:
        self._frames, self._gate = iter(frames), gate

    async def frame(self) -> bytes:
        """Wait for the gate, then give the next frame; afterwards wait for ever."""
        await self._gate.wait()
        for frame in self._frames:
            return frame
        return await asyncio.Future()


def start(
    world: World, node: TrustedNode, *, deadline: int | None = None
) -> tuple[list[Message], Noted]:
    """Seal a request and let the node note its intent."""
    ask = Ask(
        tenant="bank-a",
        model="echo",
        operation="oip.infer",
        deadline=deadline or world.now + 60,
        stream=False,
    )
    state = begin(node, ask, now=world.now)
    request = [state.exchange.opening(), *state.exchange.body([b"x"])]
    _, _, intent = world.intend(request[0], Header.decode(Open.decode(request[0].payload).header))
    return request, world.watch.advance(intent.payload)


def server(world: World, attest: Attest) -> NodeServer:
    """Return a server around the world's node."""
    return NodeServer(
        executor=world.executor,
        watch=world.watch,
        attest=attest,
        node_id="node-1",
        capacity=4,
        clock=lambda: world.now,
    )


async def test_a_peer_that_does_not_read_does_not_stop_erasure(tmp_path: Path) -> None:
    """A peer asks for evidence and never reads; keys are rotated and erased all the same."""
    world = World()

    async def attest(_: bytes) -> bytes:
        return bytes(1 << 20)

    node = server(world, attest)
    await node.start(f"unix:{tmp_path / 'n'}")
    keeping = asyncio.create_task(node.housekeeping())
    _, writer = await asyncio.open_unix_connection(str(tmp_path / "n"), limit=1)
    writer.transport.pause_reading()
    for number in range(1, 9):
        writer.write(LinkFrame(number, LinkKind.ATTEST, b"\x01" + bytes(32)).encode())
    await asyncio.sleep(1.2)
    old = world.keyring.active
    world.now += 5 * 3600
    await asyncio.sleep(2.5)
    keeping.cancel()
    writer.transport.abort()
    assert not old.decap
    await node.drain(0)


async def test_no_deadline_outlives_the_keyset() -> None:
    """A deadline beyond not_after is refused: it would keep the private keys alive."""
    world = World()
    node = replace(await world.trusted(), valid_until=2**52)
    request, noted = start(world, node, deadline=2**50)
    out: list[Message] = []

    async def emit(message: Message) -> None:
        out.append(message)

    gate = asyncio.Event()
    gate.set()
    await asyncio.wait_for(
        world.executor.exchange(
            noted, request[0].payload, Held([m.payload for m in request[1:]], gate), emit
        ),
        5,
    )
    assert not world.engine.runs


async def test_an_erased_replay_set_admits_nothing() -> None:
    """A copy waits for its first frame while the keyset is erased; it never runs."""
    world = World()
    request, noted = start(world, await world.trusted())
    frames = [m.payload for m in request[1:]]
    shut, opened = asyncio.Event(), asyncio.Event()
    opened.set()
    out: list[Message] = []

    async def emit(message: Message) -> None:
        out.append(message)

    async def run(gate: asyncio.Event) -> None:
        await world.executor.exchange(noted, request[0].payload, Held(frames, gate), emit)

    second = asyncio.create_task(run(shut))
    await asyncio.sleep(0)
    await run(opened)
    world.now += 4000
    world.keyring.rotate(now=world.now)
    assert world.keyring.expire(now=world.now)
    world.now -= 4000
    out.clear()
    shut.set()
    await second
    assert len(world.engine.runs) == 1
    assert [m.type for m in out] == [MessageType.PROBLEM]


async def test_a_drain_that_runs_out_of_time_still_ends_in_receipts() -> None:
    """The node stops while a request runs; its receipt exists and the final tally counts it."""

    class Slow(EchoEngine):
        """Takes longer than the drain."""

        async def run(self, job: Job) -> AsyncIterator[bytes]:
            """Take a minute."""
            self.runs.append(b"")
            await asyncio.sleep(60)
            yield b""

    world = World(engine=Slow())
    request, noted = start(world, await world.trusted())
    gate = asyncio.Event()
    gate.set()

    async def emit(_: Message) -> None:
        pass

    running = asyncio.create_task(
        world.executor.exchange(
            noted, request[0].payload, Held([m.payload for m in request[1:]], gate), emit
        )
    )
    await asyncio.sleep(0.05)
    epoch = world.keyring.active

    async def attest(_: bytes) -> bytes:
        return b""

    await server(world, attest).drain(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert epoch.count == 1


async def test_the_last_answer_and_the_last_refusal_leave_before_a_drained_node_stops() -> None:
    """Their ends are signed with others' a turn later: the drain waits for that, not for work."""
    world = World()
    trusted = await world.trusted()
    gate = asyncio.Event()
    gate.set()
    out: list[list[MessageType]] = [[], []]

    async def run(number: int) -> None:
        request, noted = start(world, trusted)
        frames = Held([m.payload for m in request[1:]], gate)

        async def emit(message: Message) -> None:
            out[number].append(message.type)

        await world.executor.exchange(noted, request[0].payload, frames, emit)

    async def attest(_: bytes) -> bytes:
        return b""

    node = server(world, attest)
    first = asyncio.create_task(run(0))
    while not world.executor.active:
        await asyncio.sleep(0)
    draining = asyncio.create_task(node.drain(5))
    second = asyncio.create_task(run(1))
    await asyncio.gather(first, second, draining)
    assert out[0][-1] is MessageType.STATEMENT
    assert out[1] == [MessageType.STATEMENT]
    assert not world.executor.undelivered


async def test_what_breaks_after_the_final_frame_leaves_a_receipt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer is sealed to its end and tidying up fails: no frame follows, one receipt does."""

    class Unhurried(EchoEngine):
        """Is paced."""

        pacing = Pacing()

    async def untidy(*_: object, **__: object) -> AsyncIterator[tuple[bytes, bool]]:
        yield b"whole", True
        raise TimeoutError

    monkeypatch.setattr("enclave.executor.paced", untidy)
    world = World(engine=Unhurried())
    node = await world.trusted()
    ask = Ask(
        tenant="bank-a",
        model="echo",
        operation="oip.infer",
        deadline=world.now + 60,
        stream=True,
    )
    state = begin(node, ask, now=world.now)
    request = [state.exchange.opening(), *state.exchange.body([b"x"])]
    answer, done = await world.finish(state, world.relay(request))
    assert (answer, done.receipt.outcome, done.problem) == (b"whole", "completed", None)
    assert world.keyring.active.count == 1


async def test_an_engine_that_breaks_gives_a_failed_receipt() -> None:
    """Whatever an engine raises, the client gets a sealed failure and a receipt."""

    class Breaks(EchoEngine):
        """Raises what no engine should."""

        async def run(self, job: Job) -> AsyncIterator[bytes]:
            """Break."""
            raise ValueError("Maximum allowed dimension exceeded")
            yield b""

    world = World(engine=Breaks())
    _, done = await world.ask(b"x")
    assert done.problem
