"""The nine steps in one process, told once honestly; tests/threats tells the lies."""

import pytest

from mifeng.protocol.receipt import SIMULATED, UNWITNESSED
from mifeng.protocol.session import prove
from tests.harness.world import INTL, SM, SM_PQ, World

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("suite", [SM, SM_PQ, INTL])
@pytest.mark.parametrize("size", [0, 1, 5000, 300_000])
async def test_nine_steps(suite: int, size: int) -> None:
    """A request travels sealed, runs in an attested node and comes back signed and logged."""
    world = World(suite=suite)
    body = bytes(range(256)) * (size // 256 + 1)
    answer, done = await world.ask(body[:size])
    assert answer == body[:size][::-1]
    assert done.receipt.outcome == "completed"
    assert done.receipt.marks == (SIMULATED, UNWITNESSED)
    assert prove(done, world.log.inclusion(done.index)).index == done.index
    assert [type(entry) for entry in world.log.entries] == [bytes] * 3


async def test_receipts_form_a_chain() -> None:
    """Each receipt names the one before it, and the tally names the last."""
    from mifeng.protocol.receipt import first_prev, next_prev, verify_tally

    world = World()
    node = await world.trusted()
    dones = [(await world.ask(b"x", node=node))[1] for _ in range(3)]
    assert [done.receipt.seq for done in dones] == [0, 1, 2]
    assert dones[0].receipt.prev == first_prev(node.key.keyset_digest)
    assert dones[2].receipt.prev == next_prev(dones[1].statement)
    epoch = world.keyring.active
    tally = verify_tally(epoch.tally(now=world.now, final=False), epoch.sign["sm2"].verify_key())
    assert (tally.count, tally.head) == (3, next_prev(dones[2].statement))
