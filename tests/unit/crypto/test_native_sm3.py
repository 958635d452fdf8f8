"""SM3 of the native core where it differs from other providers: many messages, buffers, limits."""

from __future__ import annotations

import copy
import pickle

import pytest

from mifeng.crypto import sm3_portable
from mifeng.crypto.errors import DecryptionError, KeyFormatError, SignatureError

core = pytest.importorskip("mifeng.crypto._native._core", reason="the native core is not built")
core.install_errors(decryption=DecryptionError, signature=SignatureError, key=KeyFormatError)


def test_many_keeps_the_order_of_mixed_sizes() -> None:
    """Messages are sorted by size inside; the digests come back in the order given."""
    leaves = [bytes([i]) * (i * 37 % 150) for i in range(100)]
    assert core.sm3_many(leaves) == [sm3_portable.sm3(leaf) for leaf in leaves]


def test_many_of_nothing() -> None:
    """No messages give no digests; empty messages give the digest of the empty message."""
    assert core.sm3_many([]) == []
    assert core.sm3_many([b""] * 20) == [sm3_portable.sm3(b"")] * 20


def test_many_takes_every_sequence_of_buffers() -> None:
    """Lists and tuples of bytes, bytearray and memoryview."""
    expected = [sm3_portable.sm3(b"leaf")] * 3
    assert core.sm3_many((b"leaf", bytearray(b"leaf"), memoryview(b"leaf"))) == expected


@pytest.mark.parametrize("wrong", [[b"a", "text"], [b"a", 1], 7, [b"a", memoryview(b"abcd")[::2]]])
def test_many_refuses_what_is_no_buffer(wrong: object) -> None:
    """Something that is not a sequence of contiguous buffers is the caller's error."""
    with pytest.raises((TypeError, BufferError)):
        core.sm3_many(wrong)


def test_a_refused_call_holds_no_buffer() -> None:
    """After a refused call the good leaves can be resized again, so none is still held."""
    leaf = bytearray(b"leaf")
    with pytest.raises(TypeError):
        core.sm3_many([leaf, None])
    leaf.append(0)


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_updates_of_every_size_around_a_block(cut: int) -> None:
    """A message cut anywhere in three has the digest of the whole."""
    message = bytes(range(200))
    running = core.Sm3()
    running.update(message[: cut // 2])
    running.update(message[cut // 2 : cut])
    running.update(message[cut:])
    assert running.digest() == sm3_portable.sm3(message)


def test_a_long_message_in_one_piece_and_in_many() -> None:
    """Above 4 KiB the interpreter is released; the digest is the same."""
    message = bytes(range(256)) * 400
    running = core.Sm3()
    for start in range(0, len(message), 5000):
        running.update(message[start : start + 5000])
    assert running.digest() == core.sm3(message) == sm3_portable.sm3(message)


def test_hkdf_limits() -> None:
    """RFC 5869: 255 digests at most; the first bytes of a longer output are the shorter one."""
    longest = core.hkdf_expand_sm3(b"p" * 32, b"info", 8160)
    assert core.hkdf_expand_sm3(b"p" * 32, b"info", 33) == longest[:33]
    assert core.hkdf_expand_sm3(b"p" * 32, b"info", 0) == b""
    for length in (-1, 8161):
        with pytest.raises(ValueError, match="8160"):
            core.hkdf_expand_sm3(b"p" * 32, b"info", length)
        with pytest.raises(ValueError, match="8160"):
            core.hkdf_sm3(b"ikm", salt=b"", info=b"", length=length)


def test_hkdf_is_extract_then_expand() -> None:
    """The one call equals the two, with and without salt."""
    for salt in (b"", b"salt", b"s" * 100):
        prk = core.hkdf_extract_sm3(salt, b"ikm")
        assert prk == core.hmac_sm3(salt, b"ikm")
        whole = core.hkdf_sm3(b"ikm", salt=salt, info=b"info", length=70)
        assert whole == core.hkdf_expand_sm3(prk, b"info", 70)


def test_a_running_hash_is_not_pickled() -> None:
    """The state may hold a key; `copy` is its one way to be doubled."""
    running = core.Sm3()
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="not pickled"):
            attempt(running)
