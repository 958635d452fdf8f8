"""Real processes: a crowd is served side by side, in the suite that the client's policy prefers."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mifeng.client import AsyncClient, ClientConfig
from mifeng.demo.cluster import Cluster
from mifeng.protocol.header import Header
from mifeng.protocol.session import Done
from policies import shipped_bytes

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("cluster")]
CROWD = 24


def suite_of(done: Done) -> int:
    """Return the suite that a request was sealed with."""
    return Header.decode(done.exchange.sealed_request.header).suite


def wishing(cluster: Cluster, folder: Path, wish: str, suites: list[str]) -> ClientConfig:
    """Return the cluster's client with a policy that says this about the hybrid suite."""
    path = folder / "policy.yaml"
    text = shipped_bytes("unsafe-simulated")
    path.write_bytes(text.replace(b"post_quantum: allow", b"post_quantum: " + wish.encode()))
    return cluster.client_config().model_copy(update={"policy": str(path), "suites": suites})


def counting(work: Callable[[Sequence[Any]], Any], sizes: list[int]) -> Callable[..., Any]:
    """Return the same work, which notes how many jobs came at once."""

    def done(jobs: Sequence[Any]) -> Any:
        sizes.append(len(jobs))
        return work(jobs)

    return done


async def test_a_crowd_of_one_client_is_wrapped_and_checked_side_by_side(cluster: Cluster) -> None:
    """Every answer is right, and its receipt is about its own request."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        await client.attest("neg")
        wraps: list[int] = []
        client._wrapping._work = counting(client._wrapping._work, wraps)
        inputs = [np.full(3, at, dtype=np.float32) for at in range(CROWD)]
        answers = await asyncio.gather(*(client.infer("neg", {"x": each}) for each in inputs))
        assert sum(wraps) == CROWD
        assert max(wraps) > 1
        for each, answer in zip(inputs, answers, strict=True):
            assert answer.outputs["y"].tolist() == (-each).tolist()
            assert answer.receipt.h == answer.done.exchange.h
        assert len({answer.receipt.h for answer in answers}) == CROWD
        places = {(answer.receipt.keyset, answer.receipt.seq) for answer in answers}
        assert len(places) == CROWD


@pytest.mark.parametrize(
    ("wish", "suite"), [("allow", 0x0001), ("prefer", 0x0002), ("require", 0x0002)]
)
async def test_the_policy_chooses_the_hybrid_suite(
    cluster: Cluster, tmp_path: Path, wish: str, suite: int
) -> None:
    """Nodes offer both; what carries the requests is what the policy says."""
    config = wishing(cluster, tmp_path, wish, ["sm", "sm-pq"])
    async with AsyncClient.from_config(config) as client:
        x = np.arange(4, dtype=np.float32)
        answers = await asyncio.gather(*(client.infer("neg", {"x": x}) for _ in range(5)))
        for answer in answers:
            assert answer.outputs["y"].tolist() == (-x).tolist()
            assert suite_of(answer.done) == suite
