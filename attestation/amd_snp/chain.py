"""The way from an endorsement key (VCEK, VLEK) to a pinned AMD root, at one instant.

VEK ← ASK or ASVK ← ARK, with the ARK compared by its key and never by its name. Certificates
come in any order and from any role; each must be used, so that nothing unrelated rides along.

Source: AMD 57230 §"Certificate chain"; RFC 5280 §6.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.x509.oid import SignatureAlgorithmOID

from attestation import x509
from attestation.errors import untrusted, unverified
from attestation.evidence import Role
from attestation.x509 import Certificate

from .certificates import common_name, place
from .product import Product
from .roots import PinnedArk
from .vek import VekIdentity, VekKind

_RSA_BITS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A verified chain; made by `verify` only."""

    product: Product
    vek: Certificate
    ask: Certificate
    ark: Certificate
    key: EllipticCurvePublicKey
    identity: VekIdentity

    @property
    def valid_until(self) -> int:
        """Unix seconds at which the first of the three certificates ends."""
        return min(self.vek.not_after, self.ask.not_after, self.ark.not_after)


def verify(pool: Sequence[Certificate], roots: Sequence[PinnedArk], *, now: int) -> Chain:
    """Return the one chain that `pool` holds, verified up to a pinned root.

    Args:
        pool: untrusted; the certificates of every role, in any order, repeats allowed.
        roots: the pins.
        now: Unix seconds.

    Raises:
        EvidenceMalformedError: AMD's extensions in the VEK do not parse.
        EvidenceUntrustedError: a signature, name, key, role, validity or product does not fit, a
            root is not the pinned one, or a certificate has no part in the chain.
        EvidenceUnverifiedError: VEK or ASK is missing.
    """
    certs = list({cert.der: cert for cert in pool}.values())
    # (1) Roots in the pool prove nothing; they must at least be ours.
    pinned = {root.certificate.der: root for root in roots}
    for cert in certs:
        if place(cert) is Role.ARK and cert.der not in pinned:
            raise untrusted("amd-snp.ark", "root certificate", "a pinned ARK", cert.subject)
    # (2) Exactly one VEK and one intermediate, on one valid path to a pinned root.
    vek = _only(certs, Role.VEK, "VCEK or VLEK")
    ask = _only(certs, Role.ASK, "ASK or ASVK")
    anchors = [root.certificate for root in roots]
    path = x509.path_to_anchor(
        vek, [ask], anchors, now=now, what="endorsement key", code="amd-snp.cert"
    )
    product = pinned[path[-1].der].product
    if path[1:-1] != (ask,) or any(cert not in path for cert in certs):
        raise untrusted("amd-snp.chain.extra", "certificates", "VEK, ASK and ARK", len(certs))
    # (3) Only the keys and the signature algorithm that AMD uses.
    for cert, issuer in ((vek, ask), (ask, path[-1])):
        _check_algorithm(cert, issuer)
    key = vek.key
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP384R1):
        raise untrusted("amd-snp.vek.key", "VEK key", "P-384", type(key).__name__)
    if vek.is_ca:
        raise untrusted("amd-snp.vek.ca", "VEK", "an end-entity certificate", "a CA")
    # (4) The ASK is of the VEK's kind, and both of the root's product.
    identity = VekIdentity.read(vek)
    _check_roles(identity, ask, product)
    return Chain(product=product, vek=vek, ask=ask, ark=path[-1], key=key, identity=identity)


def _only(certs: Sequence[Certificate], role: Role, what: str) -> Certificate:
    found = [cert for cert in certs if place(cert) is role]
    if not found:
        raise unverified(f"amd-snp.{role.value}.missing", what, "one certificate", "none")
    if len(found) > 1:
        raise untrusted(f"amd-snp.{role.value}.ambiguous", what, "one certificate", len(found))
    return found[0]


def _check_algorithm(cert: Certificate, issuer: Certificate) -> None:
    """Check that a signature is RSASSA-PSS with SHA-384 by an RSA-4096 key."""
    right = (
        isinstance(issuer.key, RSAPublicKey)
        and issuer.key.key_size == _RSA_BITS
        and cert.cert.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS
        and isinstance(cert.cert.signature_hash_algorithm, SHA384)
    )
    if not right:
        required = "RSA-4096, RSASSA-PSS, SHA-384"
        raise untrusted("amd-snp.cert.algorithm", common_name(cert), required, "another")


def _check_roles(identity: VekIdentity, ask: Certificate, product: Product) -> None:
    infix = "VLEK-" if identity.kind is VekKind.VLEK else ""
    required, found = f"SEV-{infix}{product}", common_name(ask)
    if found != required:
        raise untrusted("amd-snp.ask.role", f"issuer of a {identity.kind}", required, found)
    if identity.product is not product:
        raise untrusted("amd-snp.vek.product", "productName", product, identity.product_name)
