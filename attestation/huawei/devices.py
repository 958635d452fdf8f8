"""Device certificates: from the certificate beside the evidence to the pinned Huawei root.

Revocation: Huawei's authorities sign CRLs but publish no place to find them. A list that is
handed in (`root-crl`) counts; without one for each authority revocation stays unchecked.

Source: RFC 5280 §6; docs/attestation/huawei-virtcca.md §3.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attestation import x509
from attestation.errors import Finding, untrusted
from attestation.x509 import Certificate

from .roots import INTERMEDIATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device certificate with a path to a pinned root, all of it valid at the instant."""

    leaf: Certificate
    path: tuple[Certificate, ...]
    refused: tuple[Finding, ...]
    unchecked: tuple[Finding, ...]
    valid_until: int


def load(files: Iterable[bytes], *, code: str) -> list[Certificate]:
    """Return all certificates of some files: PEM bundles or concatenated DER.

    Raises:
        EvidenceMalformedError: a file holds something else.
    """
    return [
        cert
        for data in files
        for cert in x509.load_certificates(data, what="device certificate", code=code)
    ]


def verify(
    leaf: Certificate,
    pool: Sequence[Certificate],
    roots: Sequence[Certificate],
    crls: Sequence[bytes],
    *,
    now: int,
    code: str,
) -> Device:
    """Return the device whose certificate leads to a pinned root.

    Args:
        leaf: the device's certificate; untrusted.
        pool: untrusted certificates that may lie between.
        roots: pinned.
        crls: untrusted revocation lists.
        now: Unix seconds.
        code: prefix of the findings' codes.

    Raises:
        EvidenceMalformedError: a list does not parse.
        EvidenceUntrustedError: no path, a certificate out of its validity, a leaf that may not
            sign data, or a list its issuer did not sign.
    """
    if leaf.is_ca or not leaf.signs_data:
        raise untrusted(f"{code}.usage", "device certificate", "signs data, no CA", leaf.subject)
    path = x509.path_to_anchor(
        leaf, [*pool, *INTERMEDIATES], roots, now=now, what="device certificate", code=code
    )
    lists = [x509.load_crl(data, what="CRL", code=f"{code}.revocation") for data in crls]
    refused: list[Finding] = []
    unchecked: list[Finding] = []
    ends = [cert.not_after for cert in path]
    for cert, issuer in itertools.pairwise(path):
        mine = [each for each in lists if each.issuer == issuer.subject]
        for crl in mine:
            x509.check_crl(crl, issuer, what="CRL", code=f"{code}.revocation")
            if x509.is_revoked(crl, cert):
                refused.append(
                    Finding(f"{code}.revocation.revoked", cert.subject, "not revoked", "revoked")
                )
        current = [
            crl
            for crl in mine
            if not x509.crl_window(crl, now=now, what="CRL", code=f"{code}.revocation")
        ]
        if current:
            ends.append(max(crl.next_update for crl in current))
        else:
            word = "stale" if mine else "missing"
            unchecked.append(
                Finding(f"{code}.revocation.{word}", cert.subject, f"CRL of {issuer.subject}", word)
            )
    return Device(
        leaf=leaf,
        path=path,
        refused=tuple(refused),
        unchecked=tuple(unchecked),
        valid_until=min(ends),
    )
