"""When a keyset is used no longer, the log says so; not when a newer one took its place."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.auditlog.errors import LogUnavailableError
from gateway.expiry import KEYSET_ENDED, UNKNOWN, VERDICT_ENDED, Expiry
from gateway.nodes import Node
from mifeng.protocol.entries import NodeExpired

OLD, NEW = bytes(32), bytes([1]) * 32


@dataclass
class Log:
    """A log in a list, down at will."""

    entries: list[NodeExpired] = field(default_factory=list)
    down: bool = False

    async def append(self, entry: NodeExpired) -> None:
        """Append."""
        if self.down:
            raise LogUnavailableError("down")
        self.entries.append(entry)


def lease(digest: bytes, *, until: int, not_after: int) -> Any:
    """Return what an expiry looks at of a lease."""
    keyset = SimpleNamespace(not_after=not_after)
    return SimpleNamespace(digest=digest, valid_until=until, keyset=keyset)


def node(*leases: Any) -> Node:
    """Return a node that was admitted with these keysets, the last one being its newest."""
    made = Node("n", "unix:/n")
    made.leases = {each.digest: each for each in leases}
    made.keyset_entries = {each.digest: (0, b"") for each in leases}
    made.lease = leases[-1]
    return made


@pytest.mark.parametrize(("not_after", "reason"), [(100, KEYSET_ENDED), (900, VERDICT_ENDED)])
async def test_what_has_run_out_is_dropped_and_told(not_after: int, reason: str) -> None:
    """Nothing took its place: dropped at its instant, and NODE_EXPIRED says why."""
    log, old = Log(), node(lease(OLD, until=100, not_after=not_after))
    now = [99]
    expiry = Expiry(log, lambda: now[0])  # type: ignore[arg-type]  # of a log, only append
    expiry.look(old)
    assert old.lease is not None
    now[0] = 100
    expiry.look(old)
    await expiry.say()
    assert (old.lease, old.leases) == (None, {})
    assert log.entries == [NodeExpired(at=100, node="n", keyset=OLD, reason=reason)]


async def test_a_keyset_that_was_followed_ends_in_silence() -> None:
    """After a rotation the old keyset drains and ends; the log has the new one's admission."""
    log = Log()
    both = node(lease(OLD, until=100, not_after=100), lease(NEW, until=200, not_after=200))
    expiry = Expiry(log, lambda: 150)  # type: ignore[arg-type]  # of a log, only append
    expiry.look(both)
    await expiry.say()
    assert (list(both.leases), log.entries) == ([NEW], [])
    assert both.lease is both.leases[NEW]


async def test_a_node_that_was_started_anew_is_dialled_anew() -> None:
    """It does not know its keyset: told once, however often it is noticed, and hung up on."""
    closed: list[bool] = []
    log, one = Log(), node(lease(OLD, until=100, not_after=100))
    one.link = SimpleNamespace(close=lambda: closed.append(True))  # type: ignore[assignment]
    expiry = Expiry(log, lambda: 50)  # type: ignore[arg-type]  # of a log, only append
    for _ in range(3):
        expiry.drop(one, OLD, UNKNOWN)
    await expiry.say()
    assert [entry.reason for entry in log.entries] == [UNKNOWN]
    assert closed == [True]


async def test_what_the_log_does_not_take_is_said_later() -> None:
    """While the log is down the keyset is unused all the same; the entry follows."""
    log, one = Log(down=True), node(lease(OLD, until=100, not_after=100))
    expiry = Expiry(log, lambda: 50)  # type: ignore[arg-type]  # of a log, only append
    expiry.drop(one, OLD, UNKNOWN)
    await expiry.say()
    assert (one.lease, log.entries) == (None, [])
    log.down = False
    await expiry.say()
    assert len(log.entries) == 1
