"""Paths as NVIDIA builds them: P-384, ECDSA with SHA-384, a fixed length, a pinned key at the end.

The order of the certificates is part of what is checked: nothing is searched for, so the key
that signs is the first certificate's and no other's. A root that arrives is compared with the
pin and dropped. Validity is reported as a window; the caller knows the instant.

Source: RFC 5280 §6.1; NVIDIA device chain: attestation-sdk `nv_x509.cpp`.
"""

from base64 import b64decode
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

from attestation import der, x509
from attestation.errors import EvidenceUntrustedError, malformed, untrusted
from attestation.x509 import Certificate

from .roots import Root

UNDERSTOOD: Final = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE})
"""Extensions that may be critical."""

_CACHED: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """Certificates below a pinned root, leaf first, every signature checked."""

    certificates: tuple[Certificate, ...]
    root: Root

    @property
    def leaf(self) -> Certificate:
        """The end-entity certificate."""
        return self.certificates[0]

    @property
    def leaf_key(self) -> ec.EllipticCurvePublicKey:
        """The end entity's P-384 key."""
        return _point_key(point(self.leaf))

    @property
    def window(self) -> tuple[int, int]:
        """First and last Unix second at which every certificate of the path is valid."""
        starts = [each.not_before for each in self.certificates]
        return max(starts), min(each.not_after for each in self.certificates)

    def issuer_of(self, position: int) -> tuple[bytes, bytes]:
        """Return name (DER) and public point of the issuer of certificate `position`."""
        if position + 1 < len(self.certificates):
            issuer = self.certificates[position + 1]
            return subject(issuer), point(issuer)
        return self.root.name, self.root.point


def split(raw: bytes, *, code: str) -> tuple[Certificate, ...]:
    """Return every certificate in a PEM bundle, its base64, or concatenated DER, in order.

    Raises:
        EvidenceMalformedError: none, or anything beside certificates (codes `<code>.*`).
    """
    if b"-----" not in raw and raw[:1] != bytes([der.SEQUENCE]):
        raw = unbase64(raw, what="certificates", code=f"{code}.encoding")
    return x509.load_certificates(raw, what="certificates", code=code)


def unbase64(text: bytes, *, what: str, code: str) -> bytes:
    """Return the bytes behind base64 text that may hold white space.

    Raises:
        EvidenceMalformedError: another character, or wrong padding (code `code`).
    """
    try:
        return b64decode(b"".join(text.split()), validate=True)
    except ValueError as exc:
        raise malformed(code, what, "base64", "other text") from exc


def common_name(certificate: Certificate) -> str:
    """Return the subject's common name, or nothing where there is none."""
    names = certificate.cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return "/".join(str(name.value) for name in names)


def subject(certificate: Certificate) -> bytes:
    """Return the DER of the subject's name."""
    return certificate.cert.subject.public_bytes()


def point(certificate: Certificate) -> bytes:
    """Return a P-384 public key as 04 ‖ X ‖ Y.

    Raises:
        EvidenceUntrustedError: another kind of key or curve (`nvidia.certificate.profile`).
    """
    key = certificate.key
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise _profile("public key", "P-384", type(key).__name__)
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def check_profile(
    certificate: Certificate, *, understood: AbstractSet[object] = UNDERSTOOD
) -> None:
    """Refuse a certificate that NVIDIA would not issue.

    Raises:
        EvidenceUntrustedError: another curve or algorithm, a serial number below 1, or a
            critical extension that is not understood (`nvidia.certificate.profile`).
    """
    point(certificate)
    if certificate.cert.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise _profile("signature algorithm", "ecdsa-with-SHA384", "another")
    if certificate.serial <= 0:
        raise _profile("serial number", "positive", certificate.serial)
    critical = {each.oid for each in certificate.extensions if each.critical}
    if strange := critical - understood:
        names = ", ".join(sorted(each.dotted_string for each in strange))
        raise _profile("critical extensions", "only those understood", names)


def verify_path(
    chain: Sequence[Certificate], roots: Sequence[Root], *, length: int, code: str
) -> Path:
    """Return the path that `chain` is, leaf first and its root last, up to a pinned key.

    Args:
        chain: as delivered; the last one must hold a pinned key, and is dropped.
        roots: the pins.
        length: how many certificates there must be, root included.
        code: prefix of the finding's code.

    Raises:
        EvidenceUntrustedError: another length (`<code>.length`), root (`<code>.root`), order
            (`<code>.order`), signature (`<code>.signature`), purpose (`<code>.usage`), or
            `nvidia.certificate.profile`.

    Source: RFC 5280 §6.1.3, §6.1.4 without policies, name constraints and validity.
    """
    if len(chain) != length:
        raise untrusted(f"{code}.length", "certificate chain", f"{length} certificates", len(chain))
    *path, received = chain
    root = next((each for each in roots if each.point == point(received)), None)
    if root is None:
        found = f"{common_name(received)}, key {point(received)[1:9].hex()}…"
        raise untrusted(f"{code}.root", "root of the chain", "a pinned key", found)
    result = Path(certificates=tuple(path), root=root)
    for position, each in enumerate(path):
        check_profile(each)
        name, issuer_point = result.issuer_of(position)
        claim = f"issuer of {common_name(each)}"
        if each.cert.issuer.public_bytes() != name:
            raise untrusted(f"{code}.order", claim, "the next of the chain", "another")
        verify_issued(each, issuer_point, code=code)
        _check_usage(each, position, code=code)
    return result


def verify_issued(certificate: Certificate, issuer_point: bytes, *, code: str) -> None:
    """Check one certificate's signature with its issuer's key.

    Raises:
        EvidenceUntrustedError: that key did not sign it (`<code>.signature`).
    """
    parsed = certificate.cert
    if not is_signed(parsed.tbs_certificate_bytes, parsed.signature, issuer_point):
        claim = f"signature of {common_name(certificate)}"
        raise untrusted(f"{code}.signature", claim, "by its issuer", "invalid")


@lru_cache(maxsize=_CACHED)
def is_signed(data: bytes, signature: bytes, signer_point: bytes) -> bool:
    """Whether a P-384 key made a DER signature over these bytes. Pure: a cache is only speed."""
    try:
        _point_key(signer_point).verify(signature, data, ec.ECDSA(SHA384()))
    except InvalidSignature:
        return False
    return True


def _check_usage(certificate: Certificate, position: int, *, code: str) -> None:
    """Check what a certificate at this place of the path may be used for."""
    name = common_name(certificate)
    if position == 0:
        if certificate.is_ca or not certificate.signs_data:
            raise untrusted(f"{code}.usage", name, "an end entity that signs", "not")
        return
    if not (certificate.is_ca and certificate.signs_certificates):
        raise untrusted(f"{code}.usage", name, "a CA that signs certificates", "not")
    below = position - 1
    if certificate.path_length is not None and certificate.path_length < below:
        required = f"path length >= {below}"
        raise untrusted(f"{code}.usage", name, required, certificate.path_length)


def _point_key(encoded: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), encoded)


def _profile(claim: str, required: str, found: object) -> EvidenceUntrustedError:
    return untrusted("nvidia.certificate.profile", f"certificate {claim}", required, found)
