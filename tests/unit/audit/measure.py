"""Measure how fast a pack is verified, and how much memory that takes.

python -m tests.unit.audit.measure 10000 100000
"""

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from mifeng.audit.pack import Pack
from mifeng.audit.tree import Fold
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import NoteKey
from tests.unit.audit.made import ORIGIN, Made


def measure(count: int, jobs: int) -> dict[str, float]:
    """Make a log of about `count` entries and verify it with so many processes."""
    made = Made()
    while made.source.size < count:
        made.log_head = (made.source.size, made.head().root) if made.requests < 2 else made.log_head
        made.complete(made.intent())
        if made.requests % 100 == 0:
            made.tally()
        if made.requests % 1000 == 0:
            made.now += 1000
            made.tally(final=True)
            made.admit()
    made.tally(final=True)
    with tempfile.TemporaryDirectory() as folder:
        path = made.pack(Path(folder) / "pack.zip")
        arguments = (path, made.signer.key.encode(), made.now, jobs)
        del made
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(judge, *arguments).result()


def judge(path: Path, key: str, now: int, jobs: int) -> dict[str, float]:
    """Verify a pack in a process of its own, and measure that."""
    pin = LogPin(origin=ORIGIN, world=SM3, keys=(NoteKey.decode(key),), witnesses=(), quorum=0)
    begun = time.perf_counter()
    fold = Fold(SM3)
    with Pack(path) as pack:
        for number in pack.chunks:
            fold.leaves(SM3.leaf_hashes(data for _, data in pack.entries(number)))
    tree = time.perf_counter() - begun
    begun, cpu = time.perf_counter(), _cpu()
    report = verify(path, Trust(log=pin), now=now, jobs=jobs)
    took, used = time.perf_counter() - begun, _cpu() - cpu
    assert report.stands, report.findings
    return {
        "entries": report.entries,
        "signatures": report.signatures,
        "pack_mb": round(path.stat().st_size / 1e6, 1),
        "tree_entries_per_s": round(report.entries / tree),
        "entries_per_s": round(report.entries / took),
        "entries_per_cpu_s": round(report.entries / used),
        "jobs": jobs,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> int:
    """Return the peak memory of this process alone; `ru_maxrss` counts the parent's before exec."""
    status = Path("/proc/self/status").read_text("ascii")
    line = next(each for each in status.splitlines() if each.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def _cpu() -> float:
    """Return the processor time of this process and its finished children, seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        for jobs in (1, os.cpu_count() or 1):
            print(json.dumps(measure(int(argument), jobs)), flush=True)
