"""AWS Nitro Enclaves: from an attestation document to claims.

It proves which image an enclave was started from (PCR 0 to 2) on AWS's Nitro hypervisor, and
what the enclave had signed. AWS itself is trusted: the hypervisor is its own, the memory of the
host is not encrypted against it. AWS publishes no revocation for these certificates and tells
verifiers not to look for it; leaf certificates live for three hours instead.

Source: AWS, "Attestation process" §"Attestation document validation";
docs/attestation/aws-nitro.md.
"""

from hmac import compare_digest
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP384R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.x509.oid import SignatureAlgorithmOID

from attestation import x509
from attestation.claims import Claims, Tier
from attestation.errors import Finding, untrusted
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.x509 import Certificate

from .document import PCR_SIZE, Document, parse

_CODE: Final = "aws-nitro.cert"
_HALF: Final = 48
_MS: Final = 1000


class AwsNitroVerifier:
    """Verifies documents whose bundle begins with a pinned root."""

    def __init__(self, roots: tuple[Certificate, ...]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`.

        The document brings its chain; a `cert-chain` in `collateral` may repeat the root, which
        is refused unless it is the pinned one.
        """
        # (1) Parse.
        document = parse(raw)
        self._check_offered_roots(collateral)
        # (2) Endorse: leaf ← bundle, last to first ← pinned root, all valid now.
        path = self._path(document, now=now)
        # (3) Authenticate the exact payload bytes with the leaf's key.
        _check_signature(document, path[0])
        # (4) The module's clock must agree with the certificate it was given.
        seconds = document.timestamp_ms // _MS
        leaf = path[0]
        if not leaf.not_before <= seconds <= leaf.not_after:
            required = f"{leaf.not_before} to {leaf.not_after}"
            raise untrusted("aws-nitro.timestamp", "timestamp", required, seconds)
        # (5) Claims.
        return _claims(document, path)

    def _check_offered_roots(self, collateral: Collateral) -> None:
        pinned = {root.der for root in self._roots}
        for data in collateral.all(Role.CERT_CHAIN):
            certs = x509.load_certificates(data, what="Nitro root", code=_CODE)
            if not all(cert.der in pinned for cert in certs):
                raise untrusted(f"{_CODE}.root", "cert-chain", "the pinned root", "another")

    def _path(self, document: Document, *, now: int) -> tuple[Certificate, ...]:
        leaf, *bundle = (
            x509.load_certificate(der, what="Nitro certificate", code=_CODE)
            for der in (document.certificate, *document.cabundle)
        )
        path = x509.path_to_anchor(
            leaf, bundle, self._roots, now=now, what="Nitro certificate", code=_CODE
        )
        # The bundle is root first, complete and in order; anything else is not AWS's.
        if [cert.der for cert in path[:0:-1]] != list(document.cabundle):
            raise untrusted(f"{_CODE}.bundle", "cabundle", "root to issuer, in order", "other")
        if leaf.is_ca or not leaf.signs_data:
            raise untrusted(f"{_CODE}.usage", leaf.subject, "a signing certificate", "another")
        for cert in path[:-1]:
            if cert.cert.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA384:
                required = "ecdsa-with-SHA384"
                raise untrusted(f"{_CODE}.algorithm", cert.subject, required, "another")
        return path


def _check_signature(document: Document, leaf: Certificate) -> None:
    key = leaf.key
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
        raise untrusted(f"{_CODE}.key", leaf.subject, "P-384", type(key).__name__)
    r, s = (
        int.from_bytes(part) for part in (document.signature[:_HALF], document.signature[_HALF:])
    )
    try:
        key.verify(encode_dss_signature(r, s), document.signed, ECDSA(SHA384()))
    except InvalidSignature as exc:
        raise untrusted(
            "aws-nitro.signature", "document signature", "by the leaf", "wrong"
        ) from exc


def _claims(document: Document, path: tuple[Certificate, ...]) -> Claims:
    # A debug enclave's PCRs are all zero: its console shows what happens inside.
    debug = compare_digest(document.pcrs[0], bytes(PCR_SIZE))
    refused = Finding("aws-nitro.debug", "PCR 0", "not zero (no debug mode)", "zero")
    nonce, user_data, public_key = document.nonce, document.user_data, document.public_key
    return Claims(
        kind=EvidenceKind.AWS_NITRO,
        report_data=nonce if nonce is not None else user_data or b"",
        hardware_id=None,
        measurements={f"pcr{index}": value for index, value in sorted(document.pcrs.items())},
        debug=debug,
        tier=Tier.TEE,
        valid_until=min(cert.not_after for cert in path),
        details={
            "module_id": document.module_id,
            "timestamp_ms": document.timestamp_ms,
            "nonce": None if nonce is None else nonce.hex(),
            "user_data": None if user_data is None else user_data.hex(),
            "public_key": None if public_key is None else public_key.hex(),
            "leaf_subject": path[0].subject,
        },
        issued_at=document.timestamp_ms // _MS,
        refused=(refused,) if debug else (),
    )
