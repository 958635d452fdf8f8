"""Every CSV sample that the manifest of the evidence collection judges, with its verdict.

One report of a real machine, with its whole chain, is public. The SYNTHETIC samples hang from a
test root of the collection's own: deployed verifiers must refuse them, and a verifier that pins
that root must read them as the collection says.
"""

import json
from pathlib import Path

import pytest

from attestation.errors import AttestationError, EvidenceMalformedError
from attestation.evidence import Collateral, Role
from attestation.hygon.certificate import Usage, is_signed_by, parse_ca
from attestation.hygon.roots import pin
from attestation.hygon_csv.report import parse
from attestation.hygon_csv.roots import ROOTS
from attestation.hygon_csv.verifier import HygonCsvVerifier
from tests.harness.tee.hygon import shifted
from tests.vendor.runner import DIRECTORY, Row, check, needs_evidence

pytestmark = needs_evidence
HOME = Path(DIRECTORY or ".") / "hygon-csv"
REAL = "hygon-csv/csv-rs"
USER_DATA = b"user data".ljust(64, b"\0").hex()


def csv(
    evidence: str, verdict: str, code: str, *collateral: tuple[str, str], at: str = "2026-01-01"
) -> Row:
    """Return a row."""
    return Row(
        kind="hygon-csv",
        evidence=f"hygon-csv/{evidence}",
        at=f"{at}T00:00:00Z",
        verdict=verdict,
        code=code,
        collateral=tuple((role, f"hygon-csv/{path}") for role, path in collateral),
    )


PAIR = ("hsk-cek", "csv-rs/hsk_cek.cert")
TEST_PAIR = ("hsk-cek", "synthetic/hsk_cek.cert")
REPORT = "csv-rs/report.cert"
ROWS = (
    csv(REPORT, "accepted", "accepted", PAIR),
    csv(REPORT, "accepted", "accepted", PAIR, at="2019-01-01"),
    csv(REPORT, "accepted", "accepted", PAIR, at="2049-01-01"),
    csv(REPORT, "accepted", "accepted", ("hsk", "csv-rs/hsk.cert"), ("cek", "csv-rs/cek.cert")),
    csv(REPORT, "accepted", "accepted", PAIR, ("hrk", "csv-rs/hrk.cert")),
    csv(REPORT, "unverified", "hygon-csv.hsk-cek.missing"),
    csv(REPORT, "unverified", "hygon-csv.hsk-cek.missing", ("cek", "csv-rs/cek.cert")),
    csv(REPORT, "untrusted", "hygon-csv.hrk", PAIR, ("hrk", "synthetic/hrk.cert")),
    csv(REPORT, "untrusted", "hygon-csv.hsk", TEST_PAIR),
    csv(
        REPORT,
        "untrusted",
        "hygon-csv.cek",
        ("hsk", "csv-rs/hsk.cert"),
        ("cek", "synthetic/cek.cert"),
    ),
    csv(REPORT, "malformed", "hygon-csv.cert", ("hsk-cek", "csv-rs/report.cert")),
    *(
        csv(f"synthetic/{name}.bin", "untrusted", "hygon-csv.hsk", TEST_PAIR)
        for name in ("csv_v1_good", "csv_v1_debug_policy", "csv_v2_good")
    ),
    csv("synthetic/csv_v2_bad_rtmr.bin", "untrusted", "hygon-csv.signature", TEST_PAIR),
    csv("synthetic/csv_v1_good.bin", "untrusted", "hygon-csv.pek", PAIR),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_samples_get_their_verdict(row: Row) -> None:
    """Verdict, code and exit status of one sample."""
    check(row)


@pytest.mark.parametrize(
    ("given", "verdict", "code"),
    [
        (USER_DATA, "accepted", "accepted"),
        (USER_DATA[:64], "untrusted", "binding.report-data"),
        (b"user data".hex(), "untrusted", "binding.report-data"),
        ("00" * 64, "untrusted", "binding.report-data"),
    ],
)
def test_report_data_is_compared_in_full(given: str, verdict: str, code: str) -> None:
    """The signed 64 bytes, and no prefix of them."""
    row = csv(REPORT, verdict, code, PAIR)
    check(
        Row(
            kind=row.kind,
            evidence=row.evidence,
            at=row.at,
            verdict=row.verdict,
            code=row.code,
            collateral=row.collateral,
            report_data=given,
        )
    )


def test_the_real_report_says_what_the_collection_says() -> None:
    """Fields of the one real report, unmasked."""
    answer = check(ROWS[0])
    claims = answer["claims"]
    assert isinstance(claims, dict)
    assert claims["report_data"] == USER_DATA
    assert claims["measurements"]["measure"].startswith("1178dadb")
    details = claims["details"]
    assert details["policy"] == 0x40000001
    assert (details["policy_nodbg"], details["policy_es"], details["policy_csv"]) == (1, 0, 0)
    assert details["mnonce"] == "67c6697351ff4aec29cdbaabf2fbe346"
    assert details["serial_unsigned"] == "NZA9T14052605"
    assert not parse((HOME / "csv-rs/report.cert").read_bytes()).mac_is_wrong


def test_the_real_report_may_be_padded_text_or_an_agents() -> None:
    """Zero padding to a page, and what follows from unmasking the PEK, change nothing."""
    verifier = HygonCsvVerifier(ROOTS)
    raw = (HOME / "csv-rs/report.cert").read_bytes()
    given = Collateral(((Role.HSK_CEK, (HOME / "csv-rs/hsk_cek.cert").read_bytes()),))
    plain = parse(raw).fields
    agent = raw[:0x150] + plain["pek"] + plain["sn"] + bytes(32) + raw[0x9D4:]
    ids = {
        verifier.verify(each, given, now=0).hardware_id
        for each in (raw, raw.ljust(4096, b"\0"), agent)
    }
    assert len(ids) == 1


def test_every_signed_byte_of_the_real_report_counts() -> None:
    """A flipped bit is refused anywhere but in the owner's signature, which the MAC covers too."""
    verifier = HygonCsvVerifier(ROOTS)
    raw = (HOME / "csv-rs/report.cert").read_bytes()
    given = Collateral(((Role.HSK_CEK, (HOME / "csv-rs/hsk_cek.cert").read_bytes()),))
    for at in range(0, len(raw), 3):
        with pytest.raises(AttestationError):
            verifier.verify(raw[:at] + bytes([raw[at] ^ 8]) + raw[at + 1 :], given, now=0)


def test_a_remasked_real_report_is_caught() -> None:
    """The signature still holds over a changed `anonce`; unused fields give it away."""
    raw = shifted((HOME / "csv-rs/report.cert").read_bytes(), b"\2\0\0\0")
    given = Collateral(((Role.HSK_CEK, (HOME / "csv-rs/hsk_cek.cert").read_bytes()),))
    with pytest.raises(AttestationError, match=r"hygon-csv\.anonce"):
        HygonCsvVerifier(ROOTS).verify(raw, given, now=0)


def test_the_published_root_is_the_pinned_one() -> None:
    """The published root signs itself, and its pin is ours."""
    raw = (HOME / "csv-rs/hrk.cert").read_bytes()
    assert (pin(raw),) == ROOTS
    root = parse_ca(raw, expected=Usage.HRK, code="t")
    assert is_signed_by(root.point, Usage.HRK.uid, root.signed, root.signatures[0].value)


EXPECTED = {
    "csv_v1_good.bin": [],
    "csv_v1_debug_policy.bin": ["hygon-csv.debug"],
    "csv_v2_good.bin": [],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_synthetic_samples_are_read_under_their_own_root(name: str) -> None:
    """A verifier that pins the collection's test root finds what the collection put in."""
    home = HOME / "synthetic"
    expected = json.loads((home / "expected.json").read_text())
    verifier = HygonCsvVerifier((pin((home / "hrk.cert").read_bytes()),))
    given = Collateral(((Role.HSK_CEK, (home / "hsk_cek.cert").read_bytes()),))
    claims = verifier.verify((home / name).read_bytes(), given, now=0)
    assert [each.code for each in claims.refused] == EXPECTED[name]
    assert claims.measurements["measure"].hex() == expected["measure"]
    assert claims.report_data.hex() == expected["report_data"]
    assert claims.details["serial_unsigned"] == expected["sn"]
    with pytest.raises(AttestationError, match=r"hygon-csv\.signature"):
        verifier.verify((home / "csv_v2_bad_rtmr.bin").read_bytes(), given, now=0)


def test_a_certificate_is_no_report() -> None:
    """A file of another kind does not parse."""
    with pytest.raises(EvidenceMalformedError):
        parse((HOME / "csv-rs/cek.cert").read_bytes())
