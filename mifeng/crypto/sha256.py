"""SHA-256 and HKDF-SHA256 through the `cryptography` library, shaped like the SM3 functions.

Source: FIPS 180-4, RFC 5869.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

if TYPE_CHECKING:
    from mifeng.crypto.buffers import Buffer

SHA256_BYTES: Final = 32
_SHA256: Final = hashes.SHA256()


def sha256(data: Buffer) -> bytes:
    """Return the 32-byte SHA-256 digest of `data`."""
    digest = hashes.Hash(_SHA256)
    digest.update(data)
    return digest.finalize()


def hkdf_extract_sha256(salt: Buffer, ikm: Buffer) -> bytes:
    """Return the 32-byte pseudo-random key; an empty salt means 32 zero bytes."""
    mac = HMAC(bytes(salt) or bytes(SHA256_BYTES), _SHA256)
    mac.update(ikm)
    return mac.finalize()


def hkdf_expand_sha256(prk: Buffer, info: Buffer, length: int) -> bytes:
    """Return `length` bytes, 0 … 8160, expanded from `prk`.

    Raises:
        ValueError: `length` is out of range.
    """
    if not 0 <= length <= 255 * SHA256_BYTES:
        raise ValueError("HKDF-SHA256 gives 0 to 8160 bytes")
    if length == 0:
        return b""
    return HKDFExpand(_SHA256, length, bytes(info)).derive(prk)
