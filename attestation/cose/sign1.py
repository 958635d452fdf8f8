"""COSE_Sign1: split, then checked under a key that somebody else chose.

Only the algorithm is read from the headers, and only from the protected one. The signature is
over the exact bytes that were delivered.

Source: RFC 9052 §3.1, §4.2, §4.4; RFC 9053 §2.1 (ECDSA); RFC 8230 §2 (RSASSA-PSS).
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

from attestation.aws_nitro import cbor
from attestation.aws_nitro.cbor import Cbor, Tagged
from attestation.errors import malformed, untrusted

TAG: Final = 18
MAX_SIZE: Final = 1 << 16
_PARTS: Final = 4
_ALGORITHM: Final = 1
_CRITICAL: Final = 2
_SHORT: Final = 24
_MIN_RSA_BITS: Final = 2048


class _Ecdsa(NamedTuple):
    name: str
    curve: type[ec.EllipticCurve]
    hash: HashAlgorithm
    coordinate: int
    """Bytes of r and of s."""


_ECDSA: Final = {
    -7: _Ecdsa("ES256", ec.SECP256R1, SHA256(), 32),
    -35: _Ecdsa("ES384", ec.SECP384R1, SHA384(), 48),
    -36: _Ecdsa("ES512", ec.SECP521R1, SHA512(), 66),
}
_PS256: Final = -37


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """One signed structure, split and not believed."""

    algorithm: int
    payload: bytes
    signature: bytes
    signed: bytes
    """Sig_structure: the exact bytes the signature is over."""


def parse(data: bytes, *, what: str, code: str) -> Sign1:
    """Split one COSE_Sign1, tagged or not.

    Args:
        data: untrusted; any bytes.
        what: the token's name, for people.
        code: prefix of the findings' codes.

    Raises:
        EvidenceMalformedError: not this structure, or an algorithm other than ES256, ES384,
            ES512 and PS256, or too large (codes `<code>.cbor`, `<code>.cose`).
    """
    if len(data) >= MAX_SIZE:
        raise malformed(f"{code}.cose", what, f"< {MAX_SIZE} bytes", len(data))
    outer = cbor.decode(data, what=what, code=code)
    if isinstance(outer, Tagged) and outer.tag == TAG:
        outer = outer.value
    if not isinstance(outer, list) or len(outer) != _PARTS:
        raise malformed(f"{code}.cose", what, "a COSE_Sign1 array of 4", type(outer).__name__)
    protected, unprotected, payload, signature = outer
    if not isinstance(protected, bytes) or not isinstance(payload, bytes):
        raise malformed(f"{code}.cose", what, "protected header and payload", "other types")
    if not isinstance(signature, bytes):
        raise malformed(f"{code}.cose", what, "a signature", type(signature).__name__)
    return Sign1(
        algorithm=_algorithm(protected, unprotected, what=what, code=code),
        payload=payload,
        signature=signature,
        signed=b"\x84\x6aSignature1" + _string(protected) + b"\x40" + _string(payload),
    )


def _algorithm(protected: bytes, unprotected: Cbor, *, what: str, code: str) -> int:
    header = cbor.decode(protected, what=f"{what} header", code=code)
    if not isinstance(header, dict) or not isinstance(unprotected, dict):
        raise malformed(f"{code}.cose", f"{what} headers", "maps", type(header).__name__)
    algorithm = header.get(_ALGORITHM)
    if type(algorithm) is not int or algorithm not in {*_ECDSA, _PS256}:
        required = "ES256, ES384, ES512 or PS256"
        raise malformed(f"{code}.cose", f"{what} algorithm", required, repr(algorithm)[:32])
    if _CRITICAL in header or not unprotected.keys().isdisjoint({_ALGORITHM, _CRITICAL}):
        raise malformed(f"{code}.cose", f"{what} headers", "nothing critical", "something")
    return algorithm


def verify(token: Sign1, key: PublicKeyTypes, *, what: str, code: str) -> None:
    """Return if `key` signed `token`.

    Raises:
        EvidenceUntrustedError: it did not, or it is of another type than the algorithm (code
            `<code>.signature`).
    """
    ecdsa = _ECDSA.get(token.algorithm)
    try:
        if ecdsa is not None:
            _verify_ecdsa(token, key, ecdsa)
        else:
            _verify_pss(token, key)
    except (InvalidSignature, ValueError) as exc:
        raise untrusted(f"{code}.signature", f"{what} signature", "right", "wrong") from exc


def _verify_ecdsa(token: Sign1, key: PublicKeyTypes, ecdsa: _Ecdsa) -> None:
    size = ecdsa.coordinate
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ecdsa.curve):
        raise ValueError(f"no key for {ecdsa.name}")  # noqa: TRY004 - see `verify`
    if len(token.signature) != 2 * size:
        raise ValueError(f"no signature of {ecdsa.name}")
    r, s = int.from_bytes(token.signature[:size]), int.from_bytes(token.signature[size:])
    key.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(ecdsa.hash))


def _verify_pss(token: Sign1, key: PublicKeyTypes) -> None:
    if not isinstance(key, RSAPublicKey) or key.key_size < _MIN_RSA_BITS:
        raise ValueError("not PS256")
    pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SHA256.digest_size)
    key.verify(token.signature, token.signed, pss, SHA256())


def _string(data: bytes) -> bytes:
    """Return `data` as a CBOR byte string in its shortest form."""
    size = len(data)
    if size < _SHORT:
        return bytes([0x40 + size]) + data
    return (b"\x58" + size.to_bytes() if size < 1 << 8 else b"\x59" + size.to_bytes(2)) + data
