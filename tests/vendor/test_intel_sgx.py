"""Every SGX sample the manifest of the evidence collection judges, with its verdict."""

import pytest

from tests.vendor.runner import Row, check, needs_evidence

pytestmark = needs_evidence

QUOTE = "intel-sgx/qvl/sgx_quote"
OWN = (("dcap", "intel-sgx/qvl/sgx_quote_collateral.json"),)
TDX = (("dcap", "intel-tdx/ars/collateral_90c06f.json"),)


def sgx(at: str, verdict: str, code: str, collateral: tuple[tuple[str, str], ...] = OWN) -> Row:
    """Return a row of the one public SGX quote."""
    return Row(
        kind="intel-sgx",
        evidence=QUOTE,
        at=f"{at}T00:00:00Z",
        verdict=verdict,
        code=code,
        collateral=collateral,
    )


ROWS = (
    sgx("2025-06-25", "rejected", "intel-sgx.tcb.status"),
    sgx("2025-07-25", "rejected", "intel-sgx.tcb.status"),
    sgx("2025-06-25", "unverified", "intel-sgx.tcb-info.missing", ()),
    sgx("2026-03-25", "unverified", "intel-sgx.tcb-info.platform", TDX),
    sgx("2020-01-01", "untrusted", "intel-sgx.pck.validity"),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_sample(row: Row) -> None:
    """The sample gets exactly the verdict that the rules give it."""
    check(row)


def test_the_status_names_its_advisories() -> None:
    """ConfigurationAndSWHardeningNeeded comes with the two advisories Intel names."""
    answer = check(ROWS[0])
    claims, status = answer["claims"], answer["status"]
    assert isinstance(claims, dict)
    assert isinstance(status, dict)
    assert status["tcb"] == "ConfigurationAndSWHardeningNeeded"
    assert claims["details"]["advisory_ids"] == ["INTEL-SA-00289", "INTEL-SA-00615"]
