"""AES-256-GCM through the `cryptography` library, with the methods and errors of `Sm4Gcm`.

Constant-time on processors with AES and carry-less multiplication instructions, which OpenSSL
uses where they exist.

Source: NIST SP 800-38D; RFC 5116 §5.2.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mifeng.crypto.buffers import Buffer, Secret, WritableBuffer
from mifeng.crypto.errors import DecryptionError, KeyFormatError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class Aes256Gcm(Secret):
    """AES-256-GCM under one 32-byte key: 12-byte nonces, 16-byte tags behind the ciphertext."""

    __slots__ = ("_aead",)

    def __init__(self, key: Buffer) -> None:
        """Take a 32-byte key.

        Raises:
            KeyFormatError: the key is not 32 bytes.
        """
        if len(key) != KEY_BYTES:
            raise KeyFormatError("an AES-256 key is 32 bytes")
        self._aead = AESGCM(bytes(key))

    def seal(self, nonce: Buffer, data: Buffer, aad: Buffer) -> bytes:
        """Return ciphertext ‖ tag; see `Sm4Gcm.seal`."""
        _check_nonce(nonce)
        return self._aead.encrypt(nonce, data, aad)

    def open(self, nonce: Buffer, data: Buffer, aad: Buffer) -> bytes:
        """Return the plaintext; see `Sm4Gcm.open`."""
        _check_nonce(nonce)
        try:
            return self._aead.decrypt(nonce, data, aad)
        except InvalidTag:
            raise DecryptionError from None

    def seal_into(self, nonce: Buffer, data: Buffer, aad: Buffer, out: WritableBuffer) -> int:
        """Write ciphertext ‖ tag to `out`; see `Sm4Gcm.seal_into`."""
        _check_nonce(nonce)
        sealed = len(data) + TAG_BYTES
        return self._aead.encrypt_into(nonce, data, aad, _room(out, sealed)[:sealed])

    def open_into(self, nonce: Buffer, data: Buffer, aad: Buffer, out: WritableBuffer) -> int:
        """Write the plaintext to `out`; see `Sm4Gcm.open_into`."""
        _check_nonce(nonce)
        opened = len(data) - TAG_BYTES
        view = _room(out, max(opened, 0))
        if opened < 0:
            raise DecryptionError
        try:
            return self._aead.decrypt_into(nonce, data, aad, view[:opened])
        except InvalidTag:
            view[:opened] = bytes(opened)
            raise DecryptionError from None


def _check_nonce(nonce: Buffer) -> None:
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a GCM nonce is 12 bytes")


def _room(out: WritableBuffer, needed: int) -> memoryview:
    view = memoryview(out).cast("B")
    if view.readonly or len(view) < needed:
        raise ValueError(f"the output buffer must be writable and hold {needed} bytes")
    return view
