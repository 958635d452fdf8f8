"""Idle work gives way, waits in order, and is not kept waiting for ever."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from enclave.engines import EngineError
from enclave.lane import Lane, LaneLimits

IDLE: Mapping[str, Any] = {"priority": 8}
URGENT: Mapping[str, Any] = {}


class Work:
    """Requests that enter a lane and stay until told to leave."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.order: list[str] = []

    def enter(
        self, name: str, parameters: Mapping[str, Any]
    ) -> tuple[asyncio.Task[None], asyncio.Event]:
        """Start one request."""
        leave = asyncio.Event()

        async def run() -> None:
            async with self.lane.turn(parameters):
                self.order.append(name)
                await leave.wait()

        return asyncio.create_task(run()), leave


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


def lane(**changes: Any) -> Lane:
    """Return a lane one wide with some bounds changed."""
    values = {"width": 1, "waiting": 8, "patience_s": 60.0}
    return Lane(LaneLimits(**(values | changes)))


async def test_idle_work_waits_while_anything_urgent_runs() -> None:
    """An idle request starts when the last urgent one has ended, and not before."""
    work = Work(lane())
    first, end_first = work.enter("urgent 1", URGENT)
    await settle()
    idle, end_idle = work.enter("idle", IDLE)
    second, end_second = work.enter("urgent 2", {"priority": 7})
    await settle()
    assert work.order == ["urgent 1", "urgent 2"]
    end_first.set()
    await settle()
    assert work.order == ["urgent 1", "urgent 2"]
    end_second.set()
    await settle()
    assert work.order == ["urgent 1", "urgent 2", "idle"]
    end_idle.set()
    await asyncio.gather(first, second, idle)


async def test_urgent_work_never_waits_for_idle_work() -> None:
    """An urgent request starts at once beside a running idle one."""
    work = Work(lane())
    idle, end_idle = work.enter("idle", IDLE)
    await settle()
    urgent, end_urgent = work.enter("urgent", URGENT)
    await settle()
    assert work.order == ["idle", "urgent"]
    end_idle.set()
    end_urgent.set()
    await asyncio.gather(idle, urgent)


async def test_idle_work_runs_so_many_at_once_and_in_order() -> None:
    """With a width of two, the third waits for one of the two, the fourth behind it."""
    work = Work(lane(width=2))
    running = [work.enter(str(number), IDLE) for number in range(4)]
    await settle()
    assert work.order == ["0", "1"]
    running[1][1].set()
    await settle()
    assert work.order == ["0", "1", "2"]
    for _, leave in running:
        leave.set()
    await asyncio.gather(*(task for task, _ in running))
    assert work.order == ["0", "1", "2", "3"]


async def test_too_much_idle_work_is_refused() -> None:
    """The queue is bounded."""
    work = Work(lane(waiting=1))
    running = [work.enter(str(number), IDLE) for number in range(2)]
    await settle()
    with pytest.raises(EngineError) as refused:
        async with work.lane.turn(IDLE):
            pass
    assert refused.value.code == "queue.full"
    for _, leave in running:
        leave.set()
    await asyncio.gather(*(task for task, _ in running))


async def test_a_timeout_bounds_the_wait() -> None:
    """`timeout` is in microseconds, as in Triton."""
    work = Work(lane())
    urgent, leave = work.enter("urgent", URGENT)
    await settle()
    with pytest.raises(EngineError) as refused:
        async with work.lane.turn(IDLE | {"timeout": 1}):
            pass
    assert refused.value.code == "queue.timeout"
    assert work.lane.waiting == 0
    leave.set()
    await urgent


async def test_patience_ends() -> None:
    """What has waited long enough runs although the node is never free."""
    work = Work(lane(patience_s=0.001))
    urgent, leave = work.enter("urgent", URGENT)
    await settle()
    async with work.lane.turn(IDLE):
        work.order.append("idle")
    assert work.order == ["urgent", "idle"]
    leave.set()
    await urgent


async def test_a_cancelled_wait_leaves_no_trace() -> None:
    """Cancelled while waiting, or in the very turn of admission: the place is free again."""
    work = Work(lane())
    urgent, end_urgent = work.enter("urgent", URGENT)
    await settle()
    waiting, _ = work.enter("gone", IDLE)
    await settle()
    waiting.cancel()
    await settle()
    assert work.lane.waiting == 0
    admitted, _ = work.enter("gone too", IDLE)
    await settle()
    end_urgent.set()
    while not urgent.done():
        await asyncio.sleep(0)
        admitted.cancel()
    await asyncio.gather(urgent, admitted, waiting, return_exceptions=True)
    async with work.lane.turn(IDLE):
        work.order.append("next")
    assert work.order[-1] == "next"


@pytest.mark.parametrize("parameters", [{"priority": 9}, {"priority": "8"}, {"priority": True}])
async def test_a_priority_is_a_small_number(parameters: Mapping[str, Any]) -> None:
    """Anything else is the request's fault."""
    with pytest.raises(EngineError) as refused:
        async with lane().turn(parameters):
            pass
    assert refused.value.code == "request.malformed"
