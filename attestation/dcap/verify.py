"""Authenticate a DCAP quote, and find out how patched its platform is.

Numbered as FORMATS and docs/spec/appraisal.md §4.3 number it:

1. the attestation key signed header and body;
2. the quoting enclave's report commits to that key;
3. the PCK certificate's key signed that report;
4. the PCK certificate leads to the pinned root;
5. neither it nor its issuer is revoked, by lists their issuers signed;
6. TCB info and QE identity are Intel's, over their exact bytes, and are about this platform;
7. the status is the worst of platform, TDX module and quoting enclave.

A wrong signature or chain is `untrusted`. What is missing or not current is `unchecked`. What is
authentic and unacceptable under every policy is `refused`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from attestation.claims import Status
from attestation.errors import Finding, untrusted, unverified
from attestation.evidence import Collateral
from attestation.layout import le
from attestation.x509 import Certificate, load_certificates, path_to_anchor

from .collateral import Delivered, p256_key, sort, verify_p256
from .pck import CA_NAMES, LEAF_NAME, Pck, common_name, read_pck
from .platform import (
    Inquiry,
    current_crl,
    judge_qe,
    judge_revocation,
    judge_tcb_info,
    merged_status,
)
from .quote import Quote, parse

PCK_CERT_CHAIN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """An authentic quote and everything that could be found out about its platform."""

    quote: Quote
    pck: Pck
    status: Status
    advisories: tuple[str, ...]
    evaluation_number: int | None
    """The lower one of TCB info and QE identity."""

    valid_until: int
    ratchets: dict[str, int]
    refused: tuple[Finding, ...]
    unchecked: tuple[Finding, ...]
    relaunch_advised: bool
    """The TD was launched under an older module than runs now (TD-preserving update)."""

    def details(self) -> dict[str, object]:
        """Return the platform's fields by Intel's names."""
        instance = self.pck.platform_instance_id
        return {
            "quote_version": self.quote.version,
            "fmspc": self.pck.fmspc,
            "pce_id": self.pck.pce_id,
            "pce_svn": self.pck.pce_svn,
            "platform_instance_id": instance,
            "sgx_tcb_components": self.pck.components,
            "qe_isv_svn": le(self.quote.qe_report["isv_svn"]),
            "tcb_evaluation_number": self.evaluation_number,
            "advisory_ids": self.advisories,
        }


def verify(
    raw: bytes,
    collateral: Collateral,
    *,
    tee_type: int,
    kind: str,
    anchors: Sequence[Certificate],
    now: int,
) -> Verified:
    """Return the authentic quote in `raw`; see the module for what is checked.

    Args:
        raw: untrusted; any bytes.
        collateral: untrusted.
        tee_type: `quote.SGX` or `quote.TDX`.
        kind: evidence kind, prefix of the findings' codes.
        anchors: the pinned root certificate.
        now: Unix seconds.

    Raises:
        EvidenceMalformedError: quote or collateral does not parse.
        EvidenceUntrustedError: a signature or chain is wrong.
        EvidenceUnverifiedError: there is no PCK certificate to check the quote with.
    """
    quote = parse(raw, tee_type=tee_type, kind=kind)
    delivered = sort(collateral, kind=kind)
    path = _pck_path(quote, delivered, anchors, kind=kind, now=now)
    leaf, issuer, anchor = path
    _check_quote(quote, leaf, kind=kind)
    pck = read_pck(leaf, kind=kind)
    inquiry = Inquiry(
        kind=kind,
        now=now,
        quote=quote,
        pck=pck,
        delivered=delivered,
        anchor=anchor,
        valid_until=min(cert.not_after for cert in path),
    )
    inquiry.root_crl = current_crl(inquiry, anchor, "root-crl")
    pck_crl = current_crl(inquiry, issuer, "pck-crl")
    judge_revocation(inquiry, ((leaf, pck_crl, "pck"), (issuer, inquiry.root_crl, "pck-ca")))
    relaunch = judge_tcb_info(inquiry)
    judge_qe(inquiry)
    return Verified(
        quote=quote,
        pck=pck,
        status=merged_status(inquiry),
        advisories=tuple(sorted(inquiry.advisories)),
        evaluation_number=min(inquiry.evaluation_numbers, default=None),
        valid_until=inquiry.valid_until,
        ratchets=inquiry.ratchets,
        refused=tuple(inquiry.refused),
        unchecked=tuple(inquiry.unchecked),
        relaunch_advised=relaunch,
    )


def _pck_path(
    quote: Quote,
    delivered: Delivered,
    anchors: Sequence[Certificate],
    *,
    kind: str,
    now: int,
) -> tuple[Certificate, Certificate, Certificate]:
    """Return PCK certificate, its CA and the pinned root; nothing else may be in the quote."""
    code = f"{kind}.pck"
    if quote.cert_type == PCK_CERT_CHAIN:
        chain = load_certificates(quote.cert_data, what="PCK chain", code=code)
    else:
        candidates = [chain for chain in delivered.pck_chains if common_name(chain[0]) == LEAF_NAME]
        if len(candidates) != 1:
            found = f"certification data type {quote.cert_type}, {len(candidates)} chains"
            raise unverified(f"{code}.missing", "PCK certificate", "one chain", found)
        chain = candidates[0]
    path = path_to_anchor(chain[0], chain[1:], anchors, now=now, what="PCK certificate", code=code)
    names = [common_name(cert) for cert in path[:2]]
    if len(path) != 3 or names[0] != LEAF_NAME or names[1] not in CA_NAMES:  # noqa: PLR2004
        required = f"{LEAF_NAME} <- {' or '.join(sorted(CA_NAMES))} <- root"
        raise untrusted(f"{code}.names", "PCK chain", required, " <- ".join(names))
    if len(chain) > 3 or any(  # noqa: PLR2004 - leaf, CA, root
        cert.spki != expected.spki for cert, expected in zip(chain, path, strict=False)
    ):
        raise untrusted(f"{code}.order", "PCK chain", "leaf, CA, root in this order", "others")
    return path[0], path[1], path[2]


def _check_quote(quote: Quote, leaf: Certificate, *, kind: str) -> None:
    """Check the three signatures that lead from the body to the PCK certificate."""
    code = f"{kind}.quote"
    key = p256_key(quote.attestation_key)
    if key is None:
        found = quote.attestation_key.hex()
        raise untrusted(f"{code}.key", "attestation key", "a point of P-256", found)
    if not verify_p256(key, quote.signature, quote.signed):
        raise untrusted(f"{code}.signature", "quote signature", "by the attestation key", "wrong")
    commitment = sha256(quote.attestation_key + quote.qe_auth).digest() + bytes(32)
    if not compare_digest(quote.qe_report["report_data"], commitment):
        found = quote.qe_report["report_data"].hex()
        raise untrusted(f"{code}.qe-binding", "QE report data", commitment.hex(), found)
    pck_key = leaf.key
    if not (
        isinstance(pck_key, ec.EllipticCurvePublicKey) and isinstance(pck_key.curve, ec.SECP256R1)
    ):
        raise untrusted(f"{kind}.pck.key", "PCK key", "P-256", type(pck_key).__name__)
    if not verify_p256(pck_key, quote.qe_report_signature, quote.qe_report_raw):
        raise untrusted(f"{code}.qe-signature", "QE report signature", "by the PCK key", "wrong")
