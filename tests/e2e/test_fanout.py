"""Two gateways on one PostgreSQL log: a policy or a revocation by one is honoured by the other."""

import asyncio
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import pytest

import policies
from attestation.policy import Policy
from gateway import fanout
from gateway.auditlog.config import LogConfig, create
from gateway.auditlog.log import AuditLog
from gateway.auditlog.places import PostgresPlace
from gateway.main import record_policy
from mifeng.protocol.entries import NodeExpired, PolicyActivated
from policies.load import shipped_bytes
from tests.unit.auditlog import harness
from tests.unit.auditlog.harness import KEYS, NOW
from tests.unit.auditlog.postgresserver import Server

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("pg")]
DOCUMENT = shipped_bytes("unsafe-simulated")
OLD = policies.parse(DOCUMENT)
CHANGED = DOCUMENT + b"# reviewed\n"
NEW = policies.parse(CHANGED)


@dataclass
class Told:
    """Nodes that remember what they were told."""

    policy: Policy = OLD
    keysets: list[bytes] = field(default_factory=list)

    def adopt(self, policy: Policy) -> None:
        """Remember a policy."""
        self.policy = policy

    def revoked(self, keyset: bytes) -> None:
        """Remember a keyset."""
        self.keysets.append(keyset)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a server of its own."""
    with Server.run() as running:
        yield running


@pytest.fixture
def settings(server: Server, tmp_path: Path) -> LogConfig:
    """Return the configuration of a new log."""
    schema = f"log_{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:12]}"
    place = PostgresPlace(dsn=server.dsn_file(tmp_path), schema=schema)
    made = replace(harness.config(tmp_path), path=place)
    create(made)
    return made


async def gateway(settings: LogConfig, name: str) -> tuple[AuditLog, Told, fanout.FanOut]:
    """Start a gateway as far as this needs one: log, nodes, what follows the others."""
    config = replace(settings, instance=name)
    log = await AuditLog.open(config, KEYS, clock=lambda: NOW)
    await record_policy(log, OLD, DOCUMENT, source=bytes(32))
    told = Told()
    following = fanout.FanOut(config, log, told)  # type: ignore[arg-type]  # all it uses
    following.start()
    return log, told, following


async def decide(log: AuditLog, keyset: bytes) -> None:
    """Activate a policy, revoke a node, and let another one's time run out."""
    await record_policy(log, NEW, CHANGED, source=bytes(32))
    for reason, digest in (("administrator", keyset), ("keyset.expired", bytes(32))):
        await log.append(NodeExpired(at=NOW, node="n", keyset=digest, reason=reason))


async def test_what_one_decides_the_other_does(
    settings: LogConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by PostgreSQL, not found by looking; what ran out by itself is everyone's own affair."""
    monkeypatch.setattr(fanout, "POLL_S", 600.0)
    (one, _, first), (two, told, second) = [await gateway(settings, n) for n in ("g1", "g2")]
    await asyncio.sleep(0.3)  # the listener is connected
    await decide(one, b"k" * 32)
    async with asyncio.timeout(10):
        while (told.policy, told.keysets) != (NEW, [b"k" * 32]):
            await asyncio.sleep(0.02)
    for each in (first, second, one, two):
        await each.close()


async def test_without_notices_the_log_is_looked_at(
    settings: LogConfig, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should no notice come, the next look finds the entries."""
    monkeypatch.setattr(fanout, "POLL_S", 0.2)
    monkeypatch.setattr(fanout, "_HEARD", ())
    (one, _, first), (two, told, second) = [await gateway(settings, n) for n in ("g1", "g2")]
    await decide(one, b"q" * 32)
    async with asyncio.timeout(10):
        while (told.policy, told.keysets) != (NEW, [b"q" * 32]):
            await asyncio.sleep(0.02)
    for each in (first, second, one, two):
        await each.close()
    with psycopg.connect(server.dsn) as connection:
        schema = settings.path.schema if isinstance(settings.path, PostgresPlace) else ""
        query = f"SELECT count(*) FROM {schema}.kinds WHERE type = '{PolicyActivated.TYPE}'"
        assert connection.execute(query).fetchone() == (2,)
