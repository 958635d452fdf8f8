"""A receipt that the log cannot take as a COMPLETION: nothing is released, and it is not lost."""

import asyncio
from typing import Any

import pytest

from gateway.admission import Lease
from gateway.auditlog.errors import IntentClosedError, LogUnavailableError
from gateway.auditlog.log import Dispatch
from gateway.metrics import Metrics
from gateway.nodes import Node
from gateway.problems import ProblemError
from gateway.quota import Quota
from gateway.relay import Relay, RelayLimits, _Exchange
from gateway.tenants import Tenant
from mifeng.protocol.entries import Intent, SignedIntent, decode
from mifeng.protocol.header import Header
from mifeng.protocol.messages import Message, MessageType
from tests.harness.world import World

LIMITS = RelayLimits(
    max_request_bytes=1 << 20, max_deadline_s=60, max_exchanges=4, max_per_tenant=4, idle_s=5
)


class Refusing:
    """A log that takes no COMPLETION."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def completion(self, **_: object) -> None:
        """Refuse."""
        raise self._error


class Recording:
    """Nodes that remember which receipts they were to record."""

    def __init__(self) -> None:
        self.recorded: list[bytes] = []

    async def record(self, _made: object, statement: bytes) -> None:
        """Remember."""
        self.recorded.append(statement)


@pytest.mark.parametrize(
    "error", [IntentClosedError("another gateway", closing=9), LogUnavailableError("down")]
)
async def test_the_receipt_is_recorded_later(error: Exception) -> None:
    """Another gateway declared the intent orphaned, or the log is down: 502, then LATE."""
    world = World()
    node = await world.trusted()
    _, request = world.start(node, b"x")
    messages = [message async for message in world.relay(request)]
    statement = next(m for m in messages if m.type is MessageType.STATEMENT)
    final = next(m for m in messages if m.type is MessageType.FRAME)
    entry = next(e for e in map(decode, world.log.entries) if isinstance(e, SignedIntent))
    intent: Intent = entry.intent
    lease = Lease(node_id="node-1", key=node.key, keyset=node.keyset, valid_until=node.valid_until)
    opening = request[0]
    exchange = _Exchange(
        Tenant(name="bank-a", models=None, quota="1/second"),
        Header.decode(node_header(opening)),
        opening,
        intent.h,
        Node("node-1", "unix:/n"),
        lease,
        intent=Dispatch(index=intent.index, statement=entry.statement, intent=intent),
        answered=True,
    )
    nodes = Recording()
    audit: Any = Refusing(error)
    anybody: Any = nodes
    relay = Relay(
        nodes=anybody,
        audit=audit,
        quota=Quota(challenges="1/second"),
        limits=LIMITS,
        metrics=Metrics(),
    )
    released: list[object] = []

    async def put(item: object) -> None:
        released.append(item)

    sending = asyncio.create_task(asyncio.sleep(0))
    with pytest.raises(ProblemError, match=r"node\.lost"):
        await relay._close(exchange, final, statement, sending, put)
    await relay.drain(1)
    assert released == []
    assert nodes.recorded == [statement.payload]


def node_header(opening: Message) -> bytes:
    """Return the header of an OPEN message."""
    from mifeng.protocol.messages import Open

    return Open.decode(opening.payload).header
