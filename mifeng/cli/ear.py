"""Print an attestation result, as a claims-set or as a token that its issuer signs.

EAR is protected by CWT or JWT; with a key this prints a JWT (ES256). Without one it prints the bare
claims-set, which is worth what the channel it came through is worth.

Source: draft-ietf-rats-ear-04; RFC 7515 §3.1, §7.1; RFC 7518 §3.4; RFC 7638 (kid); RFC 9711 §7.2.
"""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_COORDINATE: Final = 32


class _Key(click.ParamType[ec.EllipticCurvePrivateKey]):
    """A PEM file with a P-256 private key."""

    name = "KEY"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> ec.EllipticCurvePrivateKey:
        if isinstance(value, ec.EllipticCurvePrivateKey):
            return value
        try:
            found = load_pem_private_key(Path(str(value)).read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
            self.fail(f"{value}: not a PEM file with an unencrypted private key", param, ctx)
        if not isinstance(found, ec.EllipticCurvePrivateKey) or found.curve.name != "secp256r1":
            self.fail(f"{value}: need a P-256 key", param, ctx)
        return found


KEY: Final = _Key()


def print_ear(result: Mapping[str, object], key: ec.EllipticCurvePrivateKey | None) -> None:
    """Print a result: JSON, or a JWT on one line if there is a key."""
    if key is None:
        click.echo(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        click.echo(jwt(result, key))


def jwt(claims: Mapping[str, object], key: ec.EllipticCurvePrivateKey) -> str:
    """Return a compact JWS over the claims, ES256; `kid` is the key's RFC 7638 thumbprint."""
    header = {"alg": "ES256", "typ": "eat+jwt", "kid": thumbprint(key.public_key())}
    signed = f"{_json(header)}.{_json(claims)}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(SHA256())))
    return f"{signed}.{_url(r.to_bytes(_COORDINATE) + s.to_bytes(_COORDINATE))}"


def thumbprint(key: ec.EllipticCurvePublicKey) -> str:
    """Return the SHA-256 thumbprint of a P-256 key as a JWK."""
    numbers = key.public_numbers()
    x, y = (_url(each.to_bytes(_COORDINATE)) for each in (numbers.x, numbers.y))
    canonical = f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'
    return _url(hashlib.sha256(canonical.encode()).digest())


def _json(value: Mapping[str, object]) -> str:
    return _url(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


def _url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
