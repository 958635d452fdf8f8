"""Files that hold keys or commitments are for the gateway's user alone, whatever the umask is."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.auditlog.keys import LogKeys
from mifeng.floors import Floors
from tests.unit.auditlog.harness import start


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """Forbid nobody anything."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> set[int]:
    """Return the modes of all files below a folder."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert found
    return {stat.S_IMODE(path.stat().st_mode) for path in found}


async def test_log_and_guard_are_private(tmp_path: Path) -> None:
    """Database, write-ahead log, guard and locks, while they are open and after."""
    log = await start(tmp_path)
    assert modes(tmp_path) == {0o600}
    await log.close()
    assert modes(tmp_path) == {0o600}


def test_keys_are_private(tmp_path: Path) -> None:
    """The log's signing keys."""
    LogKeys.create(tmp_path, b"a long enough passphrase", twin=True)
    assert modes(tmp_path) == {0o600}


def test_floors_are_private(tmp_path: Path) -> None:
    """What is remembered of collateral beside the guard."""
    Floors(tmp_path / "guard.floors")._write({"vendor/tcb-info": 7})
    assert modes(tmp_path) == {0o600}
