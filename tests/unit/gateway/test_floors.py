"""How new collateral was is remembered over restarts, by clients and by the gateway.

The simulated format has no collateral; a verifier that states a number beside its claims stands
for one that does.
"""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attestation import Claims, Freshness
from attestation.evidence import Collateral
from attestation.intel_tdx.verifier import IntelTdxVerifier
from attestation.judge import judge
from attestation.simulated import SimulatedVerifier
from gateway.config import ConfigError, SharedGuardConfig
from gateway.main import read_floors
from gateway.nodes import Node, Nodes
from mifeng.client.aio import AsyncClient
from mifeng.client.memory import floors_beside
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import NodeRejectedError, UsageError
from mifeng.floors import Floors
from mifeng.protocol.entries import Entry, NodeRejected
from mifeng.protocol.keyset import LogIdentity
from policies import shipped
from tests.harness.tee.intel import NOW, TD, tcb_info
from tests.harness.world import NOW as WORLD_NOW
from tests.harness.world import POLICY, World
from tests.unit.auditlog import harness

SERIES = "vendor/tcb-info"


def td(number: int) -> Claims:
    """Return claims of a SIMULATED trust domain under collateral of this evaluation number."""
    world = TD.but(tcb_info=tcb_info(tcbEvaluationDataNumber=number))
    return IntelTdxVerifier(TD.anchors()).verify(world.quote(), world.collateral(), now=NOW)


def state(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let simulated evidence be judged under collateral of this number."""

    def verify(self: SimulatedVerifier, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        found = _HONEST(self, raw, collateral, now=now)
        return replace(found, ratchets={SERIES: number})

    monkeypatch.setattr(SimulatedVerifier, "verify", verify)


_HONEST = SimulatedVerifier.verify


def no_space(**_arguments: object) -> None:
    """Make no file, as a full disk does."""
    disk_full(0)


def disk_full(_handle: int) -> None:
    """Fail as a full disk does."""
    raise OSError(28, "No space left on device")


def test_floors_outlive_the_process(tmp_path: Path) -> None:
    """What was accepted is remembered by the next process, and older collateral is a downgrade."""
    path = tmp_path / "deep" / "floors"
    Floors(path).learn([td(18)])
    restarted = Floors(path)
    assert any(number == 18 for number in restarted.now.values())
    policy = shipped("production-cpu-only")
    older = judge(td(17), policy, now=NOW, floors=restarted.now)
    assert "policy.downgrade" in [finding.code for finding in older]
    same = judge(td(18), policy, now=NOW, floors=restarted.now)
    assert "policy.downgrade" not in [finding.code for finding in same]
    restarted.learn([td(18)])
    assert [each.name for each in path.parent.iterdir()] == ["floors"]


def test_floors_of_two_processes_are_one(tmp_path: Path) -> None:
    """Neither turns the other's back."""
    path = tmp_path / "floors"
    first, second = Floors(path), Floors(path)
    first.learn([replace(td(18), ratchets={"a": 5, "b": 1})])
    second.learn([replace(td(18), ratchets={"a": 3, "b": 2})])
    assert dict(Floors(path).now) == dict(second.now) == {"a": 5, "b": 2}


def test_without_a_file_floors_last_as_long_as_the_object() -> None:
    """Nothing is written."""
    floors = Floors(None)
    floors.learn([replace(td(18), ratchets={"a": 5})])
    assert floors.now == {"a": 5}
    assert Floors(None).now == {}


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"a": true}', b'{"a": 1, "a": 2}', b'{"a": "1"}'])
def test_a_damaged_file_is_an_error_not_a_fresh_start(tmp_path: Path, raw: bytes) -> None:
    """It would lose the floors."""
    path = tmp_path / "floors"
    path.write_bytes(raw)
    with pytest.raises(UsageError):
        Floors(path)
    with pytest.raises(UsageError):
        Floors(tmp_path)  # a directory
    floors = Floors(tmp_path / "other")
    (tmp_path / "other").write_bytes(raw)
    with pytest.raises(UsageError):
        floors.learn([td(18)])


def test_a_write_that_fails_leaves_the_old_floors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is the caller's, nothing half written stays, and the next time it is written."""
    path = tmp_path / "floors"
    floors = Floors(path)
    floors.learn([replace(td(18), ratchets={"a": 1})])

    monkeypatch.setattr("mifeng.floors.os.fsync", disk_full)
    with pytest.raises(OSError, match="space"):
        floors.learn([replace(td(18), ratchets={"a": 2})])
    assert dict(Floors(path).now) == {"a": 1}
    assert dict(floors.now) == {"a": 2}
    assert [each.name for each in tmp_path.iterdir()] == ["floors"]
    monkeypatch.undo()
    floors.learn([replace(td(18), ratchets={})])
    assert dict(Floors(path).now) == {"a": 2}


def client(world: World, path: Path) -> AsyncClient:
    """Return a client that remembers in `path`, as a new process would make it."""
    transport: Any = SimpleNamespace()
    return AsyncClient(
        transport=transport, terms=world.terms, tenant="t", state=path, clock=lambda: WORLD_NOW
    )


async def appraised(world: World, asking: AsyncClient) -> None:
    """Let a client appraise a fresh offer of the world's node."""
    freshness = Freshness(kind=1, x=random_bytes(32))
    await asking._appraise(await world.offer(freshness), {freshness.nonce32}, WORLD_NOW)


async def test_a_client_refuses_a_downgrade_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process with the same state refuses, by name, what an older one had left behind."""
    world, path = World(), tmp_path / "state"
    state(monkeypatch, 5)
    await appraised(world, client(world, path))
    assert json.loads(floors_beside(path).read_bytes()) == {SERIES: 5}
    state(monkeypatch, 4)
    with pytest.raises(NodeRejectedError) as caught:
        await appraised(world, client(world, path))
    assert "policy.downgrade" in str(caught.value.__cause__)
    await appraised(world, client(world, tmp_path / "other"))
    state(monkeypatch, 6)
    await appraised(world, client(world, path))
    assert Floors(floors_beside(path)).now == {SERIES: 6}


class Linked:
    """The part of a link that admission uses: the world's node answers challenges."""

    def __init__(self, world: World) -> None:
        """Take whose node it is."""
        self._world = world

    async def attest(self, freshness: bytes) -> bytes:
        """Return fresh evidence."""
        epoch = self._world.keyring.active
        assert freshness[0] == 1
        asked = Freshness(kind=1, x=freshness[1:])
        return (await self._world.attester.collect(epoch.keyset_bytes, asked)).encode()


async def test_a_gateway_refuses_a_downgrade_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Admission raises the floors; the next process refuses less, on record and by name."""
    world, appended = World(), list[Entry]()
    log = await harness.start(tmp_path)
    append = log.append

    async def record(entry: Entry) -> object:
        appended.append(entry)
        return await append(entry)

    monkeypatch.setattr(log, "append", record)

    async def admitted() -> bool:
        nodes = Nodes(
            addresses={"node-1": "unix:/none"},
            audit=log,
            policy=POLICY,
            identity=LogIdentity.of(world.log.pin),
            floors=Floors(tmp_path / "guard.floors"),
            clock=lambda: WORLD_NOW,
        )
        node = Node("node-1", "unix:/none")
        await nodes._admit(node, Linked(world))  # type: ignore[arg-type]  # all it uses
        return node.lease is not None

    state(monkeypatch, 5)
    assert await admitted()
    state(monkeypatch, 4)
    assert not await admitted()
    # What cannot be written down keeps nobody out.
    state(monkeypatch, 6)
    with monkeypatch.context() as full:
        full.setattr("mifeng.floors.tempfile.mkstemp", no_space)
        assert await admitted()
    await log.close()
    (entry,) = (each for each in appended if isinstance(each, NodeRejected))
    assert entry.findings == ("policy.downgrade",)


def test_where_a_gateway_remembers(tmp_path: Path) -> None:
    """Beside the guard, which no backup turns back; with collateral if the guard is shared."""

    def configured(guard: object, collateral: object) -> Any:
        return SimpleNamespace(log=SimpleNamespace(guard=guard), collateral=collateral)

    def remembered(settings: Any) -> list[str]:
        floors = read_floors(settings)
        floors.learn([replace(td(18), ratchets={"a": 1})])
        return sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*floors*"))

    shared = SharedGuardConfig.model_construct()
    assert remembered(configured(shared, None)) == []
    kept = SimpleNamespace(directory=tmp_path / "kept")
    assert remembered(configured(shared, kept)) == ["kept/floors.json"]
    assert "guard.floors" in remembered(configured(tmp_path / "guard", None))
    (tmp_path / "guard.floors").write_bytes(b"x")
    with pytest.raises(ConfigError):
        read_floors(configured(tmp_path / "guard", None))
