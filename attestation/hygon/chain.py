"""From the pinned Hygon root to the key that signed: HRK → HSK → CEK (→ PEK).

Hygon's certificates carry no dates, and nothing revokes them. What stands in for revocation is
the policy's list of enrolled and of denied chips, which name the CEK.

Source: openanolis/csv-rs `src/certs`; docs/attestation/hygon-csv.md §3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from attestation.containers import is_text, text_to_bytes
from attestation.errors import EvidenceUntrustedError, malformed, untrusted, unverified
from attestation.evidence import Collateral, Role
from mifeng.crypto import sm3

from .certificate import (
    CA_SIZE,
    CSV_SIZE,
    SM2_SIGN,
    Certificate,
    Usage,
    is_signed_by,
    parse_ca,
    parse_csv,
)
from .roots import Hrk

NO_END: Final = (1 << 63) - 1
"""Hygon's certificates do not expire."""

MAX_CERTIFICATES: Final = 64
"""Of one kind in one delivery: every chip of a node has a CEK."""

_CA_USAGE: Final = slice(36, 40)
_CSV_USAGE: Final = slice(8, 12)
_ROLES: Final = {
    Role.HSK_CEK: (Usage.HSK, Usage.CEK),
    Role.HSK: (Usage.HSK,),
    Role.CEK: (Usage.CEK,),
    Role.HRK: (Usage.HRK,),
    Role.CERT_CHAIN: (Usage.HRK, Usage.HSK, Usage.CEK),
}
"""What each role may hold, one or several of them concatenated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Delivered certificates, parsed and not believed."""

    hsks: tuple[Certificate, ...]
    ceks: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chip's endorsement key that a pinned root vouches for."""

    hsk: Certificate
    cek: Certificate

    @property
    def hardware_id(self) -> str:
        """SM3 of the CEK's public key (04 ‖ X ‖ Y), lower-case hex: the chip's identity."""
        return sm3(self.cek.point).hex()


def gather(
    collateral: Collateral, roots: Sequence[Hrk], *, also: frozenset[Role], code: str
) -> Pool:
    """Return the certificates in `collateral`.

    Args:
        collateral: untrusted; certificates raw, in hex or in base64, one or several a file.
        roots: pinned; a delivered root must be one of them, byte for byte.
        also: roles that are somebody else's business.
        code: the evidence kind, prefix of the findings' codes.

    Raises:
        EvidenceMalformedError: an item is no such certificate, or has another role.
        EvidenceUntrustedError: a delivered root is not pinned (code `<code>.hrk`).
    """
    pins = {root.certificate_sha256 for root in roots}
    found: dict[Usage, list[Certificate]] = {usage: [] for usage in (Usage.HSK, Usage.CEK)}
    for role, data in collateral.items:
        if role in also:
            continue
        if role not in _ROLES:
            required = ", ".join(sorted(_ROLES))
            raise malformed(f"{code}.collateral", "collateral role", required, role)
        for certificate in _split(data, _ROLES[role], code=code):
            if certificate.usage is not Usage.HRK:
                found[certificate.usage].append(certificate)
            elif sha256(certificate.raw).digest() not in pins:
                raise untrusted(f"{code}.hrk", "HRK certificate", "the pinned one", "another")
    for usage, certificates in found.items():
        if len(certificates) > MAX_CERTIFICATES:
            required = f"<= {MAX_CERTIFICATES}"
            raise malformed(f"{code}.count", f"{usage.name}s", required, len(certificates))
    return Pool(hsks=tuple(found[Usage.HSK]), ceks=tuple(found[Usage.CEK]))


def _split(data: bytes, usages: tuple[Usage, ...], *, code: str) -> list[Certificate]:
    """Return the certificates of one file; each states its usage where its size says."""
    raw = text_to_bytes(data, what="certificates", code=f"{code}.cert") if is_text(data) else data
    found: list[Certificate] = []
    at = 0
    while at < len(raw) or not found:
        usage = _usage_at(raw[at:], usages, code=code)
        size = CSV_SIZE if usage is Usage.CEK else CA_SIZE
        parse = parse_csv if usage is Usage.CEK else parse_ca
        name = f"{code}.{usage.name.lower()}"
        found.append(parse(raw[at : at + size], expected=usage, code=name))
        at += size
    return found


def _usage_at(rest: bytes, usages: tuple[Usage, ...], *, code: str) -> Usage:
    """Tell a CEK (2084 bytes) from an HRK or HSK (832 bytes) by the usage each states."""
    fits = {
        Usage.CEK: (_CSV_USAGE, CSV_SIZE),
        Usage.HSK: (_CA_USAGE, CA_SIZE),
        Usage.HRK: (_CA_USAGE, CA_SIZE),
    }
    for usage in (Usage.CEK, Usage.HSK, Usage.HRK):
        where, size = fits[usage]
        stated = int.from_bytes(rest[where], "little")
        if usage in usages and len(rest) >= size and stated == usage:
            return usage
    required = " or ".join(f"a {usage.name} certificate" for usage in usages)
    raise malformed(f"{code}.cert", "certificate", required, f"{len(rest)} other bytes")


def endorse(
    pool: Pool, roots: Sequence[Hrk], check: Callable[[Certificate], None], *, code: str
) -> Chain:
    """Return the chain to a delivered CEK that passes `check`.

    Args:
        pool: candidates.
        roots: pinned.
        check: raises EvidenceUntrustedError unless this CEK signed what it must have signed.
        code: the evidence kind, prefix of the findings' codes.

    Raises:
        EvidenceUnverifiedError: no HSK or no CEK was delivered (`<code>.hsk-cek.missing`).
        EvidenceUntrustedError: none of them leads from a pinned root to what was signed.
    """
    if not pool.hsks or not pool.ceks:
        found = f"{len(pool.hsks)} HSK, {len(pool.ceks)} CEK"
        raise unverified(f"{code}.hsk-cek.missing", "endorsement", "HSK and CEK", found)
    failures: list[EvidenceUntrustedError] = []
    for cek in pool.ceks:
        try:
            hsk = _issuer(cek, pool.hsks, roots, code=code)
            check(cek)
        except EvidenceUntrustedError as exc:
            failures.append(exc)
            continue
        return Chain(hsk=hsk, cek=cek)
    raise failures[0]


def _issuer(
    cek: Certificate, hsks: Sequence[Certificate], roots: Sequence[Hrk], *, code: str
) -> Certificate:
    """Return the HSK that signed `cek` and that a pinned root signed."""
    trusted = [hsk for hsk in hsks if any(_is_issued(hsk, root) for root in roots)]
    if not trusted:
        raise untrusted(f"{code}.hsk", "HSK signature", "by the pinned HRK", "not")
    for hsk in trusted:
        # An older CEK names no issuer; its signature decides in any case.
        named = cek.issuer_id in (hsk.key_id, bytes(len(hsk.key_id)))
        if named and has_signed(hsk, cek):
            return hsk
    raise untrusted(f"{code}.cek", "CEK signature", "by a delivered HSK", "not")


def _is_issued(hsk: Certificate, root: Hrk) -> bool:
    (signature,) = hsk.signatures
    return hsk.issuer_id == root.key_id and is_signed_by(
        root.point, Usage.HRK.uid, hsk.signed, signature.value
    )


def has_signed(issuer: Certificate, certificate: Certificate) -> bool:
    """Whether `certificate` bears exactly one signature for `issuer`'s usage, and it is right.

    The other slot is somebody else's: a PEK's owner signs there too.
    """
    slots = [each for each in certificate.signatures if each.usage == issuer.usage]
    return (
        len(slots) == 1
        and slots[0].algorithm == SM2_SIGN
        and is_signed_by(issuer.point, issuer.usage.uid, certificate.signed, slots[0].value)
    )
