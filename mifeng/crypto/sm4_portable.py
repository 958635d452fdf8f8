"""SM4-GCM through the `cryptography` library, behind the names of the native core.

OpenSSL's portable SM4 looks its S-box and its T-tables up with secret indices, so whoever shares
the cache (the host of a confidential VM, for one) can learn about the key: **not constant-time**.
The class never chooses a nonce; giving the same one twice with one key breaks GCM completely.

Source: GB/T 32907-2016 (SM4), NIST SP 800-38D (GCM), RFC 8998 §3.2; docs/spec/crypto.md §3.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from mifeng.crypto.buffers import Buffer, Secret, WritableBuffer
from mifeng.crypto.errors import DecryptionError, KeyFormatError

KEY_BYTES: Final = 16
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
MAX_MESSAGE_BYTES: Final = 2**36 - 32
"""Longest message GCM allows under one nonce (SP 800-38D §5.2.1.1)."""

_BLOCK: Final = 16


class Sm4Gcm(Secret):
    """SM4-GCM under one 16-byte key: 12-byte nonces, 16-byte tags behind the ciphertext."""

    __slots__ = ("_algorithm",)

    def __init__(self, key: Buffer) -> None:
        """Take a 16-byte key.

        Raises:
            KeyFormatError: the key is not 16 bytes.
        """
        if len(key) != KEY_BYTES:
            raise KeyFormatError("an SM4 key is 16 bytes")
        self._algorithm = algorithms.SM4(bytes(key))

    def seal(self, nonce: Buffer, data: Buffer, aad: Buffer) -> bytes:
        """Return ciphertext ‖ tag for `data`, binding `aad`.

        Args:
            nonce: 12 bytes, never used before with this key.
            data: 0 … 2³⁶-32 bytes.
            aad: authenticated, not encrypted; any length.

        Raises:
            ValueError: nonce or data of a forbidden length.
        """
        out = bytearray(len(data) + TAG_BYTES)
        self.seal_into(nonce, data, aad, out)
        return bytes(out)

    def open(self, nonce: Buffer, data: Buffer, aad: Buffer) -> bytes:
        """Return the plaintext of `data` = ciphertext ‖ tag.

        Raises:
            DecryptionError: `data` was not sealed with this key, nonce and `aad`.
            ValueError: the nonce is not 12 bytes.
        """
        out = bytearray(max(len(data) - TAG_BYTES, 0))
        self.open_into(nonce, data, aad, out)
        return bytes(out)

    def seal_into(self, nonce: Buffer, data: Buffer, aad: Buffer, out: WritableBuffer) -> int:
        """Write ciphertext ‖ tag to the start of `out` and return its length, `len(data) + 16`.

        `out` may be the memory of `data` itself; a partial overlap is not supported.

        Raises:
            ValueError: nonce or data of a forbidden length, or `out` too small.
        """
        length = len(data)
        view = _room(out, length + TAG_BYTES)
        _check_nonce(nonce)
        if length > MAX_MESSAGE_BYTES:
            raise ValueError("a GCM message is at most 2^36-32 bytes")
        encryptor = Cipher(self._algorithm, modes.GCM(bytes(nonce))).encryptor()
        encryptor.authenticate_additional_data(aad)
        encryptor.update_into(data, view[:length])
        encryptor.finalize()
        view[length : length + TAG_BYTES] = encryptor.tag
        return length + TAG_BYTES

    def open_into(self, nonce: Buffer, data: Buffer, aad: Buffer, out: WritableBuffer) -> int:
        """Write the plaintext to the start of `out` and return its length, `len(data) - 16`.

        On failure no plaintext is left in `out`. `out` may be the memory of `data` itself.

        Raises:
            DecryptionError: `data` was not sealed with this key, nonce and `aad`.
            ValueError: the nonce is not 12 bytes, or `out` too small.
        """
        length = len(data) - TAG_BYTES
        view = _room(out, max(length, 0))
        _check_nonce(nonce)
        if not 0 <= length <= MAX_MESSAGE_BYTES:
            raise DecryptionError
        source = memoryview(data).cast("B")
        mode = modes.GCM(bytes(nonce), bytes(source[length:]))
        decryptor = Cipher(self._algorithm, mode).decryptor()
        decryptor.authenticate_additional_data(aad)
        decryptor.update_into(source[:length], view[:length])
        try:
            decryptor.finalize()
        except InvalidTag:
            view[:length] = bytes(length)
            raise DecryptionError from None
        return length


def _check_nonce(nonce: Buffer) -> None:
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a GCM nonce is 12 bytes")


def _room(out: WritableBuffer, needed: int) -> memoryview:
    view = memoryview(out).cast("B")
    if view.readonly or len(view) < needed:
        raise ValueError(f"the output buffer must be writable and hold {needed} bytes")
    return view
