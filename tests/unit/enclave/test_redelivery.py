"""A gateway that dies with a receipt in its hands: the next connection brings it again."""

import asyncio
from pathlib import Path

from enclave.server import NodeServer
from mifeng.protocol.link import LinkFrame, LinkParser
from mifeng.protocol.messages import MessageType
from tests.harness.world import World


async def statements(reader: asyncio.StreamReader) -> list[bytes]:
    """Return the statements that arrive before the peer falls silent."""
    parser, found = LinkParser(), []
    while True:
        try:
            data = await asyncio.wait_for(reader.read(65536), 0.2)
        except TimeoutError:
            return found
        frames: list[LinkFrame] = parser.feed(data)
        found += [frame.payload for frame in frames if frame.kind == MessageType.STATEMENT]


async def test_what_just_left_on_a_broken_connection_leaves_again(tmp_path: Path) -> None:
    """A statement written shortly before a connection breaks is kept for the next one."""
    world = World()

    async def attest(_: bytes) -> bytes:
        return b""

    node = NodeServer(
        executor=world.executor, watch=world.watch, attest=attest, node_id="node-1", capacity=4
    )
    await node.start(f"unix:{tmp_path / 'n'}")
    world.executor.undelivered.append(b"receipt")
    for _ in range(2):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "n"))
        await asyncio.sleep(0.05)
        await node._deliver_kept()
        assert await statements(reader) == [b"receipt"]
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
    assert world.executor.undelivered == [b"receipt"]
    await node.drain(0)


async def test_what_left_in_ten_busy_seconds_is_all_unsure(tmp_path: Path) -> None:
    """Five thousand statements just written: all leave again, none makes a gap."""
    world = World()

    async def attest(_: bytes) -> bytes:
        return b""

    node = NodeServer(
        executor=world.executor, watch=world.watch, attest=attest, node_id="node-1", capacity=4
    )
    await node.start(f"unix:{tmp_path / 'n'}")
    made = [b"%d" % number for number in range(5000)]
    world.executor.undelivered += made
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "n"))
    await asyncio.sleep(0.05)
    await node._deliver_kept()
    assert await statements(reader) == made
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)
    assert world.executor.undelivered == made
    await node.drain(0)
