"""The ASN.1 forms of SM2 signatures and ciphertexts, to and from the raw forms used here.

    SM2Signature ::= SEQUENCE { r INTEGER, s INTEGER }
    SM2Cipher    ::= SEQUENCE { x INTEGER, y INTEGER, hash OCTET STRING (32), cipher OCTET STRING }

Both directions are strict: one DER encoding for one raw value, every range checked. Our own
protocols use the raw forms only; these exist for peers that speak GB/T 35276.

Source: GB/T 35276-2017 §7 (GM/T 0009-2012 §7); docs/spec/crypto.md §6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mifeng.crypto import der
from mifeng.crypto.errors import DecryptionError, KeyFormatError, SignatureError
from mifeng.crypto.sm2_curve import POINT_BYTES, N, decode_point, encode_point
from mifeng.crypto.sm2_pke import split
from mifeng.crypto.sm3_portable import SM3_BYTES

if TYPE_CHECKING:
    from mifeng.crypto.buffers import Buffer

__all__ = ["ciphertext_from_der", "ciphertext_to_der", "signature_from_der", "signature_to_der"]

_SIGNATURE_BYTES = 64


def signature_to_der(signature: Buffer) -> bytes:
    """Return SM2Signature for r ‖ s, 64 bytes.

    Raises:
        SignatureError: not 64 bytes, or r or s outside [1, n-1].
    """
    raw = bytes(signature)
    if len(raw) != _SIGNATURE_BYTES:
        raise SignatureError
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    if not (0 < r < N and 0 < s < N):
        raise SignatureError
    return der.sequence(der.integer(r), der.integer(s))


def signature_from_der(encoded: Buffer) -> bytes:
    """Return r ‖ s, 64 bytes, of an SM2Signature, untrusted.

    Raises:
        SignatureError: not DER, not that structure, or r or s outside [1, n-1].
    """
    try:
        outer = der.Reader(bytes(encoded))
        inner = outer.sequence()
        outer.end()
        r, s = inner.integer(), inner.integer()
        inner.end()
    except der.DerError:
        raise SignatureError from None
    if not (0 < r < N and 0 < s < N):
        raise SignatureError
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def ciphertext_to_der(ciphertext: Buffer) -> bytes:
    """Return SM2Cipher for C1 ‖ C3 ‖ C2.

    Raises:
        DecryptionError: too short, or C1 is no point of the curve.
    """
    c1, c3, c2 = split(ciphertext)
    try:
        x, y = decode_point(c1)
    except KeyFormatError:
        raise DecryptionError from None
    return der.sequence(der.integer(x), der.integer(y), der.octets(c3), der.octets(c2))


def ciphertext_from_der(encoded: Buffer) -> bytes:
    """Return C1 ‖ C3 ‖ C2 of an SM2Cipher, untrusted.

    Raises:
        DecryptionError: not DER, not that structure, not on the curve, or a part of wrong length.
    """
    try:
        outer = der.Reader(bytes(encoded))
        inner = outer.sequence()
        outer.end()
        x, y = inner.integer(), inner.integer()
        c3, c2 = inner.take(der.OCTET_STRING), inner.take(der.OCTET_STRING)
        inner.end()
        if max(x.bit_length(), y.bit_length()) > 4 * (POINT_BYTES - 1) or len(c3) != SM3_BYTES:
            raise DecryptionError
        c1 = encode_point((x, y))
        decode_point(c1)
    except (der.DerError, KeyFormatError):
        raise DecryptionError from None
    if not c2:
        raise DecryptionError
    return c1 + c3 + c2
