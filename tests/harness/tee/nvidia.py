"""SIMULATED NVIDIA devices: reports, chains, manifests and OCSP in NVIDIA's exact formats.

Everything ends in test roots that only tests hand to a verifier. Every value can be bent by
keyword. Keys are made once per process and role.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256, sha384
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from lxml import etree

from attestation.errors import AttestationError
from attestation.evidence import Collateral, Role
from attestation.nvidia.roots import Root
from attestation.verifier import Verifier

NOW: Final = 1_780_000_000
DAY: Final = 86_400
NONCE: Final = bytes(range(32))
FWID: Final = sha384(b"SIMULATED firmware").digest()
_SHA384: Final = SHA384()
_FOREVER: Final = 253_402_300_799
_DS: Final = "http://www.w3.org/2000/09/xmldsig#"

ENABLED, DISABLED = 0xAA, 0x55
DRIVER_ACTIVE: Final = (7, *range(21, 41))
VBIOS_ACTIVE: Final = (*range(7), *range(8, 13))
GB100_VBIOS_ACTIVE: Final = (*range(14), *range(15, 21))
GB100_DRIVER_ACTIVE: Final = (14, *range(21, 41))


@cache
def key(role: str) -> ec.EllipticCurvePrivateKey:
    """Return the P-384 test key of one role, made on first use."""
    del role
    return ec.generate_private_key(ec.SECP384R1())


def point(private: ec.EllipticCurvePrivateKey) -> bytes:
    """Return 04 ‖ X ‖ Y of a key's public half."""
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def name(common: str) -> x509.Name:
    """Return a name in NVIDIA's style."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "SIMULATED NVIDIA"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def pin(role: str, common: str) -> Root:
    """Return the pin of a test root."""
    public = key(role).public_key()
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Root(
        name=name(common).public_bytes(),
        point=point(key(role)),
        spki_sha256=sha256(spki).hexdigest(),
    )


def device_root() -> Root:
    """Return the pin device chains of this simulator end in."""
    return pin("device-root", "SIMULATED Device Identity CA")


def rim_root() -> Root:
    """Return the pin manifests of this simulator end in."""
    return pin("rim-root", "SIMULATED CoRIM signing Root CA")


def der_element(tag: int, content: bytes) -> bytes:
    """Return one DER element."""
    size = len(content)
    head = bytes([size]) if size < 0x80 else bytes([0x81, size])
    if size > 0xFF:
        head = b"\x82" + size.to_bytes(2)
    return bytes([tag]) + head + content


_ALGORITHM: Final = bytes.fromhex("0609608648016503040202")


def fwid_sequence(digest: bytes = FWID, algorithm: bytes = _ALGORITHM) -> bytes:
    """Return FWID ::= SEQUENCE { hashAlg, digest }."""
    return der_element(0x30, algorithm + der_element(0x04, digest))


def composite_device_id(fwid: bytes | None = None, *, version: int = 1) -> bytes:
    """Return Hopper's and LS10's extension value."""
    spki = key("ik").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    body = der_element(0x02, bytes([version])) + spki
    return der_element(0x30, body + (fwid_sequence() if fwid is None else fwid))


def dice_tcb_info(*fwids: bytes, model: str = "GB100 A01 GSP") -> bytes:
    """Return Blackwell's extension value."""
    listed = fwids or (fwid_sequence(), fwid_sequence(bytes(48)))
    parts = [
        der_element(0x80, b"NVIDIA"),
        der_element(0x81, model.encode()),
        der_element(0x82, b"01"),
        der_element(0x83, b"\x01"),
        der_element(0xA6, b"".join(listed)),
        der_element(0x87, bytes.fromhex("0080000000")),
    ]
    return der_element(0x30, b"".join(parts))


COMPOSITE_OID: Final = "2.23.133.5.4.1"
TCB_INFO_OID: Final = "2.23.133.5.4.1.1"


@dataclass(frozen=True, kw_only=True)
class Cert:
    """Everything about one certificate that a test may bend."""

    common: str
    role: str
    issuer: str
    issuer_role: str
    serial: int
    ca: bool = True
    path_length: int | None = None
    usage: bool = True
    begin: int = NOW - 400 * DAY
    end: int = _FOREVER
    extensions: tuple[tuple[str, bytes, bool], ...] = ()
    public: ec.EllipticCurvePrivateKey | None = None
    ocsp_signing: bool = False
    signs: tuple[bool, bool] | None = None
    """Key usage for data and for certificates, where it is not what `ca` and `usage` imply."""

    weak_hash: bool = False
    """Sign with SHA-256, which NVIDIA does not."""

    def build(self) -> x509.Certificate:
        """Return the signed certificate."""
        private = self.public or key(self.role)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(self.common))
            .issuer_name(name(self.issuer))
            .public_key(private.public_key())
            .serial_number(self.serial)
            .not_valid_before(at(self.begin))
            .not_valid_after(at(self.end))
        )
        if self.ca:
            constraints = x509.BasicConstraints(ca=True, path_length=self.path_length)
            builder = builder.add_extension(constraints, critical=True)
        data, certificates = self.signs or (self.usage and not self.ca, self.usage and self.ca)
        usage = _usage(data=data, certificates=certificates)
        builder = builder.add_extension(usage, critical=True)
        if self.ocsp_signing:
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
            builder = builder.add_extension(purpose, critical=True)
        for oid, value, critical in self.extensions:
            unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
            builder = builder.add_extension(unknown, critical=critical)
        return builder.sign(key(self.issuer_role), SHA256() if self.weak_hash else _SHA384)


def _usage(*, data: bool, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=data,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=not (data or certificates),
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def at(instant: int) -> datetime:
    """Return Unix seconds as the library's date."""
    return datetime.fromtimestamp(instant, UTC)


def device_certs(chip: str, serial: int, extension: tuple[str, bytes]) -> tuple[Cert, ...]:
    """Return the five certificates of one device, leaf first."""
    part = "FSP" if chip.startswith("LS") else "GSP"
    family = f"NVIDIA {chip} Identity"
    ica = f"NVIDIA {chip} Provisioner ICA 1"
    rom = f"{chip} A01 {part} BROM"
    root = "SIMULATED Device Identity CA"
    return (
        Cert(
            common=f"{chip} A01 {part} FMC LF",
            role=f"leaf-{serial}",
            issuer=rom,
            issuer_role="ik",
            serial=serial,
            ca=False,
            extensions=((*extension, False),),
        ),
        Cert(common=rom, role="ik", issuer=ica, issuer_role="ica", serial=serial + 1),
        Cert(common=ica, role="ica", issuer=family, issuer_role="identity", serial=3),
        Cert(common=family, role="identity", issuer=root, issuer_role="device-root", serial=2),
        Cert(common=root, role="device-root", issuer=root, issuer_role="device-root", serial=1),
    )


def rim_certs(chip: str = "GH100") -> tuple[Cert, ...]:
    """Return the four certificates of a manifest's signer, signer first."""
    signer, level3 = "HCC RIM L4 Signer", f"NVIDIA Reference Value L3 {chip} 001"
    ca, root = f"NVIDIA Reference Value {chip} CA", "SIMULATED CoRIM signing Root CA"
    end = NOW + 300 * DAY
    return (
        Cert(
            common=signer,
            role="rim-signer",
            issuer=level3,
            issuer_role="rim-l3",
            serial=24,
            ca=False,
            end=end,
        ),
        Cert(
            common=level3,
            role="rim-l3",
            issuer=ca,
            issuer_role="rim-ca",
            serial=23,
            path_length=0,
        ),
        Cert(common=ca, role="rim-ca", issuer=root, issuer_role="rim-root", serial=22),
        Cert(common=root, role="rim-root", issuer=root, issuer_role="rim-root", serial=21),
    )


@cache
def _built(certs: tuple[Cert, ...]) -> tuple[x509.Certificate, ...]:
    return tuple(each.build() for each in certs)


def pem(certs: Iterable[Cert]) -> bytes:
    """Return a PEM bundle in the order given."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in _built(tuple(certs)))


def measured(index: int) -> bytes:
    """Return the golden runtime value of one index."""
    return bytes(48) if index == 0 else sha384(b"SIMULATED measurement %d" % index).digest()


def signed_r_s(private: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Return r ‖ s, 96 bytes, big-endian."""
    r, s = decode_dss_signature(private.sign(data, ec.ECDSA(SHA384())))
    return r.to_bytes(48) + s.to_bytes(48)


@dataclass(frozen=True, kw_only=True)
class Device:
    """One SIMULATED device; `replace` any field to bend it."""

    chip: str
    serial: int
    fields: Mapping[int, bytes]
    blocks: Mapping[int, bytes]
    certs: tuple[Cert, ...]
    nonce: bytes = NONCE
    tail: bytes = b""
    request: bytes = bytes.fromhex("11e001ff")
    response: bytes = bytes.fromhex("11600000")
    signer: str | None = None
    order: Sequence[tuple[int, bytes]] | None = None

    def opaque(self) -> bytes:
        """Return the encoded opaque fields."""
        listed = self.order if self.order is not None else tuple(self.fields.items())
        return b"".join(
            number.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value
            for number, value in listed
        )

    def unsigned(self) -> bytes:
        """Return request and response up to the signature."""
        record = b"".join(
            bytes([index + 1, 1])
            + (len(value) + 3).to_bytes(2, "little")
            + b"\x01"
            + len(value).to_bytes(2, "little")
            + value
            for index, value in self.blocks.items()
        )
        opaque = self.opaque()
        return b"".join(
            [
                self.request,
                self.nonce,
                b"\0",
                self.response,
                bytes([len(self.blocks)]),
                len(record).to_bytes(3, "little"),
                record,
                bytes(32),
                len(opaque).to_bytes(2, "little"),
                opaque,
            ]
        )

    def report(self) -> bytes:
        """Return the signed report."""
        data = self.unsigned()
        return data + signed_r_s(key(self.signer or self.certs[0].role), data) + self.tail

    def with_fields(self, **changes: bytes | None) -> "Device":
        """Return the device with opaque fields (`f21=…`) replaced, or dropped by None."""
        merged = {**self.fields, **{int(each[1:]): value for each, value in changes.items()}}
        kept = {number: value for number, value in merged.items() if value is not None}
        return replace(self, fields=kept)

    def with_cert(self, position: int, **changes: Any) -> "Device":
        """Return the device with one certificate bent."""
        certs = list(self.certs)
        certs[position] = replace(certs[position], **changes)
        return replace(self, certs=tuple(certs))


def gpu(serial: int = 1001, *, protected: bool = False, switches: Sequence[bytes] = ()) -> Device:
    """Return a SIMULATED H100, in protected-PCIe mode on request."""
    fields = {
        6: bytes.fromhex("0074009620000000"),
        14: bytes.fromhex("a1040000"),
        15: b"862".ljust(9, b"\0"),
        16: b"0".ljust(5, b"\0"),
        17: b"1010\0",
        18: b"0205\0",
        19: bytes(2),
        3: b"580.159.03\0",
        4: bytes.fromhex("8001000000000000"),
        12: bytes(256),
        13: bytes.fromhex("00c00100"),
        11: bytes([DISABLED]),
        20: FWID,
        21: bytes([ENABLED if protected else DISABLED]),
        34: b"\x01\0",
        36: b"\x02\0" if protected else b"\0\0",
    }
    if switches:
        fields[22] = b"".join(switches[link % len(switches)][::-1] for link in range(18))
    return Device(
        chip="GH100",
        serial=serial,
        fields=fields,
        blocks={index: measured(index) for index in range(64)},
        certs=device_certs("GH100", serial, (COMPOSITE_OID, composite_device_id())),
    )


def blackwell(serial: int = 2001) -> Device:
    """Return a SIMULATED GB100."""
    base = gpu(serial)
    fields = {number: value for number, value in base.fields.items() if number not in {21, 36}}
    fields |= {6: bytes.fromhex("008800970f000000"), 3: b"575.32\0", 33: b"\x07\x07"}
    return replace(
        base,
        chip="GB100",
        fields=fields,
        certs=device_certs("GB100", serial, (TCB_INFO_OID, dice_tcb_info())),
    )


def switch(serial: int = 3001, *, pdi: bytes = b"SWITCH-0", gpus: Sequence[bytes] = ()) -> Device:
    """Return a SIMULATED LS10 with the identifiers of eight GPUs behind it."""
    listed = gpus or [b"GPU-PDI%d" % number for number in range(8)]
    return Device(
        chip="LS_10",
        serial=serial,
        fields={
            6: b"96.10.55.00.01",
            22: pdi,
            12: bytes(104),
            26: b"".join(listed) + bytes(32) + b"\xff" * 32,
            23: b"\xec\0",
            24: b"\x02\0",
            25: b"\x01\0",
        },
        blocks={index: measured(index) for index in range(31)},
        certs=device_certs("LS_10", serial, (COMPOSITE_OID, composite_device_id())),
    )


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One SIMULATED reference integrity manifest; every part can be bent."""

    version: str
    product: str
    active: Sequence[int]
    golden: Mapping[int, Sequence[bytes]] = field(default_factory=dict)
    entries: int = 64
    certs: tuple[Cert, ...] = field(default_factory=rim_certs)
    signer: str = "rim-signer"
    uri: str = ""
    c14n: str = "http://www.w3.org/2006/12/xml-c14n11"
    method: str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"
    digest: str = "http://www.w3.org/2001/04/xmldsig-more#sha384"
    root: str = "SoftwareIdentity"
    extra: str = ""
    """More XML inside Payload, covered by the signature."""

    resource: str = ""
    """More attributes of every Resource."""

    def unsigned(self) -> str:
        """Return the document before signing."""
        swid = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd"
        tcg = (
            "https://trustedcomputinggroup.org/resource/"
            "tcg-reference-integrity-manifest-rim-information-model/"
        )
        rows = "".join(self._row(index) for index in range(self.entries))
        return (
            f'<{self.root} xmlns="{swid}" xmlns:ns0="{swid}" '
            'xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" corpus="false" '
            f'name="{self.product}" patch="false" supplemental="false" tagId="{"5a" * 48}" '
            'version="1.0" tagVersion="0">\n'
            '    <ns0:Entity name="NVIDIA Corporation" role="softwareCreator tagCreator"/>\n'
            f'    <ns0:Meta xmlns:ns1="{tcg}" colloquialVersion="{self.version}" edition="GPU" '
            f'product="{self.product}" revision="r1" PayloadType="direct" '
            'ns1:BindingSpec="RIMIM"/>\n'
            f"    <ns0:Payload>\n{rows}{self.extra}    </ns0:Payload>\n</{self.root}>\n"
        )

    def _row(self, index: int) -> str:
        values = self.golden.get(index, [measured(index)])
        hashes = " ".join(f'ns2:Hash{at}="{each.hex()}"' for at, each in enumerate(values))
        return (
            f'        <ns0:Resource type="Measurement" index="{index}" '
            f'active="{index in self.active}" alternatives="{len(values)}" {hashes} '
            f'name="Measurement_{index}" size="48"{self.resource}/>\n'
        )

    def signature(self, content: bytes, value: bytes) -> str:
        """Return the Signature element over canonical content."""
        certificates = "".join(
            "<ds:X509Certificate>"
            + b64encode(each.public_bytes(Encoding.DER)).decode()
            + "\n</ds:X509Certificate>"
            for each in _built(self.certs)
        )
        return (
            f'<ds:Signature xmlns:ds="{_DS}"><ds:SignedInfo>'
            f'<ds:CanonicalizationMethod Algorithm="{self.c14n}"/>'
            f'<ds:SignatureMethod Algorithm="{self.method}"/>'
            f'<ds:Reference URI="{self.uri}"><ds:Transforms>'
            f'<ds:Transform Algorithm="{_DS}enveloped-signature"/>'
            '<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"/></ds:Transforms>'
            f'<ds:DigestMethod Algorithm="{self.digest}"/>'
            f"<ds:DigestValue>{b64encode(sha384(content).digest()).decode()}</ds:DigestValue>"
            "</ds:Reference></ds:SignedInfo>"
            f"<ds:SignatureValue>{b64encode(value).decode()}</ds:SignatureValue>"
            f"<ds:KeyInfo><ds:X509Data>{certificates}</ds:X509Data></ds:KeyInfo></ds:Signature>"
        )

    def xml(self) -> bytes:
        """Return the signed document."""
        text = self.unsigned()
        content = etree.tostring(etree.fromstring(text.encode()), method="c14n")
        end = f"</{self.root}>"
        draft = text.replace(end, self.signature(content, bytes(96)) + end)
        info = next(etree.fromstring(draft.encode()).iter(f"{{{_DS}}}SignedInfo"))
        value = signed_r_s(key(self.signer), etree.tostring(info, method="c14n"))
        return text.replace(end, self.signature(content, value) + end).encode()


def driver_rim(**changes: Any) -> Manifest:
    """Return the manifest that fits `gpu`'s driver."""
    base = Manifest(version="580.159.03", product="GH100", active=DRIVER_ACTIVE)
    return replace(base, **changes)


def vbios_rim(**changes: Any) -> Manifest:
    """Return the manifest that fits `gpu`'s VBIOS."""
    base = Manifest(version="96.00.74.00.20", product="GH100", active=VBIOS_ACTIVE)
    return replace(base, **changes)


def switch_rim(**changes: Any) -> Manifest:
    """Return the manifest that fits `switch`."""
    base = Manifest(version="96.10.55.00.01", product="LS10", active=range(31))
    return replace(base, **changes)


@dataclass(frozen=True, kw_only=True)
class Response:
    """One SIMULATED OCSP response about certificate `position` of a chain."""

    certs: tuple[Cert, ...]
    position: int
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD
    reason: x509.ReasonFlags | None = None
    this_update: int = NOW - 3600
    next_update: int | None = NOW + DAY
    algorithm: HashAlgorithm = field(default_factory=SHA384)
    by_key: bool = False
    delegate: Cert | None = None
    signer: str | None = None
    nonce: bytes | None = None
    stapled: bool = True
    also: Cert | None = None
    """Another certificate, stapled before the delegate's."""

    def der(self) -> bytes:
        """Return the signed response."""
        chain = _built(self.certs)
        cert, issuer = chain[self.position], chain[self.position + 1]
        delegate = self.delegate.build() if self.delegate else None
        encoding = ocsp.OCSPResponderEncoding.HASH if self.by_key else None
        builder = (
            ocsp.OCSPResponseBuilder()
            .add_response(
                cert=cert,
                issuer=issuer,
                algorithm=self.algorithm,
                cert_status=self.status,
                this_update=at(self.this_update),
                next_update=None if self.next_update is None else at(self.next_update),
                revocation_time=at(NOW - 7200) if self._is_revoked() else None,
                revocation_reason=self.reason,
            )
            .responder_id(encoding or ocsp.OCSPResponderEncoding.NAME, self._responder())
        )
        if delegate is not None and self.stapled:
            beside = [self.also.build()] if self.also else []
            builder = builder.certificates([*beside, delegate])
        if self.nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(self.nonce), critical=True)
        role = self.signer or (self.delegate or self.certs[self.position + 1]).role
        return builder.sign(key(role), _SHA384).public_bytes(Encoding.DER)

    def _responder(self) -> x509.Certificate:
        """Return the certificate that names the responder, with the key that really signs."""
        named = self.delegate or self.certs[self.position + 1]
        return (replace(named, public=key(self.signer)) if self.signer else named).build()

    def _is_revoked(self) -> bool:
        return self.status is ocsp.OCSPCertStatus.REVOKED


def delegate_for(certs: Sequence[Cert], position: int, **changes: Any) -> Cert:
    """Return a responder that the issuer of certificate `position` delegated."""
    issuer = certs[position + 1]
    base = Cert(
        common=f"OCSP responder of {issuer.common}",
        role="responder",
        issuer=issuer.common,
        issuer_role=issuer.role,
        serial=900 + position,
        ca=False,
        end=NOW + 30 * DAY,
        ocsp_signing=True,
    )
    return replace(base, **changes)


def responses(certs: tuple[Cert, ...], *, first: int, **changes: Any) -> list[Response]:
    """Return a good response for every certificate from `first` to below the root."""
    positions = range(first, len(certs) - 1)
    base = [Response(certs=certs, position=position) for position in positions]
    return [replace(each, **changes) for each in base]


def good_ocsp(device: Device, *manifests: Manifest) -> list[bytes]:
    """Return good responses for everything a verdict on `device` relies on."""
    asked = responses(device.certs, first=1)
    for each in manifests:
        asked += responses(each.certs, first=0)
    return [each.der() for each in asked]


def collateral(chain: bytes, *items: tuple[Role, bytes], ocsp_: Iterable[bytes] = ()) -> Collateral:
    """Return collateral with a chain, manifests and stapled responses."""
    stapled = [(Role.OCSP, each) for each in ocsp_]
    return Collateral(((Role.CERT_CHAIN, chain), *items, *stapled))


def everything(device: Device, *manifests: tuple[Role, Manifest]) -> Collateral:
    """Return all the collateral with which `device` is accepted."""
    return collateral(
        pem(device.certs),
        *((role, manifest.xml()) for role, manifest in manifests),
        ocsp_=good_ocsp(device, *(manifest for _, manifest in manifests)),
    )


def gpu_collateral(device: Device) -> Collateral:
    """Return all the collateral of a GPU made by `gpu` or `blackwell`."""
    if device.chip == "GH100":
        driver, vbios = driver_rim(), vbios_rim()
    else:
        certs = rim_certs("GB100")
        driver = driver_rim(
            version="575.32", product="GB100", active=GB100_DRIVER_ACTIVE, certs=certs
        )
        vbios = vbios_rim(
            version="97.00.88.00.0F", product="GB100", active=GB100_VBIOS_ACTIVE, certs=certs
        )
    return everything(device, (Role.DRIVER_RIM, driver), (Role.VBIOS_RIM, vbios))


def switch_collateral(device: Device) -> Collateral:
    """Return all the collateral of a switch made by `switch`."""
    return everything(device, (Role.SWITCH_RIM, switch_rim(certs=rim_certs("LS10"))))


def without(whole: Collateral, role: Role) -> Collateral:
    """Return collateral without one role."""
    return Collateral(tuple((have, data) for have, data in whole.items if have is not role))


def replaced(whole: Collateral, role: Role, *items: bytes) -> Collateral:
    """Return collateral with all items of one role replaced."""
    return Collateral(without(whole, role).items + tuple((role, each) for each in items))


# SHA-1 only names keys in CertIDs, as the vendor's C++ client does.
SHA1_CERT_ID: Final = SHA1()


def verdict(
    verifier: Verifier, raw: bytes, given: Collateral, *, now: int = NOW
) -> tuple[str, list[str]]:
    """Return the word for what came out, and the codes of all findings."""
    try:
        claims = verifier.verify(raw, given, now=now)
    except AttestationError as exc:
        return exc.code.removeprefix("attestation."), [each.code for each in exc.findings]
    word = "rejected" if claims.refused else "unverified" if claims.unchecked else "accepted"
    return word, [each.code for each in claims.refused + claims.unchecked]


def same_response(one: bytes, other: bytes) -> bool:
    """Whether two OCSP responses say and sign the same, bit for bit.

    The count of unused bits of a signature's BIT STRING is covered by no signature; where the
    last bits are zero, another count spells the same signature.
    """
    a, b = (ocsp.load_der_ocsp_response(each) for each in (one, other))
    pairs = [(a.tbs_response_bytes, b.tbs_response_bytes), (a.signature, b.signature)]
    for x, y in zip(a.certificates, b.certificates, strict=True):
        pairs += [(x.tbs_certificate_bytes, y.tbs_certificate_bytes), (x.signature, y.signature)]
    return all(x == y for x, y in pairs)
