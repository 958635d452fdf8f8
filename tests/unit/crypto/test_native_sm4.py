"""SM4-GCM of the native core: every code path this processor has, and the handle around it."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mifeng.crypto.errors import DecryptionError, KeyFormatError, SignatureError
from tests.native import derive_sm4

core = pytest.importorskip("mifeng.crypto._native._core", reason="the native core is not built")
core.install_errors(decryption=DecryptionError, signature=SignatureError, key=KeyFormatError)

ROOT = Path(__file__).parents[3]
KEY, NONCE = bytes(range(16)), bytes(12)
CHECKS = ["lengths", "associated_data", "alignments", "counter", "tags", "hashes"]


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an interpreter of our own, with its output captured."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", core.available())
def test_every_path_agrees_with_openssl(path: str) -> None:
    """Lengths 0 ... 4 KiB, associated data, alignments, counter carries, forged tags, SM3."""
    done = python("-m", "tests.native.path_check", path, *CHECKS, MIFENG_NATIVE=path)
    assert (done.returncode, done.stdout.split()) == (0, CHECKS), done.stderr


@pytest.mark.vectors
@pytest.mark.parametrize("path", core.available())
def test_every_path_passes_wycheproof(path: str) -> None:
    """Wycheproof's SM4-GCM and HMAC-SM3 cases, on each path."""
    if not os.environ.get("MIFENG_VECTORS_DIR"):
        pytest.skip("MIFENG_VECTORS_DIR is not set")
    done = python("-m", "tests.native.path_check", path, "vectors", MIFENG_NATIVE=path)
    assert (done.returncode, done.stdout.split()) == (0, ["vectors"]), done.stderr


def test_random_cases_agree_with_openssl() -> None:
    """Random cases shared among the paths; CI asks for 100 000 by MIFENG_NATIVE_CASES."""
    cases = os.environ.get("MIFENG_NATIVE_CASES", "10000")
    done = python("-m", "tests.native.differential", "--cases", cases, MIFENG_NATIVE="")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(core.available())


def test_the_constants_are_derived() -> None:
    """The header of constants is, byte for byte, what the derivation from the S-box prints."""
    header = ROOT / "mifeng/crypto/_native/sm4_constants.h"
    assert header.read_text() == derive_sm4.header()


@pytest.mark.parametrize("wanted", ["off", "avx1024", "portable "])
def test_a_path_that_cannot_be_had_is_no_import(wanted: str) -> None:
    """Another path is never taken silently in place of the one asked for."""
    program = "import importlib.machinery as m, importlib.util as u, sys\n"
    program += "s = u.spec_from_file_location('mifeng.crypto._native._core', sys.argv[1])\n"
    program += "u.module_from_spec(s)"
    done = python("-c", program, core.__file__, MIFENG_NATIVE=wanted)
    assert done.returncode == 1
    assert "ImportError: MIFENG_NATIVE" in done.stderr


def test_the_best_path_comes_first() -> None:
    """Without a wish the first usable path is taken; the portable one is always there."""
    done = python(
        "-c",
        "from mifeng.crypto._native import _core as c; print(c.paths()['sm4'], *c.available())",
        MIFENG_NATIVE="",
    )
    chosen, *available = done.stdout.split()
    assert chosen == available[0]
    assert available[-1] == "portable"


@pytest.mark.parametrize("shift", [-40, -16, -1, 1, 16, 40])
def test_partial_overlap_is_refused(shift: int) -> None:
    """Input and output are the same place or different places, nothing between."""
    memory = bytearray(300)
    source, target = memoryview(memory)[50:150], memoryview(memory)[50 + shift : 250 + shift]
    cipher = core.Sm4Gcm(KEY)
    with pytest.raises(ValueError, match="overlap"):
        cipher.seal_into(NONCE, source, b"", target)
    with pytest.raises(ValueError, match="overlap"):
        cipher.open_into(NONCE, source, b"", target)
    assert memory == bytearray(300)


def test_neighbours_do_not_overlap() -> None:
    """Output that begins where the input ends, and the other way round, is accepted."""
    memory = bytearray(200)
    cipher = core.Sm4Gcm(KEY)
    sealed = cipher.seal(NONCE, bytes(50), b"")
    assert cipher.seal_into(NONCE, memoryview(memory)[:50], b"", memoryview(memory)[50:116]) == 66
    assert memory[50:116] == sealed
    memory[:100] = bytes(100)
    assert cipher.seal_into(NONCE, memoryview(memory)[66:116], b"", memoryview(memory)[:66]) == 66


def test_a_forgery_leaves_only_zeros() -> None:
    """After DecryptionError the part of the output that was written is zero, in place too."""
    cipher = core.Sm4Gcm(KEY)
    for size in (0, 1, 100, 5000):
        buffer = bytearray(cipher.seal(NONCE, b"\xee" * size, b""))
        buffer[-1] ^= 1
        tag = bytes(buffer[-16:])
        with pytest.raises(DecryptionError):
            cipher.open_into(NONCE, buffer, b"", buffer)
        assert buffer == bytes(size) + tag


def test_wrong_arguments_hold_no_buffer() -> None:
    """After a refused call every buffer can be resized again, so none is still held."""
    data, out = bytearray(20), bytearray(36)
    cipher = core.Sm4Gcm(KEY)
    for arguments in (
        (bytes(11), data, b"", out),
        (NONCE, data, "text", out),
        (NONCE, data, b"", bytes(36)),
        (NONCE, data, b"", bytearray(len(data) + 15)),
        (NONCE, data, b""),
    ):
        with pytest.raises((TypeError, ValueError, BufferError)):
            cipher.seal_into(*arguments)
        del arguments
        data.append(0)
        out.append(0)


def test_the_handle_is_opaque() -> None:
    """No repr, no pickle, no copy, no attribute and no subclass gets at the key."""
    cipher = core.Sm4Gcm(b"sixteen byte key")
    assert "sixteen" not in repr(cipher)
    assert not hasattr(cipher, "__dict__")
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            attempt(cipher)
    with pytest.raises(TypeError):
        type("Sub", (core.Sm4Gcm,), {})
    with pytest.raises(TypeError):
        core.Sm4Gcm.seal = None


def test_a_long_message_lets_other_threads_run() -> None:
    """While a long message is sealed the interpreter is free: a waiting thread gets its turn."""
    cipher, text = core.Sm4Gcm(KEY), bytes(1 << 22)
    out = bytearray(len(text) + 16)
    go, turns, before = threading.Semaphore(0), [], 0

    def take_turns() -> None:
        for _ in range(200):
            go.acquire()
            turns.append(1)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=take_turns)
    thread.start()
    sys.setswitchinterval(1000)  # nobody is interrupted: a turn must be given away
    try:
        for _ in range(100):
            go.release()
            before = len(turns)
            cipher.seal_into(NONCE, text, b"", out)
            if len(turns) > before:
                break
    finally:
        seen = len(turns) > before
        sys.setswitchinterval(interval)
        go.release(200)
        thread.join()
    assert seen


def test_threads_share_a_handle() -> None:
    """One handle used by many threads at once gives every one of them the right answer."""
    cipher, text = core.Sm4Gcm(KEY), bytes(20_000)
    expected = [cipher.seal(i.to_bytes(12, "big"), text, b"") for i in range(8)]
    wrong: list[int] = []

    def work(number: int) -> None:
        nonce = number.to_bytes(12, "big")
        answers = {cipher.seal(nonce, text, b"") for _ in range(30)}
        wrong.extend([number] * (answers != {expected[number]}))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
