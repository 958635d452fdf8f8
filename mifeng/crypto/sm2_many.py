"""Many SM2 operations in one call: in the native core's lanes, or one by one.

Entry by entry the results and refusals are those of single calls; a bad entry spoils no other.
Where the core has lanes, three entries are enough to use them; fewer are single calls there too.

Source: docs/spec/crypto.md §4, §5; docs/native-sm2.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mifeng.crypto.errors import DecryptionError, SignatureError
from mifeng.crypto.providers import implementation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mifeng.crypto.buffers import Buffer
    from mifeng.crypto.sm2_portable import Sm2PrivateKey, Sm2PublicKey

    Verification = tuple[Sm2PublicKey, Buffer, Buffer]

__all__ = ["sm2_decrypt_many", "sm2_encrypt_many", "sm2_sign_many", "sm2_verify_many"]


def _sign(key: Sm2PrivateKey, digests: Sequence[Buffer]) -> list[bytes]:
    return [key.sign_digest(digest) for digest in digests]


def _verify(entries: Sequence[Verification]) -> list[bool]:
    return [_verifies(*entry) for entry in entries]


def _verifies(key: Sm2PublicKey, signature: Buffer, digest: Buffer) -> bool:
    try:
        key.verify_digest(signature, digest)
    except SignatureError:
        return False
    return True


def _encrypt(entries: Sequence[tuple[Sm2PublicKey, Buffer]]) -> list[bytes]:
    return [key.encrypt(plaintext) for key, plaintext in entries]


def _decrypt(key: Sm2PrivateKey, ciphertexts: Sequence[Buffer]) -> list[bytes | None]:
    return [_decrypted(key, ciphertext) for ciphertext in ciphertexts]


def _decrypted(key: Sm2PrivateKey, ciphertext: Buffer) -> bytes | None:
    try:
        return key.decrypt(ciphertext)
    except DecryptionError:
        return None


_SM2: Final = implementation("sm2")
_SIGN: Final[Callable[[Sm2PrivateKey, Sequence[Buffer]], list[bytes]]] = getattr(
    _SM2, "sm2_sign_batch", _sign
)
_VERIFY: Final[Callable[[Sequence[Verification]], list[bool]]] = getattr(
    _SM2, "sm2_verify_batch", _verify
)
_ENCRYPT: Final[Callable[[Sequence[tuple[Sm2PublicKey, Buffer]]], list[bytes]]] = getattr(
    _SM2, "sm2_encrypt_batch", _encrypt
)
_DECRYPT: Final[Callable[[Sm2PrivateKey, Sequence[Buffer]], list[bytes | None]]] = getattr(
    _SM2, "sm2_decrypt_batch", _decrypt
)


def sm2_sign_many(key: Sm2PrivateKey, digests: Sequence[Buffer]) -> list[bytes]:
    """Return `key.sign_digest` of each digest, in order.

    Raises:
        ValueError: a digest is not 32 bytes.
    """
    return _SIGN(key, digests)


def sm2_verify_many(entries: Sequence[Verification]) -> list[bool]:
    """Return for each (public key, signature, digest) whether `verify_digest` would return.

    Nothing is combined at random: each has its own verdict, so a bad one is named.

    Raises:
        ValueError: a digest is not 32 bytes.
    """
    return _VERIFY(entries)


def sm2_encrypt_many(entries: Sequence[tuple[Sm2PublicKey, Buffer]]) -> list[bytes]:
    """Return the ciphertext of each (public key, plaintext), in order.

    Raises:
        ValueError: a plaintext is empty.
    """
    return _ENCRYPT(entries)


def sm2_decrypt_many(key: Sm2PrivateKey, ciphertexts: Sequence[Buffer]) -> list[bytes | None]:
    """Return each plaintext, or None where `decrypt` would raise `DecryptionError`."""
    return _DECRYPT(key, ciphertexts)
