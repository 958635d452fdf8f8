"""GmSSL's SM2 through PyPI gmssl-pyx, shaped like our classes: an oracle for differential runs.

Its code is its own, in C. It is given random test keys only, and takes no public key from a
scalar, so the public half is this package's slow Python's.

Source: gmssl-pyx 2.1, `sm2_sign`, `sm2_verify`, `sm2_encrypt`, `sm2_decrypt` and `…_sm3_digest`.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from mifeng.crypto import sm2_portable
from mifeng.crypto.errors import DecryptionError, SignatureError
from mifeng.crypto.sm2_codec import (
    ciphertext_from_der,
    ciphertext_to_der,
    signature_from_der,
    signature_to_der,
)
from mifeng.crypto.sm2_curve import DEFAULT_UID, N

_gmssl: Final[Any] = importlib.import_module("gmssl_pyx")
UNUSED: Final = frozenset({N - 70})
"""Private keys under which it does not accept its own signatures; nobody meets one by chance."""
LONGEST: Final = 255
"""Bytes of a plaintext."""


class Sm2PublicKey:
    """See `mifeng.crypto.Sm2PublicKey`."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def to_bytes(self) -> bytes:
        """Return 04 ‖ X ‖ Y."""
        return self._raw

    def verify(self, signature: bytes, data: bytes, *, uid: bytes = DEFAULT_UID) -> None:
        """Return if it verifies, else raise `SignatureError`."""
        der = signature_to_der(signature)
        if not _gmssl.sm2_verify(self._raw[1:], data, der, signer_id=uid):
            raise SignatureError

    def verify_digest(self, signature: bytes, digest: bytes) -> None:
        """Do the same for a digest."""
        der = signature_to_der(signature)
        if not _gmssl.sm2_verify_sm3_digest(self._raw[1:], digest, der):
            raise SignatureError

    def encrypt(self, plaintext: bytes) -> bytes:
        """Return C1 ‖ C3 ‖ C2."""
        return ciphertext_from_der(_gmssl.sm2_encrypt(self._raw[1:], plaintext))


class Sm2PrivateKey:
    """See `mifeng.crypto.Sm2PrivateKey`."""

    def __init__(self, scalar: bytes) -> None:
        self._scalar = scalar
        self._public = sm2_portable.Sm2PrivateKey.from_scalar(scalar).public_key().to_bytes()

    @classmethod
    def from_scalar(cls, scalar: bytes) -> Sm2PrivateKey:
        """Take d, 32 bytes."""
        return cls(scalar)

    def public_key(self) -> Sm2PublicKey:
        """Return the public half."""
        return Sm2PublicKey(self._public)

    def sign(self, data: bytes, *, uid: bytes = DEFAULT_UID) -> bytes:
        """Return r ‖ s."""
        made = _gmssl.sm2_sign(self._scalar, self._public[1:], data, signer_id=uid)
        return signature_from_der(made)

    def sign_digest(self, digest: bytes) -> bytes:
        """Return r ‖ s over a digest."""
        return signature_from_der(_gmssl.sm2_sign_sm3_digest(self._scalar, digest))

    def decrypt(self, ciphertext: bytes) -> bytes:
        """Return the plaintext of C1 ‖ C3 ‖ C2, or raise `DecryptionError`."""
        try:
            made = _gmssl.sm2_decrypt(self._scalar, ciphertext_to_der(ciphertext))
        except _gmssl.GmsslInnerError:
            raise DecryptionError from None
        return bytes(made)
