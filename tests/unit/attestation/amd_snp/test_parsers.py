"""SNP parsers alone: reports, containers, tables, extensions; total on any bytes."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from warnings import catch_warnings, simplefilter

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from attestation.amd_snp.certificates import common_name, load_certificates
from attestation.amd_snp.container import unwrap
from attestation.amd_snp.product import Product, Tcb, platform_claims, policy_claims, product_of
from attestation.amd_snp.report import LAYOUTS, SIZE, parse
from attestation.amd_snp.roots import ROOTS
from attestation.amd_snp.table import (
    ARK_GUID,
    ASK_GUID,
    CRL_GUID,
    VCEK_GUID,
    mixed_endian,
    read_table,
)
from attestation.amd_snp.vek import VekIdentity
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.claims import Claims
from attestation.containers import Unit, normalise
from attestation.errors import AttestationError, EvidenceMalformedError, EvidenceUnsupportedError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from tests.harness.tee.snp import NOW, SnpPlatform, ia5

MILAN = SnpPlatform()
TURIN = SnpPlatform.turin()
VLEK = SnpPlatform(kind="VLEK")


def delivered(raw: bytes, collateral: Collateral = Collateral()) -> Unit:  # noqa: B008 - frozen
    """Return the one unit of a file."""
    (unit,) = normalise(Evidence(EvidenceKind.AMD_SNP, raw), collateral)
    return unit


def report_in(raw: bytes) -> bytes:
    """Return the report of a file in any form."""
    return unwrap(delivered(raw).evidence.raw).report


def verify(
    platform: SnpPlatform,
    raw: bytes,
    collateral: Collateral = Collateral(),  # noqa: B008 - frozen
) -> Claims:
    """Verify a file in any form."""
    unit = delivered(raw, collateral)
    return AmdSnpVerifier(platform.roots).verify(unit.evidence.raw, unit.collateral, now=NOW)


def refused(raw: bytes) -> str:
    """Return the code with which `raw` is refused."""
    with pytest.raises(EvidenceMalformedError) as caught:
        parse(report_in(raw))
    return caught.value.findings[0].code


def table(*entries: tuple[bytes, bytes]) -> bytes:
    """Return a GHCB certificate table."""
    head, body = b"", b""
    start = 24 * (len(entries) + 1)
    for guid, data in entries:
        at = start + len(body)
        head += guid + at.to_bytes(4, "little") + len(data).to_bytes(4, "little")
        body += data
    return head + bytes(24) + body


@pytest.mark.parametrize("version", LAYOUTS)
def test_reserved_bytes_must_be_zero(version: int) -> None:
    """Every byte that a version's table does not name is refused when set."""
    raw = SnpPlatform(version=version).report()
    named = {row.offset + i for row in LAYOUTS[version] for i in range(row.size)}
    for at in sorted(set(range(SIZE)) - named):
        bent = bytearray(raw)
        bent[at] = 1
        with pytest.raises(EvidenceMalformedError, match="reserved"):
            parse(bytes(bent))


def test_layout_rows_do_not_overlap() -> None:
    """No byte belongs to two fields."""
    rows = [row.offset + i for row in LAYOUTS[5] for i in range(row.size)]
    assert len(rows) == len(set(rows))


def test_mitigation_vectors_exist_from_version_5() -> None:
    """Version 5 has both vectors; before, they are absent, not zero."""
    vectors = {"launch_mit_vector": b"\1" + bytes(7), "current_mit_vector": b"\3" + bytes(7)}
    report = parse(TURIN.report(**vectors))
    assert (report.launch_mit_vector, report.current_mit_vector) == (1, 3)
    assert parse(MILAN.report()).current_mit_vector is None
    assert (report.current_version, report.cpuid) == ("1.55.40", b"\x1a\x02\x01")


def test_scalar_padding_must_be_zero() -> None:
    """The upper 24 bytes of each 72-byte half carry nothing."""
    for at in (0x2D0, 0x2E7, 0x318, 0x32F):
        bent = bytearray(MILAN.report())
        bent[at] = 1
        assert refused(bytes(bent)) == "amd-snp.signature.padding"


@pytest.mark.parametrize("size", [0, 1, 4, 0x2A0, SIZE - 1])
def test_truncated_reports_are_refused(size: int) -> None:
    """A report cut at any boundary is malformed."""
    refused(MILAN.report()[:size])
    with pytest.raises(EvidenceMalformedError):
        parse(MILAN.report()[:size])


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "bare": lambda raw: raw,
    "zero-padded": lambda raw: raw + bytes(4096 - SIZE),
    "hcl": lambda raw: b"HCLA" + bytes(28) + raw + bytes(20) + b'{"keys":[]}',
    "hcl-inside": lambda raw: raw + bytes(8) + b"\2\0\0\0" + bytes(8),
    "driver": lambda raw: bytes(4) + SIZE.to_bytes(4, "little") + bytes(24) + raw + bytes(100),
    "dstack": lambda raw: bytes.fromhex("00038112") + raw + b"\0whatever follows",
    "hex": lambda raw: raw.hex().encode(),
    "HEX": lambda raw: raw.hex().upper().encode() + b"\n",
    "base64": lambda raw: b64encode(raw) + b"\n",
    "base64-lines": lambda raw: b"\r\n".join(
        b64encode(raw)[at : at + 64] for at in range(0, 1580, 64)
    ),
    "base64url": lambda raw: urlsafe_b64encode(raw).rstrip(b"="),
    "aa-json": lambda raw: json.dumps(
        {"platform": "snp", "evidence": {"attestation_report": b64encode(raw).decode()}}
    ).encode(),
    "cloud-json": lambda raw: json.dumps({"evidence": b64encode(raw).decode()}).encode(),
    "numbers": lambda raw: json.dumps({"attestation_report": list(raw)}).encode(),
    "dstack-json": lambda raw: json.dumps(
        {"attestation": (bytes.fromhex("00038112") + raw + b"\0more").hex()}
    ).encode(),
    "tsm-json": lambda raw: json.dumps(
        {"provider": "sev_guest\n", "outblob": urlsafe_b64encode(raw).decode().rstrip("=")}
    ).encode(),
    "tsm-json-empty-table": lambda raw: json.dumps({"outblob": raw.hex(), "auxblob": ""}).encode(),
}


@pytest.mark.parametrize("form", CONTAINERS)
def test_containers_hold_the_same_report(form: str) -> None:
    """Every form in which tools deliver a report yields its exact bytes."""
    raw = MILAN.report()
    assert report_in(CONTAINERS[form](raw)) == raw


def test_the_table_after_a_report_is_read() -> None:
    """Certificates of an extended report count, in either GUID spelling; strangers do not."""
    tail = table(
        (VCEK_GUID, MILAN.vek),
        (mixed_endian(ASK_GUID), MILAN.ask),
        (ARK_GUID, MILAN.ark),
        (b"\x77" * 16, b"platform notes"),
        (CRL_GUID, MILAN.crl()),
    )
    claims = verify(MILAN, MILAN.report() + tail)
    assert (claims.refused, claims.unchecked) == ((), ())
    halves = {"outblob": MILAN.report().hex(), "auxblob": b64encode(tail).decode()}
    assert verify(MILAN, json.dumps(halves).encode()) == claims
    given = Collateral(((Role.CERT_CHAIN, tail), (Role.SNP_CRL, MILAN.crl())))
    assert verify(MILAN, MILAN.report(), given).unchecked == ()


@pytest.mark.parametrize(
    ("bent", "code"),
    [
        (VCEK_GUID + bytes(4), "table.end"),
        (VCEK_GUID + (9999).to_bytes(4, "little") + b"\1\0\0\0" + bytes(24), "table.bounds"),
        ((VCEK_GUID + bytes(8)) * 33, "table.entries"),
    ],
)
def test_bent_tables_are_refused(bent: bytes, code: str) -> None:
    """A table without end, with an entry outside, or endless is malformed."""
    assert refused(MILAN.report() + bent) == f"amd-snp.{code}"
    with pytest.raises(EvidenceMalformedError):
        read_table(bent)


@pytest.mark.parametrize("tail", [b"\x01", bytes(20) + b"\x01", bytes(4096), bytes(19) + b"\x02"])
def test_trailing_bytes_are_refused(tail: bytes) -> None:
    """After a report only zero padding up to one page may follow."""
    assert refused(MILAN.report() + tail) == "amd-snp.container.trailing"


def serde(platform: SnpPlatform, **bend: object) -> dict[str, object]:
    """Return a report as guest-components writes it."""
    raw = platform.report()
    at = {row.name: raw[row.offset : row.offset + row.size] for row in LAYOUTS[5]}
    turin = platform.product is Product.TURIN
    numbers = {
        "version": "version",
        "guest_svn": "guest_svn",
        "policy": "policy",
        "vmpl": "vmpl",
        "signature_algo": "sig_algo",
        "platform_info": "plat_info",
        "signer_info": "key_info",
    }

    def levels(word: bytes) -> dict[str, object]:
        """Return a TCB word by component."""
        if turin:
            names = ("fmc", "bootloader", "tee", "snp")
            return {**dict(zip(names, word, strict=False)), "microcode": word[7]}
        return {
            "fmc": None,
            "bootloader": word[0],
            "tee": word[1],
            "snp": word[6],
            "microcode": word[7],
        }

    doc: dict[str, object] = {
        spelled: int.from_bytes(at[field], "little") for field, spelled in numbers.items()
    }
    for field in (
        "family_id",
        "image_id",
        "report_data",
        "measurement",
        "host_data",
        "id_key_digest",
        "author_key_digest",
        "report_id",
        "report_id_ma",
        "chip_id",
    ):
        doc[field] = list(at[field])
    for field in ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"):
        doc[field] = levels(at[field])
    for field in ("current", "committed"):
        build, minor, major = at[f"{field}_version"]
        doc[field] = {"build": build, "minor": minor, "major": major}
    if platform.version >= 3:
        doc |= dict(zip(("cpuid_fam_id", "cpuid_mod_id", "cpuid_step"), at["cpuid"], strict=True))
    if platform.version >= 5:
        doc |= {"launch_mit_vector": 0, "current_mit_vector": 0}
    doc["signature"] = {"r": list(at["signature_r"]), "s": list(at["signature_s"])}
    return doc | bend


@pytest.mark.parametrize("platform", [MILAN, TURIN, SnpPlatform(version=2)])
def test_fields_pack_back_into_the_signed_bytes(platform: SnpPlatform) -> None:
    """A report that comes as JSON fields verifies, certificates from the same document."""
    chain = [
        {"cert_type": "VCEK", "data": list(platform.vek)},
        {"cert_type": "ASK", "data": b64encode(platform.ask).decode()},
        {"cert_type": "CRL", "data": b64encode(platform.crl()).decode()},
        {"cert_type": {"OTHER": "guid"}, "data": []},
        {"cert_type": "Empty", "data": []},
    ]
    doc = {"attestation_report": serde(platform), "cert_chain": chain}
    raw = json.dumps(doc).encode()
    assert report_in(raw) == platform.report()
    claims = verify(platform, raw)
    assert (claims.refused, claims.unchecked) == ((), ())


def test_older_field_names_are_understood() -> None:
    """Firmware versions and key info also come under their former names."""
    doc = serde(MILAN)
    for name in ("current", "committed"):
        parts = doc.pop(name)
        assert isinstance(parts, dict)
        doc |= {f"{name}_{part}": value for part, value in parts.items()}
    doc["author_key_en"] = doc.pop("key_info")
    assert report_in(json.dumps({"attestation_report": doc}).encode()) == MILAN.report()


def test_collateral_goes_before_the_container() -> None:
    """A certificate given as collateral replaces the one of its place in the container."""
    other = SnpPlatform(chip_id=b"\x07" * 64)
    doc = {
        "attestation_report": b64encode(MILAN.report()).decode(),
        "cert_chain": {"vcek": b64encode(other.vek).decode(), "ask": None, "crl": None},
    }
    raw = json.dumps(doc).encode()
    assert verify(MILAN, raw, MILAN.collateral()).unchecked == ()
    with pytest.raises(AttestationError, match="chip-id"):
        verify(MILAN, raw, MILAN.collateral(vek=None))


def test_cloud_json_brings_its_chain() -> None:
    """The endorsements of a confidential container are a base64 PEM bundle."""
    pem = b"".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        for der in (MILAN.vek, MILAN.ask, MILAN.ark)
    )
    doc = {"evidence": b64encode(MILAN.report()).decode(), "endorsements": b64encode(pem).decode()}
    claims = verify(MILAN, json.dumps(doc).encode())
    assert [finding.code for finding in claims.unchecked] == ["amd-snp.revocation.missing"]


def test_the_host_s_certificate_cache_is_read() -> None:
    """Azure's host delivers VCEK and chain as PEM inside JSON."""
    vcek, ask, ark = (
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
        for der in (MILAN.vek, MILAN.ask, MILAN.ark)
    )
    cache = json.dumps({"vcekCert": vcek, "certificateChain": ask + ark, "tcbm": "0A"}).encode()
    given = Collateral(((Role.CERT_CHAIN, cache), (Role.SNP_CRL, MILAN.crl())))
    assert verify(MILAN, MILAN.report(), given).unchecked == ()
    for bad in (b"{}", b'{"vcekCert":7}', b'{"vcekCert":"\\ud800"}', b"{"):
        with pytest.raises(EvidenceMalformedError):
            load_certificates(bad)


BAD_JSON = {
    "duplicate-key": b'{"evidence":"AA==","evidence":"AA=="}',
    "fraction": b'{"evidence":1.5}',
    "nan": b'{"evidence":NaN}',
    "array": b'{"evidence":"A',
    "deep": b'{"a":' + b"[" * 200_000,
    "not-utf8": b'{"evidence":"\xff"}',
    "no-report": b'{"quote":"AA=="}',
    "null-evidence": b'{"evidence":null}',
    "number-report": b'{"attestation_report":7}',
    "byte-256": b'{"attestation_report":[256]}',
    "byte-true": b'{"attestation_report":[true]}',
    "bad-base64": b'{"attestation_report":"A?=="}',
    "chain-number": b'{"attestation_report":"AA==","cert_chain":7}',
    "chain-strings": b'{"attestation_report":"AA==","cert_chain":["x"]}',
    "chain-no-data": b'{"attestation_report":"AA==","cert_chain":[{"cert_type":"VCEK"}]}',
    "chain-no-type": b'{"attestation_report":"AA==","cert_chain":[{"data":[]}]}',
    "endorsements": b'{"evidence":"AA==","endorsements":7}',
    "huge-number": b'{"evidence":' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_bad_json_is_malformed(case: str) -> None:
    """JSON that is not strict, or not evidence, is malformed."""
    refused(BAD_JSON[case])


@pytest.mark.parametrize(
    "bend",
    [
        {"policy": -1},
        {"policy": 1 << 64},
        {"vmpl": None},
        {"chip_id": [0] * 63},
        {"chip_id": None},
        {"current_tcb": None},
        {"current_tcb": {"fmc": None}},
        {"current": 5},
        {"signature": {"r": [0] * 72}},
        {"signature": None},
        {"cpuid_mod_id": None},
        {"signature": {"r": [0] * 71, "s": [0] * 72}},
    ],
    ids=str,
)
def test_bent_fields_are_malformed(bend: dict[str, object]) -> None:
    """A JSON field that is absent, too large or of another length is malformed."""
    refused(json.dumps({"attestation_report": serde(MILAN, **bend)}).encode())


def test_oversized_evidence_is_refused_at_once() -> None:
    """More than 1 MiB is refused before anything looks at it."""
    assert refused(bytes((1 << 20) + 1)) == "amd-snp.container.size"


EXTENSIONS = {
    "not-integer": ("3.1", b"\x04\x01\x0a"),
    "negative": ("3.1", b"\x02\x01\x8a"),
    "too-large": ("3.1", b"\x02\x02\x01\x00"),
    "not-minimal": ("3.1", b"\x02\x02\x00\x0a"),
    "empty-integer": ("3.1", b"\x02\x00"),
    "trailing": ("3.1", b"\x02\x01\x0a\x00"),
    "empty": ("3.1", b""),
    "long-form": ("3.1", b"\x02\x81\x01\x0a"),
    "too-long": ("2", b"\x16\x80" + b"M" * 128),
    "not-ascii": ("2", b"\x16\x01\xff"),
    "utf8-string": ("2", b"\x0c\x05Milan"),
    "suffix-only": ("2", ia5("Milan2")),
    "hwid-wrapped-short": ("4", b"\x04\x3d" + bytes(61)),
    "hwid-wrapped-wrong": ("4", b"\x05\x40" + bytes(64)),
    "struct-version": ("1", None),
}


@pytest.mark.parametrize("case", EXTENSIONS)
def test_bent_extensions_are_refused(case: str) -> None:
    """An extension of AMD's that is not the exact DER of its type is malformed."""
    arc, value = EXTENSIONS[case]
    (cert,) = load_certificates(MILAN.bent_extension(arc, value))
    with pytest.raises(EvidenceMalformedError):
        VekIdentity.read(cert)


def test_wrapped_hardware_ids_are_read() -> None:
    """The hardware id may come as an OCTET STRING of exactly its length."""
    for platform, size in ((MILAN, 64), (TURIN, 8)):
        hwid = platform.chip_id[:size]
        (cert,) = load_certificates(platform.bent_extension("4", bytes((4, size)) + hwid))
        assert VekIdentity.read(cert).hwid == hwid


def test_fleet_keys_need_a_provider() -> None:
    """A VLEK without provider, or with a hardware id, is malformed; so is a Turin without FMC."""
    for platform, arc, value in (
        (VLEK, "5", None),
        (VLEK, "4", VLEK.chip_id),
        (TURIN, "3.9", None),
    ):
        (cert,) = load_certificates(platform.bent_extension(arc, value))
        with pytest.raises(EvidenceMalformedError):
            VekIdentity.read(cert)


def test_der_files_are_cut_strictly() -> None:
    """A length that runs over the end, or bytes that are no SEQUENCE, are malformed."""
    for data in (MILAN.vek[:-1], MILAN.vek + b"\x01", b"\x30\x82\x00", b"-----BEGIN X-----"):
        with pytest.raises(EvidenceMalformedError):
            load_certificates(data)


@pytest.mark.parametrize(
    ("cpuid", "product"),
    [
        ("190001", Product.MILAN),
        ("190f00", Product.MILAN),
        ("191000", Product.GENOA),
        ("191f00", Product.GENOA),
        ("19a002", Product.GENOA),
        ("19af00", Product.GENOA),
        ("1a0000", Product.TURIN),
        ("1a1100", Product.TURIN),
    ],
)
def test_products_by_cpuid(cpuid: str, product: Product) -> None:
    """Families and models at both ends of each range name their product."""
    assert product_of(bytes.fromhex(cpuid)) is product


@pytest.mark.parametrize("cpuid", ["192000", "199f00", "19b000", "1a1200", "180000", "1b0000"])
def test_unknown_processors_are_unsupported(cpuid: str) -> None:
    """Just outside every range there is no product, and no default."""
    with pytest.raises(EvidenceUnsupportedError):
        product_of(bytes.fromhex(cpuid))


def test_flag_bits_have_names() -> None:
    """Policy and platform words are shown bit by bit; an unknown bit stays visible."""
    assert policy_claims(0x0B_0000 | 0x1F)["debug"] is True
    assert policy_claims(1 << 25)["page_swap_disable"] is True
    assert platform_claims(0x65)["alias_check_complete"] is True
    assert platform_claims(0x65)["raw"] == "0x65"


def test_levels_compare_by_component() -> None:
    """One older component is enough not to cover; layouts of two products never compare."""
    old = Tcb.parse(bytes((1, 2, 0, 0, 0, 0, 3, 4)), Product.MILAN)
    new = Tcb.parse(bytes((1, 3, 0, 0, 0, 0, 3, 4)), Product.MILAN)
    assert (new.covers(old), old.covers(new)) == (True, False)
    assert not Tcb.parse(bytes((9, 9, 9, 9, 0, 0, 0, 9)), Product.TURIN).covers(old)


CERTIFICATES = {
    Product.MILAN: "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd",
    Product.GENOA: "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1",
    Product.TURIN: "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a",
}
KEYS = {
    Product.MILAN: "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9",
    Product.GENOA: "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831",
    Product.TURIN: "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08",
}


def test_pins_are_what_they_say() -> None:
    """Each pinned root signs itself, has its product's name, and the fingerprint in the source."""
    assert [root.product for root in ROOTS] == list(Product)
    for root in ROOTS:
        cert = root.certificate.cert
        cert.verify_directly_issued_by(cert)
        assert common_name(root.certificate) == f"ARK-{root.product}"
        assert sha256(root.certificate.der).hexdigest() == CERTIFICATES[root.product]
        spki = cert.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert sha256(spki).hexdigest() == KEYS[root.product]


@given(st.binary(max_size=1400))
def test_any_bytes_are_refused_properly(raw: bytes) -> None:
    """No bytes make the verifier raise anything but our errors."""
    with pytest.raises(AttestationError):
        AmdSnpVerifier(MILAN.roots).verify(raw, Collateral(), now=NOW)


@given(st.binary(max_size=1400))
def test_any_collateral_is_refused_properly(data: bytes) -> None:
    """No certificate file makes the loader raise anything but our errors."""
    with catch_warnings():
        simplefilter("error")
        with pytest.raises(AttestationError):
            load_certificates(data)
