"""DCU reports of SIMULATED accelerators: what is accepted, and every way they are refused."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestation.claims import Claims, Tier
from attestation.errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
)
from attestation.evidence import Collateral, EvidenceKind, Role
from attestation.hygon.certificate import Usage
from attestation.hygon.chain import NO_END
from attestation.hygon_dcu import topology
from attestation.hygon_dcu.container import unpack
from attestation.hygon_dcu.roots import ROOTS
from attestation.hygon_dcu.verifier import HygonDcuVerifier
from mifeng.crypto import sm3
from tests.harness.tee.hygon import (
    REPORT_DATA,
    Psp,
    as_json,
    ca,
    csv,
    dcu_report,
    endorsed,
    hrk,
    key_id,
    pek,
    roots,
)

REPORT = dcu_report()
PAIR = ca() + csv()
FIELDS = (
    ("body.version", 4),
    ("body.chip_id", 16),
    ("body.user_data", 64),
    ("body.measure", 32),
    ("body.reserved", 128),
    ("body.sig_usage", 4),
    ("body.sig_algo", 4),
    ("sig.r", 72),
    ("sig.s", 72),
)


def verify(raw: bytes, collateral: Collateral | None = None) -> Claims:
    """Verify with the simulated root pinned."""
    given = endorsed() if collateral is None else collateral
    return HygonDcuVerifier(roots()).verify(raw, given, now=0)


def test_an_honest_report_verifies() -> None:
    """A report gives chip, nonce, firmware digest and the key that signed."""
    claims = verify(REPORT)
    assert claims.report_data == REPORT_DATA[:32] + bytes(32)
    assert claims.hardware_id == claims.details["chip_id"] == "SIMDCU0000000001"
    assert claims.measurements == {"measure": sm3(b"SIMULATED firmware")}
    assert (claims.tier, claims.valid_until) == (Tier.TEE, NO_END)
    assert (claims.refused, claims.unchecked) == ((), ())
    assert (claims.details["sig_usage"], claims.details["sig_algo"]) == (0x1004, 4)


def test_the_drivers_page_is_opened() -> None:
    """The report inside the response of the driver counts; other headers do not."""
    page = (396).to_bytes(4, "little") + bytes(28) + REPORT
    assert verify(page).hardware_id == verify(page.ljust(4096, b"\0")).hardware_id
    for other in (page + b"\1", page.ljust(4097, b"\0"), b"\0" * 32 + REPORT):
        with pytest.raises(EvidenceMalformedError, match=r"hygon-dcu\.report\.size"):
            verify(other)


def test_what_the_format_leaves_open_is_a_claim() -> None:
    """Reserved bytes and the numbers of the signature are shown, for policies to demand."""
    claims = verify(dcu_report(reserved=b"\1", sig_usage=7, sig_algo=9))
    assert str(claims.details["reserved"]).startswith("0100")
    assert (claims.details["sig_usage"], claims.details["sig_algo"]) == (7, 9)
    assert verify(dcu_report(chip_id=b"SHORT")).hardware_id == "SHORT"


def test_unknown_versions_are_refused() -> None:
    """A report of another version may mean something else."""
    codes = [finding.code for finding in verify(dcu_report(version=2)).refused]
    assert codes == ["hygon-dcu.version"]


def test_each_device_finds_its_own_key() -> None:
    """HSK and CEK of all devices may come in one heap."""
    heap = Collateral(
        ((Role.CEK, csv("cek-2")), (Role.HSK, ca()), (Role.CEK, csv("cek-3")), (Role.CEK, csv()))
    )
    ids = {verify(dcu_report(signer=name), heap).details["cek"] for name in ("cek", "cek-2")}
    assert len(ids) == 2


BENT: dict[str, tuple[bytes, Collateral, type[AttestationError], str]] = {
    "signed-by-pek": (dcu_report(signer="pek"), endorsed(), EvidenceUntrustedError, "signature"),
    "states-pek": (
        dcu_report(sig_usage=int(Usage.PEK)),
        endorsed(),
        EvidenceUntrustedError,
        "signature.usage",
    ),
    "signed-by-hsk": (dcu_report(signer="hsk"), endorsed(), EvidenceUntrustedError, "signature"),
    "signed-by-mallory": (
        dcu_report(signer="mallory"),
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "default-uid": (
        dcu_report(signer_uid=b"1234567812345678"),
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "pek-uid": (
        dcu_report(signer_uid=Usage.PEK.uid),
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "swapped": (
        REPORT[:252] + REPORT[324:] + REPORT[252:324],
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "big-endian": (
        REPORT[:252] + REPORT[252:284][::-1] + REPORT[284:],
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "zero-signature": (
        REPORT[:252] + bytes(144),
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "measure": (
        REPORT[:84] + bytes([REPORT[84] ^ 1]) + REPORT[85:],
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "chip-swapped": (
        REPORT[:4] + b"SIMDCU0000000002" + REPORT[20:],
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "nonce-replaced": (
        REPORT[:20] + bytes(64) + REPORT[84:],
        endorsed(),
        EvidenceUntrustedError,
        "signature",
    ),
    "chip-empty": (
        dcu_report(chip_id=b""),
        endorsed(),
        EvidenceMalformedError,
        "report.chip-id",
    ),
    "chip-binary": (
        dcu_report(chip_id=b"\xff" * 16),
        endorsed(),
        EvidenceMalformedError,
        "report.chip-id",
    ),
    "chip-inner-nul": (
        dcu_report(chip_id=b"A\0B"),
        endorsed(),
        EvidenceMalformedError,
        "report.chip-id",
    ),
    "high-r": (
        REPORT[:323] + b"\1" + REPORT[324:],
        endorsed(),
        EvidenceMalformedError,
        "report.number",
    ),
    "cut": (REPORT[:-1], endorsed(), EvidenceMalformedError, "report.size"),
    "longer": (REPORT + b"\0", endorsed(), EvidenceMalformedError, "report.size"),
    "empty": (b"", endorsed(), EvidenceMalformedError, "report.size"),
    "csv-report": (Psp().report(), endorsed(), EvidenceMalformedError, "report.size"),
    "csv-report-v2": (Psp(version=2).report(), endorsed(), EvidenceMalformedError, "report.size"),
    "no-collateral": (REPORT, Collateral(), EvidenceUnverifiedError, "hsk-cek.missing"),
    "no-cek": (
        REPORT,
        Collateral(((Role.HSK, ca()),)),
        EvidenceUnverifiedError,
        "hsk-cek.missing",
    ),
    "other-chips-cek": (
        REPORT,
        Collateral(((Role.HSK_CEK, ca() + csv("cek-2")),)),
        EvidenceUntrustedError,
        "signature",
    ),
    "cek-of-mallory": (
        REPORT,
        Collateral(((Role.HSK_CEK, ca() + csv(signer="mallory")),)),
        EvidenceUntrustedError,
        "cek",
    ),
    "hsk-of-mallory": (
        REPORT,
        Collateral(
            (
                (
                    Role.HSK_CEK,
                    ca(signer="mallory", bend=(("certifying_id", key_id("hrk")),)) + csv(),
                ),
            )
        ),
        EvidenceUntrustedError,
        "hsk",
    ),
    "root-of-mallory": (
        REPORT,
        endorsed((Role.HRK, hrk("mallory"))),
        EvidenceUntrustedError,
        "hrk",
    ),
    "pek-as-cek": (
        REPORT,
        Collateral(((Role.HSK, ca()), (Role.CEK, pek()))),
        EvidenceMalformedError,
        "cert",
    ),
    "event-log": (
        REPORT,
        endorsed((Role.EVENT_LOG, b"")),
        EvidenceMalformedError,
        "collateral",
    ),
}


@pytest.mark.parametrize("case", BENT)
def test_bent_evidence_is_refused(case: str) -> None:
    """A report or a chain with one thing wrong is refused by name."""
    raw, collateral, error, code = BENT[case]
    with pytest.raises(error) as caught:
        verify(raw, collateral)
    assert [finding.code for finding in caught.value.findings] == [f"hygon-dcu.{code}"]


def test_every_byte_counts() -> None:
    """A flipped bit anywhere in a report is refused."""
    for at in range(len(REPORT)):
        with pytest.raises(AttestationError):
            verify(REPORT[:at] + bytes([REPORT[at] ^ 4]) + REPORT[at + 1 :])


def open_json(value: object) -> list[Claims]:
    """Verify every report inside a JSON value."""
    units = unpack(json.loads(json.dumps(value)), endorsed())
    assert {unit.evidence.kind for unit in units} == {EvidenceKind.HYGON_DCU}
    return [verify(unit.evidence.raw, unit.collateral) for unit in units]


def test_agents_json_holds_one_report_a_device() -> None:
    """Reports as fields, or as hex, one a device."""
    second = dcu_report(chip_id=b"SIMDCU0000000002")
    found = open_json({"attestation_reports": [as_json(REPORT, FIELDS), second.hex()]})
    assert [each.hardware_id for each in found] == ["SIMDCU0000000001", "SIMDCU0000000002"]
    assert len(open_json([as_json(REPORT, FIELDS)])) == 1


@pytest.mark.parametrize(
    "value",
    [
        {},
        7,
        {"attestation_reports": {}},
        [7],
        [{"body": {}}],
        [{**as_json(REPORT, FIELDS), "sig": {"r": [0] * 72}}],
    ],
)
def test_other_json_is_malformed(value: object) -> None:
    """A document of another form is refused."""
    with pytest.raises(EvidenceMalformedError):
        open_json(value)


def test_one_key_is_one_chip() -> None:
    """A key that answers for two chips, or a chip that two keys answer for, is found."""
    claims = verify(REPORT)
    other_chip = verify(dcu_report(chip_id=b"SIMDCU0000000002"))
    other_key = verify(
        dcu_report(signer="cek-2"), Collateral(((Role.HSK_CEK, ca() + csv("cek-2")),))
    )
    both = verify(
        dcu_report(signer="cek-2", chip_id=b"SIMDCU0000000002"),
        Collateral(((Role.HSK_CEK, ca() + csv("cek-2")),)),
    )
    alien = replace(claims, kind=EvidenceKind.NVIDIA_GPU, details={})
    assert topology.findings([claims, both, alien]) == []
    assert [each.code for each in topology.findings([claims, other_chip])] == [
        "hygon-dcu.key-shared"
    ]
    assert [each.code for each in topology.findings([claims, other_key])] == [
        "hygon-dcu.chip-shared"
    ]
    assert frozenset() == topology.RESOLVES


def test_the_simulated_root_is_not_the_pinned_one() -> None:
    """Deployed verifiers refuse everything that the simulator makes."""
    with pytest.raises(EvidenceUntrustedError, match=r"hygon-dcu\.hsk"):
        HygonDcuVerifier(ROOTS).verify(REPORT, endorsed(), now=0)


@given(st.binary(max_size=500), st.integers(0, 396))
def test_any_bytes_are_refused_properly(data: bytes, at: int) -> None:
    """No bytes, alone or inside a good report, make anything but our errors."""
    inside = REPORT[:at] + data + REPORT[at + len(data) :]
    for raw in (data, inside):
        try:
            claims = verify(raw)
        except AttestationError:
            continue
        assert raw == REPORT
        assert claims.hardware_id == "SIMDCU0000000001"
