"""Password-based encryption of private keys: PKCS #8 EncryptedPrivateKeyInfo with PBES2.

Two combinations are written and read: PBKDF2-HMAC-SM3 with SM4-CBC, and the PBKDF2-HMAC-SHA256
with AES-256-CBC that `openssl genpkey -aes256` writes; a mixture of the two is read as well.
OpenSSL 3.0 cannot read the first (it lacks HMAC-SM3 as a PRF), later ones can. CBC proves nothing
about integrity: whoever can change the file can spoil the key, so `keyfiles` checks the decrypted
scalar against the public point beside it.

Source: RFC 5958 §3, RFC 8018 §6.2 and appendix A; GM/T 0091-2020 (identifier of HMAC-SM3);
docs/spec/crypto.md §9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.padding import PKCS7

from mifeng.crypto import der
from mifeng.crypto.errors import DecryptionError, KeyFormatError
from mifeng.crypto.randomness import random_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm

Profile: TypeAlias = Literal["sm", "intl"]

ITERATIONS: Final = 600_000
"""PBKDF2 rounds of what this module writes: a few tenths of a second."""
MAX_ITERATIONS: Final = 10_000_000
"""A file that asks for more is refused: it would only waste the reader's time."""

_SALT_BYTES: Final = 16
_BLOCK_BYTES: Final = 16
_PBES2: Final = der.oid("1.2.840.113549.1.5.13")
_PBKDF2: Final = der.oid("1.2.840.113549.1.5.12")
_NULL: Final = der.element(der.NULL)
_HMAC_SHA256: Final = der.oid("1.2.840.113549.2.9")
_AES256_CBC: Final = der.oid("2.16.840.1.101.3.4.1.42")
_HMAC_SM3: Final = der.oid("1.2.156.10197.1.401.3.1")
_SM4_CBC: Final = der.oid("1.2.156.10197.1.104.2")
_PRFS: Final[dict[bytes, hashes.HashAlgorithm]] = {
    _HMAC_SM3: hashes.SM3(),
    der.oid("1.2.156.10197.1.401.2"): hashes.SM3(),  # GM/T 0006-2012's own number for it
    _HMAC_SHA256: hashes.SHA256(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scheme:
    cipher: type[algorithms.SM4 | algorithms.AES]
    key_bytes: int

    def keyed(self, key: bytes, iv: bytes) -> Cipher[modes.CBC]:
        algorithm: BlockCipherAlgorithm = self.cipher(key)
        return Cipher(algorithm, modes.CBC(iv))


_SCHEMES: Final[dict[bytes, _Scheme]] = {
    _SM4_CBC: _Scheme(cipher=algorithms.SM4, key_bytes=16),
    _AES256_CBC: _Scheme(cipher=algorithms.AES, key_bytes=32),
}


_PROFILES: Final[dict[Profile, tuple[bytes, bytes]]] = {
    "sm": (_HMAC_SM3, _SM4_CBC),
    "intl": (_HMAC_SHA256, _AES256_CBC),
}


def encrypt(key_info: bytes, passphrase: bytes, profile: Profile) -> bytes:
    """Return the DER of EncryptedPrivateKeyInfo around a DER PrivateKeyInfo.

    Raises:
        ValueError: the passphrase is empty.
    """
    if not passphrase:
        raise ValueError("the passphrase is empty")
    prf, cipher = _PROFILES[profile]
    salt, iv = random_bytes(_SALT_BYTES), random_bytes(_BLOCK_BYTES)
    scheme = _SCHEMES[cipher]
    padder = PKCS7(8 * _BLOCK_BYTES).padder()
    padded = padder.update(key_info) + padder.finalize()
    key = _derive(passphrase, salt, ITERATIONS, _PRFS[prf], scheme.key_bytes)
    encryptor = scheme.keyed(key, iv).encryptor()
    kdf = der.sequence(
        _PBKDF2,
        der.sequence(der.octets(salt), der.integer(ITERATIONS), der.sequence(prf, _NULL)),
    )
    parameters = der.sequence(kdf, der.sequence(cipher, der.octets(iv)))
    return der.sequence(
        der.sequence(_PBES2, parameters),
        der.octets(encryptor.update(padded) + encryptor.finalize()),
    )


def decrypt(encrypted: bytes, passphrase: bytes) -> bytes:
    """Return the DER PrivateKeyInfo inside a DER EncryptedPrivateKeyInfo, untrusted.

    Raises:
        KeyFormatError: not that structure, or a KDF or cipher that is not read here.
        DecryptionError: the passphrase is wrong, or the ciphertext was spoilt.
    """
    try:
        scheme, prf, salt, iterations, iv, data = _parse(encrypted)
    except der.DerError:
        raise KeyFormatError("not a PKCS #8 key encrypted with PBES2") from None
    if not 1 <= iterations <= MAX_ITERATIONS:
        raise KeyFormatError("an unreasonable number of PBKDF2 iterations")
    if len(iv) != _BLOCK_BYTES or not data or len(data) % _BLOCK_BYTES:
        raise KeyFormatError("the ciphertext is not whole blocks with their IV")
    key = _derive(passphrase, salt, iterations, prf, scheme.key_bytes)
    decryptor = scheme.keyed(key, iv).decryptor()
    unpadder = PKCS7(8 * _BLOCK_BYTES).unpadder()
    try:
        padded = decryptor.update(data) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise DecryptionError from None


def _parse(
    encrypted: bytes,
) -> tuple[_Scheme, hashes.HashAlgorithm, bytes, int, bytes, bytes]:
    outer = der.Reader(encrypted)
    body = outer.sequence()
    outer.end()
    algorithm = body.sequence()
    data = body.take(der.OCTET_STRING)
    body.end()
    _expect(algorithm, _PBES2)
    parameters = algorithm.sequence()
    algorithm.end()
    kdf, cipher = parameters.sequence(), parameters.sequence()
    parameters.end()
    _expect(kdf, _PBKDF2)
    kdf_parameters = kdf.sequence()
    kdf.end()
    salt, iterations = kdf_parameters.take(der.OCTET_STRING), kdf_parameters.integer()
    stated = kdf_parameters.integer() if kdf_parameters.peek() == der.INTEGER else None
    prf_identifier = kdf_parameters.sequence()
    kdf_parameters.end()
    prf = _PRFS.get(_oid(prf_identifier))
    prf_identifier.take(der.NULL)
    prf_identifier.end()
    scheme = _SCHEMES.get(_oid(cipher))
    iv = cipher.take(der.OCTET_STRING)
    cipher.end()
    if scheme is None or prf is None or stated not in (None, scheme.key_bytes):
        raise KeyFormatError("a KDF or cipher that is not read here")
    return scheme, prf, salt, iterations, iv, data


def _oid(reader: der.Reader) -> bytes:
    return der.element(der.OBJECT_IDENTIFIER, reader.take(der.OBJECT_IDENTIFIER))


def _expect(reader: der.Reader, identifier: bytes) -> None:
    if _oid(reader) != identifier:
        raise KeyFormatError("not a PKCS #8 key encrypted with PBES2")


def _derive(
    passphrase: bytes, salt: bytes, iterations: int, prf: hashes.HashAlgorithm, length: int
) -> bytes:
    kdf = PBKDF2HMAC(algorithm=prf, length=length, salt=salt, iterations=iterations)
    return kdf.derive(passphrase)
