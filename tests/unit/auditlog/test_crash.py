"""`kill -9` at every failpoint, over and over, on one log: nothing acknowledged is lost.

`MIFENG_CRASH_ROUNDS` sets how often the round of all failpoints is run (default 1).
"""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.auditlog import log as auditlog
from gateway.auditlog.config import create
from mifeng.protocol import checkpoint, entries
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import Sm2NoteSigner
from tests.unit.auditlog import crashing
from tests.unit.auditlog.harness import assert_each_intent_ends_once, mth, roots, stored

ROUNDS = int(os.environ.get("MIFENG_CRASH_ROUNDS", "1"))
ROOT = Path(__file__).parents[3]


def cases(rounds: int) -> list[str]:
    """Return each failpoint with a few counts, shuffled the same way every time."""
    dice = random.Random(7)
    made = [
        f"{point}:{nth}"
        for _ in range(rounds)
        for point in crashing.ALL_POINTS
        for nth in (1, dice.randrange(2, 6), dice.randrange(6, 40))
    ]
    dice.shuffle(made)
    return made


async def recover(folder: Path) -> int:
    """Open and close the log as a restarted gateway does; return what it published."""
    opened = await auditlog.AuditLog.open(crashing.config(folder, "last"), crashing.keys())
    await opened.close()
    return opened.checkpoint().tree.size


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a log whose writer was killed at every failpoint."""
    folder = tmp_path_factory.mktemp("crash")
    create(crashing.config(folder, "first"))
    command = [sys.executable, "-m", crashing.__name__, str(folder), *cases(ROUNDS)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    size = asyncio.run(recover(folder))
    assert size == len(stored(folder / "log.db"))
    return folder


def test_no_acknowledged_entry_is_lost(crashed: Path) -> None:
    """Every entry that anybody was told of is where they were told, with the same bytes."""
    held = stored(crashed / "log.db")
    acked = (crashed / "acked").read_text().splitlines()
    assert len(acked) > 500
    for line in acked:
        index, digest = line.split()
        assert hashlib.sha256(held[int(index)]).hexdigest() == digest


def test_no_checkpoint_forks(crashed: Path) -> None:
    """Every note ever shown is signed and has the root that an independent rebuild gives."""
    held = stored(crashed / "log.db")
    signer = Sm2NoteSigner(crashing.ORIGIN, crashing.keys().signer)
    pin = LogPin(origin=crashing.ORIGIN, world=SM3, keys=(signer.key,), witnesses=(), quorum=0)
    notes = {bytes.fromhex(line) for line in (crashed / "notes").read_text().splitlines()}
    claims = [checkpoint.verify(note, pin).checkpoint for note in notes]
    expected = roots(held, [claim.size for claim in claims])
    assert len(expected) > 10
    assert all(claim.root == expected[claim.size] for claim in claims)
    some = random.Random(7).sample(sorted(expected), 5)
    assert all(mth(held[:size]) == expected[size] for size in some)


def test_every_intent_was_closed_once(crashed: Path) -> None:
    """Intents left open by a crash are orphaned by the next process, and none is closed twice."""
    held = stored(crashed / "log.db")
    assert_each_intent_ends_once(held)
    restarted = [raw for raw in held if b'"gateway.restart"' in raw]
    assert restarted
    assert all(isinstance(entries.decode(raw), entries.Orphaned) for raw in restarted)
