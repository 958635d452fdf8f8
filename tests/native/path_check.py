"""One code path of the native core against OpenSSL and third-party vectors, in its own process.

    MIFENG_NATIVE=avx2-gfni python -m tests.native.path_check avx2-gfni lengths

The path is chosen when the core is imported, so the tests start one interpreter for each. A check
that fails raises; one that ran says so on standard output.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mifeng.crypto import DecryptionError
from tests.native.differential import openssl_seal, openssl_sm3

core = import_module("mifeng.crypto._native._core")

KEY, NONCE = bytes(range(16)), bytes(range(100, 112))
TEXT = bytes((i * 131 + (i >> 8) * 17) & 0xFF for i in range(4200))


def expect(condition: object, what: str) -> None:
    """Raise AssertionError with `what` unless the condition holds."""
    if not condition:
        raise AssertionError(what)


def lengths() -> None:
    """Every length from 0 to 4 KiB of text, sealed and opened."""
    cipher = core.Sm4Gcm(KEY)
    for size in range(4097):
        sealed = cipher.seal(NONCE, TEXT[:size], b"")
        expect(sealed == openssl_seal(KEY, NONCE, TEXT[:size], b""), f"seal {size}")
        expect(cipher.open(NONCE, sealed, b"") == TEXT[:size], f"open {size}")


def associated_data() -> None:
    """Every length of associated data up to 600 bytes, and some around larger batches."""
    cipher = core.Sm4Gcm(KEY)
    for size in (*range(601), *range(1015, 1035), *range(2040, 2060), 4200):
        sealed = openssl_seal(KEY, NONCE, TEXT[: size % 50], TEXT[:size])
        expect(cipher.seal(NONCE, TEXT[: size % 50], TEXT[:size]) == sealed, f"aad {size}")


def alignments() -> None:
    """Every alignment of input and output within 64 bytes; in place; no byte too many."""
    cipher = core.Sm4Gcm(KEY)
    sealed = openssl_seal(KEY, NONCE, TEXT[:2500], b"aad")
    for offset in range(64):
        source, target = bytearray(offset) + TEXT[:2500], bytearray(b"\x5a" * 2700)
        view = memoryview(target)[63 - offset :]
        written = cipher.seal_into(NONCE, memoryview(source)[offset:], b"aad", view)
        expect(
            view[:written] == sealed and bytes(view[written:]) == b"\x5a" * (len(view) - written),
            f"offset {offset}",
        )
        expect(
            cipher.open_into(NONCE, view[:written], b"aad", view) == len(TEXT[:2500]), "in place"
        )
        expect(view[:2500] == TEXT[:2500], f"in place, offset {offset}")


def counter() -> None:
    """The block counter carries into its second and third byte (past 2^16 blocks)."""
    size = (1 << 20) + 3000
    text = bytes(size)
    sealed = core.Sm4Gcm(KEY).seal(NONCE, text, b"")
    stream = Cipher(algorithms.SM4(KEY), modes.CTR(NONCE + b"\0\0\0\2")).encryptor().update(text)
    expect(sealed[:-16] == stream, "key stream")
    expect(sealed == openssl_seal(KEY, NONCE, text, b""), "tag")


def tags() -> None:
    """Each bit of the tag counts, and no shorter tag is accepted."""
    cipher = core.Sm4Gcm(KEY)
    sealed = cipher.seal(NONCE, TEXT[:100], b"aad")
    forgeries = [sealed[:-cut] for cut in range(1, 117)]
    for bit in range(8 * len(sealed)):
        bent = bytearray(sealed)
        bent[bit // 8] ^= 1 << bit % 8
        forgeries.append(bytes(bent))
    for forged in forgeries:
        try:
            cipher.open(NONCE, forged, b"aad")
        except DecryptionError:
            continue
        raise AssertionError(f"accepted {forged.hex()}")


def hashes() -> None:
    """SM3 of every length to 1 KiB, and of many messages in every number and mixture."""
    expected = [openssl_sm3(TEXT[:size]) for size in range(1025)]
    expect([core.sm3(TEXT[:size]) for size in range(1025)] == expected, "one by one")
    expect(core.sm3_many([TEXT[:size] for size in range(1025)]) == expected, "one of each")
    for count in range(40):
        sizes = [(7 * i * i + 64 * (i % 3)) % 130 if i % 4 else 65 for i in range(count)]
        leaves = [TEXT[:size] for size in sizes]
        expect(core.sm3_many(leaves) == [expected[size] for size in sizes], f"{count} leaves")
        same = [TEXT[i : i + 200] for i in range(count)]
        expect(core.sm3_many(same) == [openssl_sm3(leaf) for leaf in same], f"{count} alike")


def vectors() -> None:
    """Wycheproof's SM4-GCM and HMAC-SM3 cases that have 96-bit nonces and whole tags."""
    folder = Path(os.environ["MIFENG_VECTORS_DIR"], "wycheproof")
    ran = 0
    for group in json.loads((folder / "sm4_gcm_test.json").read_text())["testGroups"]:
        for test in group["tests"] if (group["ivSize"], group["tagSize"]) == (96, 128) else []:
            key, nonce, aad, text, body, tag = (
                bytes.fromhex(test[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")
            )
            cipher = core.Sm4Gcm(key)
            try:
                opened = cipher.open(nonce, body + tag, aad)
            except DecryptionError:
                expect(test["result"] == "invalid", f"case {test['tcId']} refused")
            else:
                expect(test["result"] == "valid" and opened == text, f"case {test['tcId']}")
                expect(cipher.seal(nonce, text, aad) == body + tag, f"case {test['tcId']} sealed")
            ran += 1
    for group in json.loads((folder / "hmac_sm3_test.json").read_text())["testGroups"]:
        for test in group["tests"]:
            got = core.hmac_sm3(bytes.fromhex(test["key"]), bytes.fromhex(test["msg"]))
            same = got[: group["tagSize"] // 8].hex() == test["tag"]
            expect(same == (test["result"] == "valid"), f"HMAC {test['tcId']}")
            ran += 1
    expect(ran > 200, f"only {ran} cases")


CHECKS = {
    check.__name__: check
    for check in (lengths, associated_data, alignments, counter, tags, hashes, vectors)
}


def main() -> None:
    """Run the checks named on the command line on the path named before them."""
    path, *names = sys.argv[1:]
    expect(core.paths()["sm4"] == path, f"running {core.paths()['sm4']}")
    for name in names:
        CHECKS[name]()
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
