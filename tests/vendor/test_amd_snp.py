"""Every SNP sample that the manifest of the evidence collection judges, with its verdict.

Only hardware, its certificates and AMD's lists are used; no sample is copied here.
"""

import os
import re
from base64 import b64decode
from pathlib import Path
from typing import NamedTuple

import pytest

from attestation.amd_snp.certificates import load_certificates
from attestation.amd_snp.product import Product
from attestation.amd_snp.roots import ROOTS
from attestation.amd_snp.vek import VekIdentity
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.claims import Claims
from attestation.containers import normalise
from attestation.errors import AttestationError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.x509 import path_to_anchor

_DIR = os.environ.get("MIFENG_EVIDENCE_DIR")
pytestmark = [
    pytest.mark.vendor,
    pytest.mark.skipif(_DIR is None, reason="MIFENG_EVIDENCE_DIR is not set"),
]
HOME = Path(_DIR or ".") / "amd-snp"

JULY_2025 = 1_751_328_000
JULY_2026 = 1_782_864_000
CRLS = "openpcc/sev_certificates.txt#test_amd_{}_crl.pem"
MILAN, GENOA = "roots/ask_ark_milan.pem", "roots/ask_ark_genoa.pem"
OPENPCC = "openpcc/azure_sevsnp_report.txt#test_azure_sevsnp_report.pem"


def sample(name: str) -> bytes:
    """Return a file of the collection; `file#member` names a member of a text archive."""
    path, _, member = name.partition("#")
    data = (HOME / path).read_bytes()
    if not member:
        return data
    found = re.search(rf"-- {re.escape(member)} --\n(.*?)(?=\n-- |\Z)".encode(), data, re.DOTALL)
    assert found is not None
    return found[1]


class Case(NamedTuple):
    """One row: what is verified with what, as of when, and what comes out."""

    evidence: str
    collateral: dict[str, str]
    at: int
    outcome: str
    """`ok`, the codes of findings, or the code of the error."""
    product: str = ""
    version: int = 0


CASES = (
    Case(
        "ms/milan_attestation_report.bin",
        {"vek": "ms/milan_vcek.pem", "ask": "ms/milan_ask.pem", "snp-crl": CRLS.format("milan")},
        1_777_000_000,
        "ok",
        "Milan",
        3,
    ),
    Case(
        "ms/genoa_attestation_report.bin",
        {"vek": "ms/genoa_vcek.pem", "ask": "ms/genoa_ask.pem"},
        JULY_2026,
        "amd-snp.revocation.missing",
        "Genoa",
        3,
    ),
    Case(
        "ms/genoa_attestation_report.bin",
        {"vek": "ms/genoa_vcek.pem", "ask": "ms/genoa_ask.pem", "snp-crl": CRLS.format("genoa")},
        JULY_2026,
        "amd-snp.revocation.stale",
        "Genoa",
        3,
    ),
    Case(
        "trustee/e2e_evidence.json",
        {"ask": GENOA, "snp-crl": CRLS.format("genoa")},
        JULY_2025,
        "ok",
        "Genoa",
        3,
    ),
    Case(
        "trustee/e2e_report.bin",
        {"vek": "trustee/e2e_vcek.der", "ask": GENOA, "snp-crl": CRLS.format("genoa")},
        JULY_2025,
        "ok",
        "Genoa",
        3,
    ),
    Case(
        "trustee/test-report.bin",
        {"vek": "trustee/test-vcek.der", "ask": MILAN, "snp-crl": CRLS.format("milan")},
        JULY_2025,
        "ok",
        "Milan",
        2,
    ),
    Case(
        "ars/live-evidence-genoa.json",
        {"cert-chain": GENOA},
        JULY_2026,
        "amd-snp.revocation.missing",
        "Genoa",
        5,
    ),
    Case(
        "virtee/report_milan.hex",
        {"vek": "virtee/vcek_milan.der", "ask": MILAN, "snp-crl": CRLS.format("milan")},
        JULY_2025,
        "ok",
        "Milan",
        2,
    ),
    Case(
        "dstack/sev_snp_attestation.bin",
        {"vek": "dstack/sev_snp_vcek.pem", "ask": "dstack/sev_snp_ask.pem"},
        JULY_2026,
        "amd-snp.revocation.missing",
        "Milan",
        3,
    ),
    Case(
        OPENPCC,
        {
            "vek": "openpcc/sev_certificates.txt#test_vcek.pem",
            "ask": "openpcc/sev_certificates.txt#test_amd_sev_genoa_root_certs.pem",
            "snp-crl": CRLS.format("genoa"),
        },
        JULY_2025,
        "ok",
        "Genoa",
        3,
    ),
    Case("azure-kms/snp.json", {"snp-crl": CRLS.format("milan")}, JULY_2025, "ok", "Milan", 2),
    Case(
        "../azure-vtpm/trustee-snp/hcl-report.bin",
        {"cert-chain": "../azure-vtpm/trustee-snp/vcek.pem", "snp-crl": CRLS.format("milan")},
        JULY_2025,
        "ok",
        "Milan",
        2,
    ),
    # What the same samples must not do.
    Case("trustee/test-report.bin", {"ask": MILAN}, JULY_2025, "amd-snp.vek.missing"),
    Case(
        "trustee/test-report.bin",
        {"vek": "trustee/test-vcek.der"},
        JULY_2025,
        "amd-snp.ask.missing",
    ),
    Case(
        "trustee/test-report.bin",
        {"vek": "virtee/vcek_milan.der", "ask": MILAN},
        JULY_2025,
        "amd-snp.signature",
    ),
    Case(
        "trustee/test-report.bin",
        {"vek": "trustee/test-vcek.der", "ask": GENOA},
        JULY_2025,
        "amd-snp.cert.chain",
    ),
    Case(
        "trustee/test-report.bin",
        {"vek": "trustee/test-vcek.der", "ask": "roots/ask_ark_milan_vlek.pem"},
        JULY_2025,
        "amd-snp.cert.chain",
    ),
    Case(
        "trustee/test-report.bin",
        {"vek": "virtee/vcek_turin.der", "ask": "roots/ask_ark_turin_vcek.pem"},
        JULY_2025,
        "amd-snp.signature",
    ),
    Case(
        "ms/milan_attestation_report.bin",
        {"vek": "virtee/vcek_turin.der", "ask": "roots/ask_ark_turin_vcek.pem"},
        JULY_2026,
        "amd-snp.product.mismatch",
    ),
    Case(
        "ms/milan_attestation_report.bin",
        {"vek": "ms/milan_vcek.pem", "ask": "ms/milan_ask.pem"},
        JULY_2025,
        "amd-snp.cert.validity",
    ),
    Case(
        "ms/milan_attestation_report.bin",
        {"vek": "ms/milan_vcek.pem", "ask": MILAN, "ark": "roots/genoa_ark.pem"},
        JULY_2026,
        "amd-snp.chain.extra",
    ),
)


def verify(case: Case) -> Claims:
    """Verify one row with the pinned roots."""
    items = tuple((Role(role), sample(name)) for role, name in case.collateral.items())
    evidence = Evidence(EvidenceKind.AMD_SNP, sample(case.evidence))
    (unit,) = normalise(evidence, Collateral(items))
    return AmdSnpVerifier(ROOTS).verify(unit.evidence.raw, unit.collateral, now=case.at)


def outcome(case: Case) -> tuple[list[str], Claims | None]:
    """Return the codes of what fell short, and the claims where the evidence is authentic."""
    try:
        claims = verify(case)
    except AttestationError as exc:
        return [finding.code for finding in exc.findings], None
    return [finding.code for finding in (*claims.refused, *claims.unchecked)], claims


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.evidence}-{case.outcome}")
def test_samples_get_their_verdict(case: Case) -> None:
    """A real report verifies up to AMD's pinned root, or is refused for the stated reason."""
    codes, claims = outcome(case)
    assert codes == ([] if case.outcome == "ok" else [case.outcome])
    if claims is not None:
        assert claims.details["product"] == case.product
        assert claims.details["version"] == case.version
    assert (claims is None) is not bool(case.product)


def test_a_turin_certificate_without_report_is_read() -> None:
    """The extensions and the chain of a real Turin VCEK are what AMD documents."""
    (vek,) = load_certificates(sample("virtee/vcek_turin.der"))
    pool = load_certificates(sample("roots/ask_ark_turin_vcek.pem"))
    anchors = [root.certificate for root in ROOTS]
    path = path_to_anchor(vek, pool, anchors, now=JULY_2025, what="VCEK", code="test")
    identity = VekIdentity.read(vek)
    assert path[-1].der == ROOTS[2].certificate.der
    assert (identity.product, identity.hwid) == (
        Product.TURIN,
        bytes.fromhex("1e550a8ee5cf9f4d"),
    )
    assert identity.tcb.components() == {
        "fmc": 0,
        "bootloader": 0,
        "tee": 0,
        "snp": 0,
        "microcode": 9,
    }


@pytest.mark.parametrize("name", ["milan", "genoa", "turin"])
def test_pins_equal_the_collected_roots(name: str) -> None:
    """The pinned roots are byte for byte those of two independent collections."""
    (root,) = load_certificates(sample(f"roots/{name}_ark.pem"))
    assert root.der in {pin.certificate.der for pin in ROOTS}


def test_a_real_list_revokes_its_serial() -> None:
    """AMD's Genoa list of 2024 names one former ASK, which is not the current one."""
    claims = verify(CASES[3])
    assert claims.refused == ()
    assert claims.ratchets == {"amd/crl/ARK-Genoa": 4}


def test_every_byte_of_a_real_report_counts() -> None:
    """A flipped byte anywhere in a real report is refused."""
    case = CASES[5]
    items = tuple((Role(role), sample(name)) for role, name in case.collateral.items())
    raw, verifier = sample(case.evidence), AmdSnpVerifier(ROOTS)
    for at in range(len(raw)):
        bent = bytearray(raw)
        bent[at] ^= 0x80
        with pytest.raises(AttestationError):
            verifier.verify(bytes(bent), Collateral(items), now=case.at)


def test_the_archived_report_is_an_hcl_blob() -> None:
    """The PEM-armoured sample is an Azure blob around the report."""
    body = b"".join(sample(OPENPCC).split(b"-----")[2].split())
    assert b64decode(body)[:4] == b"HCLA"
