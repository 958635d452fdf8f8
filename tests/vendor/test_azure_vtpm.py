"""Every Azure sample that the manifest of the evidence collection judges, with its verdict."""

import json
import os
import re
from base64 import b64decode, b64encode
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from attestation.azure_vtpm import hcl
from attestation.azure_vtpm.roots import ROOTS
from attestation.azure_vtpm.verifier import AzureVtpmVerifier
from attestation.claims import Claims
from attestation.containers import normalise
from attestation.errors import AttestationError, EvidenceUntrustedError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.tpm2.quote import SignedQuote
from attestation.tpm2.quote import verify as verify_quote

_DIR = os.environ.get("MIFENG_EVIDENCE_DIR")
pytestmark = [
    pytest.mark.vendor,
    pytest.mark.skipif(_DIR is None, reason="MIFENG_EVIDENCE_DIR is not set"),
]
ROOT = Path(_DIR or ".")
HOME = ROOT / "azure-vtpm"

DECEMBER_2025 = 1_764_547_200
JULY_2026 = 1_782_864_000
CHALLENGE = b"challenge".hex()
V2_NONCE = (
    "982f5c6e45df0ed3f10b6f60b02f0c8390e281300f3805e2"
    "279c16168cd6ae9aa398f647caa2338748cd0fd9f5f819ef"
)
FIXTURE = b"attestation-test-fixture".hex()


class Case(NamedTuple):
    """One row: what is verified, as of when, and what comes out."""

    evidence: str
    collateral: tuple[str, ...]
    at: int
    outcome: str
    nonce: str = ""


ASK, CRL = "ask=amd-snp/roots/ask_ark_milan.pem", "snp-crl=milan"
CASES = (
    *(
        Case(name, (ASK, CRL), DECEMBER_2025, "ok", nonce)
        for name, nonce in (
            ("trustee-snp/evidence-v0.json", CHALLENGE),
            ("trustee-snp/evidence-v1.json", CHALLENGE),
            ("trustee-snp/evidence-v2.json", V2_NONCE),
            ("ars-snp/evidence-v1.json", CHALLENGE),
            ("ars-snp/live-evidence.json", FIXTURE),
        )
    ),
    Case(
        "ars-snp/live-evidence.json",
        (
            "vek=azure-vtpm/ars-snp/imds-vcek.der",
            "ask=azure-vtpm/ars-snp/imds-chain-0.der",
            "ark=azure-vtpm/ars-snp/imds-chain-1.der",
        ),
        DECEMBER_2025,
        "amd-snp.revocation.missing",
        FIXTURE,
    ),
    Case(
        "trustee-snp/evidence-v1.json",
        ("vek=azure-vtpm/trustee-snp/vcek.pem",),
        DECEMBER_2025,
        "amd-snp.signature",
    ),
    Case(
        "trustee-snp/evidence-v1.json",
        (ASK, CRL),
        JULY_2026,
        "amd-snp.revocation.stale",
        CHALLENGE,
    ),
    Case("trustee-snp/evidence-v1.json", (), DECEMBER_2025, "amd-snp.ask.missing"),
    Case(
        "trustee-snp/evidence-v1.json",
        ("vek=azure-vtpm/trustee-snp/vcek-genoa.pem", "ask=amd-snp/roots/ask_ark_genoa.pem"),
        DECEMBER_2025,
        "amd-snp.product.mismatch",
    ),
    Case(
        "trustee-snp/evidence-v1.json",
        ("vek=azure-vtpm/ars-snp/imds-vcek.der", ASK),
        DECEMBER_2025,
        "amd-snp.signature",
    ),
    Case(
        "trustee-snp/evidence-v1.json",
        (ASK, "ak-cert=azure-vtpm/ak-roots/azure_tpm_intermediate_03.pem"),
        DECEMBER_2025,
        "azure-vtpm.ak-cert.key",
    ),
    *(
        Case(f"{name}/hcl-report.bin", (ASK,), DECEMBER_2025, "azure-vtpm.quote.missing")
        for name in ("trustee-snp", "trustee-tdx")
    ),
    # No public collateral exists for these platforms; their TD attributes lack SEPT_VE_DISABLE.
    *(
        Case(name, (), DECEMBER_2025, "TDX")
        for name in (
            "trustee-tdx/evidence-v0.json",
            "trustee-tdx/evidence-v1.json",
            "ars-tdx/evidence-v1.json",
        )
    ),
)


def item(spec: str) -> tuple[Role, bytes]:
    """Return one piece of collateral from `role=path`."""
    role, _, path = spec.partition("=")
    if role == "snp-crl":
        archive = (ROOT / "amd-snp/openpcc/sev_certificates.txt").read_text()
        found = re.search(rf"-- test_amd_{path}_crl.pem --\n(.*?)\n-- ", archive, re.DOTALL)
        assert found is not None
        return Role.SNP_CRL, found[1].encode()
    return Role(role), (ROOT / path).read_bytes()


def verify(case: Case) -> Claims:
    """Verify one row with the pinned roots."""
    evidence = Evidence(EvidenceKind.AZURE_VTPM, (HOME / case.evidence).read_bytes())
    (unit,) = normalise(evidence, Collateral(tuple(map(item, case.collateral))))
    return AzureVtpmVerifier(ROOTS).verify(unit.evidence.raw, unit.collateral, now=case.at)


def outcome(case: Case) -> tuple[list[str], Claims | None]:
    """Return the codes of what fell short, and the claims where the evidence is authentic."""
    try:
        claims = verify(case)
    except AttestationError as exc:
        return [finding.code for finding in exc.findings], None
    return [finding.code for finding in (*claims.refused, *claims.unchecked)], claims


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.evidence}-{case.outcome}")
def test_samples_get_their_verdict(case: Case) -> None:
    """Real evidence verifies up to AMD's pinned root, or is refused for the stated reason."""
    codes, claims = outcome(case)
    if case.outcome == "TDX":
        assert claims is not None
        assert claims.report_data == b"challenge"
        assert "intel-tdx.sept-ve-disable" in codes
        assert "intel-tdx.tcb-info.missing" in codes
        return
    assert codes == ([] if case.outcome == "ok" else [case.outcome])
    if claims is not None:
        assert claims.report_data.hex() == case.nonce
        assert claims.details["secure_boot"] is True
        assert len([name for name in claims.measurements if name.startswith("pcr")]) == 24
    assert (claims is None) is not bool(case.nonce)


def decoded(value: object) -> bytes:
    """Return the bytes of a JSON value of the agents."""
    if isinstance(value, list):
        return bytes(value)
    text = str(value).replace("-", "+").replace("_", "/")
    return b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize(
    "name",
    ["trustee-tdx/evidence-v0.json", "trustee-tdx/evidence-v1.json", "ars-tdx/evidence-v1.json"],
)
def test_the_links_around_a_real_td_quote_hold(name: str) -> None:
    """Blob, quote and TDREPORT of real TDX machines fit together, whatever Intel's status is."""
    doc = json.loads((HOME / name).read_bytes())
    doc = doc.get("evidence", doc)
    blob = hcl.parse(decoded(doc["hcl_report"]))
    body = decoded(doc["td_quote"])[48:]
    assert body[520:584] == blob.report_data == blob.td_report_data
    assert body[136:184] == blob.td_mrtd
    found = verify_quote(SignedQuote.of(doc["tpm_quote"], code="test"), blob.ak, code="test")
    assert (found.attest.extra_data, len(found.pcrs)) == (b"challenge", 24)


@pytest.mark.parametrize("name", ["hcl-report-snp.bin", "hcl-report-tdx.bin"])
def test_blobs_of_the_tooling_parse(name: str) -> None:
    """Blobs of two paravisor releases are read, and alone are never accepted."""
    raw = (HOME / "kinvolk" / name).read_bytes()
    assert hcl.parse(raw).claims.keys() >= {"keys", "vm-configuration"}
    codes, claims = outcome(Case(f"kinvolk/{name}", (), DECEMBER_2025, ""))
    assert (codes, claims) == (["azure-vtpm.quote.missing"], None)


@pytest.mark.parametrize("name", ["trustee-snp/tpm-quote-v1.json", "trustee-tdx/quote.bin"])
def test_a_quote_without_its_machine_is_no_evidence(name: str) -> None:
    """A vTPM quote without the blob that vouches for its key does not parse as evidence."""
    codes, claims = outcome(Case(name, (), DECEMBER_2025, ""))
    assert claims is None
    assert codes[0].startswith("azure-vtpm.evidence.")


def binary_quote(name: str) -> SignedQuote:
    """Return a quote as the tooling stores it: three vectors with 64-bit lengths."""
    raw = (HOME / name / "quote.bin").read_bytes()
    parts: list[bytes] = []
    while raw and len(parts) < 2:
        size = int.from_bytes(raw[:8], "little")
        parts.append(raw[8 : 8 + size])
        raw = raw[8 + size :]
    values = raw[8:]
    pcrs = tuple(values[at : at + 32] for at in range(0, len(values), 32))
    return SignedQuote(signature=parts[0], message=parts[1], pcrs=pcrs)


def test_stored_quotes_verify_under_their_own_key_only() -> None:
    """Each of three machines' quotes verifies with that machine's key and with no other."""
    pem = load_pem_public_key((HOME / "kinvolk/akpub.pem").read_bytes())
    keys = {"kinvolk": pem} | {
        name: hcl.parse((HOME / name / "hcl-report.bin").read_bytes()).ak
        for name in ("trustee-snp", "trustee-tdx")
    }
    for name in keys:
        for owner, key in keys.items():
            if owner == name:
                found = verify_quote(binary_quote(name), key, code="test")
                assert found.attest.extra_data == b"challenge"
            else:
                with pytest.raises(EvidenceUntrustedError, match=r"test\.signature"):
                    verify_quote(binary_quote(name), key, code="test")


def test_evidence_of_two_real_machines_does_not_mix() -> None:
    """The fresh quote of one real VM beside the blob of another is untrusted."""
    one = json.loads((HOME / "trustee-snp/evidence-v1.json").read_bytes())
    two = json.loads((HOME / "ars-snp/evidence-v1.json").read_bytes())["evidence"]
    mixed = json.dumps({**one, "tpm_quote": two["tpm_quote"]}).encode()
    with pytest.raises(AttestationError) as caught:
        AzureVtpmVerifier(ROOTS).verify(
            mixed, Collateral((item(ASK), item(CRL))), now=DECEMBER_2025
        )
    assert caught.value.findings[0].code == "azure-vtpm.quote.signature"


def test_every_byte_of_a_real_quote_and_claims_counts() -> None:
    """A flipped byte of the signed structure or the runtime claims is refused, sampled."""
    doc = json.loads((HOME / "trustee-snp/evidence-v1.json").read_bytes())
    collateral = Collateral((item(ASK), item(CRL)))
    blob, message = decoded(doc["hcl_report"]), bytes.fromhex(doc["tpm_quote"]["message"])
    for at in range(len(message)):
        bent = bytearray(message)
        bent[at] ^= 0x01
        wrong = {**doc, "tpm_quote": {**doc["tpm_quote"], "message": bent.hex()}}
        with pytest.raises(AttestationError):
            AzureVtpmVerifier(ROOTS).verify(
                json.dumps(wrong).encode(), collateral, now=DECEMBER_2025
            )
    unbound = range(1220, 1224)  # data_version: neither signed nor read
    for at in sorted(set(range(32, len(blob), 17)) - set(unbound)):
        bent = bytearray(blob)
        bent[at] ^= 0x01
        wrong = {**doc, "hcl_report": b64encode(bent).decode()}
        with pytest.raises(AttestationError):
            AzureVtpmVerifier(ROOTS).verify(
                json.dumps(wrong).encode(), collateral, now=DECEMBER_2025
            )
