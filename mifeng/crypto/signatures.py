"""Signatures with either algorithm behind one pair of classes: `sm2` and `p256`.

A signature is 64 bytes, r ‖ s, both in [1, n-1]; a public key is 65 bytes, 04 ‖ X ‖ Y. SM2 signs
under the default identifier. Both algorithms accept more than one signature per message and key
(ECDSA also (r, n-s)): a signature authenticates data, it does not name it.

This module does not import `suites`: a log signer has no business decapsulating.

Source: GB/T 32918.2-2016 with SM3; FIPS 186-5 §6 with SHA-256; docs/spec/crypto.md §7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mifeng.crypto import (
    DEFAULT_UID,
    Sm2PrivateKey,
    Sm2PublicKey,
    sm2_sign_many,
    sm2_verify_many,
    sm3_many,
)
from mifeng.crypto.buffers import Buffer, Secret
from mifeng.crypto.errors import CryptoError, KeyFormatError, SignatureError
from mifeng.crypto.sm2_curve import identity_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SIGNATURE_BYTES", "SIGN_ALGS", "SignAlg", "SigningKey", "VerifyKey", "failing"]

SignAlg: TypeAlias = Literal["sm2", "p256"]
SIGN_ALGS: Final[tuple[SignAlg, ...]] = ("sm2", "p256")
SIGNATURE_BYTES: Final = 64
PUBLIC_KEY_BYTES: Final = 65

_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ECDSA: Final = ec.ECDSA(hashes.SHA256())


class VerifyKey:
    """A public key of one algorithm; equal by algorithm and bytes."""

    __slots__ = ("_key", "_za", "alg", "public_bytes")

    alg: SignAlg
    public_bytes: bytes

    def __init__(self, alg: SignAlg | str, public_bytes: Buffer) -> None:
        """Take 04 ‖ X ‖ Y, untrusted.

        Raises:
            CryptoError: code `crypto.alg`, no such algorithm.
            KeyFormatError: not a point of that algorithm's curve in that form.
        """
        raw = bytes(public_bytes)
        self._key: Sm2PublicKey | ec.EllipticCurvePublicKey
        match alg:
            case "sm2":
                self.alg = "sm2"
                self._key = Sm2PublicKey.from_bytes(raw)
            case "p256":
                self.alg = "p256"
                self._key = _p256_public(raw)
            case _:
                raise _unknown(alg)
        self.public_bytes = raw
        self._za = b""

    def za(self) -> bytes:
        """Return Z_A of an SM2 key under the default identifier, 32 bytes; computed once."""
        if not self._za:
            self._za = identity_digest(self.public_bytes, DEFAULT_UID)
        return self._za

    def verify(self, signature: Buffer, data: Buffer) -> None:
        """Return if `signature` = r ‖ s is this key's over `data`.

        Raises:
            SignatureError: it is not, for whatever reason.
        """
        if isinstance(self._key, ec.EllipticCurvePublicKey):
            try:
                self._key.verify(_p256_der(bytes(signature)), data, _ECDSA)
            except InvalidSignature:
                raise SignatureError from None
        else:
            self._key.verify(signature, data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, VerifyKey):
            return NotImplemented
        return (self.alg, self.public_bytes) == (other.alg, other.public_bytes)

    def __hash__(self) -> int:
        return hash((self.alg, self.public_bytes))

    def __repr__(self) -> str:
        return f"VerifyKey({self.alg!r}, {self.public_bytes.hex()})"


class SigningKey(Secret):
    """A private key of one algorithm; it does not print, pickle or compare."""

    __slots__ = ("_key", "alg", "public_bytes")

    alg: SignAlg
    public_bytes: bytes

    def __init__(self, key: Sm2PrivateKey | ec.EllipticCurvePrivateKey) -> None:
        """Wrap a private key.

        Raises:
            KeyFormatError: an elliptic-curve key on another curve than P-256.
        """
        self._key = key
        if isinstance(key, ec.EllipticCurvePrivateKey):
            if not isinstance(key.curve, ec.SECP256R1):
                raise KeyFormatError("not a P-256 key")
            self.alg = "p256"
            self.public_bytes = key.public_key().public_bytes(
                Encoding.X962, PublicFormat.UncompressedPoint
            )
        else:
            self.alg = "sm2"
            self.public_bytes = key.public_key().to_bytes()

    @classmethod
    def generate(cls, alg: SignAlg | str) -> SigningKey:
        """Return a new key of that algorithm.

        Raises:
            CryptoError: code `crypto.alg`, no such algorithm.
        """
        match alg:
            case "sm2":
                return cls(Sm2PrivateKey.generate())
            case "p256":
                return cls(ec.generate_private_key(ec.SECP256R1()))
            case _:
                raise _unknown(alg)

    def sign(self, data: Buffer) -> bytes:
        """Return r ‖ s, 64 bytes, over `data`."""
        if isinstance(self._key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self._key.sign(data, _ECDSA))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        return self._key.sign(data)

    def sign_many(self, messages: Sequence[Buffer]) -> list[bytes]:
        """Return `sign` of each message, in order; SM2's in lanes."""
        if isinstance(self._key, ec.EllipticCurvePrivateKey) or len(messages) == 1:
            return [self.sign(message) for message in messages]
        za = identity_digest(self.public_bytes, DEFAULT_UID)
        return sm2_sign_many(self._key, sm3_many([za + bytes(each) for each in messages]))

    def verify_key(self) -> VerifyKey:
        """Return the public half."""
        return VerifyKey(self.alg, self.public_bytes)


def failing(entries: Sequence[tuple[VerifyKey, Buffer, Buffer]]) -> list[int]:
    """Return the places of all (key, signature, data) that `verify` would refuse, ascending.

    SM2's are checked in lanes, each with its own verdict: a bad one is named and cannot hide
    behind a good one.
    """
    bad, places, sm2, texts = [], [], [], []
    for place, (key, signature, data) in enumerate(entries):
        if isinstance(key._key, ec.EllipticCurvePublicKey):  # noqa: SLF001 - its own module
            try:
                key.verify(signature, data)
            except SignatureError:
                bad.append(place)
        else:
            places.append(place)
            sm2.append((key._key, signature))  # noqa: SLF001 - as above
            texts.append(key.za() + bytes(data))
    work = [(*each, digest) for each, digest in zip(sm2, sm3_many(texts), strict=True)]
    verdicts = zip(places, sm2_verify_many(work), strict=True)
    return sorted([*bad, *(place for place, good in verdicts if not good)])


def _p256_public(raw: bytes) -> ec.EllipticCurvePublicKey:
    if len(raw) != PUBLIC_KEY_BYTES or raw[0] != 4:  # noqa: PLR2004 - the uncompressed form's tag
        raise KeyFormatError("a P-256 point is 04 ‖ X ‖ Y, 65 bytes")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    except ValueError:
        raise KeyFormatError("not a point of the P-256 curve") from None


def _p256_der(signature: bytes) -> bytes:
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < _P256_ORDER and 0 < s < _P256_ORDER):
        raise SignatureError
    return encode_dss_signature(r, s)


def _unknown(alg: str) -> CryptoError:
    return CryptoError(f"no signature algorithm {alg!r}", code="crypto.alg")
