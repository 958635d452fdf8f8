"""Measure how fast a pack is verified, and how much memory that takes.

python -m tests.unit.audit.measure 10000 100000
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from mifeng.audit import forms
from mifeng.audit.compliance import page
from mifeng.audit.compliance.profiles import PROFILES
from mifeng.audit.compliance.signals import gather
from mifeng.audit.pack import Pack
from mifeng.audit.reading import NodeKeys
from mifeng.audit.tree import Fold
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.crypto import Sm2PublicKey, sm2_verify_many, sm3_many
from mifeng.crypto.signatures import VerifyKey, failing
from mifeng.protocol import dsse, entries
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import NoteKey
from tests.unit.audit.made import ORIGIN, Made, MemorySource


class IndexedSource(MemorySource):
    """A log in lists that is not searched again for each type."""

    def of_type(self, entry_type: str) -> list[int]:
        """See `LogSource`."""
        rare = [
            (index, entries.entry_type(entries.decode(data)))
            for index, data in enumerate(self.log)
            if not (data.startswith(b'{"payload"') or b'"type":"COMPLETION"' in data)
        ]
        return [index for index, kind in rare if kind == entry_type]


def measure(count: int, all_jobs: Sequence[int]) -> Iterator[dict[str, float]]:
    """Make a log of about `count` entries, verify it with so many processes, report on it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pack.zip"
        key, now = make(count, path)
        for jobs in all_jobs:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                yield pool.submit(judge, path, key, now, jobs).result()


def make(count: int, path: Path) -> tuple[str, int]:
    """Write a pack of about `count` entries; return the log's key and the time it ends."""
    made = Made(source=IndexedSource())
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
    made.pack(path)
    return made.signer.key.encode(), made.now


def judge(path: Path, key: str, now: int, jobs: int) -> dict[str, float]:
    """Verify a pack in a process of its own, and measure that."""
    pin = LogPin(origin=ORIGIN, world=SM3, keys=(NoteKey.decode(key),), witnesses=(), quorum=0)
    begun = time.perf_counter()
    fold = Fold(SM3)
    with Pack(path) as pack:
        for number in pack.chunks:
            fold.leaves(SM3.leaf_hashes(data for _, data in pack.entries(number)))
    tree = time.perf_counter() - begun
    checked, raw = signatures(path)
    begun, cpu = time.perf_counter(), _cpu()
    report = verify(path, Trust(log=pin), now=now, jobs=jobs)
    took, used = time.perf_counter() - begun, _cpu() - cpu
    assert report.stands, report.findings
    begun = time.perf_counter()
    page.to_html(PROFILES["gbt39786"], gather(path, report), lang="zh", now=now)
    written = time.perf_counter() - begun
    return {
        "entries": report.entries,
        "signatures": report.signatures,
        "pack_mb": round(path.stat().st_size / 1e6, 1),
        "tree_entries_per_s": round(report.entries / tree),
        "entries_per_s": round(report.entries / took),
        "entries_per_cpu_s": round(report.entries / used),
        "signatures_per_s": round(report.signatures / took),
        "report_s": round(written, 2),
        "signatures_alone_per_cpu_s": round(checked),
        "sm2_batch_per_cpu_s": round(raw),
        "jobs": jobs,
        "peak_mb": _peak_mb(),
    }


def signatures(path: Path) -> tuple[float, float]:
    """Return how many signatures are checked per second of processor time, here and by the core.

    Both in turns of 1024; what the first turn prepares is not counted.
    """
    waiting: list[tuple[VerifyKey, bytes, bytes]] = []
    with Pack(path) as pack:
        nodes = NodeKeys(pack)
        for index, data in pack.entries(pack.chunks[-2 if len(pack.chunks) > 1 else 0]):
            done = forms.completion(data)
            made = forms.receipt(done.receipt.payload) if done else None
            keys = nodes.find(made.keyset) if made else None
            if done and keys and index:
                said = done.receipt
                message = dsse.pae(said.payload_type, said.payload)
                waiting.append((keys[said.keyid], said.signature, message))
    waiting = waiting[:1024]
    digests = sm3_many([key.za() + message for key, _, message in waiting])
    work = [
        (Sm2PublicKey.from_bytes(key.public_bytes), signature, digest)
        for (key, signature, _), digest in zip(waiting, digests, strict=True)
    ]
    times = [0.0, 0.0]
    for turn in range(6):
        began = time.process_time()
        assert not failing(waiting)
        middle = time.process_time()
        assert all(sm2_verify_many(work))
        if turn:
            times[0] += middle - began
            times[1] += time.process_time() - middle
    return 5 * len(waiting) / times[0], 5 * len(waiting) / times[1]


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
        for row in measure(int(argument), (1, os.cpu_count() or 1)):
            print(json.dumps(row), flush=True)
