"""National and international cryptography behind one set of names.

This façade holds the SM primitives and the errors. `mifeng.crypto.suites` (key encapsulation, KDF,
AEAD) and `mifeng.crypto.signatures` are imported by name, so that code which must not open
envelopes can be kept from importing the former. Which implementation answers is
`mifeng.crypto.providers`' business; all of them behave alike (tests/unit/crypto/test_contract_*).

Source: docs/spec/crypto.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mifeng.crypto.buffers import Buffer, constant_time_equal
from mifeng.crypto.errors import CryptoError, DecryptionError, KeyFormatError, SignatureError
from mifeng.crypto.providers import implementation
from mifeng.crypto.sm2_codec import (
    ciphertext_from_der,
    ciphertext_to_der,
    signature_from_der,
    signature_to_der,
)
from mifeng.crypto.sm2_curve import DEFAULT_UID
from mifeng.crypto.sm2_many import (
    sm2_decrypt_many,
    sm2_encrypt_many,
    sm2_sign_many,
    sm2_verify_many,
)

if TYPE_CHECKING:
    from mifeng.crypto.sm2_portable import Sm2PrivateKey, Sm2PublicKey
    from mifeng.crypto.sm3_portable import (
        Sm3,
        hkdf_expand_sm3,
        hkdf_extract_sm3,
        hkdf_sm3,
        hmac_sm3,
        sm3,
        sm3_many,
    )
    from mifeng.crypto.sm4_portable import Sm4Gcm
else:
    _SM2, _SM3, _SM4 = (implementation(primitive) for primitive in ("sm2", "sm3", "sm4"))
    Sm2PrivateKey, Sm2PublicKey = _SM2.Sm2PrivateKey, _SM2.Sm2PublicKey
    Sm3, sm3, sm3_many = _SM3.Sm3, _SM3.sm3, _SM3.sm3_many
    hmac_sm3, hkdf_sm3 = _SM3.hmac_sm3, _SM3.hkdf_sm3
    hkdf_extract_sm3, hkdf_expand_sm3 = _SM3.hkdf_extract_sm3, _SM3.hkdf_expand_sm3
    Sm4Gcm = _SM4.Sm4Gcm

__all__ = [
    "DEFAULT_UID",
    "Buffer",
    "CryptoError",
    "DecryptionError",
    "KeyFormatError",
    "SignatureError",
    "Sm2PrivateKey",
    "Sm2PublicKey",
    "Sm3",
    "Sm4Gcm",
    "ciphertext_from_der",
    "ciphertext_to_der",
    "constant_time_equal",
    "hkdf_expand_sm3",
    "hkdf_extract_sm3",
    "hkdf_sm3",
    "hmac_sm3",
    "signature_from_der",
    "signature_to_der",
    "sm2_decrypt_many",
    "sm2_encrypt_many",
    "sm2_sign_many",
    "sm2_verify_many",
    "sm3",
    "sm3_many",
]
