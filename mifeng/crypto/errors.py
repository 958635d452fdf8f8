"""Every error the crypto layer raises on purpose, each with a stable `code`.

    CryptoError                 crypto
    ├── DecryptionError         crypto.decryption   ciphertext, tag or encapsulation is not genuine
    ├── SignatureError          crypto.signature    signature is not one of this key over this data
    └── KeyFormatError          crypto.key          bytes that are no key, point or key file

A `DecryptionError` and a `SignatureError` never say which check failed: whoever can choose the
input must learn one bit. A `ValueError` means the caller broke an API's stated lengths; no bytes
from a peer can cause one.
"""

from __future__ import annotations

from typing import ClassVar


class CryptoError(Exception):
    """Base of everything below; `code` may be refined per instance."""

    code: str = "crypto"

    def __init__(self, message: str = "", *, code: str | None = None) -> None:
        super().__init__(message or self.code)
        if code is not None:
            self.code = code


class DecryptionError(CryptoError):
    """The input does not decrypt. There is one such failure, without detail."""

    code = "crypto.decryption"
    _MESSAGE: ClassVar[str] = "decryption failed"

    def __init__(self, message: str = _MESSAGE) -> None:
        super().__init__(message)


class SignatureError(CryptoError):
    """The signature does not verify. There is one such failure, without detail."""

    code = "crypto.signature"
    _MESSAGE: ClassVar[str] = "signature is not valid"

    def __init__(self, message: str = _MESSAGE) -> None:
        super().__init__(message)


class KeyFormatError(CryptoError):
    """The bytes are not a key of the expected kind, or not in its one encoding."""

    code = "crypto.key"
