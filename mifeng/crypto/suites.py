"""Cipher suites: one frozen object each for key encapsulation, KDF, hash and AEAD.

Code above this module is suite-blind: it looks a suite up by its id and calls it. There is no
default, no negotiation and no fallback from one suite to another.

    0x0001  sm      SM2 encryption of 32 random bytes; HKDF-SM3; SM4-GCM; SM2 signatures
    0x0002  sm-pq   as sm, and ML-KEM-768 beside it (experimental)
    0x0101  intl    DHKEM(X25519, HKDF-SHA256); HKDF-SHA256; AES-256-GCM; ECDSA P-256

A decapsulation key lives in memory only, belongs to one suite and is never a signing key.

Source: docs/spec/crypto.md §8.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from mifeng.crypto import Sm4Gcm, hkdf_expand_sm3, hkdf_extract_sm3, sm3
from mifeng.crypto.aes_gcm import Aes256Gcm
from mifeng.crypto.errors import CryptoError, DecryptionError
from mifeng.crypto.kem import DecapKey, Kem, Sm2Kem, Sm2MlKem, X25519Kem
from mifeng.crypto.sha256 import hkdf_expand_sha256, hkdf_extract_sha256, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mifeng.crypto.buffers import Buffer, WritableBuffer
    from mifeng.crypto.signatures import SignAlg

__all__ = ["SUITES", "Aead", "DecapKey", "Suite", "suite"]


class Aead(Protocol):
    """Authenticated encryption under one key: 12-byte nonces, 16-byte tags at the end."""

    def seal(self, nonce: Buffer, data: Buffer, aad: Buffer, /) -> bytes:
        """Return ciphertext ‖ tag."""

    def open(self, nonce: Buffer, data: Buffer, aad: Buffer, /) -> bytes:
        """Return the plaintext or raise `DecryptionError`."""

    def seal_into(self, nonce: Buffer, data: Buffer, aad: Buffer, out: WritableBuffer, /) -> int:
        """Write ciphertext ‖ tag to `out` and return its length."""

    def open_into(self, nonce: Buffer, data: Buffer, aad: Buffer, out: WritableBuffer, /) -> int:
        """Write the plaintext to `out` and return its length, or raise `DecryptionError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """One cipher suite. Sizes are in bytes."""

    id: int
    """16-bit identifier, in every header and every keyset."""
    name: str
    key_bytes: int
    """AEAD key."""
    ct_bytes: int
    """Encapsulation; always exactly this long."""
    hash_bytes: int
    """Digest, and the pseudo-random key of `extract`."""
    public_key_bytes: int
    """Encapsulation key."""
    sign_alg: SignAlg
    """What keysets of this suite sign with (`mifeng.crypto.signatures`)."""
    experimental: bool
    """Whether the construction still waits for a final specification."""
    _kem: Kem
    _extract: Callable[[Buffer, Buffer], bytes]
    _expand: Callable[[Buffer, Buffer, int], bytes]
    _hash: Callable[[Buffer], bytes]
    _aead: Callable[[Buffer], Aead]

    def generate(self) -> DecapKey:
        """Return a new decapsulation key of this suite; `.public_bytes` is its public half."""
        return self._kem.generate(self.id)

    def encap(self, public: Buffer) -> tuple[bytes, bytes]:
        """Return (ciphertext, shared secret) for a public key, untrusted.

        Raises:
            KeyFormatError: not a public key of this suite.
        """
        return self._kem.encap(bytes(public))

    def encap_many(self, public: Buffer, count: int) -> list[tuple[bytes, bytes]]:
        """Return `count` independent results of `encap` for one key, SM2's in lanes.

        Raises:
            KeyFormatError: not a public key of this suite.
        """
        return self._kem.encap_many(bytes(public), count)

    def decap(self, key: DecapKey, ct: Buffer) -> bytes:
        """Return the shared secret of an encapsulation, untrusted.

        Raises:
            DecryptionError: it was not made for `key`, or not made at all.
            CryptoError: code `crypto.suite`, `key` belongs to another suite.
        """
        if key.suite_id != self.id:
            raise CryptoError("the key belongs to another suite", code="crypto.suite")
        raw = bytes(ct)
        if len(raw) != self.ct_bytes:
            raise DecryptionError
        return key.decap(raw)

    def decap_many(self, key: DecapKey, cts: Sequence[Buffer]) -> list[bytes | None]:
        """Return for each encapsulation its secret, or None where `decap` would raise.

        SM2's are opened in lanes; a bad one fails alone and costs the others nothing.

        Raises:
            CryptoError: code `crypto.suite`, `key` belongs to another suite.
        """
        if key.suite_id != self.id:
            raise CryptoError("the key belongs to another suite", code="crypto.suite")
        raws = [bytes(ct) for ct in cts]
        secrets = iter(key.decap_many([raw for raw in raws if len(raw) == self.ct_bytes]))
        return [next(secrets) if len(raw) == self.ct_bytes else None for raw in raws]

    def extract(self, salt: Buffer, ikm: Buffer) -> bytes:
        """Return HKDF-Extract(salt, ikm), `hash_bytes` long."""
        return self._extract(salt, ikm)

    def expand(self, prk: Buffer, info: Buffer, n: int) -> bytes:
        """Return `n` bytes of HKDF-Expand(prk, info), 0 ≤ n ≤ 255·`hash_bytes`."""
        return self._expand(prk, info, n)

    def hash(self, data: Buffer) -> bytes:
        """Return the digest of `data`, `hash_bytes` long."""
        return self._hash(data)

    def aead(self, key: Buffer) -> Aead:
        """Return the AEAD under a key of `key_bytes`.

        Raises:
            KeyFormatError: the key has another length.
        """
        return self._aead(key)


def suite(suite_id: int) -> Suite:
    """Return the suite with this identifier, untrusted.

    Raises:
        CryptoError: code `crypto.suite`, there is none.
    """
    try:
        return SUITES[suite_id]
    except KeyError:
        raise CryptoError(f"no suite {suite_id:#06x}", code="crypto.suite") from None


def _sm(suite_id: int, name: str, kem: Kem, *, experimental: bool) -> Suite:
    return Suite(
        id=suite_id,
        name=name,
        key_bytes=16,
        ct_bytes=kem.ct_bytes,
        hash_bytes=32,
        public_key_bytes=kem.public_key_bytes,
        sign_alg="sm2",
        experimental=experimental,
        _kem=kem,
        _extract=hkdf_extract_sm3,
        _expand=hkdf_expand_sm3,
        _hash=sm3,
        _aead=Sm4Gcm,
    )


def _intl(suite_id: int, name: str, kem: Kem) -> Suite:
    return Suite(
        id=suite_id,
        name=name,
        key_bytes=32,
        ct_bytes=kem.ct_bytes,
        hash_bytes=32,
        public_key_bytes=kem.public_key_bytes,
        sign_alg="p256",
        experimental=False,
        _kem=kem,
        _extract=hkdf_extract_sha256,
        _expand=hkdf_expand_sha256,
        _hash=sha256,
        _aead=Aes256Gcm,
    )


SUITES: Final[Mapping[int, Suite]] = MappingProxyType(
    {
        one.id: one
        for one in (
            _sm(0x0001, "sm", Sm2Kem(), experimental=False),
            _sm(0x0002, "sm-pq", Sm2MlKem(), experimental=True),
            _intl(0x0101, "intl", X25519Kem()),
        )
    }
)
"""Every suite by identifier. Which of them a party accepts is its policy, not this table."""
