"""Counter nonces for AEAD streams: never twice, and never past the limits of one key.

Nonce i is the base XOR (0⁴ ‖ i as 64-bit big-endian), as in TLS 1.3. A key seals at most 2³² messages
and 64 GiB; after that the stream must have ended or been rekeyed.

Source: RFC 8446 §5.3; NIST SP 800-38D §8.3; docs/spec/crypto.md §3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mifeng.crypto.errors import CryptoError, KeyFormatError

if TYPE_CHECKING:
    from mifeng.crypto.buffers import Buffer

NONCE_BYTES: Final = 12
MAX_MESSAGES: Final = 2**32
MAX_BYTES: Final = 64 * 2**30


class NonceSequence:
    """The nonces of one key in one direction, in order, within the key's limits."""

    __slots__ = ("_base", "_bytes", "_count")

    def __init__(self, base: Buffer) -> None:
        """Start at `base`, 12 bytes derived together with the key.

        Raises:
            KeyFormatError: not 12 bytes.
        """
        if len(base) != NONCE_BYTES:
            raise KeyFormatError("a base nonce is 12 bytes")
        self._base = int.from_bytes(bytes(base), "big")
        self._count = 0
        self._bytes = 0

    def next(self, length: int) -> bytes:
        """Return the nonce for the next message, `length` ≥ 0 bytes of plaintext.

        Raises:
            CryptoError: code `crypto.key_exhausted`; the key may seal nothing more of this length.
        """
        if self._count >= MAX_MESSAGES or self._bytes + length > MAX_BYTES:
            raise CryptoError("the key's limits are reached", code="crypto.key_exhausted")
        nonce = self._base ^ self._count
        self._count += 1
        self._bytes += length
        return nonce.to_bytes(NONCE_BYTES, "big")
