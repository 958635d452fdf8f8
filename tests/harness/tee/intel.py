"""A SIMULATED Intel platform: quotes, PCK chains and collateral in Intel's formats, a test root.

`IntelWorld` says everything that can be said, as plain fields; `replace` one and build again.
Signatures are made over whatever results, so a field can be wrong and properly signed, or
right and badly signed. Nothing shipped trusts this root.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from attestation.dcap.quote import INTEL_QE_VENDOR_ID, SGX, TDX
from attestation.evidence import Collateral, Role
from attestation.x509 import Certificate, load_certificate

NOW = 1_760_000_000
DAY = 86_400
FMSPC = "90c06f000000"
ZEROS48 = bytes(48)
_SGX_OID = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
_ARC = bytes.fromhex("2a864886f84d010d01")


@cache
def key(name: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 test key of one role, made on first use."""
    del name
    return ec.generate_private_key(ec.SECP256R1())


def raw_point(private: ec.EllipticCurvePrivateKey) -> bytes:
    """Return x ‖ y of the public key, 64 bytes."""
    numbers = private.public_key().public_numbers()
    return numbers.x.to_bytes(32) + numbers.y.to_bytes(32)


def sign(private: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Return r ‖ s, 64 bytes."""
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def utc(instant: int) -> str:
    """Return Unix seconds in Intel's JSON form."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _name(common: str) -> x509.Name:
    """Return a name of the simulated vendor."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SIMULATED"),
        ]
    )


def _der(tag: int, value: bytes) -> bytes:
    """Return one DER element."""
    size = len(value)
    head = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2)
    return bytes([tag]) + head + value


def _pair(arc: bytes, value: bytes) -> bytes:
    """Return a pair of id and value under the extension's arc."""
    return _der(0x30, _der(0x06, _ARC + arc) + value)


def _int(value: int) -> bytes:
    """Return a DER INTEGER."""
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1))


def sgx_extension(
    *,
    ppid: bytes = bytes(range(16)),
    components: Sequence[int] = (3, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0),
    pce_svn: int = 13,
    pce_id: bytes = bytes(2),
    fmspc: bytes = bytes.fromhex(FMSPC),
    instance: bytes | None = bytes(range(16, 32)),
) -> bytes:
    """Return the SGX extension's value, in Intel's order."""
    tcb = b"".join(_pair(bytes([2, i + 1]), _int(svn)) for i, svn in enumerate(components))
    tcb += _pair(bytes([2, 17]), _int(pce_svn))
    tcb += _pair(bytes([2, 18]), _der(0x04, bytes(components)))
    parts = _pair(b"\x01", _der(0x04, ppid))
    parts += _pair(b"\x02", _der(0x30, tcb))
    parts += _pair(b"\x03", _der(0x04, pce_id))
    parts += _pair(b"\x04", _der(0x04, fmspc))
    parts += _pair(b"\x05", _der(0x0A, b"\x01"))
    if instance is not None:
        parts += _pair(b"\x06", _der(0x04, instance))
        parts += _pair(b"\x07", _der(0x30, _pair(b"\x07\x01", _der(0x01, b"\xff"))))
    return _der(0x30, parts)


@dataclass(frozen=True, kw_only=True)
class Cert:
    """One certificate to be made."""

    subject: str
    issuer: str
    signer: str
    """Role of the key that signs; the subject's own role is `role`."""

    role: str
    ca: bool = False
    path_length: int | None = None
    begin: int = NOW - 100 * DAY
    end: int = NOW + 1000 * DAY
    extension: bytes | None = None
    serial: int = 1000
    crl_sign: bool = True
    curve: ec.EllipticCurve = field(default_factory=ec.SECP256R1)

    def make(self) -> x509.Certificate:
        """Return it, signed."""
        public = key(self.role).public_key()
        if not isinstance(self.curve, ec.SECP256R1):
            public = ec.generate_private_key(self.curve).public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(self.subject))
            .issuer_name(_name(self.issuer))
            .public_key(public)
            .serial_number(self.serial)
            .not_valid_before(datetime.fromtimestamp(self.begin, UTC))
            .not_valid_after(datetime.fromtimestamp(self.end, UTC))
            .add_extension(x509.BasicConstraints(self.ca, self.path_length), critical=True)
            .add_extension(_usage(ca=self.ca, crl=self.crl_sign), critical=True)
        )
        if self.extension is not None:
            value = x509.UnrecognizedExtension(_SGX_OID, self.extension)
            builder = builder.add_extension(value, critical=False)
        return builder.sign(key(self.signer), SHA256())

    def pem(self) -> bytes:
        """Return it as PEM."""
        return self.make().public_bytes(Encoding.PEM)


def _usage(*, ca: bool, crl: bool) -> x509.KeyUsage:
    """Return the key usage of a CA or of a leaf."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca and crl,
        encipher_only=False,
        decipher_only=False,
    )


ROOT = Cert(
    subject="Intel SGX Root CA",
    issuer="Intel SGX Root CA",
    signer="root",
    role="root",
    ca=True,
    path_length=1,
    serial=1,
    end=NOW + 9000 * DAY,
)
CA = Cert(
    subject="Intel SGX PCK Platform CA",
    issuer="Intel SGX Root CA",
    signer="root",
    role="ca",
    ca=True,
    path_length=0,
    serial=2,
)
LEAF = Cert(
    subject="Intel SGX PCK Certificate",
    issuer="Intel SGX PCK Platform CA",
    signer="ca",
    role="pck",
    extension=sgx_extension(),
    serial=3,
)
SIGNER = Cert(
    subject="Intel SGX TCB Signing",
    issuer="Intel SGX Root CA",
    signer="root",
    role="tcb",
    serial=4,
)


def crl_der(
    *,
    issuer: str,
    signer: str,
    revoked: Sequence[int] = (),
    begin: int = NOW - DAY,
    end: int = NOW + 29 * DAY,
    number: int = 1,
    critical: bool = False,
) -> bytes:
    """Return a signed revocation list."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_name(issuer))
        .last_update(datetime.fromtimestamp(begin, UTC))
        .next_update(datetime.fromtimestamp(end, UTC))
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    if critical:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        entry = entry.revocation_date(datetime.fromtimestamp(begin, UTC))
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key(signer), SHA256()).public_bytes(Encoding.DER)


def enclave_report(**fields: bytes) -> bytes:
    """Return an enclave REPORT body with some fields set."""
    layout = {
        "cpu_svn": 0,
        "misc_select": 16,
        "attributes": 48,
        "mr_enclave": 64,
        "mr_signer": 128,
        "isv_prod_id": 256,
        "isv_svn": 258,
        "report_data": 320,
    }
    raw = bytearray(384)
    for name, value in fields.items():
        raw[layout[name] : layout[name] + len(value)] = value
    return bytes(raw)


QE_SIGNER = bytes.fromhex("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5")
TD_FIELDS: Mapping[str, bytes] = {
    "tee_tcb_svn": bytes.fromhex("06010300000000000000000000000000"),
    "mr_seam": b"\x11" * 48,
    "mr_signer_seam": ZEROS48,
    "seam_attributes": bytes(8),
    "td_attributes": (1 << 28).to_bytes(8, "little"),
    "xfam": (0x602E7).to_bytes(8, "little"),
    "mr_td": b"\x22" * 48,
    "mr_config_id": ZEROS48,
    "mr_owner": ZEROS48,
    "mr_owner_config": ZEROS48,
    "rtmr0": b"\x30" * 48,
    "rtmr1": b"\x31" * 48,
    "rtmr2": b"\x32" * 48,
    "rtmr3": b"\x33" * 48,
    "report_data": bytes(range(64)),
}
ENCLAVE_FIELDS: Mapping[str, bytes] = {
    "cpu_svn": bytes(16),
    "attributes": bytes([0x05]) + bytes(7) + bytes([0xE7]) + bytes(7),
    "mr_enclave": b"\x41" * 32,
    "mr_signer": b"\x42" * 32,
    "isv_prod_id": b"\x07\x00",
    "isv_svn": b"\x09\x00",
    "report_data": bytes(range(64)),
}


def _components(*svns: int) -> list[dict[str, object]]:
    """Return sixteen components, zeros last."""
    return [{"svn": svn} for svn in (*svns, *[0] * (16 - len(svns)))]


def platform_level(
    status: str, sgx: Sequence[int], tdx: Sequence[int], pce: int, *advisories: str
) -> dict[str, object]:
    """Return one row of TCB info."""
    level: dict[str, object] = {
        "tcb": {
            "sgxtcbcomponents": _components(*sgx),
            "pcesvn": pce,
            "tdxtcbcomponents": _components(*tdx),
        },
        "tcbDate": "2024-11-13T00:00:00Z",
        "tcbStatus": status,
    }
    if advisories:
        level["advisoryIDs"] = list(advisories)
    return level


def svn_level(status: str, svn: int, *advisories: str) -> dict[str, object]:
    """Return one row of a module's or quoting enclave's levels."""
    level: dict[str, object] = {
        "tcb": {"isvsvn": svn},
        "tcbDate": "2024-11-13T00:00:00Z",
        "tcbStatus": status,
    }
    if advisories:
        level["advisoryIDs"] = list(advisories)
    return level


def tcb_info(name: str = "TDX", **changes: object) -> dict[str, object]:
    """Return TCB info that finds the simulated platform up to date; None drops a member."""
    info: dict[str, object] = {
        "id": name,
        "version": 3,
        "issueDate": utc(NOW - DAY),
        "nextUpdate": utc(NOW + 29 * DAY),
        "fmspc": FMSPC,
        "pceId": "0000",
        "tcbType": 0,
        "tcbEvaluationDataNumber": 18,
        "tdxModule": {
            "mrsigner": "00" * 48,
            "attributes": "00" * 8,
            "attributesMask": "FF" * 8,
        },
        "tdxModuleIdentities": [
            {
                "id": "TDX_01",
                "mrsigner": "00" * 48,
                "attributes": "00" * 8,
                "attributesMask": "FF" * 8,
                "tcbLevels": [
                    svn_level("UpToDate", 6),
                    svn_level("OutOfDate", 4, "INTEL-SA-01099"),
                ],
            }
        ],
        "tcbLevels": [
            platform_level("UpToDate", (3, 3, 2, 2, 4, 1, 0, 5), (5, 0, 3), 13),
            platform_level("OutOfDate", (2, 2), (5, 0, 2), 5, "INTEL-SA-01036"),
        ],
    }
    if name == "SGX":
        del info["tdxModule"], info["tdxModuleIdentities"]
    info.update(changes)
    return {member: value for member, value in info.items() if value is not None}


def qe_identity(name: str = "TD_QE", **changes: object) -> dict[str, object]:
    """Return the identity of the simulated quoting enclave; None drops a member."""
    identity: dict[str, object] = {
        "id": name,
        "version": 2,
        "issueDate": utc(NOW - DAY),
        "nextUpdate": utc(NOW + 29 * DAY),
        "tcbEvaluationDataNumber": 17,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11" + "00" * 15,
        "attributesMask": "FBFFFFFFFFFFFFFF" + "00" * 8,
        "mrsigner": QE_SIGNER.hex().upper(),
        "isvprodid": 2,
        "tcbLevels": [svn_level("UpToDate", 4), svn_level("OutOfDate", 2, "INTEL-SA-00001")],
    }
    identity.update(changes)
    return {member: value for member, value in identity.items() if value is not None}


Bend = Callable[[bytes], bytes]


def _same(raw: bytes) -> bytes:
    """Return what was given."""
    return raw


@dataclass(frozen=True, kw_only=True)
class IntelWorld:
    """Everything a simulated platform and its vendor say."""

    version: int = 4
    tee: int = TDX
    td15: bool = False
    body: Mapping[str, bytes] = field(default_factory=dict)
    """Fields that differ from `TD_FIELDS` or `ENCLAVE_FIELDS`."""

    header: Mapping[str, bytes] = field(default_factory=dict)
    qe: Mapping[str, bytes] = field(default_factory=dict)
    qe_auth: bytes = bytes(range(32))
    root: Cert = ROOT
    ca: Cert = CA
    leaf: Cert = LEAF
    signer: Cert = SIGNER
    chain: Callable[[Sequence[bytes]], bytes] = b"".join
    """How leaf, CA and root, each PEM, become the quote's certification data."""

    cert_type: int = 5
    tcb_info: Mapping[str, object] | None = None
    qe_identity: Mapping[str, object] | None = None
    tcb_signer_role: str = "tcb"
    root_crl: Mapping[str, object] = field(default_factory=dict)
    pck_crl: Mapping[str, object] = field(default_factory=dict)
    bend_signed: Bend = _same
    """Applied to header and body after they were signed."""

    bend_signature: Bend = _same
    bend_qe_report: Bend = _same
    bend_qe_signature: Bend = _same
    bend_quote: Bend = _same

    def but(self, **changes: object) -> "IntelWorld":
        """Return this world with some fields different."""
        return replace(self, **changes)  # type: ignore[arg-type]

    @property
    def is_td(self) -> bool:
        """Whether quotes are trust domains'."""
        return self.tee == TDX

    def anchors(self) -> tuple[Certificate, ...]:
        """Return what a verifier of this world pins."""
        der = ROOT.make().public_bytes(Encoding.DER) if self.root is ROOT else _der_of(self.root)
        return (load_certificate(der, what="test root", code="test.root"),)

    def quote(self) -> bytes:
        """Return the quote."""
        signed = self._header() + self._body()
        attestation = key("attestation")
        point = raw_point(attestation)
        signature = self.bend_signature(sign(attestation, signed))
        qe_fields = {
            "attributes": bytes([0x15]) + bytes(7) + bytes([0xE7]) + bytes(7),
            "mr_signer": QE_SIGNER,
            "isv_prod_id": (2 if self.is_td else 1).to_bytes(2, "little"),
            "isv_svn": (4).to_bytes(2, "little"),
            "report_data": hashlib.sha256(point + self.qe_auth).digest() + bytes(32),
            **self.qe,
        }
        report = enclave_report(**qe_fields)
        qe_signature = self.bend_qe_signature(sign(key("pck"), report))
        report = self.bend_qe_report(report)
        chain = self.chain([self.leaf.pem(), self.ca.pem(), self.root.pem()])
        inner = report + qe_signature + len(self.qe_auth).to_bytes(2, "little") + self.qe_auth
        inner += self.cert_type.to_bytes(2, "little") + len(chain).to_bytes(4, "little") + chain
        if self.version > 3:
            inner = (6).to_bytes(2, "little") + len(inner).to_bytes(4, "little") + inner
        data = signature + point + inner
        raw = self.bend_signed(signed) + len(data).to_bytes(4, "little") + data
        return self.bend_quote(raw)

    def _header(self) -> bytes:
        """Return the quote header."""
        parts = {
            "version": self.version.to_bytes(2, "little"),
            "att_key_type": (2).to_bytes(2, "little"),
            "tee_type": self.tee.to_bytes(4, "little"),
            "svns": bytes(4),
            "qe_vendor_id": INTEL_QE_VENDOR_ID,
            "user_data": bytes(20),
            **self.header,
        }
        return b"".join(parts.values())

    def _body(self) -> bytes:
        """Return the quote body, with its type and size where the version has them."""
        if not self.is_td:
            raw = enclave_report(**{**ENCLAVE_FIELDS, **self.body})
            number = 1
        else:
            fields = {**TD_FIELDS, **self.body}
            extra = [
                fields.pop("tee_tcb_svn_2", fields["tee_tcb_svn"]),
                fields.pop("mr_service_td", ZEROS48),
            ]
            raw = b"".join(fields.values())
            number = 2
            if self.td15:
                raw += b"".join(extra)
                number = 3
        if self.version < 5:
            return raw
        return number.to_bytes(2, "little") + len(raw).to_bytes(4, "little") + raw

    def tcb_info_json(self) -> bytes:
        """Return the exact bytes of the TCB info."""
        found = self.tcb_info
        if found is None:
            found = tcb_info("TDX" if self.is_td else "SGX")
        return json.dumps(found, separators=(",", ":")).encode()

    def qe_identity_json(self) -> bytes:
        """Return the exact bytes of the QE identity."""
        found = self.qe_identity
        if found is None:
            found = qe_identity("TD_QE") if self.is_td else qe_identity("QE", isvprodid=1)
        return json.dumps(found, separators=(",", ":")).encode()

    def dcap(self, **changes: object) -> bytes:
        """Return all collateral as one document; None drops a member."""
        signer = key(self.tcb_signer_role)
        root_crl: dict[str, object] = {"issuer": self.root.subject, "signer": "root"}
        pck_crl: dict[str, object] = {"issuer": self.ca.subject, "signer": "ca"}
        root_crl.update(self.root_crl)
        pck_crl.update(self.pck_crl)
        document: dict[str, object] = {
            "pck_crl_issuer_chain": (self.ca.pem() + self.root.pem()).decode(),
            "root_ca_crl": crl_der(**root_crl).hex(),  # type: ignore[arg-type]
            "pck_crl": crl_der(**pck_crl).hex(),  # type: ignore[arg-type]
            "tcb_info_issuer_chain": (self.signer.pem() + self.root.pem()).decode(),
            "tcb_info": self.tcb_info_json().decode(),
            "tcb_info_signature": sign(signer, self.tcb_info_json()).hex(),
            "qe_identity_issuer_chain": (self.signer.pem() + self.root.pem()).decode(),
            "qe_identity": self.qe_identity_json().decode(),
            "qe_identity_signature": sign(signer, self.qe_identity_json()).hex(),
        }
        document.update(changes)
        kept = {name: value for name, value in document.items() if value is not None}
        return json.dumps(kept).encode()

    def collateral(self, **changes: object) -> Collateral:
        """Return all collateral as verifiers take it."""
        return Collateral(((Role.DCAP, self.dcap(**changes)),))


def _der_of(cert: Cert) -> bytes:
    """Return a certificate as DER."""
    return cert.make().public_bytes(Encoding.DER)


TD = IntelWorld()
ENCLAVE = IntelWorld(version=3, tee=SGX)
