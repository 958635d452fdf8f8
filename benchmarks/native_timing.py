"""A dudect-style look at the clock: does SM4-GCM take longer for some secrets than for others?

    python -m benchmarks.native_timing [--measurements 200000]

For every code path of the native core two classes of calls are timed in random order: one fixed
key and plaintext, and random ones (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant
time?", DATE 2017). Welch's t is computed on the fastest nine tenths of each class, because what
interrupts a process is not what is asked about; of five runs the median t counts, because on a
shared machine single runs stray to |t| = 15 with either sign. |t| above 10 is called a leak;
between 4.5 and 10 deserves a second run. Below 4.5 proves nothing by itself: that no branch and no
address depends on a secret is what tests/native/run.sh shows (valgrind with poisoned secrets, and
disassembly). For comparison the same is done for the `cryptography` library.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE: Final = 240
RUNS: Final = 5
LEAK: Final = 10.0
DOUBT: Final = 4.5
NONCE: Final = bytes(12)
_CORE: Final = "mifeng.crypto._native._core"


def welch_t(first: Sequence[int], second: Sequence[int]) -> float:
    """Welch's t of the two samples, the slowest tenth of each left out."""
    means, errors = [], []
    for sample in (first, second):
        kept = sorted(sample)[: len(sample) * 9 // 10]
        mean = sum(kept) / len(kept)
        means.append(mean)
        errors.append(sum((x - mean) ** 2 for x in kept) / (len(kept) - 1) / len(kept))
    return (means[0] - means[1]) / math.sqrt(sum(errors) or 1)


def measure(cipher: Callable[[bytes], Any], count: int) -> float:
    """Time `count` calls of `cipher(key).seal_into`, half of them with the fixed secrets.

    Both classes go through the same buffers at the same addresses, and both draw random bytes;
    all that differs is what stands in the buffers.
    """
    source = random.Random(count)
    key, text, out = bytearray(16), bytearray(SIZE), bytearray(SIZE + 16)
    spare, fixed = bytearray(16), source.randbytes(16 + SIZE)
    times: tuple[list[int], list[int]] = ([], [])
    clock = time.perf_counter_ns
    for _ in range(count):
        drawn = source.randbytes(16 + SIZE), fixed
        choice = source.getrandbits(1)
        key[:], text[:] = drawn[choice][:16], drawn[choice][16:]
        seal = cipher(bytes(key)).seal_into
        seal(NONCE, b"", b"", spare)  # so that what came before leaves both classes alike
        start = clock()
        seal(NONCE, text, b"", out)
        times[choice].append(clock() - start)
    return welch_t(*times)


def cipher_of(path: str) -> Callable[[bytes], Any]:
    """The class to be measured in this process."""
    module = "mifeng.crypto.sm4_portable" if path == "cryptography" else _CORE
    cipher: Callable[[bytes], Any] = import_module(module).Sm4Gcm
    return cipher


def in_process(path: str, count: int) -> float:
    """Measure one path in an interpreter of its own."""
    command = [sys.executable, "-m", "benchmarks.native_timing"]
    command += ["--measurements", str(count), "--here", path]
    path_of_core = "" if path == "cryptography" else path
    done = subprocess.run(
        command,
        env={**os.environ, "MIFENG_NATIVE": path_of_core},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(done.stdout))


def main() -> int:
    """Command line; 1 if a path of the native core leaks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measurements", type=int, default=200_000)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        t = measure(cipher_of(arguments.here), arguments.measurements)
        sys.stdout.write(json.dumps(t))
        return 0
    leaks = 0
    core = import_module(_CORE)
    for path in (*core.available(), "cryptography"):
        t = median(in_process(path, arguments.measurements // RUNS + i) for i in range(RUNS))
        word = "leaks" if abs(t) > LEAK else "in doubt" if abs(t) > DOUBT else "nothing seen"
        sys.stdout.write(f"{path:>14}  t = {t:+7.2f}  {word}\n")
        leaks += path != "cryptography" and abs(t) > LEAK
    return leaks > 0


if __name__ == "__main__":
    sys.exit(main())
