"""`kill -9` at every failpoint, over and over, on one log: nothing acknowledged is lost.

On SQLite, and on a real PostgreSQL. A cycle is a log's whole life: a process opens it, closes what
the one before left open, logs for twelve callers, and dies at a failpoint. `MIFENG_CRASH_ROUNDS`
sets how often the round of 21 of them is run (default 2).
"""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from gateway.auditlog import log as auditlog
from gateway.auditlog.config import create
from mifeng.protocol import checkpoint, entries
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import Sm2NoteSigner
from tests.unit.auditlog import crashing
from tests.unit.auditlog.harness import assert_each_intent_ends_once, mth, roots, stored
from tests.unit.auditlog.postgresserver import Server

ROUNDS = int(os.environ.get("MIFENG_CRASH_ROUNDS", "2"))
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


@dataclass(frozen=True)
class Crashed:
    """What is left of a log whose writer was killed at every failpoint."""

    folder: Path
    held: list[bytes]
    """Every entry, read with nothing of ours."""


def held_in_postgres(server: Server) -> list[bytes]:
    """Return every entry, read with nothing of ours."""
    with psycopg.connect(server.dsn) as connection:
        rows = connection.execute("SELECT idx, data FROM crash.entries ORDER BY idx").fetchall()
    assert [index for index, _ in rows] == list(range(len(rows))), "a gap in the log"
    return [data for _, data in rows]


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.xdist_group("pg"))]
)
def crashed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Crashed]:
    """Kill a log's writer at every failpoint, again and again, then recover it."""
    folder = tmp_path_factory.mktemp("crash")
    with Server.run() if request.param == "postgres" else nullcontext() as server:
        if server is not None:
            server.dsn_file(folder)
        create(crashing.config(folder, "first"))
        command = [sys.executable, "-m", crashing.__name__, str(folder), *cases(ROUNDS)]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        if server is not None:
            time.sleep(crashing.LEASE_S + 0.5)
        size = asyncio.run(recover(folder))
        held = stored(folder / "log.db") if server is None else held_in_postgres(server)
        assert size == len(held)
        yield Crashed(folder, held)


def test_no_acknowledged_entry_is_lost(crashed: Crashed) -> None:
    """Every entry that anybody was told of is where they were told, with the same bytes."""
    held = crashed.held
    acked = (crashed.folder / "acked").read_text().splitlines()
    assert len(acked) > 500
    for line in acked:
        index, digest = line.split()
        assert hashlib.sha256(held[int(index)]).hexdigest() == digest


def test_no_checkpoint_forks(crashed: Crashed) -> None:
    """Every note ever shown is signed and has the root that an independent rebuild gives."""
    held = crashed.held
    signer = Sm2NoteSigner(crashing.ORIGIN, crashing.keys().signer)
    pin = LogPin(origin=crashing.ORIGIN, world=SM3, keys=(signer.key,), witnesses=(), quorum=0)
    notes = {bytes.fromhex(line) for line in (crashed.folder / "notes").read_text().splitlines()}
    claims = [checkpoint.verify(note, pin).checkpoint for note in notes]
    expected = roots(held, [claim.size for claim in claims])
    assert len(expected) > 10
    assert all(claim.root == expected[claim.size] for claim in claims)
    some = random.Random(7).sample(sorted(expected), 5)
    assert all(mth(held[:size]) == expected[size] for size in some)


def test_every_intent_was_closed_once(crashed: Crashed) -> None:
    """Intents left open by a crash are orphaned by the next process, and none is closed twice."""
    held = crashed.held
    assert_each_intent_ends_once(held)
    restarted = [raw for raw in held if b'"gateway.restart"' in raw]
    assert restarted
    assert all(isinstance(entries.decode(raw), entries.Orphaned) for raw in restarted)
