"""Huawei iTrustee: from a report of a trusted application to claims.

It proves which trusted application runs under the TrustZone of a genuine Kunpeng processor:
report ← attestation key ← device key ← pinned Huawei root. An AK certificate alone is accepted as
what it is: a statement about a machine, with nothing in it that is fresh.

Source: openEuler kunpengsec; docs/attestation/huawei-itrustee.md.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from attestation import x509
from attestation.claims import Claims, Tier
from attestation.cose import keys
from attestation.errors import (
    EvidenceUnsupportedError,
    Finding,
    malformed,
    untrusted,
    unverified,
)
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.huawei import devices
from attestation.huawei.devices import Device
from attestation.x509 import Certificate

from . import legacy
from .report import AkCertificate, Report, parse

_CODE: Final = "huawei-itrustee"
NO_END: Final = (1 << 63) - 1
"""A key the caller vouches for has no expiry of its own."""
_ROLES: Final = frozenset({Role.CERT_CHAIN, Role.DEV_CERT, Role.ROOT_CRL, Role.CPAK})
_MIN_BITS: Final = 2048


class HuaweiItrusteeVerifier:
    """Verifies reports of devices whose certificate leads to a pinned root."""

    def __init__(self, roots: tuple[Certificate, ...]) -> None:
        self._roots = roots

    def verify(self, raw: bytes, collateral: Collateral, *, now: int) -> Claims:
        """See `Verifier.verify`.

        Collateral: `cert-chain`, `dev-cert` (authorities), `root-crl`, and `cpak` (the key of an
        AK certificate that the owner's own authority issued).

        Raises:
            EvidenceUnsupportedError: a binary report, or direct anonymous attestation.
        """
        for role, _ in collateral.items:
            if role not in _ROLES:
                required = ", ".join(sorted(_ROLES))
                raise malformed(f"{_CODE}.collateral", "collateral role", required, role)
        if raw[:1] == b"\1":
            legacy.parse(raw)
            required = "a JSON report"
            raise EvidenceUnsupportedError(
                Finding(f"{_CODE}.legacy", "report format", required, "the older binary one")
            )
        document = parse(raw)
        if isinstance(document, AkCertificate):
            device = self._device(document, collateral, now=now)
            return _claims(None, document, device)
        if isinstance(document.ak, AkCertificate):
            device = self._device(document.ak, collateral, now=now)
            _check_report(document, _attestation_key(document.ak))
            return _claims(document, document.ak, device)
        return _vouched(document, document.ak, collateral, now=now)

    def _device(self, ak: AkCertificate, collateral: Collateral, *, now: int) -> Device:
        """Authenticate an AK certificate: signed by the device key, which leads to the root."""
        leaf = x509.load_certificate(
            ak.device_certificate, what="device certificate", code=f"{_CODE}.drk-cert"
        )
        _check_pss(leaf.key, ak.signed, ak.signature, what="AK certificate", code="ak")
        files = (*collateral.all(Role.CERT_CHAIN), *collateral.all(Role.DEV_CERT))
        return devices.verify(
            leaf,
            devices.load(files, code=f"{_CODE}.cert-chain"),
            self._roots,
            collateral.all(Role.ROOT_CRL),
            now=now,
            code=f"{_CODE}.drk-cert",
        )


def _attestation_key(ak: AkCertificate) -> keys.Key:
    if not ak.key.has("kty") or ak.key.text("kty") != "RSA":
        raise EvidenceUnsupportedError(Finding(f"{_CODE}.daa", "attestation key", "RSA", "another"))
    return keys.jwk(ak.key)


def _check_report(report: Report, key: object) -> None:
    _check_pss(key, report.signed, report.signature, what="report", code="report")


def _check_pss(key: object, signed: bytes, signature: bytes, *, what: str, code: str) -> None:
    if not isinstance(key, RSAPublicKey) or key.key_size < _MIN_BITS:
        required = f"RSA of {_MIN_BITS} bits or more"
        raise untrusted(f"{_CODE}.{code}.key", f"{what} signer", required, type(key).__name__)
    pss = padding.PSS(mgf=padding.MGF1(SHA256()), salt_length=SHA256.digest_size)
    try:
        key.verify(signature, signed, pss, SHA256())
    except InvalidSignature as exc:
        raise untrusted(f"{_CODE}.{code}.signature", f"{what} signature", "right", "wrong") from exc


def _vouched(report: Report, der: bytes, collateral: Collateral, *, now: int) -> Claims:
    """Authenticate a report whose AK certificate the owner's own authority issued."""
    leaf = x509.load_certificate(der, what="AK certificate", code=f"{_CODE}.ak")
    x509.check_valid_at(leaf, now=now, what="AK certificate", code=f"{_CODE}.ak")
    _check_report(report, leaf.key)
    vouched = [
        keys.vouched(data, what="AK", code=f"{_CODE}.cpak") for data in collateral.all(Role.CPAK)
    ]
    spkis = {key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for key in vouched}
    if leaf.spki not in spkis:
        found = f"{len(vouched)} others"
        raise unverified(f"{_CODE}.cpak.missing", "attestation key", "vouched for", found)
    return _claims(report, None, None, until=leaf.not_after)


def _claims(
    report: Report | None,
    ak: AkCertificate | None,
    device: Device | None,
    *,
    until: int = NO_END,
) -> Claims:
    measurements: dict[str, bytes] = {}
    details: dict[str, object] = {"document": "ak-certificate" if report is None else "report"}
    if ak is not None:
        measurements |= {"qta_img": ak.quoting_image, "qta_mem": ak.quoting_memory}
        details |= {"ak_scenario": ak.scenario, "tcb": ak.tcb, "ak_timestamp": ak.timestamp}
    if report is not None:
        measurements |= {"ta_img": report.image, "ta_mem": report.memory}
        details |= {
            "scenario": report.scenario,
            "uuid": report.uuid,
            "timestamp": report.timestamp,
        }
    tier = Tier.TEE if report is not None else Tier.MEASURED_BOOT
    return Claims(
        kind=EvidenceKind.HUAWEI_ITRUSTEE,
        report_data=b"" if report is None else report.nonce,
        hardware_id=None if device is None else device.leaf.subject,
        measurements=measurements,
        debug=False,
        tier=Tier.ENDORSED_BY_CALLER if device is None else tier,
        valid_until=until if device is None else device.valid_until,
        details=details,
        refused=() if device is None else device.refused,
        unchecked=() if device is None else device.unchecked,
    )
