"""Threat 32: floods of challenges, and who verifies how often.

A real gateway's nodes, quota and log with SIMULATED silicon; evidence made and verdicts reached are
counted.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import gateway.admission
import mifeng.protocol.evidence
from attestation import Freshness
from attestation.appraise import appraise
from gateway.nodes import Node, Nodes
from gateway.operations import Operations
from gateway.problems import ProblemError
from gateway.quota import Quota
from gateway.tenants import Tenant
from mifeng.client.aio import AsyncClient
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import PeerError
from mifeng.protocol.keyset import LogIdentity
from mifeng.protocol.session import trust
from tests.harness.world import NOW, POLICY, World
from tests.unit.auditlog import harness

CLIENTS = 10_000
PER_SECOND = 5


@dataclass
class Linked:
    """A node's link as far as attestation goes; counts the evidence it makes."""

    world: World
    made: list[Freshness] = field(default_factory=list)

    async def attest(self, freshness: bytes) -> bytes:
        """Return fresh evidence."""
        assert freshness[0] == 1
        asked = Freshness(kind=1, x=freshness[1:])
        self.made.append(asked)
        epoch = self.world.keyring.active
        return (await self.world.attester.collect(epoch.keyset_bytes, asked)).encode()


@dataclass
class Gateway:
    """A gateway with linked nodes."""

    operations: Operations
    nodes: Nodes
    links: list[Linked]

    async def admit(self) -> None:
        """Challenge and appraise every node once."""
        for node, link in zip(self.nodes.all(), self.links, strict=True):
            await self.nodes._admit(node, link)  # type: ignore[arg-type]  # all it uses


@asynccontextmanager
async def gateway_of(folder: Path, worlds: list[World]) -> AsyncIterator[Gateway]:
    """Run a gateway that is linked to these nodes."""
    log = await harness.start(folder)
    nodes = Nodes(
        addresses={world.node_id: "unix:/none" for world in worlds},
        audit=log,
        policy=POLICY,
        identity=LogIdentity.of(worlds[0].log.pin),
        clock=lambda: NOW,
    )
    links: Any = [Linked(world) for world in worlds]
    for node, link in zip(nodes.all(), links, strict=True):
        node.link = link
    unused: Any = SimpleNamespace()
    operations = Operations(
        nodes=nodes,
        audit=log,
        relay=unused,
        quota=Quota(challenges=f"{PER_SECOND}/minute"),
        tenants=unused,
    )
    made = Gateway(operations, nodes, links)
    await made.admit()
    for node in nodes.all():
        ready(node)
    try:
        yield made
    finally:
        await log.close()


def ready(node: Node) -> None:
    """Let a node say that it has room."""
    assert node.lease is not None
    status: Any = SimpleNamespace(active=0, queued=0, capacity=4, draining=False)
    node.status = status


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count every appraisal of the gateway and of clients."""
    counted: Counter[str] = Counter()

    def counting(who: str) -> Callable[..., object]:
        def judge(*args: Any, **named: Any) -> object:
            counted[who] += 1
            return appraise(*args, **named)

        return judge

    monkeypatch.setattr(gateway.admission, "appraise", counting("gateway"))
    monkeypatch.setattr(mifeng.protocol.evidence, "appraise", counting("client"))
    return counted


def tenant(name: str) -> Tenant:
    """Return an institution that may use everything."""
    return Tenant(name=name, models=None, quota="1000/second")


def two() -> list[World]:
    """Return two nodes of one log."""
    first = World()
    return [first, World(log=first.log, node_id="node-2")]


async def test_threat_32_a_flood_of_challenges_costs_nodes_a_bounded_amount(
    tmp_path: Path, verdicts: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten thousand clients of one institution get a handful of fresh evidence, and no verdict."""
    monkeypatch.setattr("gateway.operations.time", SimpleNamespace(time=lambda: NOW))
    async with gateway_of(tmp_path, two()) as running:
        noisy, quiet = tenant("noisy"), tenant("quiet")
        waits: list[int | None] = []
        before = [len(link.made) for link in running.links]

        async def ask(who: Tenant) -> str:
            try:
                offers = await running.operations.attestations(
                    who, model="echo", challenge=random_bytes(32)
                )
            except ProblemError as exc:
                waits.append(exc.retry_after_s)
                return exc.code
            return f"{len(offers)} offers"

        flood = [asyncio.create_task(ask(noisy)) for _ in range(CLIENTS)]
        answered = await ask(quiet)
        outcomes = Counter(await asyncio.gather(*flood))
        assert outcomes == {"2 offers": PER_SECOND, "quota.exceeded": CLIENTS - PER_SECOND}
        assert all(wait is not None and 1 <= wait <= 61 for wait in waits)
        # Who is within its rate is answered beside the flood, and so is every admitted request.
        assert answered == "2 offers"
        for _ in range(100):
            await running.operations.quota.take(noisy)
        for world in (link.world for link in running.links):
            assert running.nodes.find(world.keyring.active.digest) is not None
        made = [len(link.made) - was for link, was in zip(running.links, before, strict=True)]
        assert made == [PER_SECOND + 1, PER_SECOND + 1]
    assert verdicts == {"gateway": 2}


async def test_the_gateway_verifies_once_per_node_and_epoch(
    tmp_path: Path, verdicts: Counter[str]
) -> None:
    """Requests under an admitted keyset cost no verification; a new epoch costs one."""
    async with gateway_of(tmp_path, two()) as running:
        for _ in range(500):
            for link in running.links:
                assert running.nodes.find(link.world.keyring.active.digest) is not None
        assert verdicts == {"gateway": 2}
        for link in running.links:
            link.world.keyring.rotate(now=NOW)
        await running.admit()
        assert verdicts == {"gateway": 4}
        for link in running.links:
            assert running.nodes.find(link.world.keyring.active.digest) is not None


async def test_clients_keep_verdicts_by_the_bundle_s_digest(
    tmp_path: Path, verdicts: Counter[str]
) -> None:
    """The same bytes are appraised once; other bytes, another policy or its end, again."""
    world, transport = World(), SimpleNamespace()
    unused: Any = transport
    asking = AsyncClient(
        transport=unused, terms=world.terms, tenant="t", state=None, clock=lambda: NOW
    )
    challenge = Freshness(kind=1, x=random_bytes(32))
    offer = await world.offer(challenge)
    nodes = [await asking._appraise(offer, {challenge.nonce32}, NOW) for _ in range(50)]
    assert verdicts == {"client": 1}
    assert all(node.key is nodes[0].key for node in nodes)
    other = Freshness(kind=1, x=random_bytes(32))
    await asking._appraise(await world.offer(other), {other.nonce32}, NOW)
    assert verdicts == {"client": 2}
    kept = asking._appraised.now
    trust(offer, world.terms, nonce32s={challenge.nonce32}, now=NOW, appraised=kept)
    assert verdicts == {"client": 2}
    stale = nodes[0].key.valid_until
    with pytest.raises(PeerError):
        trust(offer, world.terms, nonce32s={challenge.nonce32}, now=stale, appraised=kept)
    assert verdicts == {"client": 3}
    with pytest.raises(PeerError):
        trust(offer, world.terms, nonce32s={random_bytes(32)}, now=NOW, appraised=kept)
