"""AMD SEV-SNP: from the bytes of a report to claims.

The procedure is numbered; each step names what it rests on. It proves which software a genuine
AMD processor launched in an encrypted guest, and what the guest had signed. It does not prove
that nobody had physical access to the memory bus.

Source: AMD 56860 §"Attestation"; AMD 57230 §"Verifying an attestation report";
docs/attestation/amd-snp.md.
"""

from collections.abc import Iterable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from attestation.claims import Claims, Tier
from attestation.errors import Finding, untrusted
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.x509 import Certificate

from . import chain as chains
from . import crl
from .certificates import load_certificates, place
from .chain import Chain
from .container import Delivery, unwrap
from .product import (
    PLATFORM_ALIAS_CHECK,
    POLICY_DEBUG,
    POLICY_MIGRATE_MA,
    POLICY_MUST_BE_ONE,
    Tcb,
    platform_claims,
    policy_claims,
    product_of,
)
from .report import Report, parse
from .roots import PinnedArk
from .vek import VekKind

_CERTIFICATE_ROLES: Final = (Role.VEK, Role.ASK, Role.ARK, Role.CERT_CHAIN)


_AUTHOR_KEY_EN: Final = 1 << 0
_MASK_CHIP_KEY: Final = 1 << 1
_SIGNING_KEY_SHIFT: Final = 2
_SIGNING_KEYS: Final = {0: VekKind.VCEK, 1: VekKind.VLEK}


class AmdSnpVerifier:
    """Verifies reports of every product whose root it is given."""

    def __init__(self, roots: tuple[PinnedArk, ...]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`.

        `raw` is a report, or one of the binary containers that `container` knows; certificates
        inside a container count only where `collateral` has none of their place.

        Raises:
            EvidenceUnsupportedError: a report version or a processor we hold no root for.
        """
        # (1) Parse, before anything is believed.
        delivery = unwrap(raw)
        report = parse(delivery.report)
        product = product_of(report.cpuid) if report.cpuid is not None else None
        signer = _signing_key(report)

        # (2) Endorse: VEK ← ASK ← pinned ARK, all valid now.
        pool = _pool(delivery, collateral)
        self._check_offered_roots(collateral)
        chain = chains.verify(pool, self._roots, now=now)
        if product is not None and product is not chain.product:
            raise untrusted("amd-snp.product.mismatch", "product by CPUID", chain.product, product)

        # (3) Authenticate: the report's signature, then what the VEK was issued for.
        _check_signature(report, chain)
        reported = Tcb.parse(report.reported_tcb, chain.product)
        _check_endorsement(report, chain, reported, signer)

        # (4) Revocation of the intermediate.
        lists = collateral.all(Role.SNP_CRL) or delivery.crls
        revocation = crl.check(chain.ask, chain.ark, lists, now=now)

        # (5) Claims, with what is refused under every policy.
        return _claims(report, chain, reported, revocation)

    def _check_offered_roots(self, collateral: Collateral) -> None:
        """Refuse an `ark` that is not the pin, even if the chain would not need it."""
        pinned = {root.certificate.der for root in self._roots}
        for data in collateral.all(Role.ARK):
            if pinned.isdisjoint(cert.der for cert in load_certificates(data)):
                raise untrusted("amd-snp.ark", "collateral ark", "a pinned ARK", "another")


def _pool(delivery: Delivery, collateral: Collateral) -> list[Certificate]:
    """Return the certificates to choose from; collateral goes before what the container holds."""
    given = _load(data for role, data in collateral.items if role in _CERTIFICATE_ROLES)
    places = {place(cert) for cert in given}
    embedded = _load(delivery.certificates)
    return given + [cert for cert in embedded if place(cert) not in places]


def _load(files: Iterable[bytes]) -> list[Certificate]:
    return [cert for data in files for cert in load_certificates(data)]


def _signing_key(report: Report) -> VekKind:
    number = report.signer_info >> _SIGNING_KEY_SHIFT
    kind = _SIGNING_KEYS.get(number)
    if kind is None:
        raise untrusted("amd-snp.signing-key", "SIGNING_KEY", "0 (VCEK) or 1 (VLEK)", number)
    return kind


def _check_signature(report: Report, chain: Chain) -> None:
    try:
        signature = encode_dss_signature(report.r, report.s)
        chain.key.verify(signature, report.signed, ECDSA(SHA384()))
    except InvalidSignature as exc:
        name = chain.identity.kind
        raise untrusted("amd-snp.signature", "report signature", f"by the {name}", "wrong") from exc


def _check_endorsement(report: Report, chain: Chain, reported: Tcb, signer: VekKind) -> None:
    identity = chain.identity
    if signer is not identity.kind:
        raise untrusted("amd-snp.signing-key.mismatch", "SIGNING_KEY", identity.kind, signer)
    # The self-reported level must be the one that AMD derived this very key from (ToB-WAPI-8).
    if reported != identity.tcb:
        required, found = identity.tcb.components(), reported.components()
        raise untrusted("amd-snp.tcb.mismatch", "REPORTED_TCB", required, found)
    if identity.hwid is not None and identity.hwid.ljust(64, b"\0") != report.chip_id:
        hwid, chip = identity.hwid.hex(), report.chip_id.hex()
        raise untrusted("amd-snp.chip-id.mismatch", "CHIP_ID", hwid, chip)


def _claims(report: Report, chain: Chain, reported: Tcb, revocation: crl.Revocation) -> Claims:
    until = chain.valid_until
    if revocation.valid_until is not None:
        until = min(until, revocation.valid_until)
    levels = {
        "reported": reported,
        "committed": Tcb.parse(report.committed_tcb, chain.product),
        "current": Tcb.parse(report.current_tcb, chain.product),
        "launch": Tcb.parse(report.launch_tcb, chain.product),
    }
    return Claims(
        kind=EvidenceKind.AMD_SNP,
        report_data=report.report_data,
        hardware_id=report.chip_id.hex() if any(report.chip_id) else None,
        measurements={
            "launch": report.measurement,
            "host_data": report.host_data,
            "id_key_digest": report.id_key_digest,
            "author_key_digest": report.author_key_digest,
        },
        debug=bool(report.policy & POLICY_DEBUG),
        tier=Tier.TEE,
        valid_until=until,
        details=_details(report, chain, levels),
        ratchets=revocation.ratchets,
        refused=(*_refused(report, levels), *revocation.refused),
        unchecked=revocation.unchecked,
    )


def _refused(report: Report, levels: dict[str, Tcb]) -> list[Finding]:
    """Return what no policy may accept."""
    policy = report.policy
    rows = (
        (not policy & POLICY_DEBUG, "debug", "policy bit 19 (DEBUG)", "0", "1"),
        (not policy & POLICY_MIGRATE_MA, "migration", "policy bit 18 (MIGRATE_MA)", "0", "1"),
        (bool(policy & POLICY_MUST_BE_ONE), "policy.reserved", "policy bit 17", "1", "0"),
        (report.vmpl == 0, "vmpl", "VMPL", "0", str(report.vmpl)),
        (
            levels["committed"].covers(levels["reported"])
            and levels["current"].covers(levels["committed"]),
            "tcb.order",
            "TCB",
            "reported <= committed <= current",
            str({name: tcb.components() for name, tcb in levels.items()}),
        ),
    )
    return [
        Finding(f"amd-snp.{code}", claim, required, found)
        for passed, code, claim, required, found in rows
        if not passed
    ]


def _details(report: Report, chain: Chain, levels: dict[str, Tcb]) -> dict[str, object]:
    identity = chain.identity
    flat = {
        f"{name}_tcb_{component}": level
        for name, tcb in levels.items()
        for component, level in tcb.components().items()
    }
    return {
        "version": report.version,
        "product": chain.product.value,
        "product_name": identity.product_name,
        "cpuid": report.cpuid.hex() if report.cpuid is not None else None,
        "signing_key": identity.kind.value,
        "csp_id": identity.csp_id,
        "chip_id": report.chip_id.hex(),
        "author_key_en": bool(report.signer_info & _AUTHOR_KEY_EN),
        "mask_chip_key": bool(report.signer_info & _MASK_CHIP_KEY),
        "guest_svn": report.guest_svn,
        "vmpl": report.vmpl,
        "policy": policy_claims(report.policy),
        "platform_info": platform_claims(report.platform_info),
        "alias_check_complete": int(bool(report.platform_info & PLATFORM_ALIAS_CHECK)),
        "family_id": report.family_id.hex(),
        "image_id": report.image_id.hex(),
        "report_id": report.report_id.hex(),
        "report_id_ma": report.report_id_ma.hex(),
        "current_version": report.current_version,
        "committed_version": report.committed_version,
        "launch_mit_vector": report.launch_mit_vector,
        "current_mit_vector": report.current_mit_vector,
        **flat,
    }
