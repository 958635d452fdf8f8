"""Every iTrustee sample of the evidence collection: two real AK certificates, binary reports."""

from pathlib import Path

import pytest

from attestation.errors import AttestationError
from attestation.evidence import Collateral
from attestation.huawei_itrustee import legacy
from attestation.huawei_itrustee.roots import ROOTS
from attestation.huawei_itrustee.verifier import HuaweiItrusteeVerifier
from tests.vendor.runner import DIRECTORY, Row, check, needs_evidence

pytestmark = needs_evidence
HOME = Path(DIRECTORY or ".") / "huawei-itrustee"
MISSING = "huawei-itrustee.drk-cert.revocation.missing"
BEFORE, AFTER = "2022-04-10", "2037-04-08"


def itrustee(evidence: str, at: str, verdict: str, code: str) -> Row:
    """Return a row."""
    return Row(
        kind="huawei-itrustee",
        evidence=f"huawei-itrustee/{evidence}",
        at=f"{at}T00:00:00Z",
        verdict=verdict,
        code=code,
    )


BINARY = (
    "teeverify_test_report",
    "teeverify_test_report1",
    "teeverify_test_report2",
    "verify_test_buffer1",
    "verify_test_bufferNoDAA",
    "verifysig_test_report",
)
ROWS = (
    *(
        itrustee(f"akcert_buffer{name}.json", at, verdict, code)
        for name in ("NoDAA", "DAA")
        for at, verdict, code in (
            ("2025-01-01", "unverified", MISSING),
            (BEFORE, "untrusted", "huawei-itrustee.drk-cert.validity"),
            (AFTER, "untrusted", "huawei-itrustee.drk-cert.validity"),
        )
    ),
    *(
        itrustee(f"legacy-binary/{name}.bin", "2025-01-01", "unsupported", "huawei-itrustee.legacy")
        for name in BINARY
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_samples_get_their_verdict(row: Row) -> None:
    """Real AK certificates are authentic, open only for want of revocation lists."""
    answer = check(row)
    if row.code == MISSING:
        assert answer["authentic"] is True
        findings = answer["findings"]
        assert isinstance(findings, list)
        assert all("revocation" in each["code"] for each in findings)


@pytest.mark.parametrize("name", BINARY)
def test_binary_reports_are_read(name: str) -> None:
    """Nonce and hash sizes are what the collection says."""
    found = legacy.parse((HOME / f"legacy-binary/{name}.bin").read_bytes())
    assert found.nonce == b"challenge".ljust(64, b"\0")
    assert len(found.buffers[0x20000001]) == len(found.buffers[0x20000003]) == 32


def test_every_byte_of_a_real_payload_counts() -> None:
    """A changed character of the signed payload is refused, sampled."""
    raw = (HOME / "akcert_bufferNoDAA.json").read_bytes()
    start = raw.index(b'"payload"')
    verifier = HuaweiItrusteeVerifier(ROOTS)
    good = verifier.verify(raw, Collateral(), now=1_735_689_600)
    assert good.hardware_id == "CN=026PPV10KC004179T,O=Huawei,C=CN"
    digits = [at for at in range(start, len(raw)) if raw[at : at + 1].isalnum()]
    for at in digits[::7]:
        other = b"A" if raw[at : at + 1] != b"A" else b"B"
        with pytest.raises(AttestationError):
            verifier.verify(raw[:at] + other + raw[at + 1 :], Collateral(), now=1_735_689_600)
