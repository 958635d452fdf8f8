"""CSV reports of a SIMULATED processor: what is accepted, and every way they are refused."""

import json
from dataclasses import replace
from hashlib import sha256

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
from attestation.evidence import Collateral, Role
from attestation.hygon.certificate import Usage, is_signed_by, parse_ca
from attestation.hygon.chain import MAX_CERTIFICATES, NO_END
from attestation.hygon.json_pack import CA, CSV
from attestation.hygon_csv.container import unpack
from attestation.hygon_csv.report import MAGIC, cut, parse, version_of
from attestation.hygon_csv.roots import ROOTS
from attestation.hygon_csv.verifier import HygonCsvVerifier, policy_claims
from mifeng.crypto import sm3
from tests.harness.tee.eventlog import CcelWriter
from tests.harness.tee.hygon import (
    ANONCE,
    GOOD_POLICY,
    MEASURE,
    REPORT_DATA,
    Psp,
    as_json,
    ca,
    csv,
    endorsed,
    hrk,
    key,
    key_id,
    pek,
    roots,
    shifted,
    wrapped,
)

V1, V2 = Psp(), Psp(version=2)
REPORT_1, REPORT_2 = V1.report(), V2.report()
PAIR = ca() + csv()
OLD_FIELDS = (
    ("body.user_pubkey_digest", 32),
    ("body.vm_id", 16),
    ("body.vm_version", 16),
    ("body.report_data", 64),
    ("body.mnonce", 16),
    ("body.measure", 32),
    ("body.policy", 4),
    ("sig_usage", 4),
    ("sig_algo", 4),
    ("anonce", 4),
    ("sig.r", 72),
    ("sig.s", 72),
)
"""The report before the PEK, as agents serialised it until August 2025."""


def verify(raw: bytes, collateral: Collateral | None = None) -> Claims:
    """Verify with the simulated root pinned."""
    given = endorsed() if collateral is None else collateral
    return HygonCsvVerifier(roots()).verify(raw, given, now=0)


def with_roles(*items: tuple[Role, bytes]) -> Collateral:
    """Return exactly this collateral."""
    return Collateral(items)


@pytest.mark.parametrize("psp", [V1, V2, replace(V1, agent=True)], ids=["v1", "v2", "agent"])
@pytest.mark.parametrize("size", [0, 4096])
def test_honest_reports_verify(psp: Psp, size: int) -> None:
    """Both versions, masked or as an agent passes them on, give the same claims."""
    raw = psp.report()
    claims = verify(raw.ljust(size, b"\0"))
    assert claims.report_data == REPORT_DATA
    assert claims.measurements["measure"] == MEASURE
    assert (claims.tier, claims.valid_until) == (Tier.TEE, NO_END)
    assert (claims.refused, claims.unchecked, claims.debug) == ((), (), False)
    assert claims.hardware_id == sm3(key("cek").public_key().to_bytes()).hex()
    assert claims.details["report_version"] == psp.version
    assert claims.details["policy"] == GOOD_POLICY
    assert claims.details["serial_unsigned"] == "SIM0000000000001"


def test_version_2_adds_registers_and_build() -> None:
    """CSV3 reports carry runtime registers and the firmware's build."""
    claims = verify(REPORT_2)
    assert set(claims.measurements) == {"measure", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "rtmr4"}
    assert (claims.details["build"], claims.details["rtmr_version"]) == (2337, 1)
    assert "anonce" not in claims.details
    assert "build" not in verify(REPORT_1).details


def test_an_agents_header_is_understood() -> None:
    """Magic and flags before the report choose its version."""
    for flags, report in ((0, REPORT_1), (1, REPORT_2)):
        raw = MAGIC + flags.to_bytes(4, "little") + report.ljust(4096, b"\0")
        assert verify(raw).report_data == REPORT_DATA
    with pytest.raises(EvidenceMalformedError, match="header"):
        verify(MAGIC + bytes([2, 0, 0, 0]) + REPORT_1)


@pytest.mark.parametrize("psp", [V1, V2], ids=["v1", "v2"])
def test_debugging_is_refused_in_code(psp: Psp) -> None:
    """A guest without NODBG is refused under every policy."""
    claims = verify(replace(psp, fields={"policy": GOOD_POLICY & ~1}).report())
    assert claims.debug
    assert [finding.code for finding in claims.refused] == ["hygon-csv.debug"]


def test_the_launch_register_is_the_launch_digest() -> None:
    """A version 2 report whose rtmr0 is not its measure is refused."""
    claims = verify(replace(V2, fields={"rtmr0": bytes(32)}).report())
    assert [finding.code for finding in claims.refused] == ["hygon-csv.rtmr0"]
    both = verify(replace(V2, fields={"rtmr0": bytes(32), "policy": 0}).report())
    assert [each.code for each in both.refused] == ["hygon-csv.debug", "hygon-csv.rtmr0"]


def test_policy_bits_have_the_specifications_places() -> None:
    """Each bit and each field of the guest policy is found where the format has it."""
    found = policy_claims(0x2A_17_5_9_81)
    assert found["policy_nodbg"] == found["policy_asid_reuse"] == 1
    assert found["policy_noks"] == found["policy_csv3"] == 0
    assert (found["policy_hsk_version"], found["policy_cek_version"]) == (9, 5)
    assert (found["policy_api_major"], found["policy_api_minor"]) == (0x17, 0x2A)


WAYS = {
    "pair": with_roles((Role.HSK_CEK, PAIR)),
    "apart": with_roles((Role.CEK, csv()), (Role.HSK, ca())),
    "reversed-pair": with_roles((Role.HSK_CEK, csv() + ca())),
    "chain": with_roles((Role.CERT_CHAIN, hrk() + ca() + csv())),
    "hex": with_roles((Role.HSK_CEK, PAIR.hex().encode())),
    "pinned-root": endorsed((Role.HRK, hrk())),
    "other-chips-first": with_roles((Role.CEK, csv("cek-2")), (Role.HSK_CEK, PAIR)),
    "other-hsk-first": with_roles((Role.HSK, ca("hsk-2")), (Role.HSK_CEK, PAIR)),
    "lookalike-hsk-first": with_roles(
        (Role.HSK, ca("hsk", signer="mallory", bend=(("certifying_id", key_id("hrk")),))),
        (Role.HSK_CEK, PAIR),
    ),
    "cek-names-no-issuer": with_roles((Role.HSK_CEK, ca() + csv(bend=(("issuer_id", bytes(16)),)))),
    "cek-second-slot": with_roles(
        (Role.HSK_CEK, ca() + csv(slot=2, bend=(("usage_1", int(Usage.INVALID)),)))
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_certificates_come_in_many_ways(way: str) -> None:
    """One file or several, binary or hex, with those of other chips beside them."""
    assert verify(REPORT_1, WAYS[way]).report_data == REPORT_DATA


MISSING = {
    "nothing": with_roles(),
    "hsk-only": with_roles((Role.HSK, ca())),
    "cek-only": with_roles((Role.CEK, csv())),
    "root-only": with_roles((Role.HRK, hrk())),
}


@pytest.mark.parametrize("case", MISSING)
def test_without_endorsement_it_stays_open(case: str) -> None:
    """The PEK is in the report: without HSK and CEK nobody has vouched for it."""
    with pytest.raises(EvidenceUnverifiedError) as caught:
        verify(REPORT_1, MISSING[case])
    assert caught.value.findings[0].code == "hygon-csv.hsk-cek.missing"


UNTRUSTED = {
    "hsk-of-mallory": (with_roles((Role.HSK_CEK, ca(signer="mallory") + csv())), "hsk"),
    "hsk-claims-our-root": (
        with_roles(
            (
                Role.HSK_CEK,
                ca(signer="mallory", bend=(("certifying_id", key_id("hrk")),)) + csv(),
            )
        ),
        "hsk",
    ),
    "hsk-names-another-root": (
        with_roles((Role.HSK_CEK, ca(bend=(("certifying_id", bytes(16)),)) + csv())),
        "hsk",
    ),
    "hsk-default-uid": (
        with_roles((Role.HSK_CEK, ca(signer_uid=b"1234567812345678") + csv())),
        "hsk",
    ),
    "cek-of-mallory": (with_roles((Role.HSK_CEK, ca() + csv(signer="mallory"))), "cek"),
    "cek-names-another-hsk": (
        with_roles((Role.HSK_CEK, ca() + csv(bend=(("issuer_id", b"\1" * 16),)))),
        "cek",
    ),
    "cek-default-uid": (
        with_roles((Role.HSK_CEK, ca() + csv(signer_uid=b"1234567812345678"))),
        "cek",
    ),
    "cek-signed-for-another-usage": (
        with_roles((Role.HSK_CEK, ca() + csv(signer_usage=Usage.OCA, signer_uid=Usage.HSK.uid))),
        "cek",
    ),
    "cek-two-slots-for-one-parent": (
        with_roles((Role.HSK_CEK, ca() + csv(bend=(("usage_2", int(Usage.HSK)),)))),
        "cek",
    ),
    "cek-other-algorithm": (
        with_roles((Role.HSK_CEK, ca() + csv(bend=(("algorithm_1", 5),)))),
        "cek",
    ),
    "cek-of-another-chip": (with_roles((Role.HSK_CEK, ca() + csv("cek-2"))), "pek"),
    "root-of-mallory": (endorsed((Role.HRK, hrk("mallory"))), "hrk"),
    "root-in-chain": (with_roles((Role.CERT_CHAIN, hrk("mallory") + PAIR)), "hrk"),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_wrong_chains_are_untrusted(case: str) -> None:
    """A certificate that the pinned root does not vouch for vouches for nothing."""
    collateral, code = UNTRUSTED[case]
    with pytest.raises(EvidenceUntrustedError) as caught:
        verify(REPORT_1, collateral)
    assert [finding.code for finding in caught.value.findings] == [f"hygon-csv.{code}"]


def _swapped(report: bytes, at: int) -> bytes:
    return report[:at] + report[at + 72 : at + 144] + report[at : at + 72] + report[at + 144 :]


def _reversed(report: bytes, at: int) -> bytes:
    return report[:at] + report[at : at + 32][::-1] + report[at + 32 :]


FORGED = {
    "signed-by-cek": (replace(V1, signer="cek").report(), "signature"),
    "signed-by-mallory": (replace(V2, signer="mallory").report(), "signature"),
    "default-uid": (replace(V1, signer_uid=b"1234567812345678").report(), "signature"),
    "cek-uid": (replace(V2, signer_uid=Usage.CEK.uid).report(), "signature"),
    "swapped": (_swapped(REPORT_1, 0xC0), "signature"),
    "swapped-v2": (_swapped(REPORT_2, 1024), "signature"),
    "big-endian": (_reversed(REPORT_1, 0xC0), "signature"),
    "zero-signature": (REPORT_1[:0xC0] + bytes(144) + REPORT_1[0x150:], "signature"),
    "usage-cek": (replace(V2, fields={"sig_usage": int(Usage.CEK)}).report(), "signature.usage"),
    "usage-cek-v1": (
        replace(V1, fields={"sig_usage": int(Usage.CEK)}).report(),
        "signature.usage",
    ),
    "algorithm": (replace(V2, fields={"sig_algo": 5}).report(), "signature.usage"),
    "mac": (REPORT_1[:-1] + bytes([REPORT_1[-1] ^ 1]), "mac"),
    "serial": (REPORT_1[:0x974] + b"X" + REPORT_1[0x975:], "mac"),
    "pek-of-mallory": (replace(V1, pek=pek("mallory")).report(), "pek"),
    "pek-owner-slot": (
        replace(
            V1,
            pek=csv("pek", usage=Usage.PEK, signer="cek", signer_usage=Usage.OCA, signer_uid=b"x"),
        ).report(),
        "pek",
    ),
}


@pytest.mark.parametrize("case", FORGED)
def test_forged_reports_are_untrusted(case: str) -> None:
    """A report that its PEK did not sign, or whose PEK the CEK did not, is refused by name."""
    raw, code = FORGED[case]
    with pytest.raises(EvidenceUntrustedError) as caught:
        verify(raw)
    assert [finding.code for finding in caught.value.findings] == [f"hygon-csv.{code}"]


def test_a_forged_report_is_untrusted_even_without_collateral() -> None:
    """What can be decided without HSK and CEK is decided."""
    with pytest.raises(EvidenceUntrustedError, match=r"hygon-csv\.signature"):
        verify(FORGED["signed-by-cek"][0], with_roles())


def test_a_changed_anonce_alone_breaks_what_it_masks() -> None:
    """Only `anonce` flipped: PEK and numbers no longer decode."""
    bent = REPORT_1[:0xBC] + bytes([REPORT_1[0xBC] ^ 1]) + REPORT_1[0xBD:]
    with pytest.raises(EvidenceMalformedError, match=r"hygon-csv\.pek"):
        verify(bent)


def test_a_remasked_report_is_caught_by_the_fields_meant_to_be_zero() -> None:
    """The signature still fits a changed `anonce`; the pattern in unused fields gives it away."""
    raw = shifted(REPORT_1, b"\1\0\0\0")
    assert parse(raw).policy == GOOD_POLICY ^ 1
    with pytest.raises(EvidenceUntrustedError, match=r"hygon-csv\.anonce"):
        verify(raw)
    half = replace(V1, fields={"user_pubkey_digest": sm3(b"owner")}).report()
    with pytest.raises(EvidenceUntrustedError, match=r"hygon-csv\.anonce"):
        verify(shifted(half, b"\1\0\0\0"))


def test_a_prepared_remasked_report_shifts_every_measurement() -> None:
    """Report data can be made to fit a changed `anonce`; the launch digest then cannot."""
    delta = bytes.fromhex("01020304")
    hidden = {
        "user_pubkey_digest": sm3(b"owner"),
        "vm_id": b"prepared",
        "report_data": bytes(a ^ b for a, b in zip(REPORT_DATA, delta * 16, strict=True)),
    }
    claims = verify(shifted(replace(V1, fields=hidden).report(), delta))
    assert claims.report_data == REPORT_DATA
    assert claims.measurements["measure"] != MEASURE
    assert claims.details["anonce"] != ANONCE.hex()


def test_owners_values_are_not_taken_for_a_mask() -> None:
    """Fields an owner set, even if they repeat a byte in one of them, are fine."""
    fields = {"vm_id": b"1" * 16, "vm_version": b"2" * 16, "user_pubkey_digest": sm3(b"owner")}
    assert verify(replace(V1, fields=fields).report()).details["vm_id"] == "31" * 16
    same = replace(V2, fields={"vm_id": b"1" * 16, "vm_version": b"1" * 16})
    assert verify(same.report()).details["vm_version"] == "31" * 16


MALFORMED = {
    "empty": (b"", "report.size"),
    "short": (REPORT_1[:-1], "report.size"),
    "one-byte-more": (REPORT_1 + b"\0", "report.size"),
    "one-other-byte-more": (REPORT_1 + b"\1", "report.size"),
    "v2-cut": (REPORT_2[:-1], "report.size"),
    "v2-longer": (REPORT_2 + b"\0", "report.size"),
    "over-padded": (REPORT_1.ljust(4097, b"\0"), "report.size"),
    "v2-padding": (REPORT_2.ljust(4095, b"\0") + b"\1", "report.padding"),
    "dcu-size": (REPORT_1[:396], "report.size"),
    "high-r": (REPORT_1[: 0xC0 + 32] + b"\1" + REPORT_1[0xC0 + 33 :], "report.number"),
    "high-s-v2": (REPORT_2[:1167] + b"\1" + REPORT_2[1168:], "report.number"),
    "pek-usage": (replace(V2, pek=csv()).report(), "pek.usage"),
    "pek-uid": (replace(V1, pek=pek(uid=b"1234567812345")).report(), "pek.uid"),
    "pek-uid-length": (replace(V1, pek=pek(uid_len=12)).report(), "pek.uid"),
    "pek-curve": (replace(V1, pek=pek(curve=2)).report(), "pek.curve"),
    "pek-algorithm": (replace(V1, pek=pek(algorithm=5)).report(), "pek.algorithm"),
    "pek-off-curve": (replace(V1, pek=pek(x=1)).report(), "pek.point"),
    "pek-coordinate": (replace(V1, pek=pek(x=b"\xff" * 32)).report(), "pek.point"),
    "pek-high-coordinate": (replace(V1, pek=pek(y=b"\1" * 33)).report(), "pek.number"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_misshapen_reports_are_malformed(case: str) -> None:
    """Other sizes, paddings, numbers and certificates do not parse."""
    raw, code = MALFORMED[case]
    with pytest.raises(EvidenceMalformedError) as caught:
        verify(raw)
    assert [finding.code for finding in caught.value.findings] == [f"hygon-csv.{code}"]


BAD_CERTIFICATES = {
    "empty": ((Role.HSK_CEK, b""), "cert"),
    "swapped-role": ((Role.HSK, csv()), "cert"),
    "cut": ((Role.HSK_CEK, PAIR[:-1]), "cert"),
    "trailing": ((Role.HSK_CEK, PAIR + b"\0"), "cert"),
    "root-as-hsk": ((Role.HSK, hrk()), "cert"),
    "pek-as-cek": ((Role.CEK, pek()), "cert"),
    "hsk-uid": ((Role.HSK, ca(bend=(("uid", b"HYGON-SSD-HRK"),))), "hsk.uid"),
    "hsk-reserved": ((Role.HSK, ca()[:-1] + b"\1"), "hsk.reserved"),
    "cek-reserved": ((Role.CEK, csv()[:1200] + b"\1" + csv()[1201:]), "cek.reserved"),
    "cek-curve": ((Role.CEK, csv(bend=(("curve", 1),))), "cek.curve"),
    "role": ((Role.VEK, csv()), "collateral"),
    "text": ((Role.HSK, b"not a certificate!"), "cert.text"),
    "many": ((Role.HSK, ca() * (MAX_CERTIFICATES + 1)), "count"),
}


@pytest.mark.parametrize("case", BAD_CERTIFICATES)
def test_misshapen_certificates_are_malformed(case: str) -> None:
    """Collateral that is no certificate of its role does not parse."""
    item, code = BAD_CERTIFICATES[case]
    with pytest.raises(EvidenceMalformedError) as caught:
        verify(REPORT_1, with_roles(item))
    assert caught.value.findings[0].code == f"hygon-csv.{code}"


@pytest.mark.parametrize(("report", "step"), [(REPORT_1, 5), (REPORT_2, 7)], ids=["v1", "v2"])
def test_every_byte_counts(report: bytes, step: int) -> None:
    """A flipped bit is refused, except in what version 2 leaves unsigned."""
    parsed = parse(report)
    # Version 2: the owner's signature in the PEK, serial number and MAC.
    unsigned = range(1168 + 1564, len(report)) if parsed.version == 2 else range(0)
    for at in range(0, len(report), step):
        bent = report[:at] + bytes([report[at] ^ 0x10]) + report[at + 1 :]
        if at in unsigned:
            continue
        with pytest.raises(AttestationError):
            verify(bent)


def test_every_byte_of_the_endorsement_counts() -> None:
    """A flipped bit in HSK or CEK is refused, except in the CEK's unused signature slot."""
    unused = range(832 + 1564, 832 + 2084)
    for at in range(0, len(PAIR), 5):
        bent = PAIR[:at] + bytes([PAIR[at] ^ 0x20]) + PAIR[at + 1 :]
        if at in unused:
            continue
        with pytest.raises(AttestationError):
            verify(REPORT_1, with_roles((Role.HSK_CEK, bent)))


AGENT = replace(V1, agent=True).report()
CHAIN: dict[str, dict[str, object]] = {
    "hsk_cek": {"hsk": as_json(ca(), CA), "cek": as_json(csv(), CSV)},
    "pek": as_json(pek(), CSV),
}
OLD = as_json(AGENT[:0x150], OLD_FIELDS)


def open_json(document: object, collateral: Collateral | None = None) -> Claims:
    """Verify what is inside a JSON document."""
    (unit,) = unpack(json.loads(json.dumps(document)), collateral or Collateral())
    return verify(unit.evidence.raw, unit.collateral)


def document(**changes: object) -> dict[str, object]:
    """Return an agent's JSON; a value of `...` leaves a member out."""
    doc: dict[str, object] = {
        **json.loads(wrapped(AGENT)),
        "cert_chain": CHAIN,
        "serial_number": list(b"SIM0000000000001".ljust(64, b"\0")),
        "cc_eventlog": None,
        **changes,
    }
    return {name: value for name, value in doc.items() if value is not ...}


JSON_FORMS = {
    "wrapper": document(),
    "version-2": document(
        attestation_report={
            "magic": list(MAGIC),
            "flags": 1,
            "data": list(REPORT_2.ljust(4096, b"\0")),
        }
    ),
    "no-magic": document(
        attestation_report={
            "magic": [0] * 16,
            "flags": 7,
            "data": list(AGENT.ljust(4096, b"\0")),
        }
    ),
    "old-fields": document(attestation_report=OLD),
    "old-without-serial": document(attestation_report=OLD, serial_number=...),
    "old-chain": document(
        cert_chain={
            "hsk": as_json(ca(), CA),
            "cek": as_json(csv(), CSV),
            "pek": as_json(pek(), CSV),
        }
    ),
    "bytes": document(attestation_report=REPORT_1.hex(), cert_chain={"hsk_cek": PAIR.hex()}),
    "byte-certificates": document(
        cert_chain={"hsk_cek": {"hsk": ca().hex(), "cek": list(csv())}, "pek": pek().hex()}
    ),
}


@pytest.mark.parametrize("form", JSON_FORMS)
def test_agents_json_is_understood(form: str) -> None:
    """Every layout that agents have written leads to the same report."""
    assert open_json(JSON_FORMS[form]).report_data == REPORT_DATA


def test_certificates_may_come_beside_the_json() -> None:
    """A document without HSK and CEK is open, and closed by collateral."""
    bare = document(cert_chain={"pek": CHAIN["pek"]})
    with pytest.raises(EvidenceUnverifiedError):
        open_json(bare)
    assert open_json(bare, endorsed()).report_data == REPORT_DATA
    assert open_json(document(cert_chain=...), endorsed()).report_data == REPORT_DATA


BAD_JSON = {
    "list": [],
    "no-report": document(attestation_report=...),
    "report-text": document(attestation_report="?"),
    "chain-list": document(cert_chain=[]),
    "magic": document(attestation_report={"magic": [1] * 16, "flags": 0, "data": [0] * 4096}),
    "magic-short": document(attestation_report={"magic": [], "flags": 0, "data": [0] * 4096}),
    "flags": document(attestation_report={"magic": list(MAGIC), "flags": True, "data": [0] * 4096}),
    "flags-2": document(attestation_report={"magic": list(MAGIC), "flags": 2, "data": []}),
    "data": document(attestation_report={"magic": [0] * 16, "flags": 0, "data": "zz"}),
    "pair-number": document(cert_chain={"hsk_cek": 7}),
    "pair-half": document(cert_chain={"hsk_cek": {"hsk": ca().hex()}}),
    "hsk-short": document(cert_chain={"hsk_cek": {"hsk": "00", "cek": csv().hex()}}),
    "hsk-field": document(cert_chain={"hsk_cek": {"hsk": {"body": []}, "cek": csv().hex()}}),
    "cek-sigs": document(
        cert_chain={"hsk_cek": {"hsk": ca().hex(), "cek": {**CHAIN["pek"], "sigs": []}}}
    ),
    "old-without-pek": document(attestation_report=OLD, cert_chain={}),
    "old-field": document(attestation_report={**OLD, "anonce": -1}),
    "old-field-size": document(attestation_report={**OLD, "sig": {"r": [0], "s": [0]}}),
    "old-serial": document(attestation_report=OLD, serial_number=[0] * 65),
    "event-log": document(cc_eventlog=7),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_other_json_is_malformed(case: str) -> None:
    """A document of another form is refused before anything is verified."""
    with pytest.raises(EvidenceMalformedError):
        open_json(BAD_JSON[case])


def test_a_document_that_names_another_pek_is_untrusted() -> None:
    """The PEK beside the report must be the one inside it."""
    with pytest.raises(EvidenceUntrustedError, match="another"):
        open_json(document(cert_chain={"pek": as_json(pek(api_minor=9), CSV)}))


def test_events_count_only_if_they_replay() -> None:
    """A CCEL is believed if it leads to the report's registers, and refused otherwise."""
    log = CcelWriter(algorithm=0x12)
    log.add(1, 0x80000001, b"variable").add(3, 4, bytes(4))
    registers = log.registers()
    fields = {f"rtmr{index}": registers.get(index, bytes(32)) for index in range(1, 5)}
    raw = replace(V2, fields=fields).report()
    claims = verify(raw, endorsed((Role.EVENT_LOG, log.raw())))
    assert claims.details["event_registers"] == "1,3"
    other = CcelWriter(algorithm=0x12).add(1, 0x80000001, b"other").raw()
    with pytest.raises(EvidenceUntrustedError, match=r"hygon-csv\.event-log"):
        verify(raw, endorsed((Role.EVENT_LOG, other)))
    assert (
        open_json(
            document(
                attestation_report={
                    "magic": list(MAGIC),
                    "flags": 1,
                    "data": list(raw.ljust(4096, b"\0")),
                },
                cc_eventlog=log.raw().hex(),
            )
        ).details["event_registers"]
        == "1,3"
    )


def test_version_1_has_no_registers_to_believe_events_by() -> None:
    """A log beside a version 1 report is left alone: no claim repeats it."""
    log = CcelWriter(algorithm=0x12).add(1, 4, bytes(4)).raw()
    assert "events" not in verify(REPORT_1, endorsed((Role.EVENT_LOG, log))).details


def test_the_pin_is_what_it_says() -> None:
    """The pinned key is a point of the curve; its certificate's digest is the published one."""
    (root,) = ROOTS
    assert root.certificate_sha256.hex().startswith("296efa97580464ac")
    assert root.key_id.hex() == "3ae86a9701355cce333a589de21583d7"
    assert not is_signed_by(root.point, Usage.HRK.uid, b"", bytes(64))


def test_a_pin_is_the_whole_certificate() -> None:
    """A pin made of the simulated root names its exact bytes."""
    (root,) = roots()
    assert root.certificate_sha256 == sha256(hrk()).digest()
    parsed = parse_ca(hrk(), expected=Usage.HRK, code="test")
    signature = parsed.signatures[0].value
    assert is_signed_by(root.point, Usage.HRK.uid, parsed.signed, signature)


def test_the_simulated_root_is_not_the_pinned_one() -> None:
    """Deployed verifiers refuse everything that the simulator makes."""
    with pytest.raises(EvidenceUntrustedError, match=r"hygon-csv\.hsk"):
        HygonCsvVerifier(ROOTS).verify(REPORT_1, endorsed(), now=0)


def test_header_and_cut() -> None:
    """The header's two fields decide; padding is zero or refused."""
    assert version_of(bytes(16), 99) == 1
    assert cut(1, REPORT_1.ljust(4096, b"\0")) == REPORT_1
    with pytest.raises(EvidenceMalformedError, match="padding"):
        cut(1, REPORT_1.ljust(4095, b"\0") + b"\1")


@given(st.binary(max_size=600), st.integers(0, 4096))
def test_any_bytes_are_refused_properly(data: bytes, at: int) -> None:
    """No bytes, alone or inside good evidence, make anything but our errors."""
    inside = REPORT_1[:at] + data + REPORT_1[at + len(data) :]
    certificates = PAIR[:at] + data + PAIR[at + len(data) :]
    for raw, pair in ((data, PAIR), (inside, PAIR), (REPORT_1, certificates), (REPORT_2, data)):
        try:
            claims = verify(raw, with_roles((Role.HSK_CEK, pair)))
        except AttestationError:
            continue
        assert claims.report_data == REPORT_DATA


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["attestation_report", "cert_chain", "hsk_cek", "pek", "data", "magic", "body"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(VALUES)
def test_any_json_is_refused_properly(value: object) -> None:
    """No JSON value makes the unpacker raise anything but our errors."""
    with pytest.raises(AttestationError):
        open_json(value)
