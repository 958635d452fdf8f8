"""Revocation of ASK and ASVK: the list that an ARK signs.

AMD revokes the intermediate keys of a product here; single VCEKs have no revocation list. A list
that is missing or not current leaves the question open, and says so; it is never an answer.

Source: AMD 57230 §"Certificate Revocation List"; RFC 5280 §5, §6.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from attestation import x509
from attestation.errors import Finding
from attestation.x509 import Certificate, Crl

from .certificates import common_name

_CODE: Final = "amd-snp.crl"
_WHAT: Final = "AMD CRL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What the revocation lists say about one certificate."""

    refused: tuple[Finding, ...] = ()
    unchecked: tuple[Finding, ...] = ()
    valid_until: int | None = None
    """Unix seconds of the list's nextUpdate; None where no current list was found."""
    ratchets: Mapping[str, int] = field(default_factory=dict)
    """CRL number of the newest current list."""


def check(
    cert: Certificate, issuer: Certificate, lists: Sequence[bytes], *, now: int
) -> Revocation:
    """Return what the lists of `issuer` say about `cert`; lists of other issuers are no answer.

    Args:
        cert: a certificate that `issuer` signed; already verified.
        issuer: the pinned root.
        lists: untrusted, each one CRL as DER or PEM.
        now: Unix seconds.

    Raises:
        EvidenceMalformedError: an item is not a CRL.
        EvidenceUntrustedError: a list claims to be `issuer`'s and its signature is wrong.
    """
    found = [x509.load_crl(data, what=_WHAT, code=_CODE) for data in lists]
    ours = [crl for crl in found if crl.issuer == issuer.subject]
    for crl in ours:
        x509.check_crl(crl, issuer, what=_WHAT, code=_CODE)
    name = common_name(cert)
    if any(x509.is_revoked(crl, cert) for crl in ours):
        serial = f"serial {cert.serial:#x} is on the list"
        return Revocation(refused=(Finding("amd-snp.revoked", name, "not revoked", serial),))
    current = [crl for crl in ours if crl.this_update <= now <= crl.next_update]
    if current:
        newest = max(current, key=_age)
        return Revocation(
            valid_until=newest.next_update,
            ratchets={f"amd/crl/{common_name(issuer)}": newest.number or 0},
        )
    required = f"a CRL of {common_name(issuer)} current at {now}"
    state, why = ("stale", "none is current") if ours else ("missing", "no CRL of that issuer")
    return Revocation(unchecked=(Finding(f"amd-snp.revocation.{state}", name, required, why),))


def _age(crl: Crl) -> tuple[int, int]:
    return crl.number or 0, crl.next_update
