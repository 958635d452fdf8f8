"""A SIMULATED AMD processor: reports and certificates in AMD's exact formats, under a test root.

Every value can be bent by keyword. The keys are made once per process (RSA-4096 is slow) and
shared by all simulated products, whose roots differ by name and product.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from attestation.amd_snp.product import Product
from attestation.amd_snp.report import LAYOUTS
from attestation.amd_snp.roots import PinnedArk, pin
from attestation.evidence import Collateral, Role

_SHA384 = SHA384()
NOW = 1_760_000_000
BEGIN = NOW - 1_000_000
END = NOW + 1_000_000
ARC = "1.3.6.1.4.1.3704.1."

CPUIDS = {
    Product.MILAN: bytes((0x19, 0x01, 0x01)),
    Product.GENOA: bytes((0x19, 0xA0, 0x02)),
    Product.TURIN: bytes((0x1A, 0x02, 0x01)),
}
LEVELS = {"fmc": 1, "bootloader": 10, "tee": 2, "snp": 23, "microcode": 0xDB}
_OLD = ("bootloader", "tee", None, None, None, None, "snp", "microcode")
_TURIN = ("fmc", "bootloader", "tee", "snp", None, None, None, "microcode")
_ARCS = {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    """Return the test key of one role, made on first use."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=4096)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-384 test key of one role, made on first use."""
    del name
    return ec.generate_private_key(ec.SECP384R1())


def tcb(product: Product, levels: Mapping[str, int] = LEVELS) -> bytes:
    """Return a TCB word in a product's layout."""
    layout = _TURIN if product is Product.TURIN else _OLD
    return bytes(levels[name] if name else 0 for name in layout)


def integer(value: int) -> bytes:
    """Return a DER INTEGER."""
    body = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes((0x02, len(body))) + body


def ia5(text: str) -> bytes:
    """Return a DER IA5String."""
    return bytes((0x16, len(text))) + text.encode()


def name(common_name: str) -> x509.Name:
    """Return the subject AMD uses, with one common name."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Engineering"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SIMULATED Micro Devices"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def when(seconds: int) -> datetime:
    """Return Unix seconds as the builder wants them."""
    return datetime.fromtimestamp(seconds, UTC)


@dataclass(frozen=True, kw_only=True)
class Issue:
    """How one certificate is made; bend with `dataclasses.replace`."""

    subject: str
    issuer: str
    key: str
    signer: str
    leaf: bool = False
    ca: bool = True
    cert_sign: bool = True
    serial: int = 65_537
    begin: int = BEGIN
    end: int = END
    extensions: Mapping[str, bytes] = field(default_factory=dict)
    critical: tuple[str, ...] = ()
    hash_algorithm: SHA256 | SHA384 = field(default_factory=SHA384)
    pss: bool = True
    curve_key: ec.EllipticCurvePrivateKey | None = None

    def der(self) -> bytes:
        """Build and sign it."""
        public = (
            (self.curve_key or ec_key(self.key)).public_key()
            if self.leaf
            else rsa_key(self.key).public_key()
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(self.subject))
            .issuer_name(name(self.issuer))
            .public_key(public)
            .serial_number(self.serial)
            .not_valid_before(when(self.begin))
            .not_valid_after(when(self.end))
        )
        if not self.leaf:
            usage = dict.fromkeys(
                (
                    "digital_signature",
                    "content_commitment",
                    "key_encipherment",
                    "data_encipherment",
                    "key_agreement",
                    "encipher_only",
                    "decipher_only",
                ),
                False,
            )
            builder = builder.add_extension(
                x509.KeyUsage(
                    key_cert_sign=self.cert_sign, crl_sign=self.subject == self.issuer, **usage
                ),
                critical=True,
            ).add_extension(x509.BasicConstraints(ca=self.ca, path_length=None), critical=True)
        elif self.ca:
            builder = builder.add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True
            )
        for arc, value in self.extensions.items():
            oid = x509.ObjectIdentifier(arc if "." in arc and arc.startswith("1.") else ARC + arc)
            builder = builder.add_extension(
                x509.UnrecognizedExtension(oid, value), critical=arc in self.critical
            )
        pss = padding.PSS(padding.MGF1(self.hash_algorithm), self.hash_algorithm.digest_size)
        pad = pss if self.pss else padding.PKCS1v15()
        key = rsa_key(self.signer)
        return builder.sign(key, self.hash_algorithm, rsa_padding=pad).public_bytes(Encoding.DER)


@dataclass(frozen=True, kw_only=True)
class SnpPlatform:
    """One honest processor and the keys AMD would have given it."""

    product: Product = Product.MILAN
    kind: str = "VCEK"
    version: int = 3
    chip_id: bytes = bytes(range(64))
    levels: Mapping[str, int] = field(default_factory=lambda: dict(LEVELS))

    @classmethod
    def turin(cls, *, kind: str = "VCEK", version: int = 5) -> Self:
        """Return a Turin: 8-byte hardware id, other TCB layout, report version 5."""
        return cls(
            product=Product.TURIN, kind=kind, version=version, chip_id=b"TURIN-08" + bytes(56)
        )

    # Certificates

    def ark_issue(self) -> Issue:
        """Describe the root."""
        ark = f"ARK-{self.product}"
        return Issue(subject=ark, issuer=ark, key="ark", signer="ark", serial=65_536)

    def ask_issue(self) -> Issue:
        """Describe ASK or ASVK."""
        infix = "VLEK-" if self.kind == "VLEK" else ""
        return Issue(
            subject=f"SEV-{infix}{self.product}",
            issuer=f"ARK-{self.product}",
            key="ask",
            signer="ark",
        )

    def vek_issue(self) -> Issue:
        """Describe VCEK or VLEK."""
        turin = self.product is Product.TURIN
        extensions = {
            "1": integer(int(turin)),
            "2": ia5(f"{self.product}-B0" if self.product is Product.MILAN else self.product),
            **{
                arc: integer(self.levels[level])
                for level, arc in _ARCS.items()
                if turin or level != "fmc"
            },
        }
        if self.kind == "VCEK":
            extensions["4"] = self.chip_id[: 8 if turin else 64]
        else:
            extensions["5"] = ia5("CN=cc-test.simulated.example")
        return Issue(
            subject=f"SEV-{self.kind}",
            issuer=self.ask_issue().subject,
            key="vek",
            signer="ask",
            leaf=True,
            ca=False,
            serial=1,
            extensions=extensions,
        )

    def bent_extension(self, arc: str, value: bytes | None) -> bytes:
        """Return a VEK with one extension replaced, or removed for None."""
        issue = self.vek_issue()
        extensions = {**issue.extensions, arc: value}
        kept = {key: data for key, data in extensions.items() if data is not None}
        return replace(issue, extensions=kept).der()

    @property
    def ark(self) -> bytes:
        """The root certificate."""
        return _der(self.ark_issue())

    @property
    def ask(self) -> bytes:
        """The intermediate certificate."""
        return _der(self.ask_issue())

    @property
    def vek(self) -> bytes:
        """The endorsement key certificate."""
        return _der(self.vek_issue())

    @property
    def roots(self) -> tuple[PinnedArk, ...]:
        """What a verifier of this simulated world pins: the root of every product."""
        return tuple(pin(product, replace(self, product=product).ark) for product in Product)

    def crl(
        self,
        *revoked: int,
        begin: int = BEGIN,
        end: int = END,
        signer: str = "ark",
        issuer: str | None = None,
        number: int | None = 7,
    ) -> bytes:
        """Return a revocation list of the root."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(name(issuer or f"ARK-{self.product}"))
            .last_update(when(begin))
            .next_update(when(end))
        )
        if number is not None:
            builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        for serial in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(serial)
                .revocation_date(when(begin))
                .build()
            )
        crl = builder.sign(
            rsa_key(signer), SHA384(), rsa_padding=padding.PSS(padding.MGF1(SHA384()), 48)
        )
        return crl.public_bytes(Encoding.DER)

    def collateral(self, **bend: bytes | None) -> Collateral:
        """Return full collateral; a role (`snp_crl`, `vek` …) replaced, or left out for None."""
        items: dict[str, bytes | None] = {
            "vek": self.vek,
            "ask": self.ask,
            "snp_crl": self.crl(),
            **bend,
        }
        return Collateral(
            tuple(
                (Role(role.replace("_", "-")), data)
                for role, data in items.items()
                if data is not None
            )
        )

    # Reports

    def fields(self) -> dict[str, bytes]:
        """Return the honest fields by the layout's names."""
        word = tcb(self.product, self.levels)
        found = {
            "version": self.version.to_bytes(4, "little"),
            "policy": (0x3001F).to_bytes(8, "little"),
            "signature_algo": (1).to_bytes(4, "little"),
            "platform_info": (0x25).to_bytes(8, "little"),
            "signer_info": ((self.kind == "VLEK") << 2).to_bytes(4, "little"),
            "report_data": bytes(range(64, 128)),
            "measurement": b"\xa5" * 48,
            "host_data": b"\x5a" * 32,
            "report_id": b"\x11" * 32,
            "report_id_ma": b"\xff" * 32,
            "cpuid": CPUIDS[self.product],
            "chip_id": self.chip_id,
            "current_version": bytes((40, 55, 1)),
            "committed_version": bytes((40, 55, 1)),
            **dict.fromkeys(("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"), word),
        }
        return {name: value for name, value in found.items() if name in self._names()}

    def _names(self) -> set[str]:
        """Return the fields that this version has."""
        return {row.name for row in LAYOUTS[self.version]}

    def body(self, **bend: bytes) -> bytearray:
        """Return the report before it is signed, with fields replaced."""
        values = {**self.fields(), **bend}
        raw = bytearray(0x4A0)
        for row in LAYOUTS[5]:
            if row.name in values:
                assert len(values[row.name]) == row.size, row.name
                raw[row.offset : row.offset + row.size] = values[row.name]
        return raw

    def report(self, **bend: bytes) -> bytes:
        """Return a signed report with fields replaced before it is signed."""
        return self.sign(self.body(**bend))

    def sign(self, raw: bytearray, *, key: str = "vek") -> bytes:
        """Sign the first 0x2A0 bytes as the firmware does: r and s little-endian."""
        signature = _signature(key, bytes(raw[:0x2A0]))
        r, s = decode_dss_signature(signature)
        raw[0x2A0:0x2E8] = r.to_bytes(72, "little")
        raw[0x2E8:0x330] = s.to_bytes(72, "little")
        return bytes(raw)


@cache
def _signature(key: str, body: bytes) -> bytes:
    """Sign each distinct body once, so that the same report is the same bytes."""
    return ec_key(key).sign(body, ec.ECDSA(SHA384()))


_CERTIFICATES: dict[str, bytes] = {}


def _der(issue: Issue) -> bytes:
    """Build each distinct certificate once; an issue with default objects prints the same."""
    shown = repr(replace(issue, hash_algorithm=_SHA384))
    if shown not in _CERTIFICATES:
        _CERTIFICATES[shown] = issue.der()
    return _CERTIFICATES[shown]


__all__ = ["NOW", "SHA256", "Issue", "SnpPlatform", "ec_key", "ia5", "integer", "rsa_key", "tcb"]
