"""Huawei virtCCA: from a token to claims.

A token is signed by the key inside it, and a device certificate lies beside it: each may be
genuine without the other. Only two things bind them: a platform token, signed by the device,
whose challenge is the hash of the token's key; or a certificate for that very key. Evidence with
neither stays unverified, whatever its signatures.

Source: openEuler secGear (formats); docs/attestation/huawei-virtcca.md.
"""

from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestation.arm_cca.claims_map import HASHES
from attestation.claims import Claims, Tier
from attestation.cose import keys, sign1
from attestation.cose.keys import Key
from attestation.errors import malformed, untrusted, unverified
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.huawei import devices
from attestation.huawei.devices import Device
from attestation.x509 import Certificate

from .evidence import Token, parse

_CODE: Final = "huawei-virtcca"
_ROLES: Final = frozenset({Role.DEV_CERT, Role.CERT_CHAIN, Role.ROOT_CRL})


class HuaweiVirtccaVerifier:
    """Verifies tokens bound to a device certificate of a pinned root."""

    def __init__(self, roots: tuple[Certificate, ...]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`.

        Collateral: `dev-cert` (the device's certificate first, others behind it), `cert-chain`
        (authorities), `root-crl` (lists of any of them).
        """
        # (1) Parse.
        token = parse(raw)
        for role, _ in collateral.items:
            if role not in _ROLES:
                required = ", ".join(sorted(_ROLES))
                raise malformed(f"{_CODE}.collateral", "collateral role", required, role)
        given = collateral.all(Role.DEV_CERT) or token.device_certificates
        certificates = devices.load(given, code=f"{_CODE}.dev-cert")
        chain = devices.load(collateral.all(Role.CERT_CHAIN), code=f"{_CODE}.cert-chain")

        # (2) The token is signed by its own key, which alone proves nothing.
        key = keys.spki(token.claims.key, what="cvm key", code=f"{_CODE}.cvm")
        sign1.verify(token.cvm, key, what="cvm token", code=f"{_CODE}.cvm")

        # (3) Endorse: the device certificate, up to the pinned root.
        if not certificates:
            raise unverified(f"{_CODE}.dev-cert.missing", "device certificate", "one", "none")
        leaf, *others = certificates
        device = devices.verify(
            leaf,
            [*others, *chain],
            self._roots,
            collateral.all(Role.ROOT_CRL),
            now=now,
            code=f"{_CODE}.dev-cert",
        )

        # (4) Bind the two.
        binding = _bind(token, key, device)
        return _claims(token, device, binding)


def _bind(token: Token, key: Key, device: Device) -> str:
    """Return how the token's key is bound to the device."""
    if token.platform is not None and token.challenge is not None:
        sign1.verify(
            token.platform, device.leaf.key, what="platform token", code=f"{_CODE}.platform"
        )
        expected = HASHES[token.claims.key_hash_name](token.claims.key).digest()
        if not compare_digest(expected, token.challenge):
            found = token.challenge.hex()
            raise untrusted(f"{_CODE}.link", "platform challenge", expected.hex(), found)
        return "platform-token"
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if spki != device.leaf.spki:
        required = "a platform token, or a certificate for the token's key"
        raise unverified(f"{_CODE}.unbound", "binding of token and device", required, "neither")
    return "certificate"


def _claims(token: Token, device: Device, binding: str) -> Claims:
    claims = token.claims
    return Claims(
        kind=EvidenceKind.HUAWEI_VIRTCCA,
        report_data=claims.challenge,
        hardware_id=device.leaf.subject,
        measurements={
            "rim": claims.rim,
            **{f"rem{index}": value for index, value in enumerate(claims.rems)},
            "rpv": claims.personalization,
        },
        debug=False,
        tier=Tier.TEE,
        valid_until=device.valid_until,
        details={
            "binding": binding,
            "device_subject": device.leaf.subject,
            "device_serial": f"{device.leaf.serial:x}",
            "hash": claims.hash_name,
        },
        refused=device.refused,
        unchecked=device.unchecked,
    )
