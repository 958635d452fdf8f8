"""The part of SM2 public-key encryption that is not curve arithmetic: KDF, mask and C3.

Ciphertexts have one raw form here, C1 ‖ C3 ‖ C2 with C1 = 04 ‖ x1 ‖ y1. C2 has the length of the
plaintext.

Source: GB/T 32918.4-2016 §5.4.3, §6, §7; docs/spec/crypto.md §5.
"""

from __future__ import annotations

from typing import Final

from mifeng.crypto.buffers import Buffer, constant_time_equal
from mifeng.crypto.errors import DecryptionError
from mifeng.crypto.sm2_curve import POINT_BYTES
from mifeng.crypto.sm3_portable import SM3_BYTES, sm3

OVERHEAD_BYTES: Final = POINT_BYTES + SM3_BYTES
"""Ciphertext length minus plaintext length: 97."""


def kdf(shared: bytes, length: int) -> bytes:
    """Return `length` ≥ 1 bytes of SM3(shared ‖ counter), counter = 1, 2, … in 32 bits."""
    blocks = (sm3(shared + i.to_bytes(4, "big")) for i in range(1, -(-length // SM3_BYTES) + 1))
    return b"".join(blocks)[:length]


def mask(x2: bytes, y2: bytes, text: bytes) -> bytes | None:
    """Return text ⊕ KDF(x2 ‖ y2), or None where the whole key stream is zero (§6 A5, §7 B4)."""
    length = len(text)
    stream = int.from_bytes(kdf(x2 + y2, length), "big")
    if stream == 0:
        return None
    return (int.from_bytes(text, "big") ^ stream).to_bytes(length, "big")


def tag(x2: bytes, y2: bytes, plaintext: bytes) -> bytes:
    """Return C3 = SM3(x2 ‖ plaintext ‖ y2)."""
    return sm3(x2 + plaintext + y2)


def split(ciphertext: Buffer) -> tuple[bytes, bytes, bytes]:
    """Return C1, C3, C2 of a raw ciphertext.

    Raises:
        DecryptionError: too short to hold one byte of plaintext.
    """
    raw = bytes(ciphertext)
    if len(raw) <= OVERHEAD_BYTES:
        raise DecryptionError
    return raw[:POINT_BYTES], raw[POINT_BYTES:OVERHEAD_BYTES], raw[OVERHEAD_BYTES:]


def unmask(x2: bytes, y2: bytes, c3: bytes, c2: bytes) -> bytes:
    """Return the plaintext of C2 after checking C3.

    Raises:
        DecryptionError: the key stream is all zero, or C3 is not that of the plaintext.
    """
    plaintext = mask(x2, y2, c2)
    if plaintext is None or not constant_time_equal(tag(x2, y2, plaintext), c3):
        raise DecryptionError
    return plaintext
