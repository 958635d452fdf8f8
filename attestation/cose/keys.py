"""Public keys as tokens and the people who vouch for them write them.

JWK, PEM or DER (a key or a certificate), COSE_Key, and the bare point of a P-curve.

Source: RFC 7518 §6.2; RFC 9053 §7.1; RFC 5480 §2.2 (uncompressed points).
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    load_der_public_key,
)

from attestation import json_strict, x509
from attestation.aws_nitro import cbor
from attestation.containers import is_text, text_to_bytes
from attestation.errors import EvidenceMalformedError, malformed
from attestation.json_fields import Fields

Key = ec.EllipticCurvePublicKey | RSAPublicKey

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_COSE_CURVES: Final[Mapping[object, ec.EllipticCurve]] = {
    1: ec.SECP256R1(),
    2: ec.SECP384R1(),
    3: ec.SECP521R1(),
}
_COSE_EC2: Final = 2
_MAX_RSA_BYTES: Final = 1024
_UNCOMPRESSED: Final = 4


def base64url(text: str, *, what: str, code: str) -> bytes:
    """Return what unpadded or padded base64url says.

    Raises:
        EvidenceMalformedError: other text (code `<code>.base64url`).
    """
    body = text.rstrip("=")
    if not _BASE64URL.fullmatch(body) or len(body) % 4 == 1:
        raise malformed(f"{code}.base64url", what, "base64url", text[:16])
    return urlsafe_b64decode(body + "=" * (-len(body) % 4))


def vouched(data: bytes, *, what: str, code: str) -> Key:
    """Return the key in a file somebody handed in: JWK, or PEM or DER of a key or certificate.

    Raises:
        EvidenceMalformedError: none of these (codes `<code>.*`).
    """
    if data.lstrip()[:1] == b"{":
        return jwk(Fields(json_strict.parse_object(data, what=what, code=code), what, code))
    if is_text(data):
        data = text_to_bytes(data, what=what, code=code)
    try:
        return spki(data, what=what, code=code)
    except EvidenceMalformedError as exc:
        try:
            certificate = x509.load_certificate(data, what=what, code=code)
        except EvidenceMalformedError:
            raise exc from None
        return _suitable(certificate.key, what=what, code=code)


def spki(data: bytes, *, what: str, code: str) -> Key:
    """Return the key in a DER SubjectPublicKeyInfo; raises as `vouched`."""
    try:
        return _suitable(load_der_public_key(data), what=what, code=code)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise malformed(f"{code}.key", what, "a public key", str(exc)[:100]) from exc


def jwk(fields: Fields) -> Key:
    """Return the key of a JWK, EC or RSA; private members are not looked at.

    Raises:
        EvidenceMalformedError: another type, or numbers that make no key.
    """
    what, code = fields.what, fields.code

    def number(name: str) -> bytes:
        return base64url(fields.text(name), what=f"{what} {name}", code=code)

    if fields.text("kty") == "RSA":
        n, e = number("n"), number("e")
        if len(n) > _MAX_RSA_BYTES:
            raise malformed(f"{code}.key", what, f"<= {_MAX_RSA_BYTES} bytes", len(n))
        try:
            return RSAPublicNumbers(int.from_bytes(e), int.from_bytes(n)).public_key()
        except ValueError as exc:
            raise malformed(f"{code}.key", what, "an RSA key", str(exc)) from exc
    curve = _CURVES.get(fields.text("crv")) if fields.text("kty") == "EC" else None
    if curve is None:
        raise malformed(f"{code}.key", what, "EC on a P-curve, or RSA", fields.text("kty"))
    return _point(curve, number("x"), number("y"), what=what, code=code)


def token_key(data: bytes, *, what: str, code: str) -> ec.EllipticCurvePublicKey:
    """Return the key in a token's claim: a bare point, or an encoded COSE_Key.

    Raises:
        EvidenceMalformedError: neither (code `<code>.key`).
    """
    size = (len(data) - 1) // 2
    for curve in _CURVES.values():
        if len(data) == 1 + 2 * ((curve.key_size + 7) // 8) and data[0] == _UNCOMPRESSED:
            return _point(curve, data[1 : 1 + size], data[1 + size :], what=what, code=code)
    value = cbor.decode(data, what=what, code=code)
    if not isinstance(value, dict) or value.get(1) != _COSE_EC2:
        raise malformed(f"{code}.key", what, "a point or an EC2 COSE_Key", f"{len(data)} bytes")
    curve_number, x, y = value.get(-1), value.get(-2), value.get(-3)
    found = None if isinstance(curve_number, list | dict) else _COSE_CURVES.get(curve_number)
    if found is None or not isinstance(x, bytes) or not isinstance(y, bytes):
        raise malformed(f"{code}.key", what, "an EC2 COSE_Key with x and y", "another")
    return _point(found, x, y, what=what, code=code)


def _point(
    curve: ec.EllipticCurve, x: bytes, y: bytes, *, what: str, code: str
) -> ec.EllipticCurvePublicKey:
    size = (curve.key_size + 7) // 8
    if (len(x), len(y)) != (size, size):
        raise malformed(f"{code}.key", what, f"coordinates of {size} bytes", (len(x), len(y)))
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, b"\x04" + x + y)
    except ValueError as exc:
        raise malformed(f"{code}.key", what, "a point of the curve", str(exc)) from exc


def _suitable(key: PublicKeyTypes, *, what: str, code: str) -> Key:
    if not isinstance(key, ec.EllipticCurvePublicKey | RSAPublicKey):
        raise malformed(f"{code}.key", what, "an EC or RSA key", type(key).__name__)
    return key
