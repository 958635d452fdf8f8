"""The systemd units: what each takes away from its process."""

import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).parents[3] / "deploy" / "systemd").glob("*.service"))
EVERYWHERE = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "LimitCORE": "0",
    "RestrictNamespaces": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
    "ProtectProc": "invisible",
}
WORST = {"mifeng-gateway": 15, "mifeng-node": 30, "mifeng-proxy": 15}
"""Exposure, in tenths, that `systemd-analyze security` may find."""


def service(path: Path) -> dict[str, str]:
    """Return the [Service] section; of keys that stand twice, the last."""
    parser = RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return dict(parser["Service"])


def test_there_is_a_unit_for_each_process() -> None:
    """Proxy, gateway, node."""
    assert [path.stem for path in UNITS] == sorted(WORST)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_units_take_away_what_is_not_needed(path: Path) -> None:
    """The same bounds for all; where plaintext is, no swap either."""
    found = service(path)
    assert {key: found.get(key) for key in EVERYWHERE} == EVERYWHERE
    if path.stem != "mifeng-gateway":
        assert found["MemorySwapMax"] == "0"
    if path.stem != "mifeng-node":
        assert found["CapabilityBoundingSet"] == ""
        assert found["MemoryDenyWriteExecute"] == "yes"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_finds_little_exposed(path: Path) -> None:
    """Its own judgement, where it is installed."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    command += [f"--threshold={WORST[path.stem]}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unknown" in done.stderr or "unrecognized" in done.stderr:
        pytest.skip("this systemd cannot judge files")
    assert done.returncode == 0, done.stdout[-400:]
