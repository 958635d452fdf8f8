"""A SIMULATED Huawei machine: device certificates under a test root, and virtCCA tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.tee.cca import CoseWriter, ec_key, kept, realm_claims, rsa_key
from tests.harness.tee.nitro import encode, head
from tests.harness.tee.tpm2 import USAGES, name, when

NOW: Final = 1_760_000_000
BEGIN: Final = NOW - 1_000_000
END: Final = NOW + 1_000_000


def spki(role: str) -> bytes:
    """Return an RSA key as the token has it."""
    return rsa_key(role).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@cache
def certificate(
    subject: str,
    issuer: str,
    *,
    own: str,
    signer: str,
    ca: bool = True,
    begin: int = BEGIN,
    end: int = END,
    signs_data: bool = True,
    elliptic: bool = False,
) -> bytes:
    """Return one certificate, DER."""
    usages = {"key_cert_sign", "crl_sign"} if ca else {"key_agreement"}
    if signs_data:
        usages.add("digital_signature")
    public = ec_key(own).public_key() if elliptic else rsa_key(own).public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public)
        .serial_number(int.from_bytes(sha256(subject.encode()).digest()[:8]))
        .not_valid_before(when(begin))
        .not_valid_after(when(end))
        .add_extension(x509.KeyUsage(**{each: each in usages for each in USAGES}), critical=True)
    )
    if ca:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
    return builder.sign(rsa_key(signer), SHA256()).public_bytes(Encoding.DER)


def root(own: str = "root") -> bytes:
    """Return the root; another key makes a look-alike."""
    return certificate("SIMULATED Equipment CA", "SIMULATED Equipment CA", own=own, signer=own)


def product() -> bytes:
    """Return the authority that issues device certificates."""
    return certificate(
        "SIMULATED Product CA", "SIMULATED Equipment CA", own="product", signer="root"
    )


def device(
    *,
    own: str = "device",
    signer: str = "product",
    ca: bool = False,
    begin: int = BEGIN,
    end: int = END,
    signs_data: bool = True,
    elliptic: bool = False,
) -> bytes:
    """Return a device's certificate."""
    return certificate(
        "SIMULATED device",
        "SIMULATED Product CA",
        own=own,
        signer=signer,
        ca=ca,
        begin=begin,
        end=end,
        signs_data=signs_data,
        elliptic=elliptic,
    )


@cache
def crl(issuer: str, signer: str, *, revoked: bytes | None = None, end: int = NOW + 1000) -> bytes:
    """Return a revocation list, DER."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name(issuer))
        .last_update(when(NOW - 1000))
        .next_update(when(end))
    )
    if revoked is not None:
        serial = x509.load_der_x509_certificate(revoked).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(entry.revocation_date(when(NOW - 2000)).build())
    return builder.sign(rsa_key(signer), SHA256()).public_bytes(Encoding.DER)


def product_crl(*, revoked: bytes | None = None, end: int = NOW + 1000) -> bytes:
    """Return the list of the authority that issues device certificates."""
    return crl("SIMULATED Product CA", "product", revoked=revoked, end=end)


def root_crl(*, revoked: bytes | None = None, signer: str = "root") -> bytes:
    """Return the root's list."""
    return crl("SIMULATED Equipment CA", signer, revoked=revoked)


@dataclass(frozen=True, kw_only=True)
class VirtccaMachine:
    """One honest machine with one virtual machine; bend by keyword."""

    claims: Mapping[int, object] = field(default_factory=dict)
    platform: Mapping[int, object] | None = field(default_factory=dict)
    """Replaces claims of the platform token; None leaves the token out."""

    key: str = "cvm"
    cvm_cose: CoseWriter | None = None
    platform_cose: CoseWriter = field(
        default_factory=lambda: CoseWriter(signer="device", algorithm=-37)
    )
    double: bool = True
    """Whether payloads are wrapped in a byte string once more."""

    def token(self) -> bytes:
        """Return the collection."""
        writer = self.cvm_cose or CoseWriter(signer=self.key, algorithm=-37)
        members = {44241: writer.token(self._wrap(realm_claims(spki(self.key), self.claims)))}
        if self.platform is not None:
            base = {10: sha256(spki(self.key)).digest(), 265: "virtcca"}
            payload = self._wrap(encode(kept(base, self.platform)))
            members = {44234: self.platform_cose.token(payload), **members}
        return head(6, 399) + encode(members)

    def _wrap(self, payload: bytes) -> bytes:
        return encode(payload) if self.double else payload
