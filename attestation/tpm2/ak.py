"""Whose attestation key it is: an AK certificate up to a pinned root of vTPM vendors.

A certificate for another purpose (an endorsement key, a web server) of the same authority does
not make an attestation key.

Source: TCG EK Credential Profile §3; TCG OID registry (2.23.133.8.3 tcg-kp-AIKCertificate).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.x509 import ExtendedKeyUsage

from attestation import x509
from attestation.errors import Finding, untrusted
from attestation.x509 import Certificate

_PEM_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
AIK_CERTIFICATE: Final = "2.23.133.8.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class AkPath:
    """A verified path of an attestation key; made by `verify` only."""

    path: tuple[Certificate, ...]
    """Leaf first, pinned root last."""

    @property
    def leaf(self) -> Certificate:
        """The attestation key's own certificate."""
        return self.path[0]

    @property
    def valid_until(self) -> int:
        """Unix seconds at which the first certificate of the path ends."""
        return min(cert.not_after for cert in self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What revocation lists say about a path."""

    refused: tuple[Finding, ...]
    unchecked: tuple[Finding, ...]
    valid_until: tuple[int, ...]


def verify(
    spki: bytes,
    files: Sequence[bytes],
    anchors: Sequence[Certificate],
    *,
    now: int,
    code: str,
) -> AkPath:
    """Return the path from the certificate of a key up to a pinned root.

    Args:
        spki: DER of the attestation key.
        files: untrusted; certificates in any order, among them one for `spki`.
        anchors: the pins.
        now: Unix seconds.
        code: prefix of the findings' codes, e.g. `tpm2.ak-cert`.

    Raises:
        EvidenceMalformedError: a file is no certificate file.
        EvidenceUntrustedError: no certificate is for this key (`<code>.key`), it is for another
            purpose (`<code>.usage`), or no valid path leads to a pin.
    """
    pool = [
        cert
        for data in files
        for cert in x509.load_certificates(_blocks(data), what="AK certificate", code=code)
    ]
    leaf = next((cert for cert in pool if cert.spki == spki), None)
    if leaf is None:
        raise untrusted(f"{code}.key", "AK certificate", "for the quoting key", "another key")
    path = x509.path_to_anchor(leaf, pool, anchors, now=now, what="AK certificate", code=code)
    if leaf.is_ca or not leaf.signs_data or not _for_attestation(leaf):
        raise untrusted(f"{code}.usage", leaf.subject, "an attestation key", "another purpose")
    return AkPath(path=path)


def _blocks(data: bytes) -> bytes:
    """Return a PEM file without explanatory text between its blocks (RFC 7468 §2)."""
    return b"\n".join(_PEM_BLOCK.findall(data)) or data


def _for_attestation(leaf: Certificate) -> bool:
    """Say whether the extended key usage, if there is one, names attestation keys."""
    for extension in leaf.extensions:
        if isinstance(extension.value, ExtendedKeyUsage):
            return any(usage.dotted_string == AIK_CERTIFICATE for usage in extension.value)
    return True


def check_revocation(found: AkPath, lists: Sequence[bytes], *, now: int, code: str) -> Revocation:
    """Return what the lists say about each certificate below the root.

    Raises:
        EvidenceMalformedError: an item is not a CRL.
        EvidenceUntrustedError: a list in an issuer's name is not signed by it.
    """
    crls = [x509.load_crl(data, what="CRL", code=f"{code}.crl") for data in lists]
    refused, unchecked, until = [], [], []
    for cert, issuer in zip(found.path, found.path[1:], strict=False):
        ours = [crl for crl in crls if crl.issuer == issuer.subject]
        for crl in ours:
            x509.check_crl(crl, issuer, what="CRL", code=f"{code}.crl")
        if any(x509.is_revoked(crl, cert) for crl in ours):
            refused.append(Finding(f"{code}.revoked", cert.subject, "not revoked", "revoked"))
        current = [crl.next_update for crl in ours if crl.this_update <= now <= crl.next_update]
        if current:
            until.append(max(current))
        else:
            state = "stale" if ours else "missing"
            required = f"a CRL of {issuer.subject} current at {now}"
            finding = Finding(f"{code}.revocation.{state}", cert.subject, required, "none")
            unchecked.append(finding)
    return Revocation(refused=tuple(refused), unchecked=tuple(unchecked), valid_until=tuple(until))
