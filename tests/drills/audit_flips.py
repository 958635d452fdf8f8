"""Flip sampled bytes of a pack, one at a time, and print as JSON which were not caught.

    python -m tests.drills.audit_flips PACK TRUST COUNT

Caught means: no pack any more, or refuted with a finding that names the entry or member it hit.
"""

import json
import os
import random
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from mifeng.audit.container import PackMalformedError
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from tests.unit.audit.flip_bytes import missed, places

Flip = tuple[int, int, str, int]
"""Where, which bit, in which member, in which entry (-1 if in none)."""


def sample(pack: Path, count: int, seed: int) -> list[Flip]:
    """Choose bytes of the whole file, headers and directory included."""
    choose, where = random.Random(seed), places(pack)
    chosen = sorted(choose.sample(range(pack.stat().st_size), count))
    return [(at, choose.randrange(8), *where.get(at, ("", -1))) for at in chosen]


def judge(pack: Path, trust: Path, flips: list[Flip]) -> list[str]:
    """Return what is wrong with the verdicts about these flips."""
    wrong: list[str] = []
    trusted, data = Trust.load(trust), bytearray(pack.read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        bent = Path(folder) / "bent.zip"
        for at, bit, member, index in flips:
            data[at] ^= 1 << bit
            bent.write_bytes(data)
            data[at] ^= 1 << bit
            try:
                fault = missed(verify(bent, trusted, now=int(time.time())), member, index)
            except PackMalformedError as exc:
                fault = missed(str(exc), member, index)
            if fault:
                wrong.append(f"byte {at} of {member or 'the container'}: {fault}")
    return wrong


def main(pack: Path, trust: Path, count: int) -> None:
    """Judge all flips, one process per core."""
    jobs, flips = os.cpu_count() or 1, sample(pack, count, seed=5)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(judge, pack, trust, flips[n::jobs]) for n in range(jobs)]
        wrong = [fault for part in parts for fault in part.result()]
    print(json.dumps({"flipped": count, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
