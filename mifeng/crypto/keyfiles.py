"""Key files: encrypted PKCS #8 for private keys, SubjectPublicKeyInfo for public ones, both PEM.

`generate` writes; the `read_*` functions take untrusted bytes. SM2 private keys are encrypted with
PBKDF2-HMAC-SM3 and SM4-CBC, others with PBKDF2-HMAC-SHA256 and AES-256-CBC (`pbes2`). No function
exports a key from a `SigningKey`: what is to be in a file is put there when it is made. A key that
is written or read passes through Python memory once, and cannot be erased there.

Source: RFC 5958, RFC 5480, RFC 8410, RFC 7468; GB/T 35276-2017 §7.1; docs/spec/crypto.md §9.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from mifeng.crypto import Sm2PrivateKey, Sm2PublicKey, der, pbes2, sm3
from mifeng.crypto.errors import CryptoError, KeyFormatError
from mifeng.crypto.signatures import SigningKey, VerifyKey
from mifeng.crypto.sm2_curve import N

__all__ = [
    "KEY_ALGS",
    "KeyAlg",
    "PublicKey",
    "generate",
    "read_private",
    "read_public",
    "read_signing_key",
]

KeyAlg: TypeAlias = Literal["sm2", "p256", "x25519"]
KEY_ALGS: Final[tuple[KeyAlg, ...]] = ("sm2", "p256", "x25519")

_EC: Final = der.oid("1.2.840.10045.2.1")
_SPKI: Final[dict[KeyAlg, bytes]] = {
    "sm2": der.sequence(_EC, der.oid("1.2.156.10197.1.301")),
    "p256": der.sequence(_EC, der.oid("1.2.840.10045.3.1.7")),
    "x25519": der.sequence(der.oid("1.3.101.110")),
}
_POINT_TAG: Final = 0xA1  # ECPrivateKey's [1] publicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The public part of a key file, checked to be a key of its algorithm."""

    alg: KeyAlg
    raw: bytes
    """04 ‖ X ‖ Y, 65 bytes, or the 32 bytes of an X25519 key."""

    def spki(self) -> bytes:
        """Return the DER SubjectPublicKeyInfo."""
        return der.sequence(_SPKI[self.alg], der.element(der.BIT_STRING, b"\x00", self.raw))

    def pem(self) -> bytes:
        """Return the PEM file that `openssl pkey -pubin` reads."""
        return _armour("PUBLIC KEY", self.spki())

    def fingerprint(self) -> bytes:
        """Return SM3(SubjectPublicKeyInfo), 32 bytes, whatever the algorithm."""
        return sm3(self.spki())


def generate(alg: KeyAlg, passphrase: bytes) -> tuple[bytes, PublicKey]:
    """Return the PEM of a new encrypted private key, and its public part.

    Args:
        alg: `sm2`, `p256` or `x25519`.
        passphrase: at least one byte.

    Raises:
        ValueError: the passphrase is empty.
    """
    if alg == "sm2":
        scalar = (1 + secrets.randbelow(N - 2)).to_bytes(32, "big")
        raw = Sm2PrivateKey.from_scalar(scalar).public_key().to_bytes()
        public = PublicKey(alg=alg, raw=raw)
        encrypted = pbes2.encrypt(_sm2_key_info(scalar, raw), passphrase, "sm")
    else:
        key = (
            ec.generate_private_key(ec.SECP256R1())
            if alg == "p256"
            else X25519PrivateKey.generate()
        )
        public = _public_part(key)
        key_info = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        encrypted = pbes2.encrypt(key_info, passphrase, "intl")
    return _armour("ENCRYPTED PRIVATE KEY", encrypted), public


def read_public(pem: bytes) -> PublicKey:
    """Return the key of a PEM `PUBLIC KEY` file, untrusted.

    Raises:
        KeyFormatError: not such a file, not one of the three algorithms, or no valid key.
    """
    contents = _unarmour(pem, "PUBLIC KEY")
    try:
        outer = der.Reader(contents)
        body = outer.sequence()
        outer.end()
        identifier = der.element(der.SEQUENCE, body.take(der.SEQUENCE))
        bits = body.take(der.BIT_STRING)
        body.end()
    except der.DerError:
        raise KeyFormatError("not a SubjectPublicKeyInfo") from None
    for alg, expected in _SPKI.items():
        if identifier == expected and bits[:1] == b"\x00":
            return _checked(alg, bits[1:])
    raise KeyFormatError("not an SM2, P-256 or X25519 public key")


def read_private(pem: bytes, passphrase: bytes | None) -> SigningKey | X25519PrivateKey:
    """Return the key of a PEM PKCS #8 file, untrusted.

    Args:
        pem: the file, `ENCRYPTED PRIVATE KEY` or `PRIVATE KEY`.
        passphrase: what encrypts it; None demands a file that is not encrypted.

    Raises:
        KeyFormatError: not such a file, or not one of the three algorithms.
        DecryptionError: the passphrase is wrong, or the file was spoilt.
    """
    if passphrase is None:
        key_info = _unarmour(pem, "PRIVATE KEY")
    else:
        key_info = pbes2.decrypt(_unarmour(pem, "ENCRYPTED PRIVATE KEY"), passphrase)
    if _is_sm2(key_info):
        return SigningKey(_sm2_from_key_info(key_info))
    try:
        key = load_der_private_key(key_info, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFormatError("not an SM2, P-256 or X25519 private key") from None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return SigningKey(key)
    if isinstance(key, X25519PrivateKey):
        return key
    raise KeyFormatError("not an SM2, P-256 or X25519 private key")


def read_signing_key(pem: bytes, passphrase: bytes | None) -> SigningKey:
    """Return the signing key of a PEM PKCS #8 file; see `read_private`.

    Raises:
        KeyFormatError: also where the key only agrees on secrets (X25519).
    """
    key = read_private(pem, passphrase)
    if isinstance(key, SigningKey):
        return key
    raise KeyFormatError("an X25519 key does not sign")


def public_part(key: SigningKey | X25519PrivateKey) -> PublicKey:
    """Return the public part of what `read_private` returned."""
    if isinstance(key, SigningKey):
        return PublicKey(alg=key.alg, raw=key.public_bytes)
    return _public_part(key)


def _public_part(key: ec.EllipticCurvePrivateKey | X25519PrivateKey) -> PublicKey:
    if isinstance(key, X25519PrivateKey):
        return PublicKey(alg="x25519", raw=key.public_key().public_bytes_raw())
    raw = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return PublicKey(alg="p256", raw=raw)


def _checked(alg: KeyAlg, raw: bytes) -> PublicKey:
    if alg == "x25519":
        try:
            X25519PublicKey.from_public_bytes(raw)
        except ValueError:
            raise KeyFormatError("an X25519 public key is 32 bytes") from None
    else:
        VerifyKey(alg, raw)
    return PublicKey(alg=alg, raw=raw)


def _sm2_key_info(scalar: bytes, public: bytes) -> bytes:
    """Return PrivateKeyInfo with RFC 5915's ECPrivateKey inside, as OpenSSL writes it."""
    point = der.element(_POINT_TAG, der.element(der.BIT_STRING, b"\x00", public))
    key = der.sequence(der.integer(1), der.octets(scalar), point)
    return der.sequence(der.integer(0), _SPKI["sm2"], der.octets(key))


def _is_sm2(key_info: bytes) -> bool:
    try:
        body = der.Reader(key_info).sequence()
        body.integer()
        return der.element(der.SEQUENCE, body.take(der.SEQUENCE)) == _SPKI["sm2"]
    except der.DerError:
        return False


def _sm2_from_key_info(key_info: bytes) -> Sm2PrivateKey:
    try:
        outer = der.Reader(key_info)
        body = outer.sequence()
        outer.end()
        version, _ = body.integer(), body.take(der.SEQUENCE)
        inner = der.Reader(body.take(der.OCTET_STRING))
        body.end()
        fields = inner.sequence()
        inner.end()
        key_version, scalar = fields.integer(), fields.take(der.OCTET_STRING)
        point = der.Reader(fields.take(_POINT_TAG))
        bits = point.take(der.BIT_STRING)
        point.end()
        fields.end()
    except der.DerError:
        raise KeyFormatError("not an SM2 private key with its public point") from None
    if (version, key_version) != (0, 1) or bits[:1] != b"\x00":
        raise KeyFormatError("not an SM2 private key with its public point")
    key = Sm2PrivateKey.from_scalar(scalar)
    if key.public_key() != Sm2PublicKey.from_bytes(bits[1:]):
        raise KeyFormatError("the private key and the public point beside it differ")
    return key


def _armour(label: str, contents: bytes) -> bytes:
    text = base64.b64encode(contents)
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    return b"\n".join((begin, *lines, end, b""))


def _unarmour(pem: bytes, label: str) -> bytes:
    lines = pem.strip().splitlines()
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    if len(lines) < 3 or lines[0] != begin or lines[-1] != end:  # noqa: PLR2004 - three lines
        raise KeyFormatError(f"not a PEM file with one {label}")
    try:
        return base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except ValueError:
        raise KeyFormatError("not base64") from None


def parse_alg(name: str) -> KeyAlg:
    """Return `name` if it names one of the three algorithms.

    Raises:
        CryptoError: code `crypto.alg`.
    """
    for alg in KEY_ALGS:
        if name == alg:
            return alg
    raise CryptoError(f"no key algorithm {name!r}", code="crypto.alg")
