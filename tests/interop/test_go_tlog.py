"""Go's `golang.org/x/mod/sumdb` reads the twin: note, tiles, entries and proofs.

Debian packages `golang` and `golang-golang-x-mod-dev`; nothing is fetched.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.auditlog.config import create
from gateway.auditlog.log import AuditLog
from mifeng.protocol import entries
from tests.unit.auditlog.harness import KEYS, NOW, ORIGIN, config

GOCODE = Path("/usr/share/gocode")
SOURCE = Path(__file__).parent / "tlog" / "main.go"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the reader, or skip."""
    go = shutil.which("go")
    if go is None or not (GOCODE / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("needs the Debian packages golang and golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("go")
    settings = {"GO111MODULE": "off", "GOPATH": str(GOCODE), "GOFLAGS": "", "CGO_ENABLED": "0"}
    settings |= {"GOCACHE": str(folder / "cache"), "HOME": str(folder)}
    command = [go, "build", "-o", str(folder / "reader"), str(SOURCE)]
    subprocess.run(command, check=True, env=os.environ | settings, cwd=folder)
    return folder / "reader"


def text(path: Sequence[bytes]) -> list[str]:
    """Return digests in base64."""
    return [base64.b64encode(digest).decode() for digest in path]


async def published(folder: Path, count: int) -> str:
    """Publish a log, its proofs beside it, and return the twin's verifier key."""
    settings = replace(config(folder), publish=folder / "out")
    create(settings)
    log = await AuditLog.open(settings, KEYS, clock=lambda: NOW)
    beat = entries.Heartbeat(at=NOW, instance="g1", interval=60)
    await asyncio.gather(*(log.append(replace(beat, at=NOW + i)) for i in range(count)))
    await log.close()
    log = await AuditLog.open(replace(settings, instance="g2"), KEYS, clock=lambda: NOW)
    await log.probe()
    log.publish()
    await log._publish_to_target()
    assert log.twin is not None
    size = log.twin.published.tree.size
    proofs = {
        "inclusion": [text(await log.twin.inclusion_path(i, size)) for i in range(size)],
        "consistency": [
            text((await log.twin.consistency(old, size)).path) for old in range(1, size + 1)
        ],
    }
    (folder / "proofs.json").write_text(json.dumps(proofs))
    key = log.twin.pin.keys[0].encode()
    await log._publish_to_target()
    shutil.copytree(folder / "out", folder / "shown")
    await log.close()
    return key


def read(program: Path, key: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the reader on the twin."""
    command = [program, key, folder / "shown/sha256", folder / "proofs.json"]
    return subprocess.run(command, check=False, capture_output=True, env={})


@pytest.mark.parametrize("count", [1, 254, 700])
async def test_go_reads_the_twin(program: Path, tmp_path: Path, count: int) -> None:
    """Every entry and every earlier size, proved by Go from our tiles and by us for Go."""
    key = await published(tmp_path, count)
    done = await asyncio.to_thread(read, program, key, tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    origin, size = done.stdout.decode().split()
    assert origin == f"{ORIGIN}/sha256"
    assert int(size) > count


@pytest.mark.parametrize("part", ["checkpoint", "tile/0/000.p", "tile/entries/000.p", "proofs"])
async def test_go_refuses_what_was_changed(program: Path, tmp_path: Path, part: str) -> None:
    """A flipped bit in note, tile, entry or proof is noticed there as here."""
    key = await published(tmp_path, 20)
    if part == "proofs":
        path = tmp_path / "proofs.json"
        path.write_text(path.read_text().replace('["', '["AAAA', 1))
    else:
        place = tmp_path / "shown/sha256" / part
        path = next(place.iterdir()) if place.is_dir() else place
        data = bytearray(path.read_bytes())
        data[-20 if part != "checkpoint" else 40] ^= 1
        path.unlink()
        path.write_bytes(bytes(data))
    done = await asyncio.to_thread(read, program, key, tmp_path)
    assert done.returncode == 1
