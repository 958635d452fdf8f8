"""What operators do to a log, through the gateway's own command line and configuration file."""

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import main as gateway
from gateway.auditlog.errors import LogRefusedError
from gateway.auditlog.guard import FileGuard
from gateway.auditlog.keys import LogKeys
from gateway.auditlog.log import AuditLog
from gateway.auditlog.places import PostgresGuardPlace, PostgresPlace, S3Place
from gateway.auditlog.retention import DAY_S, DEFAULT_DAYS, FLOOR_DAYS, Retention, written_at
from gateway.auditlog.target import DirectoryTarget
from gateway.config import ConfigError, GatewayConfig, load
from mifeng.errors import UsageError
from mifeng.protocol import entries
from tests.unit.auditlog.harness import NOW, ORIGIN, config, start, stored
from tests.unit.auditlog.postgresserver import Server
from tests.unit.auditlog.published import entries_of


@pytest.fixture(autouse=True)
def _keep_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this process's logging alone: its stream is the test's."""
    monkeypatch.setattr(gateway.events, "configure", lambda _level: None)
    monkeypatch.setattr(gateway, "raise_file_limit", lambda: None)


def write(folder: Path, log: dict[str, Any]) -> Path:
    """Write a gateway's configuration and return its file."""
    (folder / "passphrase").write_text(secrets.token_hex(16))
    document = {
        "http": {"listen": f"unix:{folder}/gateway.sock"},
        "log": {
            "origin": ORIGIN,
            "guard": str(folder / "guard"),
            "keys": str(folder / "keys"),
            "passphrase": str(folder / "passphrase"),
            "twin": True,
        }
        | log,
        "policy": "unsafe-simulated",
        "nodes": [{"node_id": "n1", "address": f"unix:{folder}/n1.sock"}],
        "tenants": [
            {"name": "t", "keys": ["00" * 16 + ":" + "00" * 32], "models": "all", "quota": "1/hour"}
        ],
        "require_constant_time_crypto": False,
    }
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


async def fill(settings: GatewayConfig, count: int, *, at: int = NOW) -> None:
    """Open the log of a configuration, append, and close it."""
    keys = gateway.read_keys(settings)
    log = await AuditLog.open(settings.log.settings(f"g{at}"), keys, clock=lambda: at)
    beat = entries.Heartbeat(at=at, instance="g1", interval=60)
    await asyncio.gather(*(log.append(beat) for _ in range(count)))
    await log.close()


def test_a_log_is_made_and_restored_by_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--create-log`, work, a dead disk, `--restore-log`; a second time it is refused."""
    directory = str(tmp_path / "out")
    path = write(
        tmp_path, {"database": str(tmp_path / "log.db"), "publish": {"directory": directory}}
    )
    assert gateway.main(["--config", str(path), "--create-log"]) == 0
    settings = load(path)
    asyncio.run(fill(settings, 300))
    held = stored(tmp_path / "log.db")
    for file in tmp_path.glob("log.db*"):
        file.unlink()
    assert gateway.main(["--config", str(path), "--restore-log"]) == 0
    assert f"restored {len(held)} entries" in capsys.readouterr().out
    assert stored(tmp_path / "log.db") == held
    assert gateway.main(["--config", str(path), "--restore-log"]) == gateway.EXIT_CONFIG
    assert "log.refused" in capsys.readouterr().err
    asyncio.run(fill(settings, 1, at=NOW + 1))


@pytest.mark.xdist_group("pg")
@pytest.mark.parametrize("guard", ["same", "new"])
def test_a_log_is_moved_by_command(
    tmp_path: Path, postgres_server: Server, capsys: pytest.CaptureFixture[str], guard: str
) -> None:
    """`--move-log`: the new storage goes on, the old file does not open any more."""
    old = write(tmp_path, {"database": str(tmp_path / "log.db")})
    assert gateway.main(["--config", str(old), "--create-log"]) == 0
    before = load(old)
    asyncio.run(fill(before, 20))
    held = stored(tmp_path / "log.db")
    passphrase = (tmp_path / "passphrase").read_text()
    schema = f"moved_{guard}"
    place = {"dsn": str(postgres_server.dsn_file(tmp_path)), "schema": schema}
    log: dict[str, Any] = {"storage": "postgres", "postgres": place}
    if guard == "new":
        log["guard"] = str(tmp_path / "guard2")
    path = write(tmp_path, log)
    (tmp_path / "passphrase").write_text(passphrase)
    command = ["--config", str(path), "--move-log", f"{tmp_path}/log.db", f"{tmp_path}/guard"]
    assert gateway.main(command) == 0
    assert f"moved {len(held)} entries" in capsys.readouterr().out
    asyncio.run(fill(load(path), 5, at=NOW + 1))
    with pytest.raises(LogRefusedError):
        asyncio.run(fill(before, 1, at=NOW + 2))
    assert stored(tmp_path / "log.db") == held


async def test_old_entries_are_pruned_where_they_are_published(tmp_path: Path) -> None:
    """Only whole bundles older than the retention go; tiles and checkpoint stay."""
    target = DirectoryTarget(tmp_path / "out")
    settings = replace(config(tmp_path), publish=tmp_path / "out")
    log = await start(tmp_path)
    await log.close()
    keys_log = await _open(settings, "g2")
    beat = entries.Heartbeat(at=NOW, instance="g1", interval=60)
    for days in (0, 100):
        made = replace(beat, at=NOW + days * DAY_S)
        await asyncio.gather(*(keys_log.append(made) for _ in range(600)))
    await keys_log.close()
    size, out = len(stored(tmp_path / "log.db")), tmp_path / "out"
    retention = Retention(days=FLOOR_DAYS)
    assert retention.prune(target, size, now=NOW + FLOOR_DAYS * DAY_S) == 0
    assert len(entries_of(out)) == size
    assert retention.prune(target, size, now=NOW + FLOOR_DAYS * DAY_S + 1) == 2
    assert retention.prune(target, size, now=NOW + FLOOR_DAYS * DAY_S + 1) == 0
    for prefix in (out, out / "sha256"):
        assert not (prefix / "tile/entries/000").exists()
        assert (prefix / "tile/entries/002").exists()
        assert (prefix / "tile/0/000").exists()
    with pytest.raises(FileNotFoundError):
        entries_of(out)


async def _open(settings: Any, instance: str) -> AuditLog:
    from tests.unit.auditlog.harness import KEYS

    return await AuditLog.open(replace(settings, instance=instance), KEYS, clock=lambda: NOW)


def test_retention_has_a_floor_and_a_default() -> None:
    """180 days at least, three years unless told otherwise; intents count by their issue."""
    assert Retention().days == DEFAULT_DAYS == 3 * 365
    with pytest.raises(UsageError):
        Retention(days=FLOOR_DAYS - 1)
    made = entries.Intent(
        origin=ORIGIN,
        index=0,
        h=bytes(32),
        keyset=bytes(32),
        attempt=1,
        tenant="t",
        issued=NOW,
        deadline=NOW,
    )
    assert written_at(made.sign(LogKeys.generate(twin=False).signer)) == NOW


def test_prune_by_command_needs_a_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--prune-published` without a place is refused, with one it says what it did."""
    log: dict[str, Any] = {"database": str(tmp_path / "log.db")}
    path = write(tmp_path, log)
    assert gateway.main(["--config", str(path), "--create-log"]) == 0
    assert gateway.main(["--config", str(path), "--prune-published"]) == gateway.EXIT_CONFIG
    passphrase = (tmp_path / "passphrase").read_text()
    path = write(tmp_path, log | {"publish": {"directory": str(tmp_path / "out")}})
    (tmp_path / "passphrase").write_text(passphrase)
    asyncio.run(fill(load(path), 10))
    assert gateway.main(["--config", str(path), "--prune-published"]) == 0
    assert "removed 0 bundles" in capsys.readouterr().out


@pytest.mark.parametrize(
    "log",
    [
        {},
        {"storage": "postgres"},
        {"storage": "postgres", "database": "log.db"},
        {"storage": "sqlite", "database": "a", "postgres": {"dsn": "dsn"}},
        {"database": "a", "publish": {}},
        {"database": "a", "publish": {"directory": "out", "s3": {"bucket": "log"}}},
        {"database": "a", "publish": {"directory": "out", "retention_days": 179}},
        {"database": "a", "guard": {"dsn": "dsn", "s3": {"bucket": "log"}}},
        {"database": "a", "guard": {}},
        {"storage": "postgres", "postgres": {"dsn": "dsn", "schema": 'x"; DROP'}},
    ],
)
def test_contradictions_are_refused(tmp_path: Path, log: dict[str, Any]) -> None:
    """A log has one storage, one guard, at most one place, and no retention below the floor."""
    with pytest.raises(ConfigError):
        load(write(tmp_path, log))


def test_every_place_can_be_configured(tmp_path: Path) -> None:
    """PostgreSQL, a second one or a bucket for the guard, a bucket to publish to."""
    bucket = {"bucket": "logs", "prefix": "a/b", "endpoint": "https://s3.example"}
    path = write(
        tmp_path,
        {
            "storage": "postgres",
            "postgres": {"dsn": "dsn", "schema": "audit"},
            "guard": {"dsn": "other"},
            "publish": {"s3": bucket},
        },
    )
    found = load(path).log.settings("g1")
    assert found.path == PostgresPlace(dsn=Path("dsn"), schema="audit")
    assert found.guard == PostgresGuardPlace(dsn=Path("other"))
    assert found.publish == S3Place(bucket="logs", prefix="a/b", endpoint="https://s3.example")
    path = write(tmp_path, {"database": "log.db", "guard": {"s3": bucket}})
    assert load(path).log.settings("g1").guard == found.publish


def test_a_shared_guard_file_is_swapped_by_one_at_a_time(tmp_path: Path) -> None:
    """Two holders of one file see each other's marks; an exclusive holder keeps out both."""
    from tests.unit.auditlog.test_guard import MARKS

    path = tmp_path / "guard"
    FileGuard.create(path, ORIGIN, MARKS[0]).close()
    one, two = (FileGuard(path, ORIGIN, shared=True) for _ in range(2))
    one.swap(MARKS[0], MARKS[1])
    two.swap(MARKS[1], MARKS[2])
    with pytest.raises(LogRefusedError):
        one.swap(MARKS[1], MARKS[3])
    assert one.read() == two.read() == MARKS[2]
    one.close()
    two.close()
