"""SM2 signatures and public-key encryption in pure Python: **variable-time**.

It makes every check the standard asks for and is correct, but its running time depends on the
secrets, and Python can neither pin nor erase an `int`. Fit for clients, verification and tests; a
node that holds other people's data runs the native core (`providers.require_constant_time`).

Source: GB/T 32918.2-2016 (signature), GB/T 32918.4-2016 (encryption); docs/spec/crypto.md §4-5.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from mifeng.crypto import sm2_curve as curve
from mifeng.crypto import sm2_pke as pke
from mifeng.crypto.buffers import Buffer, Secret
from mifeng.crypto.errors import DecryptionError, KeyFormatError, SignatureError
from mifeng.crypto.randomness import random_bytes
from mifeng.crypto.sm2_curve import DEFAULT_UID, N
from mifeng.crypto.sm3_portable import hmac_sm3

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALAR_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class Sm2PublicKey:
    """A point of the SM2 curve that verifies signatures and encrypts; equal by value."""

    __slots__ = ("_multiples", "_point", "_raw")

    def __init__(self, raw: Buffer) -> None:
        """Take 04 ‖ X ‖ Y; see `from_bytes`."""
        self._point = curve.decode_point(raw)
        self._raw = bytes(raw)
        self._multiples: tuple[curve.Affine, ...] = ()

    @classmethod
    def from_bytes(cls, raw: Buffer) -> Sm2PublicKey:
        """Return the key of 04 ‖ X ‖ Y, 65 bytes, untrusted.

        Raises:
            KeyFormatError: not that form, a coordinate ≥ p, or not on the curve.
        """
        return cls(raw)

    def to_bytes(self) -> bytes:
        """Return 04 ‖ X ‖ Y, 65 bytes."""
        return self._raw

    def verify(self, signature: Buffer, data: Buffer, *, uid: Buffer = DEFAULT_UID) -> None:
        """Return if `signature` = r ‖ s is this key's over `data` under the identifier `uid`.

        Raises:
            SignatureError: it is not, for whatever reason.
        """
        self.verify_digest(signature, curve.message_digest(self._raw, uid, data))

    def verify_digest(self, signature: Buffer, digest: Buffer) -> None:
        """Return if `signature` is this key's over e = `digest`, 32 bytes (§7 B1-B7).

        Raises:
            SignatureError: r or s outside [1, n-1], r + s ≡ 0, or the equation fails.
            ValueError: the digest is not 32 bytes.
        """
        e = _digest(digest)
        raw = bytes(signature)
        if len(raw) != SIGNATURE_BYTES:
            raise SignatureError
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        t = (r + s) % N
        if not (0 < r < N and 0 < s < N and t):
            raise SignatureError
        point = curve.to_affine(curve.add_base_multiple(s, self._times(t)))
        if point is None or (e + point[0]) % N != r:
            raise SignatureError

    def encrypt(self, plaintext: Buffer) -> bytes:
        """Return C1 ‖ C3 ‖ C2, `len(plaintext) + 97` bytes (GB/T 32918.4 §6).

        Raises:
            ValueError: the plaintext is empty.
        """
        text = bytes(plaintext)
        if not text:
            raise ValueError("SM2 encrypts at least one byte")
        while True:
            k = _random_scalar(N - 1)
            c1, shared = (
                curve.to_affine(curve.add_base_multiple(k)),
                curve.to_affine(self._times(k)),
            )
            if c1 is None or shared is None:  # neither happens for 1 ≤ k < n
                continue
            x2, y2 = (v.to_bytes(32, "big") for v in shared)
            c2 = pke.mask(x2, y2, text)
            if c2 is not None:
                return curve.encode_point(c1) + pke.tag(x2, y2, text) + c2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sm2PublicKey) and self._raw == other._raw

    def __hash__(self) -> int:
        return hash(self._raw)

    def __repr__(self) -> str:
        return f"Sm2PublicKey({self._raw.hex()})"

    def _times(self, scalar: int) -> curve.Jacobian:
        if not self._multiples:
            self._multiples = curve.odd_multiples(self._point)
        return curve.multiply(scalar, self._multiples)


class Sm2PrivateKey(Secret):
    """A scalar d in [1, n-2] that signs and decrypts; it does not print, pickle or compare."""

    __slots__ = ("_d", "_inverse", "_public")

    def __init__(self, scalar: Buffer) -> None:
        """Take d as 32 bytes; see `from_scalar`."""
        d = int.from_bytes(bytes(scalar), "big")
        if len(scalar) != SCALAR_BYTES or not 1 <= d <= N - 2:
            raise KeyFormatError("an SM2 private key is 32 bytes, from 1 to n-2")
        point = curve.to_affine(curve.add_base_multiple(d))
        if point is None:
            raise KeyFormatError("an SM2 private key is 32 bytes, from 1 to n-2")
        self._d = d
        self._inverse = pow(1 + d, -1, N)
        self._public = Sm2PublicKey(curve.encode_point(point))

    @classmethod
    def generate(cls) -> Sm2PrivateKey:
        """Return a new key from the operating system's random source."""
        return cls(_random_scalar(N - 2).to_bytes(SCALAR_BYTES, "big"))

    @classmethod
    def from_scalar(cls, scalar: Buffer) -> Sm2PrivateKey:
        """Return the key with this 32-byte big-endian d.

        Raises:
            KeyFormatError: not 32 bytes, or d outside [1, n-2].
        """
        return cls(scalar)

    def public_key(self) -> Sm2PublicKey:
        """Return the point d·G."""
        return self._public

    def sign(self, data: Buffer, *, uid: Buffer = DEFAULT_UID) -> bytes:
        """Return r ‖ s, 64 bytes, over `data` under the identifier `uid`."""
        return self.sign_digest(curve.message_digest(self._public.to_bytes(), uid, data))

    def sign_digest(self, digest: Buffer) -> bytes:
        """Return r ‖ s, 64 bytes, over e = `digest`, 32 bytes (GB/T 32918.2 §6 A3-A7).

        Raises:
            ValueError: the digest is not 32 bytes.
        """
        e = _digest(digest)
        for k in _nonces(self._d, e, random_bytes(SCALAR_BYTES)):
            point = curve.to_affine(curve.add_base_multiple(k))
            r = 0 if point is None else (e + point[0]) % N
            if r == 0 or r + k == N:
                continue
            s = self._inverse * (k - r * self._d) % N
            if s:
                return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        raise AssertionError("the nonce stream does not end")

    def decrypt(self, ciphertext: Buffer) -> bytes:
        """Return the plaintext of C1 ‖ C3 ‖ C2 (GB/T 32918.4 §7).

        Args:
            ciphertext: untrusted; any bytes. C1 ‖ C2 ‖ C3 and DER are refused.

        Raises:
            DecryptionError: C1 malformed or off the curve, key stream all zero, C3 wrong.
        """
        c1, c3, c2 = pke.split(ciphertext)
        try:
            point = curve.decode_point(c1)
        except KeyFormatError:
            raise DecryptionError from None
        shared = curve.to_affine(curve.multiply(self._d, curve.odd_multiples(point)))
        if shared is None:
            raise DecryptionError
        x2, y2 = (v.to_bytes(32, "big") for v in shared)
        return pke.unmask(x2, y2, c3, c2)


def _digest(digest: Buffer) -> int:
    if len(digest) != SCALAR_BYTES:
        raise ValueError("SM2 signs a digest of 32 bytes")
    return int.from_bytes(bytes(digest), "big")


def _random_scalar(maximum: int) -> int:
    return 1 + secrets.randbelow(maximum)


def _nonces(d: int, e: int, fresh: bytes) -> Iterator[int]:
    """Yield hedged nonces: RFC 6979 §3.2 over SM3 with `fresh` as the k' of §3.6.

    Two signatures share a nonce only if key, digest and 32 fresh bytes all repeat: a random source
    that a snapshot rolled back costs nothing, and a fault attack on a deterministic nonce fails.
    """
    seed = d.to_bytes(32, "big") + (e % N).to_bytes(32, "big") + fresh
    v, k = b"\x01" * 32, bytes(32)
    for separator in (b"\x00", b"\x01"):
        k = hmac_sm3(k, v + separator + seed)
        v = hmac_sm3(k, v)
    while True:
        v = hmac_sm3(k, v)
        nonce = int.from_bytes(v, "big")
        if 0 < nonce < N:
            yield nonce
        k = hmac_sm3(k, v + b"\x00")
        v = hmac_sm3(k, v)
