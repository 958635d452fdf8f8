"""The TPM samples that the manifest of the evidence collection judges, with their verdicts."""

import json
import os
import re
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest

from attestation.claims import Claims, Tier
from attestation.errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
)
from attestation.evidence import Collateral, Role
from attestation.tpm2 import ak
from attestation.tpm2.quote import parse
from attestation.tpm2.roots import GOOGLE, ROOTS
from attestation.tpm2.verifier import Tpm2Verifier
from attestation.x509 import load_certificates
from tests.vendor.runner import Row, check

_DIR = os.environ.get("MIFENG_EVIDENCE_DIR")
pytestmark = [
    pytest.mark.vendor,
    pytest.mark.skipif(_DIR is None, reason="MIFENG_EVIDENCE_DIR is not set"),
]
HOME = Path(_DIR or ".") / "tpm2"
AK_HOME = Path(_DIR or ".") / "azure-vtpm" / "ak-roots"
NOW = 1_764_547_200
"""1 December 2025."""


def verify(raw: bytes, collateral: Collateral) -> Claims:
    """Verify with the pinned roots."""
    return Tpm2Verifier(ROOTS).verify(raw, collateral, now=NOW)


def evidence() -> bytes:
    """Return the real quote."""
    return (HOME / "tpm_evidence.json").read_bytes()


def vouched() -> Collateral:
    """Return the caller's word for the key of the real quote."""
    return Collateral(((Role.CPAK, b64decode(json.loads(evidence())["ak_public"])),))


ROWS = (
    Row(
        kind="tpm2",
        evidence="tpm2/tpm_evidence.json",
        at="2025-12-01T00:00:00Z",
        verdict="unverified",
        code="tpm2.ak-cert.missing",
    ),
    Row(
        kind="tpm2",
        evidence="tpm2/dstack_tpm_quote_sample.bin",
        at="2025-12-01T00:00:00Z",
        verdict="malformed",
        code="tpm2.evidence.json",
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_sample(row: Row) -> None:
    """The sample gets exactly the verdict that the rules give it."""
    check(row)


def test_a_key_the_caller_vouches_for_is_enough_and_shows(tmp_path: Path) -> None:
    """With `cpak` the real quote is accepted, for its whole nonce only."""
    key = tmp_path / "ak.der"
    key.write_bytes(vouched().items[0][1])
    nonce = verify(evidence(), vouched()).report_data.hex()
    row = replace(ROWS[0], verdict="accepted", code="accepted", collateral=(("cpak", str(key)),))
    assert check(replace(row, nonce=nonce))["tier"] == "endorsed-by-caller"
    for part in (nonce[:64], nonce + "00"):
        check(replace(row, nonce=part, verdict="untrusted", code="binding.nonce"))


def test_a_quote_without_certificate_is_unverified() -> None:
    """The sample brings no AK certificate, so whose key it is stays open."""
    with pytest.raises(EvidenceUnverifiedError) as caught:
        verify(evidence(), Collateral())
    assert caught.value.findings[0].code == "tpm2.ak-cert.missing"


def test_the_quote_itself_verifies() -> None:
    """Signature, PCR digest and the 64-byte nonce are right, under a key the caller vouches for."""
    claims = verify(evidence(), vouched())
    assert claims.tier is Tier.ENDORSED_BY_CALLER
    assert claims.report_data.hex().startswith("a04182b5")
    assert claims.report_data.hex().endswith("0000")
    assert len(claims.report_data) == 64
    assert len(claims.measurements) == 24


def test_an_unrelated_certificate_is_untrusted() -> None:
    """A real AK certificate of another machine does not make this key an AK."""
    with pytest.raises(EvidenceUntrustedError) as caught:
        verify(
            evidence(), Collateral(((Role.AK_CERT, certificate("gce", "test_gce_ak_cert.pem")),))
        )
    assert caught.value.findings[0].code == "tpm2.ak-cert.key"


def test_every_byte_of_the_real_quote_counts() -> None:
    """A flipped byte of the signed structure is refused."""
    doc = json.loads(evidence())
    message = b64decode(doc["tpm_quote"]["message"])
    for at in range(len(message)):
        bent = bytearray(message)
        bent[at] ^= 0x10
        doc["tpm_quote"]["message"] = bent.hex()
        with pytest.raises(AttestationError):
            verify(json.dumps(doc).encode(), vouched())


def test_the_bare_structure_parses() -> None:
    """A TPMS_ATTEST over PCR 0 to 2 is read; alone it is no evidence."""
    message = (HOME / "dstack_tpm_quote_sample.bin").read_bytes()
    attest = parse(message, code="test")
    assert (attest.extra_data.hex(), attest.selected) == ("12345678", (0, 1, 2))
    with pytest.raises(EvidenceMalformedError):
        verify(message, Collateral())


def certificate(cloud: str, member: str) -> bytes:
    """Return one certificate of a text archive, without the padding of its NV index."""
    data = (AK_HOME / f"{cloud}_ak_certificates.txt").read_text()
    found = re.search(
        rf"-- {re.escape(member)} --\s+-----BEGIN.*?-----(.*?)-----END", data, re.DOTALL
    )
    assert found is not None
    der = b64decode("".join(found[1].split()))
    return der[: 4 + int.from_bytes(der[2:4])]


PATHS = {
    "gce": (
        ("gce", "test_gce_ak_cert.pem"),
        [("gce", "test_gce_ak_intermediate_cert.pem")],
        [],
        "CN=EK/AK CA Root",
    ),
    "azure-01": (
        ("azure", "test_azure_ak_certificate_01.pem"),
        [],
        ["azure_tpm_intermediate_03.pem"],
        "CN=Azure Virtual TPM Root Certificate Authority 2023",
    ),
    "azure-03": (
        ("azure", "test_azure_ak_certificate_03.pem"),
        [],
        ["azure_tpm_intermediate_01.pem", "azure_tpm_intermediate_03.pem"],
        "CN=Azure Virtual TPM Root Certificate Authority 2023",
    ),
}


@pytest.mark.parametrize("case", PATHS)
def test_real_ak_certificates_lead_to_the_pins(case: str) -> None:
    """AK certificates of real cloud machines verify up to the pinned roots."""
    leaf, members, files, anchor = PATHS[case]
    der = certificate(*leaf)
    (cert,) = load_certificates(der, what="AK", code="test")
    pool = [der, *(certificate(*member) for member in members)]
    pool += [(AK_HOME / name).read_bytes() for name in files]
    found = ak.verify(cert.spki, pool, ROOTS, now=NOW, code="test")
    assert found.path[-1].subject.startswith(anchor)
    revocation = ak.check_revocation(found, (), now=NOW, code="test")
    assert {finding.code for finding in revocation.unchecked} == {"test.revocation.missing"}


def test_the_google_pin_equals_both_collections() -> None:
    """Two independent collections hold the pinned root."""
    for path in (HOME / "gcp-root-ca.pem", AK_HOME / "gce_ek_ak_root.pem"):
        (cert,) = load_certificates(path.read_bytes(), what="root", code="test")
        assert cert.der == GOOGLE.der
