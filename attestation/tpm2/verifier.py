"""TPM 2.0 quotes as evidence of measured boot.

It proves which values the PCRs of a (virtual) TPM held when it signed the caller's nonce, and
that its attestation key is one that the vTPM's vendor certified. It does not prove that memory
is encrypted or that the host cannot look inside: tier `measured-boot`.

Source: TCG TPM 2.0 Library Part 3 §18.4; docs/attestation/tpm2.md.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

from attestation import json_strict
from attestation.claims import Claims, Tier
from attestation.containers import json_bytes
from attestation.errors import malformed, untrusted, unverified
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.x509 import Certificate

from . import ak, quote
from .quote import Quote, SignedQuote

_CODE: Final = "tpm2"
_NO_END: Final = (1 << 63) - 1
"""A key the caller vouches for has no expiry of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """Who says that the key is an attestation key, and until when."""

    tier: Tier
    valid_until: int
    details: dict[str, object]
    revocation: ak.Revocation


class Tpm2Verifier:
    """Verifies quotes whose AK certificate leads to one of the pinned vTPM roots."""

    def __init__(self, roots: tuple[Certificate, ...]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`.

        `raw` is JSON: `{"ak_public", "tpm_quote": {"message", "signature", "pcrs"}}`, bytes in
        hex, base64 or as arrays. Collateral: `ak-cert` with its intermediates, `root-crl` for
        each authority of the path; or `cpak`, a key the caller vouches for.
        """
        # (1) Parse.
        key, parts = parse(raw)
        # (2) Authenticate the key: by certificate, or by the caller's word, which the tier says.
        owner = self._owner(key, collateral, now=now)
        # (3) Authenticate the quote and the PCR values with it.
        found = quote.verify(parts, key, code=f"{_CODE}.quote")
        # (4) Claims.
        return _claims(found, owner)

    def _owner(self, key: PublicKeyTypes, collateral: Collateral, *, now: int) -> _Owner:
        spki = _spki(key)
        files = collateral.all(Role.AK_CERT)
        if files:
            code = f"{_CODE}.ak-cert"
            found = ak.verify(spki, files, self._roots, now=now, code=code)
            revocation = ak.check_revocation(
                found, collateral.all(Role.ROOT_CRL), now=now, code=code
            )
            return _Owner(
                tier=Tier.MEASURED_BOOT,
                valid_until=min(found.valid_until, *revocation.valid_until, _NO_END),
                details={"ak_subject": found.leaf.subject, "ak_serial": f"{found.leaf.serial:x}"},
                revocation=revocation,
            )
        vouched = [_spki(_load_key(data)) for data in collateral.all(Role.CPAK)]
        if not vouched:
            required = "an AK certificate (ak-cert)"
            raise unverified(f"{_CODE}.ak-cert.missing", "attestation key", required, "none")
        if spki not in vouched:
            raise untrusted(f"{_CODE}.cpak.key", "vouched key", "the quoting key", "another")
        return _Owner(
            tier=Tier.ENDORSED_BY_CALLER,
            valid_until=_NO_END,
            details={},
            revocation=ak.Revocation(refused=(), unchecked=(), valid_until=()),
        )


def parse(raw: bytes) -> tuple[PublicKeyTypes, SignedQuote]:
    """Return the key that is said to quote, and the quote.

    Raises:
        EvidenceMalformedError: not this JSON (codes `tpm2.evidence.*`, `tpm2.key`).
    """
    code = f"{_CODE}.evidence"
    doc = json_strict.parse_object(raw, what="TPM evidence", code=code)
    key = _load_key(json_bytes(doc.get("ak_public"), what="ak_public", code=code))
    return key, SignedQuote.of(doc.get("tpm_quote"), code=code)


def _load_key(data: bytes) -> PublicKeyTypes:
    try:
        if b"-----BEGIN" in data:
            return load_pem_public_key(data)
        return load_der_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise malformed(f"{_CODE}.key", "public key", "SubjectPublicKeyInfo", exc) from exc


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _claims(found: Quote, owner: _Owner) -> Claims:
    return Claims(
        kind=EvidenceKind.TPM2,
        report_data=found.attest.extra_data,
        hardware_id=None,
        measurements={f"pcr{index}": value for index, value in found.pcrs.items()},
        debug=False,
        tier=owner.tier,
        valid_until=owner.valid_until,
        details={**owner.details, **quote.details(found)},
        refused=owner.revocation.refused,
        unchecked=owner.revocation.unchecked,
    )
