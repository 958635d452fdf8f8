"""Certificates and revocation lists up to a pinned certificate, as of an instant.

Parsing is `cryptography`'s; this decides. The anchor is an argument that the registry binds:
whatever root a file contains is only a candidate that must be the anchor's key, so a look-alike
with the right name ends nowhere. Every certificate's own validity counts, the anchor's too.

Source: RFC 5280 §6.1, §6.3; docs/spec/appraisal.md §4.2.
"""

import re
import warnings
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID

from .der import split_sequences
from .errors import Finding, malformed, untrusted

MAX_FILE_BYTES: Final = 1 << 18
MAX_CERTIFICATE_BYTES: Final = 16 << 10
"""Real ones have at most a few KiB; together with the sizes of the caches this bounds memory."""
MAX_CERTIFICATES: Final = 16
MAX_CRL_BYTES: Final = 1 << 20
_PEM: Final = re.compile(
    rb"-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n([A-Za-z0-9+/=\r\n \t]*)-----END \1-----"
)
_KNOWN_CRITICAL: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
    }
)
_PARSE_ERRORS: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
    """One certificate, every field read, none believed yet. Two are equal when their DER is."""

    cert: x509.Certificate
    der: bytes
    subject: str
    issuer: str
    serial: int
    not_before: int
    not_after: int
    """Unix seconds; both ends are inside the validity."""

    key: CertificatePublicKeyTypes
    spki: bytes
    """DER of the subject's public key: what an anchor is compared by."""

    extensions: x509.Extensions
    is_ca: bool
    path_length: int | None
    signs_certificates: bool
    signs_crls: bool
    signs_data: bool

    # Generated equality would ask `x509.Extensions`, which knows identity only: two readings of
    # one certificate would differ as soon as the cache below has forgotten the first.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def private(self, oid: str) -> bytes | None:
        """Return the raw value of an extension that `cryptography` does not know, or None."""
        for extension in self.extensions:
            value = extension.value
            if extension.oid.dotted_string == oid and isinstance(value, x509.UnrecognizedExtension):
                return value.value
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Crl:
    """One revocation list, every field read, none believed yet."""

    crl: x509.CertificateRevocationList
    issuer: str
    this_update: int
    next_update: int
    number: int | None


def load_certificate(der: bytes, *, what: str, code: str) -> Certificate:
    """Return one certificate, read completely.

    Raises:
        EvidenceMalformedError: not exactly one X.509 v3 certificate (`<code>.parse`), or larger
            than any real one (`<code>.size`).
    """
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise malformed(f"{code}.size", what, f"<= {MAX_CERTIFICATE_BYTES} bytes", len(der))
    try:
        return _read_certificate(der)
    except _PARSE_ERRORS as exc:
        raise malformed(f"{code}.parse", what, "an X.509 certificate", str(exc)[:200]) from exc


def load_certificates(data: bytes, *, what: str, code: str) -> tuple[Certificate, ...]:
    """Return the certificates of a file: PEM blocks or concatenated DER, in file order.

    A NUL at the end, which C programs leave behind, is no certificate and no error.

    Raises:
        EvidenceMalformedError: neither form, too large or too many, or one does not parse.
    """
    if len(data) > MAX_FILE_BYTES:
        raise malformed(f"{code}.size", what, f"<= {MAX_FILE_BYTES} bytes", len(data))
    if b"-----BEGIN" in data:
        ders = pem_blocks(data, "CERTIFICATE", what=what, code=code)
    else:
        ders = split_sequences(data, what=what, code=code)
    if not 1 <= len(ders) <= MAX_CERTIFICATES:
        required = f"1 … {MAX_CERTIFICATES} certificates"
        raise malformed(f"{code}.count", what, required, len(ders))
    return tuple(load_certificate(der, what=what, code=code) for der in ders)


def pem_blocks(data: bytes, label: str, *, what: str, code: str) -> tuple[bytes, ...]:
    """Return the DER of every PEM block; anything beside blocks of `label` is refused.

    Raises:
        EvidenceMalformedError: text between blocks, another label, or bad base64 (`<code>.pem`).
    """
    if _PEM.sub(b"", data).strip(b" \t\r\n\0"):
        raise malformed(f"{code}.pem", what, "PEM blocks and nothing else", "other text")
    ders = []
    for found, body in _PEM.findall(data):
        if found.decode() != label:
            raise malformed(f"{code}.pem", what, label, found.decode())
        try:
            ders.append(b64decode(b"".join(body.split()), validate=True))
        except ValueError as exc:
            raise malformed(f"{code}.pem", what, "base64", str(exc)) from exc
    return tuple(ders)


@lru_cache(maxsize=1024)
def _read_certificate(der: bytes) -> Certificate:
    with warnings.catch_warnings():
        # Oddities that `cryptography` warns about are decided below, by rule.
        warnings.simplefilter("ignore")
        cert = x509.load_der_x509_certificate(der)
        extensions = cert.extensions
        key = cert.public_key()
        is_ca, path_length = False, None
        signs_certificates = signs_crls = signs_data = True
        for extension in extensions:
            value = extension.value
            if isinstance(value, x509.BasicConstraints):
                is_ca, path_length = value.ca, value.path_length
            elif isinstance(value, x509.KeyUsage):
                signs_certificates, signs_crls = value.key_cert_sign, value.crl_sign
                signs_data = value.digital_signature
        return Certificate(
            cert=cert,
            der=der,
            subject=cert.subject.rfc4514_string(),
            issuer=cert.issuer.rfc4514_string(),
            serial=cert.serial_number,
            not_before=int(cert.not_valid_before_utc.timestamp()),
            not_after=int(cert.not_valid_after_utc.timestamp()),
            key=key,
            spki=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            extensions=extensions,
            is_ca=is_ca,
            path_length=path_length,
            signs_certificates=signs_certificates,
            signs_crls=signs_crls,
            signs_data=signs_data,
        )


def load_crl(data: bytes, *, what: str, code: str) -> Crl:
    """Return one revocation list from DER or PEM, read completely.

    Raises:
        EvidenceMalformedError: not exactly one CRL with a next update (`<code>.parse`).
    """
    if len(data) > MAX_CRL_BYTES:
        raise malformed(f"{code}.size", what, f"<= {MAX_CRL_BYTES} bytes", len(data))
    if b"-----BEGIN" in data:
        ders = pem_blocks(data, "X509 CRL", what=what, code=code)
        if len(ders) != 1:
            raise malformed(f"{code}.count", what, "1 CRL", len(ders))
        data = ders[0]
    try:
        return _read_crl(data)
    except _PARSE_ERRORS as exc:
        raise malformed(f"{code}.parse", what, "an X.509 CRL", str(exc)[:200]) from exc


@lru_cache(maxsize=32)
def _read_crl(der: bytes) -> Crl:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        crl = x509.load_der_x509_crl(der)
        number = None
        for extension in crl.extensions:
            if isinstance(extension.value, x509.CRLNumber):
                number = extension.value.crl_number
            elif extension.critical:
                # A partial list (issuing distribution point, delta) answers another question.
                raise ValueError(f"critical CRL extension {extension.oid.dotted_string}")
        if crl.next_update_utc is None:
            raise ValueError("a CRL without next update never expires")
        for _ in crl:  # reads every entry now, so that nothing raises later
            pass
        return Crl(
            crl=crl,
            issuer=crl.issuer.rfc4514_string(),
            this_update=int(crl.last_update_utc.timestamp()),
            next_update=int(crl.next_update_utc.timestamp()),
            number=number,
        )


@lru_cache(maxsize=1024)
def _is_signed_by(child_der: bytes, issuer_der: bytes) -> bool:
    """Whether `issuer`'s key signed `child`, names agreeing. Pure, so a cache is only speed."""
    child, issuer = _read_certificate(child_der), _read_certificate(issuer_der)
    try:
        child.cert.verify_directly_issued_by(issuer.cert)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def path_to_anchor(
    leaf: Certificate,
    pool: Sequence[Certificate],
    anchors: Sequence[Certificate],
    *,
    now: int,
    what: str,
    code: str,
) -> tuple[Certificate, ...]:
    """Return the path leaf first, pinned anchor last.

    Args:
        leaf: the certificate to trust or not.
        pool: untrusted certificates that may lie between, in any order.
        anchors: pinned; never from evidence.
        now: Unix seconds at which every certificate of the path must be valid.
        what: the leaf's role, for people.
        code: prefix of the findings' codes.

    Raises:
        EvidenceUntrustedError: no path (`<code>.chain`), or a certificate on it is outside its
            validity (`<code>.validity`), is no CA (`<code>.ca`), has too deep a path below it
            (`<code>.path-length`) or a critical extension we do not know (`<code>.critical`).
    """
    current_first = sorted(pool, key=lambda cert: not cert.not_before <= now <= cert.not_after)
    path = _signature_path(leaf, current_first, anchors)
    if path is None:
        names = ", ".join(sorted(anchor.subject for anchor in anchors))
        raise untrusted(f"{code}.chain", what, f"a path to {names}", f"issuer {leaf.issuer}")
    for depth, cert in enumerate(path):
        check_valid_at(cert, now=now, what=what, code=code)
        for extension in cert.extensions:
            if extension.critical and extension.oid not in _KNOWN_CRITICAL:
                oid = extension.oid.dotted_string
                raise untrusted(f"{code}.critical", cert.subject, "known extensions", oid)
        if depth and not (cert.is_ca and cert.signs_certificates):
            raise untrusted(f"{code}.ca", cert.subject, "a CA certificate", "none")
        if cert.path_length is not None and depth - 1 > cert.path_length:
            required = f"<= {cert.path_length} CAs below"
            raise untrusted(f"{code}.path-length", cert.subject, required, depth - 1)
    return path


def _signature_path(
    leaf: Certificate, pool: Sequence[Certificate], anchors: Sequence[Certificate]
) -> tuple[Certificate, ...] | None:
    path = [leaf]
    while True:
        last = path[-1]
        for anchor in anchors:
            if last.spki == anchor.spki:
                # The pinned certificate stands in for any re-issue of the same key.
                return (*path[:-1], anchor) if len(path) > 1 else None
            if _is_signed_by(last.der, anchor.der):
                return (*path, anchor)
        used = {cert.der for cert in path}
        following = (c for c in pool if c.der not in used and _is_signed_by(last.der, c.der))
        issuer = next(following, None)
        if issuer is None or len(path) > MAX_CERTIFICATES:
            return None
        path.append(issuer)


def check_valid_at(cert: Certificate, *, now: int, what: str, code: str) -> None:
    """Raise EvidenceUntrustedError (`<code>.validity`) unless the certificate is valid at `now`."""
    if not cert.not_before <= now <= cert.not_after:
        required = f"valid at {now}"
        found = f"{cert.subject}: {cert.not_before} … {cert.not_after}"
        raise untrusted(f"{code}.validity", what, required, found)


def check_crl(crl: Crl, issuer: Certificate, *, what: str, code: str) -> None:
    """Raise EvidenceUntrustedError unless `issuer`, whose path was checked, signed this CRL.

    Whether it is current is `crl_window`'s business, whom it names `is_revoked`'s.
    """
    if crl.issuer != issuer.subject or not issuer.signs_crls:
        raise untrusted(f"{code}.issuer", what, issuer.subject, crl.issuer)
    if not _crl_signed_by(crl, issuer):
        raise untrusted(f"{code}.signature", what, f"signed by {issuer.subject}", "wrong")


def _crl_signed_by(crl: Crl, issuer: Certificate) -> bool:
    key = issuer.key
    if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey):
        return False
    try:
        return crl.crl.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def crl_window(crl: Crl, *, now: int, what: str, code: str) -> tuple[Finding, ...]:
    """Return a finding (`<code>.window`) unless the list is current at `now`."""
    if crl.this_update <= now <= crl.next_update:
        return ()
    found = f"{crl.this_update} … {crl.next_update}"
    return (Finding(f"{code}.window", what, f"current at {now}", found),)


def is_revoked(crl: Crl, cert: Certificate) -> bool:
    """Whether a checked list names this certificate's serial number."""
    return crl.crl.get_revoked_certificate_by_serial_number(cert.serial) is not None
