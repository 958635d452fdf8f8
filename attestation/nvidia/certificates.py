"""X.509 as NVIDIA uses it: P-384, ECDSA with SHA-384, and short chains to a pinned key.

Certificates are parsed by `cryptography` and read eagerly, so that a hostile one fails here,
as ours, and not later inside a property. Root certificates that arrive are compared with the
pin and dropped. Validity is reported as a window; the caller knows the instant.

Source: RFC 5280 §6.1; NVIDIA device chain: attestation-sdk `nv_x509.cpp`.
"""

import re
from base64 import b64decode
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from attestation.errors import malformed, untrusted

from . import der
from .roots import Root

MAX_CHAIN_BYTES: Final = 64 * 1024

_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----"
)
_LIBRARY_ERRORS: Final = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UserWarning,  # deprecations that a caller's filter turned into errors
)
UNDERSTOOD: Final = frozenset({"2.5.29.15", "2.5.29.19"})
"""Extensions that may be critical: key usage and basic constraints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What we use of one certificate."""

    parsed: x509.Certificate
    subject: bytes
    """DER of the name."""

    issuer: bytes
    common_name: str
    serial: int
    window: tuple[int, int]
    """First and last Unix second of validity."""

    key: ec.EllipticCurvePublicKey
    ca: bool
    path_length: int | None
    signs_data: bool
    signs_certificates: bool
    extensions: dict[str, bytes]
    """Extensions the library does not know, by dotted OID."""

    @property
    def point(self) -> bytes:
        """The public key as 04 ‖ X ‖ Y."""
        return self.key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


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
    def window(self) -> tuple[int, int]:
        """First and last Unix second at which every certificate of the path is valid."""
        windows = [each.window for each in self.certificates]
        return max(start for start, _ in windows), min(end for _, end in windows)

    def issuer_of(self, position: int) -> tuple[bytes, bytes]:
        """Return name (DER) and public point of the issuer of certificate `position`."""
        if position + 1 < len(self.certificates):
            issuer = self.certificates[position + 1]
            return issuer.subject, issuer.point
        return self.root.name, self.root.point


def split(raw: bytes, *, code: str) -> list[Certificate]:
    """Return every certificate in a PEM bundle, its base64, or concatenated DER, in order.

    Raises:
        EvidenceMalformedError: anything beside certificates is there (code `<code>.encoding`).
    """
    code = f"{code}.encoding"
    if len(raw) > MAX_CHAIN_BYTES:
        raise malformed(code, "certificates", f"<= {MAX_CHAIN_BYTES} bytes", len(raw))
    if raw[:1] == bytes([der.SEQUENCE]):
        found = der.elements(raw, what="certificates", code=code)
        return [load(each.encoded, code=code) for each in found]
    text = raw.strip()
    if b"-----" not in text:
        text = unbase64(text, what="certificates", code=code).strip()
    if _PEM.sub(b"", text).strip():
        raise malformed(code, "certificates", "PEM blocks and nothing else", "other text")
    return [
        load(unbase64(block, what="certificate", code=code), code=code)
        for block in _PEM.findall(text)
    ]


def unbase64(text: bytes, *, what: str, code: str) -> bytes:
    """Return the bytes behind base64 text that may hold white space.

    Raises:
        EvidenceMalformedError: another character, or wrong padding (code `code`).
    """
    try:
        return b64decode(b"".join(text.split()), validate=True)
    except ValueError as exc:
        raise malformed(code, what, "base64", "other text") from exc


def load(raw: bytes, *, code: str, understood: AbstractSet[str] = UNDERSTOOD) -> Certificate:
    """Return one DER certificate, read completely.

    Raises:
        EvidenceMalformedError: not a certificate (code `code`).
        EvidenceUntrustedError: another curve or algorithm, or a critical extension that is not
            understood (code `nvidia.certificate.profile`).
    """
    try:
        parsed = x509.load_der_x509_certificate(raw)
        key = parsed.public_key()
        extensions = list(parsed.extensions)
        names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        window = (
            int(parsed.not_valid_before_utc.timestamp()),
            int(parsed.not_valid_after_utc.timestamp()),
        )
        subject, issuer = parsed.subject.public_bytes(), parsed.issuer.public_bytes()
    except _LIBRARY_ERRORS as exc:
        raise malformed(code, "certificate", "X.509 v3, DER", type(exc).__name__) from exc
    critical = {each.oid.dotted_string for each in extensions if each.critical}
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise _profile("public key", "P-384", type(key).__name__)
    if parsed.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
        raise _profile("signature algorithm", "ecdsa-with-SHA384", "another")
    if parsed.serial_number <= 0:
        raise _profile("serial number", "positive", parsed.serial_number)
    if strange := critical - understood:
        raise _profile("critical extensions", "key usage, basic constraints", sorted(strange))
    values = [each.value for each in extensions]
    constraints = [each for each in values if isinstance(each, x509.BasicConstraints)]
    usages = [each for each in values if isinstance(each, x509.KeyUsage)]
    return Certificate(
        parsed=parsed,
        subject=subject,
        issuer=issuer,
        common_name="/".join(str(name.value) for name in names),
        serial=parsed.serial_number,
        window=window,
        key=key,
        ca=any(each.ca for each in constraints),
        path_length=constraints[0].path_length if constraints else None,
        signs_data=any(each.digital_signature for each in usages),
        signs_certificates=any(each.key_cert_sign for each in usages),
        extensions={
            each.oid.dotted_string: each.value
            for each in values
            if isinstance(each, x509.UnrecognizedExtension)
        },
    )


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
            (`<code>.order`), signature (`<code>.signature`) or purpose (`<code>.usage`).

    Source: RFC 5280 §6.1.3, §6.1.4 without policies, name constraints and validity.
    """
    if len(chain) != length:
        raise untrusted(f"{code}.length", "certificate chain", f"{length} certificates", len(chain))
    *path, received = chain
    root = next((each for each in roots if each.point == received.point), None)
    if root is None:
        found = f"{received.common_name} with key {received.point[:9].hex()}…"
        raise untrusted(f"{code}.root", "root of the chain", "a pinned key", found)
    result = Path(certificates=tuple(path), root=root)
    for position, each in enumerate(path):
        name, point = result.issuer_of(position)
        if each.issuer != name:
            raise untrusted(
                f"{code}.order", f"issuer of {each.common_name}", "next in chain", "other"
            )
        verify_issued(each, point, code=code)
        if position and not (each.ca and each.signs_certificates):
            raise untrusted(
                f"{code}.usage", each.common_name, "a CA that signs certificates", "not"
            )
        if each.path_length is not None and each.path_length < position - 1:
            below = position - 1
            raise untrusted(f"{code}.usage", "path length", f">= {below}", each.path_length)
    if result.leaf.ca or not result.leaf.signs_data:
        raise untrusted(f"{code}.usage", result.leaf.common_name, "an end entity that signs", "not")
    return result


def verify_issued(certificate: Certificate, issuer_point: bytes, *, code: str) -> None:
    """Check one certificate's signature with its issuer's key.

    Raises:
        EvidenceUntrustedError: that key did not sign it (`<code>.signature`).
    """
    issuer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), issuer_point)
    parsed = certificate.parsed
    try:
        issuer.verify(parsed.signature, parsed.tbs_certificate_bytes, ec.ECDSA(SHA384()))
    except InvalidSignature as exc:
        raise untrusted(
            f"{code}.signature",
            f"signature of {certificate.common_name}",
            "by its issuer",
            "invalid",
        ) from exc


def _profile(claim: str, required: str, found: object) -> Exception:
    return untrusted("nvidia.certificate.profile", f"certificate {claim}", required, found)
