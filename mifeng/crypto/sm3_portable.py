"""SM3, HMAC-SM3 and HKDF-SM3 through the `cryptography` library.

SM3 is additions, rotations and Boolean functions on 32-bit words: no table, no secret-dependent
branch, so this path is constant-time for inputs of equal length.

Source: GB/T 32905-2016 (SM3), RFC 2104 (HMAC), RFC 5869 (HKDF); docs/spec/crypto.md §2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mifeng.crypto.buffers import Buffer

__all__ = [
    "SM3_BYTES",
    "Sm3",
    "hkdf_expand_sm3",
    "hkdf_extract_sm3",
    "hkdf_sm3",
    "hmac_sm3",
    "sm3",
    "sm3_many",
]

SM3_BYTES: Final = 32
HKDF_MAX_BYTES: Final = 255 * SM3_BYTES
_SM3: Final = hashes.SM3()


class Sm3:
    """Running SM3; `digest` may be read at any point and does not end it."""

    __slots__ = ("_hash",)

    def __init__(self, data: Buffer = b"") -> None:
        self._hash = hashes.Hash(_SM3)
        self._hash.update(data)

    def update(self, data: Buffer) -> None:
        """Append `data` to the message."""
        self._hash.update(data)

    def digest(self) -> bytes:
        """Return the 32-byte digest of everything appended so far."""
        return self._hash.copy().finalize()

    def copy(self) -> Sm3:
        """Return an independent hash of the same prefix."""
        twin = Sm3()
        twin._hash = self._hash.copy()
        return twin


def sm3(data: Buffer) -> bytes:
    """Return the 32-byte SM3 digest of `data`."""
    digest = hashes.Hash(_SM3)
    digest.update(data)
    return digest.finalize()


def sm3_many(leaves: Sequence[Buffer]) -> list[bytes]:
    """Return the SM3 digest of every leaf, in order; the native core does 16 at a time."""
    return [sm3(leaf) for leaf in leaves]


def hmac_sm3(key: Buffer, data: Buffer) -> bytes:
    """Return the 32-byte HMAC-SM3 of `data` under `key` of any length."""
    mac = HMAC(bytes(key) or bytes(SM3_BYTES), _SM3)
    mac.update(data)
    return mac.finalize()


def hkdf_extract_sm3(salt: Buffer, ikm: Buffer) -> bytes:
    """Return the 32-byte pseudo-random key of RFC 5869 §2.2; an empty salt means 32 zero bytes."""
    return hmac_sm3(salt, ikm)


def hkdf_expand_sm3(prk: Buffer, info: Buffer, length: int) -> bytes:
    """Return `length` bytes expanded from `prk`, RFC 5869 §2.3.

    Args:
        prk: uniformly random, 32 bytes or more; shorter is weaker and not refused.
        info: binds the output to its use; any length.
        length: 0 … 8160 bytes.

    Raises:
        ValueError: `length` is out of range.
    """
    if not 0 <= length <= HKDF_MAX_BYTES:
        raise ValueError("HKDF-SM3 gives 0 to 8160 bytes")
    block, output = b"", b""
    suffix = bytes(info)
    for counter in range(1, -(-length // SM3_BYTES) + 1):
        block = hmac_sm3(prk, block + suffix + bytes((counter,)))
        output += block
    return output[:length]


def hkdf_sm3(ikm: Buffer, *, salt: Buffer, info: Buffer, length: int) -> bytes:
    """Return `length` bytes: expand(extract(salt, ikm), info), RFC 5869 §2."""
    return hkdf_expand_sm3(hkdf_extract_sm3(salt, ikm), info, length)
