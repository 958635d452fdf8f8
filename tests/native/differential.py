"""Random SM4-GCM and SM3 cases, the native core against the `cryptography` library.

    python -m tests.native.differential --cases 100000          # what CI runs
    nice -n 10 python -m tests.native.differential --cases 10000000

The cases are shared out among the code paths this processor has, one process each. A case draws
key, nonce, associated data, text and the way of calling at random; it seals, compares with
OpenSSL's ciphertext and tag, opens, opens with one bit changed somewhere, and hashes. Lengths
favour the neighbourhoods of what the code treats specially (blocks, batches, nothing).
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mifeng.crypto import DecryptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

POOL = 1 << 18
EDGES = (0, 16, 224, 256, 480, 512, 992, 1024, 2016, 2048, 3040, 4064, 4096)


def openssl_seal(key: bytes, nonce: bytes, data: bytes, aad: bytes) -> bytes:
    """What OpenSSL makes of it: ciphertext and tag."""
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return encryptor.update(data) + encryptor.finalize() + encryptor.tag


def openssl_sm3(data: bytes) -> bytes:
    """What OpenSSL makes of it: the digest."""
    digest = hashes.Hash(hashes.SM3())
    digest.update(data)
    return digest.finalize()


class DisagreementError(AssertionError):
    """The two libraries differ; the message reproduces the case."""


def draw_length(source: random.Random) -> int:
    """A text length: mostly short, often next to an edge, now and then some kilobytes."""
    kind = source.random()
    if kind < 0.6:
        return source.randrange(130)
    if kind < 0.85:
        return max(0, source.choice(EDGES[:9]) + source.randrange(-17, 18))
    if kind < 0.97:
        return source.randrange(1200)
    return max(0, source.choice(EDGES) * source.randrange(1, 4) + source.randrange(-17, 18))


def run_cases(count: int, seed: int) -> str:
    """Run `count` cases in this process; the name of the code path.

    Raises:
        DisagreementError: at the first difference.
    """
    core = import_module("mifeng.crypto._native._core")
    source = random.Random(seed)
    pool = b""
    for case in range(count):
        if case % 1000 == 0:
            pool = source.randbytes(POOL)
        at = source.randrange(POOL - 20000)
        size, aad_size = draw_length(source), source.randrange(64)
        key, nonce = pool[at : at + 16], pool[at + 16 : at + 28]
        aad, data = pool[at + 28 : at + 28 + aad_size], pool[at + 100 : at + 100 + size]
        expected = openssl_seal(key, nonce, data, aad)
        cipher = core.Sm4Gcm(key)
        if case & 1:
            sealed = cipher.seal(nonce, data, aad)
            opened = cipher.open(nonce, sealed, aad)
        else:
            buffer = bytearray(data) + bytearray(16)
            cipher.seal_into(nonce, memoryview(buffer)[:size], aad, buffer)
            sealed = bytes(buffer)
            cipher.open_into(nonce, buffer, aad, buffer)
            opened = bytes(buffer[:size])
        forged = bytearray(sealed)
        forged[source.randrange(len(forged))] ^= 1 << (case & 7)
        try:
            cipher.open(nonce, forged, aad)
            refused = False
        except DecryptionError:
            refused = True
        good = sealed == expected and opened == data and refused
        if not good or core.sm3(data) != openssl_sm3(data):
            raise DisagreementError(f"seed {seed} case {case}: {size} and {aad_size} bytes")
    return str(core.paths()["sm4"])


def run_paths(cases: int, seed: int, paths: Sequence[str]) -> int:
    """Share the cases among the paths, one process after the other; how many failed."""
    failed = 0
    for number, path in enumerate(paths):
        share = cases // len(paths) + (number < cases % len(paths))
        command = [sys.executable, "-m", "tests.native.differential"]
        command += ["--cases", str(share), "--seed", str(seed + number), "--here"]
        done = subprocess.run(command, env={**os.environ, "MIFENG_NATIVE": path}, check=False)
        failed += done.returncode != 0
    return failed


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--here", action="store_true", help="this process and its path only")
    arguments = parser.parse_args()
    if not arguments.here:
        core = import_module("mifeng.crypto._native._core")
        return run_paths(arguments.cases, arguments.seed, core.available())
    path = run_cases(arguments.cases, arguments.seed)
    sys.stdout.write(f"{path}: {arguments.cases} cases agree, seed {arguments.seed}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
