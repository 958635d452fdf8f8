"""Azure evidence of a SIMULATED confidential VM: what is accepted, and how it is refused."""

import json
from base64 import b64encode
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from attestation.amd_snp.product import Product
from attestation.azure_vtpm import hcl
from attestation.azure_vtpm.roots import ROOTS
from attestation.azure_vtpm.verifier import AzureVtpmVerifier
from attestation.claims import Claims, Tier
from attestation.errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
)
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.registry import verifier_for
from tests.harness.tee.azure import AzureVm, jwk
from tests.harness.tee.snp import NOW, SnpPlatform
from tests.harness.tee.tpm2 import Tpm, ak_certificate, intermediate, root, rsa_key

SNP = AzureVm()
TDX = AzureVm(tdx=True)


def verify(
    vm: AzureVm = SNP, raw: bytes | None = None, collateral: Collateral | None = None
) -> Claims:
    """Verify with the VM's own world, apart from what is given."""
    return AzureVtpmVerifier(vm.roots()).verify(
        vm.evidence() if raw is None else raw,
        vm.collateral() if collateral is None else collateral,
        now=NOW,
    )


def u32(value: int) -> bytes:
    """Return 4 little-endian bytes."""
    return value.to_bytes(4, "little")


@pytest.mark.parametrize("vm", [SNP, TDX], ids=["snp", "tdx"])
def test_honest_machines_verify(vm: AzureVm) -> None:
    """The nonce is the quote's, the measurements are the hardware's and the vTPM's."""
    claims = verify(vm)
    assert (claims.refused, claims.unchecked) == ((), ())
    assert claims.kind is EvidenceKind.AZURE_VTPM
    assert claims.tier is Tier.TEE
    assert claims.report_data == vm.tpm.nonce
    assert claims.measurements["pcr23"] == b"\x17" * 32
    assert ("mrtd" if vm.tdx else "launch") in claims.measurements
    assert claims.details["hardware"] == ("intel-tdx" if vm.tdx else "amd-snp")
    assert claims.details["secure_boot"] is True
    assert claims.details["user_data"] == "00" * 64


@pytest.mark.parametrize(
    "vm",
    [
        replace(SNP, hash_type=2),
        replace(SNP, hash_type=3),
        replace(SNP, padding=b""),
        replace(SNP, snp=SnpPlatform(product=Product.GENOA, version=5)),
        replace(SNP, snp=SnpPlatform.turin()),
        replace(TDX, hash_type=3),
        replace(SNP, claims={"vm-configuration": None}),
    ],
    ids=["sha384", "sha512", "unpadded", "genoa", "turin", "tdx-sha512", "no-configuration"],
)
def test_other_honest_forms_verify(vm: AzureVm) -> None:
    """Other hashes, products and padding are honest too."""
    assert verify(vm).report_data == vm.tpm.nonce


def test_every_version_of_the_document_is_read() -> None:
    """Version 0 spells bytes as numbers under other names; wrappers and PEM are read too."""
    quote = {
        "message": list(SNP.tpm.message()),
        "signature": list(SNP.tpm.signature()),
        "pcrs": [list(value) for value in SNP.tpm.pcrs],
    }
    pem = x509.load_der_x509_certificate(SNP.snp.ask).public_bytes(Encoding.PEM).decode()
    old = {"quote": quote, "report": list(SNP.blob()), "vcek": list(SNP.snp.vek)}
    forms = [
        old,
        {"version": "2", **SNP.document(version=...)},
        {"platform": "az-snp", "evidence": SNP.document()},
        SNP.document(version=0),
    ]
    for form in forms:
        assert verify(raw=json.dumps(form).encode()).unchecked == ()
    bare = Collateral(((Role.VEK, SNP.snp.vek), (Role.SNP_CRL, SNP.snp.crl())))
    assert verify(raw=SNP.evidence(vcek=pem), collateral=bare).unchecked == ()


def test_collateral_goes_before_the_document() -> None:
    """A VEK given as collateral replaces the one in the document; without any it is missing."""
    other = SnpPlatform(chip_id=b"\x07" * 64).vek
    raw = SNP.evidence(vcek=b64encode(other).decode())
    assert verify(raw=raw, collateral=SNP.snp.collateral()).unchecked == ()
    with pytest.raises(EvidenceUntrustedError, match="chip-id"):
        verify(raw=raw)
    with pytest.raises(EvidenceUnverifiedError, match=r"amd-snp\.vek\.missing"):
        verify(raw=SNP.evidence(vcek=...))


def test_a_blob_alone_proves_no_freshness() -> None:
    """The HCL blob without a quote is never accepted, though its hardware report is genuine."""
    for raw in (SNP.blob(), SNP.evidence(tpm_quote=...)):
        with pytest.raises(EvidenceUnverifiedError, match=r"azure-vtpm\.quote\.missing"):
            verify(raw=raw)


def test_what_the_hardware_refuses_stays_refused() -> None:
    """Findings of the hardware's own verifier are the machine's."""
    policy = (0x3001F | 1 << 19).to_bytes(8, "little")
    report = SNP.snp.report(report_data=SNP.bound(), policy=policy)
    claims = verify(replace(SNP, header={32: report}))
    assert claims.debug
    assert [finding.code for finding in claims.refused] == ["amd-snp.debug"]
    claims = verify(collateral=Collateral(((Role.ASK, SNP.snp.ask),)))
    assert [finding.code for finding in claims.unchecked] == ["amd-snp.revocation.missing"]


KEYS = [jwk("HCLAkPub", rsa_key("ak"))]
BENT: dict[str, tuple[AzureVm, type[AttestationError], str]] = {
    "empty-nonce": (
        replace(SNP, tpm=Tpm(nonce=b"")),
        EvidenceUntrustedError,
        "azure-vtpm.quote.nonce",
    ),
    "quote-by-other-key": (
        replace(SNP, tpm=Tpm(key=rsa_key("x"))),
        EvidenceUntrustedError,
        "azure-vtpm.quote.signature",
    ),
    "quote-type": (
        replace(SNP, tpm=Tpm(kind=0x8017)),
        EvidenceUntrustedError,
        "azure-vtpm.quote.type",
    ),
    "pcrs-0-7": (
        replace(SNP, tpm=Tpm(pcrs=tuple(bytes(32) for _ in range(8)))),
        EvidenceUntrustedError,
        "azure-vtpm.quote.selection",
    ),
    "pcr-bank": (
        replace(SNP, tpm=Tpm(bank=0x000C, pcrs=tuple(bytes(48) for _ in range(24)))),
        EvidenceUntrustedError,
        "azure-vtpm.quote.selection",
    ),
    "pcr-not-selected": (
        replace(SNP, tpm=Tpm(selected=tuple(range(23)))),
        EvidenceUntrustedError,
        "azure-vtpm.quote.selection",
    ),
    "claims-not-bound": (
        replace(SNP, report_data=bytes(64)),
        EvidenceUntrustedError,
        "azure-vtpm.claims-hash",
    ),
    "claims-hash-prefix": (
        replace(SNP, report_data=SNP.bound()[:31] + b"\xff" + bytes(32)),
        EvidenceUntrustedError,
        "azure-vtpm.claims-hash",
    ),
    "claims-hash-tail": (
        replace(SNP, report_data=SNP.bound()[:32] + b"\x01" + bytes(31)),
        EvidenceUntrustedError,
        "azure-vtpm.claims-hash",
    ),
    "hash-type-swapped": (
        replace(SNP, header={1228: u32(2)}),
        EvidenceUntrustedError,
        "azure-vtpm.claims-hash",
    ),
    "hash-type-unknown": (
        replace(SNP, header={1228: u32(4)}),
        EvidenceUnsupportedError,
        "azure-vtpm.hcl.hash-type",
    ),
    "report-type-unknown": (
        replace(SNP, header={1224: u32(3)}),
        EvidenceUnsupportedError,
        "azure-vtpm.hcl.report-type",
    ),
    "version-3": (
        replace(SNP, header={4: u32(3)}),
        EvidenceUnsupportedError,
        "azure-vtpm.hcl.version",
    ),
    "magic": (
        replace(SNP, header={0: b"HCLB"}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.magic",
    ),
    "status": (
        replace(SNP, header={16: b"\x01"}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.reserved",
    ),
    "report-size": (
        replace(SNP, header={8: u32(1)}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.size",
    ),
    "data-size": (
        replace(SNP, header={1216: u32(20)}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.size",
    ),
    "variable-size": (
        replace(SNP, header={1232: u32(1 << 20)}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.size",
    ),
    "trailing": (
        replace(SNP, padding=b"\0\x01"),
        EvidenceMalformedError,
        "azure-vtpm.hcl.reserved",
    ),
    "huge-padding": (
        replace(SNP, padding=bytes(1 << 16)),
        EvidenceMalformedError,
        "azure-vtpm.hcl.size",
    ),
    "claims-not-json": (
        replace(SNP, header={1236: b"["}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.claims.json",
    ),
    "keys-absent": (
        replace(SNP, claims={"keys": None}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "keys-strings": (
        replace(SNP, claims={"keys": ["x"]}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "no-ak": (
        replace(SNP, claims={"keys": [jwk("HCLEkPub", rsa_key("ak"))]}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "two-aks": (
        replace(SNP, claims={"keys": KEYS * 2}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "ak-elliptic": (
        replace(SNP, claims={"keys": [jwk("HCLAkPub", rsa_key("ak"), kty="EC")]}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "ak-short": (
        replace(SNP, claims={"keys": [jwk("HCLAkPub", rsa_key("short"))]}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "ak-huge-exponent": (
        replace(SNP, claims={"keys": [jwk("HCLAkPub", rsa_key("ak"), e="AAAB" * 4)]}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "ak-even-exponent": (
        replace(SNP, claims={"keys": [jwk("HCLAkPub", rsa_key("ak"), e="AQAC")]}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "ak-number": (
        replace(SNP, claims={"keys": [jwk("HCLAkPub", rsa_key("ak"), n=7)]}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "ak-not-base64": (
        replace(SNP, claims={"keys": [jwk("HCLAkPub", rsa_key("ak"), e="A")]}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.ak",
    ),
    "ak-other": (
        replace(SNP, claims={"keys": [jwk("HCLAkPub", rsa_key("other"))]}),
        EvidenceUntrustedError,
        "azure-vtpm.quote.signature",
    ),
    "tdx-mrtd": (
        replace(TDX, td_mrtd=b"\x99" * 48),
        EvidenceUntrustedError,
        "azure-vtpm.td-report",
    ),
    "tdx-report-data": (
        replace(TDX, header={32 + 128: b"\x99" * 64}),
        EvidenceUntrustedError,
        "azure-vtpm.td-report",
    ),
    "tdx-claims-not-bound": (
        replace(TDX, report_data=bytes(64)),
        EvidenceUntrustedError,
        "azure-vtpm.claims-hash",
    ),
    "tdx-tail": (
        replace(TDX, header={32 + 1024: b"\x01"}),
        EvidenceMalformedError,
        "azure-vtpm.hcl.reserved",
    ),
    "snp-as-tdx": (
        replace(SNP, header={1224: u32(4)}),
        EvidenceUnverifiedError,
        "azure-vtpm.td-quote.missing",
    ),
}


@pytest.mark.parametrize("case", BENT)
def test_bent_machines_are_refused(case: str) -> None:
    """A link of the chain that does not hold is refused by name."""
    vm, error, code = BENT[case]
    with pytest.raises(error) as caught:
        verify(vm)
    assert [finding.code for finding in caught.value.findings] == [code]


DOCUMENTS: dict[str, tuple[bytes, type[AttestationError], str]] = {
    "empty": (b"", EvidenceMalformedError, "evidence.json"),
    "duplicate": (b'{"version":1,"version":1}', EvidenceMalformedError, "evidence.duplicate-key"),
    "version-3": (SNP.evidence(version=3), EvidenceUnsupportedError, "version"),
    "version-true": (SNP.evidence(version=True), EvidenceMalformedError, "evidence.json"),
    "version-list": (SNP.evidence(version=[]), EvidenceMalformedError, "evidence.json"),
    "no-blob": (SNP.evidence(hcl_report=...), EvidenceMalformedError, "evidence.text"),
    "two-blobs": (SNP.evidence(report=[1]), EvidenceMalformedError, "evidence.json"),
    "two-quotes": (SNP.evidence(quote={}), EvidenceMalformedError, "evidence.json"),
    "short-blob": (
        SNP.evidence(hcl_report=b64encode(SNP.blob()[:1235]).decode()),
        EvidenceMalformedError,
        "hcl.size",
    ),
    "td-quote-with-snp": (SNP.evidence(td_quote="AAAA"), EvidenceMalformedError, "evidence.json"),
    "td-quote-missing": (TDX.evidence(td_quote=...), EvidenceUnverifiedError, "td-quote.missing"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_bad_documents_are_refused(case: str) -> None:
    """JSON that is not this evidence is refused by name."""
    raw, error, code = DOCUMENTS[case]
    with pytest.raises(error) as caught:
        verify(raw=raw)
    assert [finding.code for finding in caught.value.findings] == [f"azure-vtpm.{code}"]


def test_evidence_of_two_machines_does_not_mix() -> None:
    """A fresh quote of one VM beside the genuine hardware report of another is refused."""
    relayed = SNP.evidence(tpm_quote=Tpm(key=rsa_key("mine")).quote())
    with pytest.raises(EvidenceUntrustedError, match=r"azure-vtpm\.quote\.signature"):
        verify(raw=relayed)
    td = replace(TDX, claims={"user-data": "11" * 64}).td_quote()
    with pytest.raises(EvidenceUntrustedError, match=r"azure-vtpm\.td-report"):
        verify(TDX, TDX.evidence(td_quote=b64encode(td).decode()))


def test_an_ak_certificate_must_fit() -> None:
    """An AK certificate is optional; if given it is for this key and leads to the pinned root."""
    good = SNP.collateral((Role.AK_CERT, ak_certificate()), (Role.AK_CERT, intermediate()))
    assert "SIMULATED vTPM" in str(verify(collateral=good).details["ak_subject"])
    assert verify().details["ak_subject"] is None
    for certs, code in (
        ((ak_certificate(key=rsa_key("x")), intermediate()), "key"),
        ((ak_certificate(),), "chain"),
        ((ak_certificate(signer="mallory"), root("mallory")), "chain"),
    ):
        bad = SNP.collateral(*((Role.AK_CERT, cert) for cert in certs))
        with pytest.raises(EvidenceUntrustedError, match=rf"azure-vtpm\.ak-cert\.{code}"):
            verify(collateral=bad)
    tdx = TDX.collateral((Role.AK_CERT, ak_certificate()), (Role.AK_CERT, intermediate()))
    assert verify(TDX, collateral=tdx).unchecked == ()


def test_every_bound_byte_of_the_blob_counts() -> None:
    """A flipped byte of hardware report or claims is refused, sampled; so is each size."""
    blob = SNP.blob()
    free = {*range(12, 16), *range(1220, 1224)}
    for at in sorted({*range(0, len(blob), 13), *range(40), *range(1216, 1236)} - free):
        bent = bytearray(blob)
        bent[at] ^= 0x01
        with pytest.raises(AttestationError):
            verify(raw=SNP.evidence(hcl_report=b64encode(bytes(bent)).decode()))


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_properly(data: bytes) -> None:
    """No bytes make the parsers raise anything but our errors."""
    for raw in (data, b"HCLA" + data, SNP.evidence(hcl_report=data.hex() or "00")):
        with pytest.raises(AttestationError):
            verify(raw=raw)
    bent = bytearray(SNP.blob())
    bent[1236 : 1236 + len(data)] = data
    try:
        hcl.parse(bytes(bent))
    except AttestationError:
        return
    assert data in SNP.blob()


def test_production_roots_are_the_registry_s() -> None:
    """The hardware inside is judged by the registry's verifiers, AK certificates by one pin."""
    assert ROOTS.hardware is verifier_for
    assert [cert.subject for cert in ROOTS.ak] == [
        "CN=Azure Virtual TPM Root Certificate Authority 2023,O=Microsoft Corporation,C=US"
    ]
