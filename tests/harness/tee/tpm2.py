"""A SIMULATED TPM: quotes in the TCG's exact format, attestation keys certified by a test root."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import new

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = 1_760_000_000
BEGIN = NOW - 1_000_000
END = NOW + 1_000_000
AIK = x509.ObjectIdentifier("2.23.133.8.3")
EK = x509.ObjectIdentifier("2.23.133.8.1")
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
RSASSA, RSAPSS, ECDSA = 0x0014, 0x0016, 0x0018
BANKS = {0x000B: SHA256(), 0x000C: SHA384()}


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Return the RSA-2048 test key of one role, made on first use."""
    return rsa.generate_private_key(65537, 1024 if name == "short" else 2048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 test key of one role, made on first use."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def spki(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """Return the DER of a public key."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tpm2b(data: bytes) -> bytes:
    """Return a sized buffer."""
    return len(data).to_bytes(2) + data


def bitmap(indices: Sequence[int], size: int = 3) -> bytes:
    """Return a PCR selection, LSB first."""
    found = bytearray(size)
    for index in indices:
        found[index // 8] |= 1 << index % 8
    return bytes(found)


@dataclass(frozen=True, kw_only=True)
class Tpm:
    """One honest TPM; every part of its quote can be bent with `dataclasses.replace`."""

    nonce: bytes = b"a nonce of the verifier, 32 long"
    pcrs: tuple[bytes, ...] = tuple(bytes([index]) * 32 for index in range(24))
    bank: int = 0x000B
    selected: tuple[int, ...] | None = None
    magic: int = 0xFF544347
    kind: int = 0x8018
    safe: int = 1
    selections: int = 1
    digest: bytes | None = None
    tail: bytes = b""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: rsa_key("ak")
    )
    scheme: int = RSASSA
    scheme_hash: int = 0x000B
    bare: bool = False

    def message(self) -> bytes:
        """Return TPMS_ATTEST."""
        selected = tuple(range(len(self.pcrs))) if self.selected is None else self.selected
        digest = self.digest
        if digest is None:
            hash_name = BANKS.get(self.scheme_hash, SHA256()).name
            digest = new(hash_name, b"".join(self.pcrs)).digest()
        return b"".join(
            (
                self.magic.to_bytes(4),
                self.kind.to_bytes(2),
                tpm2b(b"\x00\x0b" + b"\x77" * 32),
                tpm2b(self.nonce),
                (123_456).to_bytes(8) + (3).to_bytes(4) + (1).to_bytes(4) + bytes([self.safe]),
                (0x2020_0312_0012_0003).to_bytes(8),
                self.selections.to_bytes(4),
                (self.bank.to_bytes(2) + b"\x03" + bitmap(selected)) * self.selections,
                tpm2b(digest),
                self.tail,
            )
        )

    def signature(self) -> bytes:
        """Return TPMT_SIGNATURE, or the bare RSA bytes."""
        digest = BANKS.get(self.scheme_hash, SHA256())
        head = self.scheme.to_bytes(2) + self.scheme_hash.to_bytes(2)
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            r, s = decode_dss_signature(self.key.sign(self.message(), ec.ECDSA(digest)))
            return head + tpm2b(r.to_bytes(32)) + tpm2b(s.to_bytes(32))
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
        pad = pss if self.scheme == RSAPSS else padding.PKCS1v15()
        value = self.key.sign(self.message(), pad, digest)
        return value if self.bare else head + tpm2b(value)

    def quote(self, **bend: object) -> dict[str, object]:
        """Return the `tpm_quote` member, bytes in hex and base64."""
        return {
            "message": b64encode(self.message()).decode(),
            "signature": self.signature().hex(),
            "pcrs": [value.hex() for value in self.pcrs],
            **bend,
        }

    def evidence(self, **bend: object) -> bytes:
        """Return the JSON evidence of kind `tpm2`."""
        doc = {"ak_public": b64encode(spki(self.key)).decode(), "tpm_quote": self.quote()}
        return json.dumps({**doc, **bend}).encode()


def name(common_name: str) -> x509.Name:
    """Return a name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def when(seconds: int) -> datetime:
    """Return Unix seconds as the builder wants them."""
    return datetime.fromtimestamp(seconds, UTC)


USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def certificate(
    subject: str,
    issuer: str,
    *,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    signer: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    ca: bool = False,
    usages: Sequence[str] = ("digital_signature",),
    eku: Sequence[x509.ObjectIdentifier] = (),
    begin: int = BEGIN,
    end: int = END,
    serial: int = 77,
) -> bytes:
    """Return a certificate of the simulated authority."""
    flags: Mapping[str, bool] = {usage: usage in usages for usage in USAGES}
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(when(begin))
        .not_valid_after(when(end))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**flags), critical=True)
    )
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
    return builder.sign(signer, SHA256()).public_bytes(Encoding.DER)


CA_USAGES = ("key_cert_sign", "crl_sign")


def root(key: str = "root") -> bytes:
    """Return the root of the simulated authority; another key makes a look-alike."""
    own = rsa_key(key)
    return certificate(
        "SIMULATED vTPM Root",
        "SIMULATED vTPM Root",
        key=own,
        signer=own,
        ca=True,
        usages=CA_USAGES,
        serial=1,
    )


def intermediate(end: int = END) -> bytes:
    """Return the issuing authority."""
    return certificate(
        "SIMULATED vTPM CA",
        "SIMULATED vTPM Root",
        key=rsa_key("ca"),
        signer=rsa_key("root"),
        ca=True,
        usages=CA_USAGES,
        serial=2,
        end=end,
    )


def ak_certificate(
    *,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    signer: str = "ca",
    eku: Sequence[x509.ObjectIdentifier] = (AIK,),
    ca: bool = False,
    usages: Sequence[str] = ("digital_signature",),
    end: int = END,
    begin: int = BEGIN,
) -> bytes:
    """Return the certificate of an attestation key."""
    return certificate(
        "SIMULATED vTPM",
        "SIMULATED vTPM CA",
        key=key or rsa_key("ak"),
        signer=rsa_key(signer),
        eku=eku,
        ca=ca,
        usages=usages,
        end=end,
        begin=begin,
    )


def crl(issuer: str, signer: str, *revoked: int, begin: int = BEGIN, end: int = END) -> bytes:
    """Return a revocation list of the simulated authority."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name(issuer))
        .last_update(when(begin))
        .next_update(when(end))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for serial in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(when(begin))
            .build()
        )
    return builder.sign(rsa_key(signer), SHA256()).public_bytes(Encoding.DER)


def crls(*revoked: int) -> tuple[bytes, bytes]:
    """Return current lists of both authorities; the issuing one names `revoked`."""
    return (
        crl("SIMULATED vTPM CA", "ca", *revoked),
        crl("SIMULATED vTPM Root", "root"),
    )
