"""SM2 of the native core against other implementations, on random keys and messages.

    python -m tests.native.sm2_differential 200000 [libcrypto|portable|botan|gmssl] [FIRST]

Each case is new in everything: key, message, user identifier. For each operation the two sides
exchange results both ways. A wrong answer is an AssertionError with the case's seed. Cases are
numbered, from FIRST on, so that a long run can be cut into several.
"""

from __future__ import annotations

import importlib
import random
import sys
import time
from typing import Any

from mifeng.crypto import sm2_curve
from mifeng.crypto._native import _core
from mifeng.crypto.errors import DecryptionError, KeyFormatError, SignatureError

ORACLES = {
    "libcrypto": "mifeng.crypto.sm2_libcrypto",
    "portable": "mifeng.crypto.sm2_portable",
    "botan": "tests.native.sm2_botan",
    "gmssl": "tests.native.sm2_gmssl",
}
_ANY_BYTES = bytes(range(256))
_BATCH = 19
"""Cases of one round; not a multiple of eight, so that part-filled lanes are met too."""


def scalar(seed: random.Random, oracle: Any) -> bytes:
    """A private key: mostly uniform, sometimes small, near n or sparse."""
    kind = seed.randrange(8)
    if kind == 0:
        value = seed.randrange(1, 100)
    elif kind == 1:
        value = sm2_curve.N - 2 - seed.randrange(100)
    elif kind == 2:
        value = 1 << seed.randrange(255) | 1 << seed.randrange(255)
    else:
        value = seed.randrange(1, sm2_curve.N - 1)
    if value in getattr(oracle, "UNUSED", ()):
        value -= 1
    return value.to_bytes(32, "big")


def one(seed: random.Random, oracle: Any) -> None:
    """Exchange a key, a signature and a ciphertext with the oracle, both ways."""
    raw = scalar(seed, oracle)
    ours, theirs = _core.Sm2PrivateKey.from_scalar(raw), oracle.Sm2PrivateKey.from_scalar(raw)
    public, their_public = ours.public_key(), theirs.public_key()
    assert public.to_bytes() == their_public.to_bytes()
    data = seed.randbytes(seed.randrange(300))
    letters = getattr(oracle, "IDENTIFIERS", _ANY_BYTES)
    uid = bytes(seed.choices(letters, k=seed.randrange(1, 40)))
    their_public.verify(ours.sign(data, uid=uid), data, uid=uid)
    public.verify(theirs.sign(data, uid=uid), data, uid=uid)
    text = seed.randbytes(seed.randrange(8, getattr(oracle, "LONGEST", 300)))
    assert theirs.decrypt(public.encrypt(text)) == text
    assert ours.decrypt(their_public.encrypt(text)) == text


def batch(seed: random.Random, oracle: Any) -> None:
    """Exchange a batch of each operation, one entry of what we read being wrong."""
    raw = scalar(seed, oracle)
    ours, theirs = _core.Sm2PrivateKey.from_scalar(raw), oracle.Sm2PrivateKey.from_scalar(raw)
    public, their_public = ours.public_key(), theirs.public_key()
    digests = [seed.randbytes(32) for _ in range(_BATCH)]
    texts = [seed.randbytes(seed.randrange(8, 80)) for _ in range(_BATCH)]
    for digest, signature in zip(digests, _core.sm2_sign_batch(ours, digests), strict=True):
        their_public.verify_digest(signature, digest)
    made = [(public, theirs.sign_digest(digest), digest) for digest in digests]
    wrong = seed.randrange(_BATCH)
    made[wrong] = (public, made[wrong][1], seed.randbytes(32))
    assert _core.sm2_verify_batch(made) == [i != wrong for i in range(_BATCH)]
    sent = _core.sm2_encrypt_batch([(public, text) for text in texts])
    for text, ciphertext in zip(texts, sent, strict=True):
        assert theirs.decrypt(ciphertext) == text
    received = [bytearray(their_public.encrypt(text)) for text in texts]
    received[wrong][seed.randrange(len(received[wrong]))] ^= 1 << seed.randrange(8)
    expected = [None if i == wrong else text for i, text in enumerate(texts)]
    assert _core.sm2_decrypt_batch(ours, received) == expected


def compare(cases: int, oracle: Any, *, start: int = 0) -> None:
    """Run that many cases per operation, half of them one by one and half in batches."""
    for number in range(start, start + cases // 2):
        one(random.Random(number), oracle)
    for number in range(start, start + -(-cases // (2 * _BATCH))):
        batch(random.Random(f"batch {number}"), oracle)


def main() -> None:
    """Run from the command line; progress every 10 000 cases."""
    cases = int(sys.argv[1])
    oracle = importlib.import_module(ORACLES[sys.argv[2] if len(sys.argv) > 2 else "libcrypto"])
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    _core.install_errors(decryption=DecryptionError, signature=SignatureError, key=KeyFormatError)
    began = time.monotonic()
    for start in range(0, cases, 10000):
        compare(min(10000, cases - start), oracle, start=first + start)
        print(f"{min(start + 10000, cases)} cases per operation agree", flush=True)
    print(f"path {_core.sm2_path()}, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
