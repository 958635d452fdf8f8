"""A dudect-style look at the clock: do SM4-GCM and SM2 take longer for some secrets than others?

    python -m benchmarks.native_timing [--measurements 200000]

For every code path of the native core two classes of calls are timed in random order: one fixed
key and plaintext, and random ones; for SM2 one fixed scalar and digest or ciphertext (Reparaz,
Balasch, Verbauwhede: "Dude, is my code constant time?", DATE 2017). Welch's t is computed on the
fastest nine tenths of each class, because what interrupts a process is not what is asked about; of
five runs the median t counts, because on a shared machine single runs stray to |t| = 15 with
either sign. |t| above 10 is called a leak; between 4.5 and 10 deserves a second run. Below 4.5
proves nothing by itself: that no branch and no address depends on a secret is what
tests/native/run.sh and test_native_sm2_constant_time.py show (valgrind with poisoned secrets, and
disassembly). For comparison SM4 of the `cryptography` library is looked at too.
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
from functools import partial
from importlib import import_module
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from mifeng.crypto.sm2_curve import N

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE: Final = 240
SM2_SHARE: Final = 10
"""SM2 is that much slower, and gets that much fewer measurements."""
OTHER: Final = "sm4 cryptography"
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


def measure_sm2(core: Any, operation: str, count: int) -> float:  # noqa: ANN401 - a C module
    """Time `count` signatures, decryptions or batches of eight decryptions, half of them fixed.

    A class differs from the other in the scalar and what it is used on; both make a new key object
    and use it once before the clock starts.
    """
    source = random.Random(count)
    fixed = source.randrange(1, N - 1), source.randbytes(32)
    times: tuple[list[int], list[int]] = ([], [])
    clock = time.perf_counter_ns
    for _ in range(count):
        drawn = (source.randrange(1, N - 1), source.randbytes(32)), fixed
        choice = source.getrandbits(1)
        scalar, text = drawn[choice]
        key = core.Sm2PrivateKey.from_scalar(scalar.to_bytes(32, "big"))
        sealed = key.public_key().encrypt(text)
        call, argument = {
            "sign": (key.sign_digest, text),
            "decrypt": (key.decrypt, sealed),
            "batch": (partial(core.sm2_decrypt_batch, key), [sealed] * 8),
        }[operation]
        call(argument)
        start = clock()
        call(argument)
        times[choice].append(clock() - start)
    return welch_t(*times)


def cipher_of(path: str) -> Callable[[bytes], Any]:
    """The class to be measured in this process."""
    module = "mifeng.crypto.sm4_portable" if path == "cryptography" else _CORE
    cipher: Callable[[bytes], Any] = import_module(module).Sm4Gcm
    return cipher


def here(what: str, count: int) -> float:
    """Measure in this process: `sm4 PATH`, or `sm2 PATH OPERATION`."""
    kind, path, *operation = what.split()
    if kind == "sm4":
        return measure(cipher_of(path), count)
    return measure_sm2(import_module(_CORE), operation[0], count // SM2_SHARE)


def in_process(what: str, count: int) -> float:
    """Measure in an interpreter of its own, which is told the code path by its environment."""
    command = [sys.executable, "-m", "benchmarks.native_timing"]
    command += ["--measurements", str(count), "--here", what]
    kind, path, *_ = what.split()
    variable = "MIFENG_NATIVE" if kind == "sm4" else "MIFENG_NATIVE_SM2"
    chosen = {} if path == "cryptography" else {variable: path}
    done = subprocess.run(
        command,
        env={**os.environ, **chosen},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(done.stdout))


def subjects() -> list[str]:
    """What this machine can run, and the library it is compared with."""
    core = import_module(_CORE)
    sm2 = core.sm2_path()
    paths = ["portable", *(["adx"] if sm2.startswith("adx") else [])]
    found = [f"sm4 {path}" for path in core.available()] + [OTHER]
    found += [f"sm2 {path} {operation}" for path in paths for operation in ("sign", "decrypt")]
    return found + (["sm2 ifma batch"] if sm2.endswith("+ifma") else [])


def main() -> int:
    """Command line; 1 if a path of the native core leaks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--measurements", type=int, default=200_000)
    parser.add_argument("--here", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        sys.stdout.write(json.dumps(here(arguments.here, arguments.measurements)))
        return 0
    leaks = 0
    for what in subjects():
        t = median(in_process(what, arguments.measurements // RUNS + i) for i in range(RUNS))
        word = "leaks" if abs(t) > LEAK else "in doubt" if abs(t) > DOUBT else "nothing seen"
        sys.stdout.write(f"{what:>18}  t = {t:+7.2f}  {word}\n")
        sys.stdout.flush()
        leaks += what != OTHER and abs(t) > LEAK
    return leaks > 0


if __name__ == "__main__":
    sys.exit(main())
