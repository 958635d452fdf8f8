"""Actions on the gateway's host: each with a token of its role, each on record, or not at all."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from gateway import main as gateway
from gateway.config import load
from gateway.roles.actions import Action, Role
from gateway.roles.offline import TOKEN_FILE
from gateway.subjects.store import SubjectStore
from gateway.tenants import digest_key
from mifeng.protocol.entries import Admin, decode
from tests.unit.auditlog.test_operating import fill, write

TOKENS = {role: f"mfa_{role.value}_{'0' * 40}" for role in Role}
LONG_AGO = 1_600_000_000
"""September 2020: beyond every retention."""
_SALT = bytes(range(16))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One action on the host."""

    action: Action
    arguments: tuple[str, ...]
    """`{folder}` stands for the folder."""
    done: Callable[[Path], bool]
    """Whether its result is there."""
    prepare: Callable[[Path], None] = lambda _folder: None


def lose(folder: Path) -> None:
    """Lose the database."""
    for file in folder.glob("log.db*"):
        file.unlink()


def elsewhere(folder: Path) -> None:
    """Configure another place for the log, where there is none yet."""
    path = folder / "gateway.yaml"
    document = yaml.safe_load(path.read_text())
    document["log"] |= {"database": str(folder / "new.db"), "guard": str(folder / "new.guard")}
    path.write_text(yaml.safe_dump(document))


def bare(folder: Path) -> None:
    """Have no log and no keys of one."""
    lose(folder)
    for place in (folder / "keys", folder / "out"):
        shutil.rmtree(place)
    (folder / "guard").unlink()


HOST = [
    Asked(
        action=Action.LOG_CREATE,
        arguments=("--create-log",),
        prepare=bare,
        done=lambda folder: (folder / "log.db").exists(),
    ),
    Asked(
        action=Action.LOG_RESTORE,
        arguments=("--restore-log",),
        prepare=lose,
        done=lambda folder: (folder / "log.db").exists(),
    ),
    Asked(
        action=Action.LOG_MOVE,
        arguments=("--move-log", "{folder}/log.db", "{folder}/guard"),
        prepare=elsewhere,
        done=lambda folder: (folder / "new.db").exists(),
    ),
    Asked(
        action=Action.LOG_PRUNE,
        arguments=("--prune-published",),
        done=lambda folder: not (folder / "out/tile/entries/000").exists(),
    ),
]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gateway's folder with administrators, and a log of which a bundle is published."""
    folder = tmp_path_factory.mktemp("host")
    path = write(
        folder,
        {"database": str(folder / "log.db"), "publish": {"directory": str(folder / "out")}},
    )
    assert gateway.main(["--config", str(path), "--create-log"]) == 0
    asyncio.run(fill(load(path), 300, at=LONG_AGO))
    for role, token in TOKENS.items():
        (folder / role.value).write_text(token + "\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder which may be spoiled, without a token in the environment."""
    made = tmp_path / "host"
    shutil.copytree(prepared, made)
    document = yaml.safe_load((made / "gateway.yaml").read_text().replace(str(prepared), str(made)))
    document["subjects"] = {"database": str(made / "s.db"), "key": str(made / "s.kek")}
    people = [
        {
            "name": f"p.{role.value}",
            "role": role.value,
            "tokens": [f"{_SALT.hex()}:{digest_key(token, _SALT).hex()}"],
        }
        for role, token in TOKENS.items()
    ]
    document["administration"] = {"listen": f"unix:{made}/a.sock", "administrators": people}
    (made / "gateway.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.delenv(TOKEN_FILE, raising=False)
    assert (made / "out/tile/entries/000").is_file()
    return made


@pytest.fixture(autouse=True, scope="module")
def _keep_process() -> object:
    """Leave this process's logging and limits alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.main.events.configure", lambda _level: None)
        patch.setattr(gateway, "raise_file_limit", lambda: None)
        yield


def act(folder: Path, asked: Asked) -> int:
    """Ask for it on the gateway's command line, and return the exit status."""
    arguments = [each.format(folder=folder) for each in asked.arguments]
    return gateway.main(["--config", str(folder / "gateway.yaml"), *arguments])


def remembered(folder: Path) -> list[tuple[str, str, bool]]:
    """Return role, action and success of the entries that wait for an open log."""
    passphrase = gateway.read_passphrase(load(folder / "gateway.yaml"))
    store = SubjectStore.open(folder / "s.db", folder / "s.kek", passphrase)
    try:
        found = [decode(data) for _, data in store.pending()]
        assert all(isinstance(each, Admin) and each.subject == "offline" for each in found)
        actors = {role: store.find("", f"p.{role.value}").subject for role in Role}
    finally:
        store.close()
    entries = [each for each in found if isinstance(each, Admin)]
    assert all(each.actor == actors[Role(each.role)] for each in entries)
    return [(each.role, each.action, each.success) for each in entries]


def test_every_host_action_is_tried() -> None:
    """Those of the table that are the log's own and not online."""
    offline = {Action.LOG_CREATE, Action.LOG_RESTORE, Action.LOG_MOVE, Action.LOG_PRUNE}
    assert {each.action for each in HOST} == offline


@pytest.mark.parametrize("asked", HOST, ids=lambda each: each.action.value)
def test_without_a_token_nothing_is_done(
    folder: Path,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """None, one that nobody has, and a file that is not there: refused, and no entry is left."""
    asked.prepare(folder)
    (folder / "wrong").write_text(f"mfa_{'1' * 48}")
    for name, said in ((None, TOKEN_FILE), ("wrong", "admin."), ("none", "cannot be read")):
        if name is not None:
            monkeypatch.setenv(TOKEN_FILE, str(folder / name))
        assert act(folder, asked) == gateway.EXIT_CONFIG
        assert said in capsys.readouterr().err
        assert not asked.done(folder)
    assert not (folder / "s.db").exists()


@pytest.mark.parametrize("asked", HOST, ids=lambda each: each.action.value)
def test_the_system_administrator_and_nobody_else(
    folder: Path,
    asked: Asked,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Other roles are refused by name, the system administrator's is done; all is on record."""
    asked.prepare(folder)
    for role in (Role.SECURITY, Role.AUDIT):
        monkeypatch.setenv(TOKEN_FILE, str(folder / role.value))
        assert act(folder, asked) == gateway.EXIT_CONFIG
        assert "admin.role: belongs to system" in capsys.readouterr().err
        assert not asked.done(folder)
    monkeypatch.setenv(TOKEN_FILE, str(folder / Role.SYSTEM.value))
    assert act(folder, asked) == 0, capsys.readouterr().err
    assert capsys.readouterr().out
    assert asked.done(folder)
    assert remembered(folder) == [
        ("security", asked.action.value, False),
        ("audit", asked.action.value, False),
        ("system", asked.action.value, True),
    ]
