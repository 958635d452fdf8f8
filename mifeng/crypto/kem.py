"""The key-encapsulation mechanisms behind the suites.

`Kem` makes keys and encapsulates; a `DecapKey` decapsulates. Lengths of what comes in are checked
by `suites.Suite` before a key sees it.

Source: GB/T 32918.4-2016 (SM2), FIPS 203 (ML-KEM), RFC 9180 §4.1 (DHKEM); docs/spec/crypto.md §8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mifeng.crypto import Sm2PrivateKey, Sm2PublicKey, sm2_decrypt_many, sm2_encrypt_many
from mifeng.crypto.buffers import Secret
from mifeng.crypto.errors import DecryptionError, KeyFormatError
from mifeng.crypto.randomness import random_bytes
from mifeng.crypto.sha256 import hkdf_expand_sha256, hkdf_extract_sha256

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET_BYTES: Final = 32
SM2_PUBLIC_BYTES: Final = 65
SM2_CT_BYTES: Final = 129
MLKEM768_PUBLIC_BYTES: Final = 1184
MLKEM768_CT_BYTES: Final = 1088
X25519_BYTES: Final = 32


class DecapKey(Secret):
    """A private decapsulation key of one suite; it does not print, pickle or compare."""

    __slots__ = ("public_bytes", "suite_id")

    def __init__(self, *, suite_id: int, public_bytes: bytes) -> None:
        self.suite_id: Final = suite_id
        self.public_bytes: Final = public_bytes

    def decap(self, ct: bytes) -> bytes:
        """Return the shared secret of `ct`, of this suite's length, or raise `DecryptionError`."""
        raise NotImplementedError

    def decap_many(self, cts: Sequence[bytes]) -> list[bytes | None]:
        """Return each shared secret, or None where `decap` would raise."""
        return [self._decap_or_none(ct) for ct in cts]

    def _decap_or_none(self, ct: bytes) -> bytes | None:
        try:
            return self.decap(ct)
        except DecryptionError:
            return None


class Kem(Protocol):
    """Makes keys and encapsulates to public ones."""

    ct_bytes: int
    public_key_bytes: int

    def generate(self, suite_id: int) -> DecapKey:
        """Return a new key."""

    def encap(self, public: bytes) -> tuple[bytes, bytes]:
        """Return (ciphertext, shared secret), or raise `KeyFormatError`."""

    def encap_many(self, public: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return `count` independent results of `encap`."""


class Sm2Kem:
    """32 random bytes under SM2 public-key encryption: a KEM that is CCA-secure through C3."""

    ct_bytes = SM2_CT_BYTES
    public_key_bytes = SM2_PUBLIC_BYTES

    def generate(self, suite_id: int) -> DecapKey:
        """Return a new SM2 key."""
        return _Sm2DecapKey(suite_id, Sm2PrivateKey.generate())

    def encap(self, public: bytes) -> tuple[bytes, bytes]:
        """Return (C1 ‖ C3 ‖ C2, M)."""
        key = Sm2PublicKey.from_bytes(public)
        secret = random_bytes(SECRET_BYTES)
        return key.encrypt(secret), secret

    def encap_many(self, public: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return `count` pairs (C1 ‖ C3 ‖ C2, M)."""
        key = Sm2PublicKey.from_bytes(public)
        secrets = [random_bytes(SECRET_BYTES) for _ in range(count)]
        cts = sm2_encrypt_many([(key, secret) for secret in secrets])
        return list(zip(cts, secrets, strict=True))


class _Sm2DecapKey(DecapKey):
    __slots__ = ("_key",)

    def __init__(self, suite_id: int, key: Sm2PrivateKey) -> None:
        super().__init__(suite_id=suite_id, public_bytes=key.public_key().to_bytes())
        self._key = key

    def decap(self, ct: bytes) -> bytes:
        return self._key.decrypt(ct)

    def decap_many(self, cts: Sequence[bytes]) -> list[bytes | None]:
        return sm2_decrypt_many(self._key, cts)


class Sm2MlKem:
    """SM2 and ML-KEM-768 side by side; the secret is M ‖ K, 64 bytes, SM2 first.

    Both ciphertexts and the public key enter the key schedule above (the transcript hash and the
    extraction salt), which is what makes the concatenation safe if either part holds.
    """

    ct_bytes = SM2_CT_BYTES + MLKEM768_CT_BYTES
    public_key_bytes = SM2_PUBLIC_BYTES + MLKEM768_PUBLIC_BYTES

    def generate(self, suite_id: int) -> DecapKey:
        """Return a new pair of keys."""
        return _Sm2MlKemDecapKey(suite_id, Sm2PrivateKey.generate(), MLKEM768PrivateKey.generate())

    def encap(self, public: bytes) -> tuple[bytes, bytes]:
        """Return (SM2 ciphertext ‖ ML-KEM ciphertext, M ‖ K)."""
        return self.encap_many(public, 1)[0]

    def encap_many(self, public: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return `count` independent results of `encap`."""
        if len(public) != self.public_key_bytes:
            raise KeyFormatError("an sm-pq public key is 1249 bytes")
        sm2 = Sm2Kem().encap_many(public[:SM2_PUBLIC_BYTES], count)
        try:
            mlkem = MLKEM768PublicKey.from_public_bytes(public[SM2_PUBLIC_BYTES:])
        except ValueError:
            raise KeyFormatError("not an ML-KEM-768 encapsulation key") from None
        pairs = []
        for sm2_ct, sm2_secret in sm2:
            mlkem_secret, mlkem_ct = mlkem.encapsulate()
            pairs.append((sm2_ct + mlkem_ct, sm2_secret + mlkem_secret))
        return pairs


class _Sm2MlKemDecapKey(DecapKey):
    __slots__ = ("_mlkem", "_sm2")

    def __init__(self, suite_id: int, sm2: Sm2PrivateKey, mlkem: MLKEM768PrivateKey) -> None:
        public = sm2.public_key().to_bytes() + mlkem.public_key().public_bytes_raw()
        super().__init__(suite_id=suite_id, public_bytes=public)
        self._sm2 = sm2
        self._mlkem = mlkem

    def decap(self, ct: bytes) -> bytes:
        # ML-KEM rejects implicitly: a wrong ciphertext gives an unrelated secret, not an error.
        secret = self._sm2.decrypt(ct[:SM2_CT_BYTES])
        return secret + self._mlkem.decapsulate(ct[SM2_CT_BYTES:])

    def decap_many(self, cts: Sequence[bytes]) -> list[bytes | None]:
        secrets = sm2_decrypt_many(self._sm2, [ct[:SM2_CT_BYTES] for ct in cts])
        return [
            None if secret is None else secret + self._mlkem.decapsulate(ct[SM2_CT_BYTES:])
            for secret, ct in zip(secrets, cts, strict=True)
        ]


class X25519Kem:
    """DHKEM(X25519, HKDF-SHA256), KEM id 0x0020 of RFC 9180, base mode."""

    ct_bytes = X25519_BYTES
    public_key_bytes = X25519_BYTES

    def generate(self, suite_id: int) -> DecapKey:
        """Return a new X25519 key."""
        return _X25519DecapKey(suite_id, X25519PrivateKey.generate())

    def encap(self, public: bytes) -> tuple[bytes, bytes]:
        """Return (enc, shared_secret) of RFC 9180 §4.1 Encap."""
        if len(public) != X25519_BYTES:
            raise KeyFormatError("an X25519 public key is 32 bytes")
        ephemeral = X25519PrivateKey.generate()
        enc = ephemeral.public_key().public_bytes_raw()
        try:
            dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:  # all-zero output: a point of small order (RFC 9180 §7.1.4)
            raise KeyFormatError("an X25519 public key of small order") from None
        return enc, _dhkem_secret(dh, enc + public)

    def encap_many(self, public: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return `count` independent results of `encap`."""
        return [self.encap(public) for _ in range(count)]


class _X25519DecapKey(DecapKey):
    __slots__ = ("_key",)

    def __init__(self, suite_id: int, key: X25519PrivateKey) -> None:
        super().__init__(suite_id=suite_id, public_bytes=key.public_key().public_bytes_raw())
        self._key = key

    def decap(self, ct: bytes) -> bytes:
        try:
            dh = self._key.exchange(X25519PublicKey.from_public_bytes(ct))
        except ValueError:
            raise DecryptionError from None
        return _dhkem_secret(dh, ct + self.public_bytes)


def _dhkem_secret(dh: bytes, kem_context: bytes) -> bytes:
    """Return ExtractAndExpand(dh, kem_context), RFC 9180 §4.1; suite_id = "KEM" ‖ 0x0020."""
    kem_suite = b"KEM\x00\x20"
    prk = hkdf_extract_sha256(b"", b"HPKE-v1" + kem_suite + b"eae_prk" + dh)
    info = b"\x00\x20HPKE-v1" + kem_suite + b"shared_secret" + kem_context
    return hkdf_expand_sha256(prk, info, SECRET_BYTES)
