"""What a configuration is called in the log: the digest of the file, and of what wins over it."""

import asyncio
from pathlib import Path

import pytest

from gateway.auditlog.log import AuditLog
from gateway.config import GatewayConfig, load
from gateway.main import main, read_keys, read_policy, record_policy
from mifeng.crypto import sm3
from mifeng.protocol import entries
from tests.unit.auditlog.test_operating import NOW, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a gateway's configuration file."""
    return write(tmp_path, {"database": str(tmp_path / "log.db")})


def test_the_source_is_the_file(path: Path) -> None:
    """Anybody who has the file computes it; one byte more and it is another."""
    assert load(path).source == load(path).source == sm3(path.read_bytes())
    before = load(path).source
    path.write_bytes(path.read_bytes() + b"\n")
    assert load(path).source == sm3(path.read_bytes()) != before


def test_variables_that_win_are_part_of_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the specification says it: 0x00 and the assignment, sorted by name."""
    monkeypatch.setenv("MIFENG_GATEWAY__POLICY", "unsafe-simulated")
    monkeypatch.setenv("mifeng_gateway__limits__drain_s", "7")
    monkeypatch.setenv("MIFENG_ADMIN_TOKEN_FILE", "token")
    settings = load(path)
    assert settings.limits.drain_s == 7
    over = b"\0MIFENG_GATEWAY__LIMITS__DRAIN_S=7\0MIFENG_GATEWAY__POLICY=unsafe-simulated"
    assert settings.source == sm3(path.read_bytes() + over)


async def recorded(settings: GatewayConfig) -> list[entries.PolicyActivated]:
    """Say at a gateway's start what policy is in force, and return what the log says of it."""
    log = await AuditLog.open(settings.log.settings("g"), read_keys(settings), clock=lambda: NOW)
    policy, document = read_policy(settings.policy)
    await record_policy(log, policy, document, source=settings.source)
    found = [entries.decode(await log.entry(index)) for index in await log.of_type("POLICY")]
    await log.close()
    return [each for each in found if isinstance(each, entries.PolicyActivated)]


def test_the_log_names_what_activated_a_policy(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """POLICY names the configuration, the same at every start; a second start adds nothing."""
    monkeypatch.setattr("gateway.main.events.configure", lambda _level: None)
    monkeypatch.setattr("gateway.main.raise_file_limit", lambda: None)
    assert main(["--config", str(path), "--create-log"]) == 0
    assert "origin" in capsys.readouterr().out
    (first,) = asyncio.run(recorded(load(path)))
    assert first.actor == sm3(path.read_bytes())
    assert asyncio.run(recorded(load(path))) == [first]
