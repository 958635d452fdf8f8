"""Trust is renewed ahead of need, and no request waits for it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mifeng.errors import NodeRejectedError, RefusedError
from mifeng.proxy.upstream import RETRY_S, Upstream

from .fakes import Client

NOW = 1_800_000_000.0


def upstream(client: Any, now: list[float]) -> Upstream:
    """Return an upstream whose clock is ours."""
    return Upstream(client, strict=False, clock=lambda: now[0])


async def settle() -> None:
    """Let background work go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_every_model_is_attested_before_anybody_asks() -> None:
    """Starting is enough."""
    client = Client(served=("a", "b"), until=int(NOW) + 3600)
    up = upstream(client, [NOW])
    up.start()
    await settle()
    assert client.attested == ["a", "b"]
    assert f'until_seconds{{model="a"}} {int(NOW) + 3600}' in up.counts.text()
    await up.close()


async def test_trust_is_renewed_at_three_quarters_of_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not before, and again after each renewal."""
    now = [NOW]
    client = Client(until=int(NOW) + 400)
    naps: list[float] = []
    turn = asyncio.Event()
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        turn.clear()
        await turn.wait()

    up = upstream(client, now)
    up.start()
    monkeypatch.setattr("mifeng.proxy.upstream.asyncio.sleep", sleep)

    async def until(at: float) -> None:
        now[0] = NOW + at
        turn.set()
        for _ in range(10):
            await real_sleep(0)

    await until(0)
    assert client.attested == ["m"]
    await until(299)
    assert client.attested == ["m"]
    client.until = int(NOW) + 800
    await until(300)
    assert client.attested == ["m", "m"]
    await until(660)
    assert client.attested == ["m", "m"]
    await until(676)
    assert client.attested == ["m", "m", "m"]
    assert max(naps) <= RETRY_S
    await up.close()


async def test_no_request_waits_for_a_renewal() -> None:
    """While an appraisal takes its time, answers come at once."""

    class Slow(Client):
        go = asyncio.Event()

        async def attest(self, model: str) -> list[Any]:
            await super().attest(model)
            await self.go.wait()
            return [SimpleNamespace(valid_until=int(NOW) + 400)]

    client = Slow(answer=lambda _: b"{}")
    up = upstream(client, [NOW])
    up.start()
    await settle()
    assert client.attested == ["m"]
    for _ in range(3):
        answer = await asyncio.wait_for(up.ask("m", b"{}", operation="o", api="openai"), 5)
        assert answer.body == b"{}"
    client.go.set()
    await settle()
    assert 'attestations_total{outcome="passed"} 1' in up.counts.text()
    await up.close()


@pytest.mark.parametrize("error", [NodeRejectedError("bad"), RefusedError("node.unavailable", "")])
async def test_a_renewal_that_fails_is_tried_again(error: Exception) -> None:
    """It is counted, and left to a request to report."""
    now = [NOW]
    client = Client(until=int(NOW) + 400)
    up = upstream(client, now)
    client.fails = error  # type: ignore[assignment]
    await up.renew("m")
    assert 'attestations_total{outcome="failed"} 1' in up.counts.text()
    client.fails = None
    await up.renew("m")
    assert 'attestations_total{outcome="passed"} 1' in up.counts.text()


async def test_readiness_is_asked_seldom() -> None:
    """Programs poll it; each question to the gateway appraises every node."""
    now = [NOW]
    asked = 0

    class Counting(Client):
        async def models(self) -> frozenset[str]:
            nonlocal asked
            asked += 1
            return await super().models()

    up = upstream(Counting(), now)
    for _ in range(10):
        assert await up.models_or_none() == ["m"]
    now[0] += 6
    await up.models()
    assert asked == 2


async def test_metadata_follows_the_model() -> None:
    """A newer version is seen within seconds."""
    now = [NOW]
    client = Client()
    up = upstream(client, now)
    for _ in range(3):
        assert (await up.metadata("m", api="oip"))["versions"] == ["3"]
    now[0] += 6
    await up.metadata("m", api="oip")
    assert len(client.asked) == 2
