"""The DCU samples of the evidence collection: all SYNTHETIC, under a test root of its own."""

import json
from pathlib import Path

import pytest

from attestation.errors import AttestationError
from attestation.evidence import Collateral, Role
from attestation.hygon.roots import pin
from attestation.hygon_dcu.container import unpack
from attestation.hygon_dcu.verifier import HygonDcuVerifier
from tests.vendor.runner import DIRECTORY, Row, check, needs_evidence

pytestmark = needs_evidence
HOME = Path(DIRECTORY or ".")
PAIR = (("hsk-cek", "hygon-csv/synthetic/hsk_cek.cert"),)


def dcu(name: str, verdict: str, code: str, collateral: tuple[tuple[str, str], ...]) -> Row:
    """Return a row."""
    return Row(
        kind="hygon-dcu",
        evidence=f"hygon-dcu/synthetic/{name}",
        at="2026-01-01T00:00:00Z",
        verdict=verdict,
        code=code,
        collateral=collateral,
    )


GOOD, BAD = "dcu_report_good.bin", "dcu_report_bad_measure_byte.bin"
ROWS = (
    dcu(GOOD, "untrusted", "hygon-dcu.hsk", PAIR),
    dcu(BAD, "untrusted", "hygon-dcu.hsk", PAIR),
    dcu(GOOD, "unverified", "hygon-dcu.hsk-cek.missing", ()),
    dcu("dcu_evidence_good.json", "untrusted", "hygon-dcu.hsk", PAIR),
    dcu("dcu_evidence_good.json", "unverified", "hygon-dcu.hsk-cek.missing", ()),
    dcu("dcu_user_data.hex", "malformed", "hygon-dcu.report.size", PAIR),
    dcu(
        GOOD,
        "untrusted",
        "hygon-dcu.signature",
        (("hsk-cek", "hygon-csv/csv-rs/hsk_cek.cert"),),
    ),
    dcu(GOOD, "untrusted", "hygon-dcu.hrk", (("hrk", "hygon-csv/synthetic/hrk.cert"), *PAIR)),
)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_samples_get_their_verdict(row: Row) -> None:
    """Deployed verifiers refuse what hangs from a test root."""
    check(row)


def collateral() -> Collateral:
    """Return the collection's certificates."""
    raw = (HOME / "hygon-csv/synthetic/hsk_cek.cert").read_bytes()
    return Collateral(((Role.HSK_CEK, raw),))


def verifier() -> HygonDcuVerifier:
    """Return a verifier that pins the collection's test root."""
    root = (HOME / "hygon-csv/synthetic/hrk.cert").read_bytes()
    return HygonDcuVerifier((pin(root),))


def test_synthetic_samples_are_read_under_their_own_root() -> None:
    """Chip, firmware digest and nonce are what the collection put in; one flipped byte is not."""
    home = HOME / "hygon-dcu/synthetic"
    expected = json.loads((HOME / "hygon-csv/synthetic/expected.json").read_text())
    value = json.loads((home / "dcu_evidence_good.json").read_text())
    (unit,) = unpack(value, collateral())
    for raw in ((home / GOOD).read_bytes(), unit.evidence.raw):
        claims = verifier().verify(raw, collateral(), now=0)
        assert claims.refused == ()
        assert claims.hardware_id == expected["dcu_chip_id"]
        assert claims.measurements["measure"].hex() == expected["dcu_measure"]
        assert claims.report_data.hex() == (home / "dcu_user_data.hex").read_text().strip()
    with pytest.raises(AttestationError, match=r"hygon-dcu\.signature"):
        verifier().verify((home / BAD).read_bytes(), collateral(), now=0)
