"""Every TDX sample the manifest of the evidence collection judges, with its verdict."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.vendor.runner import DIRECTORY, Row, check, needs_evidence

pytestmark = needs_evidence

UP_TO_DATE = {
    "tcb": "UpToDate",
    "platform": "UpToDate",
    "module": "UpToDate",
    "qe": "UpToDate",
    "freshness": "not-checked",
}
UNKNOWN = {"tcb": None, "platform": None, "module": None, "qe": None}


def tdx(  # noqa: PLR0917 - a row reads from left to right
    evidence: str,
    collateral: str | None,
    at: str,
    verdict: str,
    code: str,
    status: Mapping[str, str | None] | None = None,
    **expected: str,
) -> Row:
    """Return a row with collateral in one document."""
    return Row(
        kind="intel-tdx",
        evidence=evidence,
        at=f"{at}T00:00:00Z",
        verdict=verdict,
        code=code,
        collateral=(("dcap", f"intel-tdx/{collateral}"),) if collateral else (),
        status=status or {},
        **expected,
    )


QVL, ARS = "qvl/tdx_quote_collateral.json", "ars/collateral_90c06f.json"
LATER = "qvl/tdx_quote_outdated_collateral.json"
MIXED = "go-tdx-guest/collateral_90c06f_v5.json"
AZURE, GCE = "intel-tdx/openpcc/azure_tdx_quote.bin", "intel-tdx/openpcc/gce_tdx_quote.bin"
ARCHIVE = "intel-tdx/openpcc/azure_tdx_report.txt"
DSTACK = "intel-tdx/dstack/quote-report.json"
PCS = tuple(
    (role, f"intel-tdx/ars/collateral/{name}")
    for role, name in (
        ("tcb-info", "tcb_info_90c06f000000.json"),
        ("qe-identity", "td_qe_identity.json"),
        ("cert-chain", "tcb_signing_chain.pem"),
        ("pck-crl", "pck_crl_platform.der"),
        ("root-crl", "root_ca_crl.der"),
    )
)

ROWS = (
    tdx("intel-tdx/qvl/tdx_quote", QVL, "2025-06-25", "accepted", "accepted", UP_TO_DATE),
    tdx(
        "intel-tdx/qvl/tdx_quote",
        QVL,
        "2025-07-25",
        "unverified",
        "intel-tdx.tcb-info.window",
        UP_TO_DATE,
    ),
    tdx(
        "intel-tdx/qvl/tdx_quote",
        QVL,
        "2025-06-18",
        "unverified",
        "intel-tdx.tcb-info.window",
    ),
    tdx(
        "intel-tdx/qvl/tdx_quote",
        ARS,
        "2026-03-25",
        "unverified",
        "intel-tdx.tcb-info.platform",
    ),
    tdx(
        "intel-tdx/qvl/tdx_quote",
        None,
        "2025-06-25",
        "unverified",
        "intel-tdx.tcb-info.missing",
        UNKNOWN,
    ),
    *(
        tdx(
            name,
            QVL,
            "2025-06-25",
            "rejected",
            "intel-tdx.tcb.no-level",
            {"tcb": None, "platform": None, "module": "UpToDate", "qe": "UpToDate"},
        )
        for name in ("intel-tdx/qvl/tdx-quote.hex", "intel-tdx/qvl/quote-from-tappd.hex")
    ),
    tdx(
        "intel-tdx/near/quote_hex.txt",
        "near/quote_collateral.json",
        "2025-09-10",
        "accepted",
        "accepted",
        UP_TO_DATE,
    ),
    *(
        tdx(name, collateral, at, "accepted", "accepted", UP_TO_DATE)
        for name in (AZURE, ARCHIVE, DSTACK)
        for collateral, at in ((ARS, "2026-03-25"), (LATER, "2026-02-25"))
    ),
    tdx(
        AZURE,
        MIXED,
        "2026-03-01",
        "unverified",
        "intel-tdx.tcb-info.signer-window",
        UP_TO_DATE,
    ),
    tdx(DSTACK, MIXED, "2023-07-01", "untrusted", "intel-tdx.pck.validity"),
    tdx(
        GCE,
        ARS,
        "2026-03-25",
        "unverified",
        "intel-tdx.tcb-info.platform",
        {"tcb": None, "qe": "UpToDate"},
    ),
    tdx(
        "intel-tdx/openpcc/gce_tdx_report.txt",
        None,
        "2026-03-25",
        "unverified",
        "intel-tdx.tcb-info.missing",
    ),
    tdx(
        "intel-tdx/go-tdx-guest/ccel/cos-113-tdx-quote.dat",
        None,
        "2026-03-25",
        "unverified",
        "intel-tdx.tcb-info.missing",
        {"freshness": "not-checked"},
    ),
    tdx(
        "intel-tdx/dstack/tdx-lite-attestation.json",
        ARS,
        "2026-04-15",
        "untrusted",
        "intel-tdx.pck.validity",
    ),
    tdx(
        "azure-vtpm/trustee-tdx/td-quote.bin",
        None,
        "2026-03-25",
        "rejected",
        "intel-tdx.sept-ve-disable",
    ),
    *(
        tdx(name, ARS, "2026-03-25", "malformed", "intel-tdx.quote.version")
        for name in ("intel-tdx/ars/tdx_tdreport_live.bin", "intel-tdx/go-tdx-guest/report.dat")
    ),
    tdx(
        DSTACK,
        ARS,
        "2026-03-25",
        "accepted",
        "accepted",
        {"freshness": "match"},
        report_data="1234" + "00" * 62,
    ),
    tdx(DSTACK, ARS, "2026-03-25", "untrusted", "binding.nonce", nonce="1234"),
    tdx(
        "intel-sgx/qvl/sgx_quote",
        ARS,
        "2026-03-25",
        "malformed",
        "intel-tdx.quote.tee-type",
    ),
    Row(
        kind="intel-tdx",
        evidence=DSTACK,
        at="2026-03-25T00:00:00Z",
        verdict="accepted",
        code="accepted",
        collateral=PCS,
        status=UP_TO_DATE,
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_sample(row: Row) -> None:
    """The sample gets exactly the verdict that the rules give it."""
    check(row)


def test_a_nonce_is_compared_in_full() -> None:
    """A quote in an 8000-byte buffer carries the 64 bytes it was asked with, all of them."""
    nonce = (Path(DIRECTORY or ".") / "intel-tdx/go-tdx-guest/ccel/nonce.dat").read_bytes().hex()
    quote = "intel-tdx/go-tdx-guest/ccel/cos-113-tdx-quote.dat"
    row = tdx(quote, None, "2026-03-25", "unverified", "intel-tdx.tcb-info.missing", nonce=nonce)
    answer = check(row)
    assert answer["authentic"] is True
    check(tdx(quote, None, "2026-03-25", "untrusted", "binding.nonce", nonce=nonce[:64]))
