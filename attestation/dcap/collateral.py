"""Sort the collateral of a DCAP quote: what was delivered, and what Intel signed of it.

Delivered is either one JSON document with everything (role `dcap`), or the bodies of Intel's
service (`tcb-info`, `qe-identity`, `pck-crl`, `root-crl`, `cert-chain`); both may be mixed.
Certificates of any chain are candidates only: what counts is the path to the pinned root.

Source: Intel PCS API v4; docs/spec/appraisal.md §4.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from attestation import json_strict
from attestation.containers import is_text, json_bytes, text_to_bytes
from attestation.errors import malformed
from attestation.evidence import Collateral, Role
from attestation.json_fields import Fields
from attestation.x509 import Certificate, Crl, load_certificates, load_crl

_DCAP_CHAINS: Final = (
    "pck_crl_issuer_chain",
    "tcb_info_issuer_chain",
    "qe_identity_issuer_chain",
    "pck_certificate_chain",
)
_COORDINATE: Final = 32
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedJson:
    """The exact bytes of a JSON object and Intel's signature over them, not yet checked."""

    raw: bytes
    signature: bytes


@dataclass(slots=True, kw_only=True)
class Delivered:
    """Everything that was delivered, parsed and not believed."""

    tcb_infos: list[SignedJson] = field(default_factory=list)
    qe_identities: list[SignedJson] = field(default_factory=list)
    crls: list[Crl] = field(default_factory=list)
    pool: list[Certificate] = field(default_factory=list)
    pck_chains: list[tuple[Certificate, ...]] = field(default_factory=list)
    """Chains that may begin with a PCK certificate, where the quote carries none."""


def sort(collateral: Collateral, *, kind: str) -> Delivered:
    """Return the delivered items by what they are.

    Raises:
        EvidenceMalformedError: an item does not parse, or has a role this kind has no use for.
    """
    delivered = Delivered()
    for role, data in collateral.items:
        match role:
            case Role.DCAP:
                _dcap(data, delivered, kind=kind)
            case Role.TCB_INFO:
                delivered.tcb_infos.append(_signed(data, "tcbInfo", f"{kind}.tcb-info"))
            case Role.QE_IDENTITY:
                delivered.qe_identities.append(
                    _signed(data, "enclaveIdentity", f"{kind}.qe-identity")
                )
            case Role.PCK_CRL | Role.ROOT_CRL:
                delivered.crls.append(_crl(data, role.value, kind=kind))
            case Role.CERT_CHAIN:
                chain = load_certificates(data, what="certificate chain", code=f"{kind}.chain")
                delivered.pck_chains.append(chain)
                delivered.pool += chain
            case Role.EVENT_LOG:
                pass  # replayed against a trust domain's registers by its own verifier
            case _:
                roles = "dcap, tcb-info, qe-identity, pck-crl, root-crl, cert-chain, event-log"
                raise malformed(f"{kind}.collateral.role", "collateral role", roles, role.value)
    return delivered


def _dcap(data: bytes, delivered: Delivered, *, kind: str) -> None:
    """Take one document apart; members it lacks, or that are null, are missing collateral."""
    code = f"{kind}.dcap"
    tree = json_strict.parse_object(data, what="DCAP collateral", code=code)
    tree = {name: value for name, value in tree.items() if value is not None}
    fields = Fields(tree, "DCAP collateral", code)
    for name in _DCAP_CHAINS:
        if fields.has(name):
            pem = fields.text(name).encode(errors="surrogatepass")
            chain = load_certificates(pem, what=name, code=code)
            delivered.pool += chain
            if name == "pck_certificate_chain":
                delivered.pck_chains.append(chain)
    for name in ("root_ca_crl", "pck_crl"):
        if isinstance(tree.get(name), list):
            data = json_bytes(tree[name], what=name, code=code)
            delivered.crls.append(_crl(data, name, kind=kind))
        elif fields.has(name):
            text = fields.text(name).encode(errors="surrogatepass")
            delivered.crls.append(_crl(text, name, kind=kind))
    for name, member, into in (
        ("tcb_info", "tcbInfo", delivered.tcb_infos),
        ("qe_identity", "enclaveIdentity", delivered.qe_identities),
    ):
        if not fields.has(name):
            continue
        raw = fields.text(name).encode(errors="surrogatepass")
        if f"{name}_signature" not in tree:  # the service's body as it came, a C string perhaps
            into.append(_signed(raw.rstrip(b"\0"), member, code))
        else:
            into.append(SignedJson(raw=raw, signature=_signature(tree, name, code=code)))


def _signature(tree: Mapping[str, object], name: str, *, code: str) -> bytes:
    """Return the signature beside a member: libraries write it in hex or as a list of bytes."""
    found = json_bytes(tree[f"{name}_signature"], what=f"{name}_signature", code=code)
    if len(found) != 2 * _COORDINATE:
        raise malformed(f"{code}.field", f"{name}_signature", "64 bytes", len(found))
    return found


def _signed(data: bytes, name: str, code: str) -> SignedJson:
    """Return the named member's exact bytes and the signature beside it."""
    spans = json_strict.members(data, what=name, code=code)
    fields = Fields(json_strict.parse_object(data, what=name, code=code), name, code)
    fields.member(name)
    return SignedJson(raw=spans[name], signature=fields.hex("signature", 64))


def _crl(data: bytes, what: str, *, kind: str) -> Crl:
    """Return a CRL from DER, PEM, or the hex or base64 text that PCCS and JSON carry."""
    code = f"{kind}.crl"
    if b"-----BEGIN" not in data and is_text(data):
        data = text_to_bytes(data, what=what, code=code)
    return load_crl(data, what=what, code=code)


def verify_p256(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    """Whether `signature`, 64 bytes r ‖ s big-endian, is `key`'s over `signed` with SHA-256."""
    r, s = (int.from_bytes(part) for part in (signature[:_COORDINATE], signature[_COORDINATE:]))
    if not (0 < r < _ORDER and 0 < s < _ORDER):
        return False
    try:
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def p256_key(raw: bytes) -> ec.EllipticCurvePublicKey | None:
    """Return the P-256 key of 64 bytes x ‖ y big-endian, or None if it is not on the curve."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + raw)
    except ValueError:
        return None
