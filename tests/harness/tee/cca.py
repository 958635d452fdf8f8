"""A SIMULATED Arm CCA machine: platform and realm tokens in Arm's exact format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.tee.nitro import encode, head

CHALLENGE: Final = bytes(range(64))
IMPLEMENTATION: Final = bytes(range(32))
INSTANCE: Final = b"\x01" + bytes(range(32))
RIM: Final = sha256(b"SIMULATED realm").digest()
_CURVES: Final[Mapping[str, ec.EllipticCurve]] = {
    "p256": ec.SECP256R1(),
    "p521": ec.SECP521R1(),
}
_HASHES: Final[Mapping[int, HashAlgorithm]] = {-7: SHA256(), -35: SHA384(), -36: SHA512()}


@cache
def ec_key(role: str) -> ec.EllipticCurvePrivateKey:
    """Return the test key of one role, P-384 unless its name begins with another curve."""
    return ec.generate_private_key(_CURVES.get(role[:4], ec.SECP384R1()))


@cache
def rsa_key(role: str) -> rsa.RSAPrivateKey:
    """Return the RSA test key of one role."""
    return rsa.generate_private_key(
        public_exponent=65537, key_size=1024 if role == "small" else 2048
    )


def point(role: str) -> bytes:
    """Return a key's point, uncompressed."""
    public = ec_key(role).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def pem(role: str) -> bytes:
    """Return a key in PEM."""
    return ec_key(role).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def sign(signed: bytes, algorithm: int, role: str) -> bytes:
    """Sign as COSE does."""
    if algorithm == -37:
        pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=32)
        return rsa_key(role).sign(signed, pss, SHA256())
    private = ec_key(role)
    r, s = decode_dss_signature(private.sign(signed, ec.ECDSA(_HASHES[algorithm])))
    size = (private.key_size + 7) // 8
    return r.to_bytes(size) + s.to_bytes(size)


@dataclass(frozen=True, kw_only=True)
class CoseWriter:
    """Writes one COSE_Sign1."""

    signer: str
    algorithm: int = -35
    protected: bytes | None = None
    unprotected: object = field(default_factory=dict)
    tag: bytes = b"\xd2"
    signature: bytes | None = None

    def token(self, payload: bytes) -> bytes:
        """Return the signed structure."""
        protected = encode({1: self.algorithm}) if self.protected is None else self.protected
        signed = encode(["Signature1", protected, b"", payload])
        signature = self.signature
        if signature is None:
            signature = sign(signed, self.algorithm, self.signer)
        unprotected = encode(self.unprotected)
        parts = encode(protected) + unprotected + encode(payload) + encode(signature)
        return self.tag + b"\x84" + parts


def kept(claims: Mapping[int, object], changes: Mapping[int, object]) -> dict[int, object]:
    """Return claims with changes; a value of `...` leaves a claim out."""
    return {label: value for label, value in {**claims, **changes}.items() if value is not ...}


def component(kind: str = "RMM", **more: object) -> dict[int, object]:
    """Return one software component."""
    labels = {"value": 2, "version": 4, "signer": 5, "hash": 6}
    base: dict[int, object] = {1: kind, 2: bytes(32), 5: bytes(32), 6: "sha-256"}
    return kept(base, {labels[name]: value for name, value in more.items()})


def realm_claims(key: bytes, changes: Mapping[int, object]) -> bytes:
    """Return a realm's claims, encoded."""
    base = {
        10: CHALLENGE,
        44235: bytes(64),
        44236: "sha-256",
        44237: key,
        44238: RIM,
        44239: [bytes(32)] * 4,
        44240: "sha-256",
    }
    return encode(kept(base, changes))


@dataclass(frozen=True, kw_only=True)
class CcaMachine:
    """One honest machine with one realm; bend by keyword."""

    platform: Mapping[int, object] = field(default_factory=dict)
    realm: Mapping[int, object] = field(default_factory=dict)
    platform_cose: CoseWriter = field(default_factory=lambda: CoseWriter(signer="cpak"))
    realm_cose: CoseWriter = field(default_factory=lambda: CoseWriter(signer="rak"))
    key: bytes | None = None
    """The realm key's claim."""

    tag: bytes = field(default_factory=lambda: head(6, 399))
    wrapped: bool = False

    def parts(self) -> tuple[bytes, bytes]:
        """Return both tokens."""
        key = point("rak") if self.key is None else self.key
        base = {
            265: "http://arm.com/CCA-SSD/1.0.0",
            10: sha256(key).digest(),
            2396: IMPLEMENTATION,
            256: INSTANCE,
            2401: b"\xcf\xcf",
            2395: 0x3003,
            2402: "sha-256",
            2400: "https://example.com",
            2399: [component(), component(version="1"), {2: bytes(48), 5: bytes(64)}],
        }
        platform = self.platform_cose.token(encode(kept(base, self.platform)))
        return platform, self.realm_cose.token(realm_claims(key, self.realm))

    def token(self) -> bytes:
        """Return the whole collection."""
        platform, realm = self.parts()
        if self.wrapped:
            return self.tag + encode({44234: [263, platform], 44241: ["t", realm, 4]})
        return self.tag + encode({44234: platform, 44241: realm})
