"""iTrustee documents of a SIMULATED device: what is accepted, and how they are refused."""

import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from attestation.claims import Claims, Tier
from attestation.errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
)
from attestation.evidence import Collateral, Role
from attestation.huawei.roots import pin
from attestation.huawei_itrustee import legacy
from attestation.huawei_itrustee.cjson import signed_form
from attestation.huawei_itrustee.roots import ROOTS
from attestation.huawei_itrustee.verifier import HuaweiItrusteeVerifier
from tests.harness.tee.cca import rsa_key
from tests.harness.tee.itrustee import HASH, NONCE, UUID, Trustzone, jwk, url
from tests.harness.tee.virtcca import END, NOW, device, product, product_crl, root, root_crl

HONEST = Trustzone()
REPORT = HONEST.report()
OWN = Trustzone(scenario="sce_as_no_daa")
ALL = (
    (Role.CERT_CHAIN, product()),
    (Role.ROOT_CRL, product_crl()),
    (Role.ROOT_CRL, root_crl()),
)
AK = json.dumps(jwk("ak")).encode()


def verify(raw: bytes, *items: tuple[Role, bytes], now: int = NOW) -> Claims:
    """Verify with the simulated root pinned."""
    return HuaweiItrusteeVerifier((pin(root()),)).verify(raw, Collateral(items or ALL), now=now)


@pytest.mark.parametrize("member", ["report_sign", "signature"])
def test_an_honest_report_verifies(member: str) -> None:
    """Application, quoting application, nonce and device are claimed."""
    claims = verify(replace(HONEST, sign_member=member).report())
    assert (claims.report_data, claims.hardware_id) == (NONCE, "CN=SIMULATED device")
    assert claims.measurements == {
        "ta_img": HASH,
        "ta_mem": HASH[::-1],
        "qta_img": HASH,
        "qta_mem": HASH[::-1],
    }
    assert (claims.tier, claims.refused, claims.unchecked) == (Tier.TEE, (), ())
    assert (claims.details["uuid"], claims.details["document"]) == (UUID, "report")


def test_a_short_nonce_is_filled_up() -> None:
    """The device compares 64 bytes; so do we."""
    claims = verify(Trustzone(payload={"nonce": url(b"challenge")}).report())
    assert claims.report_data == b"challenge".ljust(64, b"\0")


def test_an_ak_certificate_alone_is_about_a_machine_only() -> None:
    """No application, nothing fresh, a lower tier."""
    claims = verify(HONEST.ak_raw())
    assert (claims.report_data, claims.tier) == (b"", Tier.MEASURED_BOOT)
    assert claims.details["document"] == "ak-certificate"
    daa = Trustzone(ak={"ak_pub": {"kty": "DAA", "qs": "AA"}, "scenario": "sce_as_with_daa"})
    assert verify(daa.ak_raw()).details["ak_scenario"] == "sce_as_with_daa"


def test_an_own_authoritys_key_is_the_callers_word() -> None:
    """Scenario 1: the owner's authority issued the AK certificate; the caller names its key."""
    claims = verify(OWN.report(), (Role.CPAK, AK))
    assert (claims.tier, claims.hardware_id) == (Tier.ENDORSED_BY_CALLER, None)
    assert claims.valid_until == END
    public = rsa_key("device").public_key()
    other = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for items in ((Role.CPAK, other), (Role.CERT_CHAIN, product())):
        with pytest.raises(EvidenceUnverifiedError, match=r"cpak\.missing"):
            verify(OWN.report(), items)
    with pytest.raises(EvidenceUntrustedError, match=r"ak\.validity"):
        verify(OWN.report(), (Role.CPAK, AK), now=END + 1)
    with pytest.raises(EvidenceUntrustedError, match=r"report\.signature"):
        verify(replace(OWN, signer="mallory").report(), (Role.CPAK, AK))


def test_revocation_is_what_the_lists_say() -> None:
    """Without lists it is open; a listed device is refused."""
    claims = verify(REPORT, (Role.DEV_CERT, product()))
    assert {each.code for each in claims.unchecked} == {
        "huawei-itrustee.drk-cert.revocation.missing"
    }
    claims = verify(REPORT, *ALL, (Role.ROOT_CRL, product_crl(revoked=device())))
    assert [each.code for each in claims.refused] == ["huawei-itrustee.drk-cert.revocation.revoked"]


UNTRUSTED = {
    "report-of-mallory": (Trustzone(signer="mallory").report(), "report.signature"),
    "report-signed-by-device": (Trustzone(signer="device").report(), "report.signature"),
    "ak-of-mallory": (Trustzone(ak_signer="mallory").report(), "ak.signature"),
    "ak-signed-by-itself": (Trustzone(ak_signer="ak").report(), "ak.signature"),
    "ak-small": (
        Trustzone(ak={"ak_pub": {**jwk("ak"), "n": url(b"\x81" + b"\1" * 127)}}).report(),
        "report.key",
    ),
    "payload-reordered": (
        json.dumps(
            {
                **json.loads(REPORT),
                "payload": dict(reversed(json.loads(REPORT)["payload"].items())),
            }
        ).encode(),
        "report.signature",
    ),
    "payload-member-added": (
        json.dumps(
            {**json.loads(REPORT), "payload": {**json.loads(REPORT)["payload"], "x": 1}}
        ).encode(),
        "report.signature",
    ),
    "device-of-mallory": (
        Trustzone(certificate=device(signer="mallory")).report(),
        "drk-cert.chain",
    ),
    "device-expired": (
        Trustzone(certificate=device(end=NOW - 1)).report(),
        "drk-cert.validity",
    ),
    "device-is-ca": (Trustzone(certificate=device(ca=True)).report(), "drk-cert.usage"),
    "device-elliptic": (
        Trustzone(certificate=device(own="ec-device", elliptic=True)).report(),
        "ak.key",
    ),
    "ak-certificate-of-mallory": (Trustzone(ak_signer="mallory").ak_raw(), "ak.signature"),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_wrong_documents_are_untrusted(case: str) -> None:
    """A wrong signature or chain, or a payload printed differently, is refused by name."""
    raw, code = UNTRUSTED[case]
    with pytest.raises(EvidenceUntrustedError) as caught:
        verify(raw)
    assert [each.code for each in caught.value.findings] == [f"huawei-itrustee.{code}"]


def test_changed_hashes_and_nonces_are_untrusted() -> None:
    """Every text of the payload is signed."""
    doc = json.loads(REPORT)
    for name in ("nonce", "ta_img", "ta_mem", "timestamp"):
        changed = {**doc["payload"], name: url(bytes(32))}
        with pytest.raises(EvidenceUntrustedError, match=r"report\.signature"):
            verify(json.dumps({**doc, "payload": changed}).encode())


def signature_with(**members: object) -> bytes:
    """Return an AK certificate with members of its signature replaced."""
    doc = json.loads(HONEST.ak_raw())
    return json.dumps({**doc, "signature": {**doc["signature"], **members}}).encode()


MALFORMED = {
    "empty": b"",
    "list": b"[]",
    "duplicate": b'{"handler": "report-output", "handler": "report-output"}',
    "handler": b'{"handler": "other"}',
    "no-handler": b"{}",
    "no-payload": HONEST.report(payload=...),
    "no-signature": HONEST.report(report_sign=...),
    "no-akcert": HONEST.report(akcert=...),
    "akcert-of-another-scenario": HONEST.report(akcert={"sce_as_no_daa": ""}),
    "own-akcert-junk": OWN.report(akcert={"sce_as_no_daa": "AAAA"}),
    "version": Trustzone(payload={"version": "TEE.RA.2.0"}).report(),
    "sign-alg": Trustzone(payload={"sign_alg": "RS256"}).report(),
    "hash-alg": Trustzone(ak={"hash_alg": "HS1"}).report(),
    "scenario": Trustzone(ak={"scenario": "sce_other"}).report(),
    "nonce-empty": Trustzone(payload={"nonce": ""}).report(),
    "nonce-long": Trustzone(payload={"nonce": url(bytes(65))}).report(),
    "nonce-base64": Trustzone(payload={"nonce": "?"}).report(),
    "uuid": Trustzone(payload={"uuid": "c29d01b0"}).report(),
    "hash-short": Trustzone(payload={"ta_img": url(bytes(31))}).report(),
    "hash-number": Trustzone(payload={"ta_mem": 1}).report(),
    "qta-absent": Trustzone(ak={"qta_img": ...}).report(),
    "large-number": HONEST.report(payload={**json.loads(REPORT)["payload"], "x": 1 << 31}),
    "fraction": HONEST.report(payload={**json.loads(REPORT)["payload"], "x": 0.5}),
    "ak-key": Trustzone(ak={"ak_pub": {"kty": "RSA", "n": "AQ", "e": "AQ"}}).report(),
    "drk-cert-base64": signature_with(drk_cert=url(b"?")),
    "drk-cert-junk": signature_with(drk_cert=url(b"AAAA")),
    "drk-sign": signature_with(drk_sign=7),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_other_documents_are_malformed(case: str) -> None:
    """Documents of another form do not parse."""
    with pytest.raises(EvidenceMalformedError):
        verify(MALFORMED[case])


def test_other_roles_are_malformed() -> None:
    """Collateral that this kind has no use for is a mistake."""
    with pytest.raises(EvidenceMalformedError, match="collateral"):
        verify(REPORT, (Role.ARK, b""))


def test_anonymous_attestation_is_unsupported() -> None:
    """We hold no verifier for DAA signatures; they are never accepted."""
    daa = Trustzone(scenario="sce_as_with_daa").report()
    for raw in (daa, Trustzone(ak={"ak_pub": {"kty": "DAA"}}).report()):
        with pytest.raises(EvidenceUnsupportedError, match="daa"):
            verify(raw)
    with pytest.raises(EvidenceUnsupportedError, match="daa"):
        verify(Trustzone(ak={"ak_pub": {}}).report())


def binary(*rows: tuple[int, int, int], tail: bytes = b"") -> bytes:
    """Return a binary report with these parameters."""
    head = b"\1\0\0\0" + bytes(8) + NONCE + bytes(16) + bytes(4)
    table = b"".join(number.to_bytes(4, "little") for row in rows for number in row)
    return head + len(rows).to_bytes(4, "little") + table + tail


def test_binary_reports_are_read_and_unsupported() -> None:
    """The older report is told from junk, and not accepted."""
    raw = binary((0x10000000, 7, 0), (0x20000001, 4, 124), tail=b"hash")
    found = legacy.parse(raw)
    assert (found.nonce, found.scenario) == (NONCE, 0)
    assert (found.integers, found.buffers) == ({0x10000000: 7}, {0x20000001: b"hash"})
    with pytest.raises(EvidenceUnsupportedError, match="legacy"):
        verify(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"\1",
        b"\1\1" + bytes(200),
        binary((0x10000000, 0, 0))[:-1],
        b"\1\0\0\0" + bytes(92) + b"\xff\0\0\0" + bytes(4000),
        binary((0x10000000, 7, 0), (0x10000000, 7, 0)),
        binary((0x20000001, 0, 136), (0x20000001, 0, 136), tail=bytes(64)),
        binary((0x30000000, 0, 0)),
        binary((0x20000001, 5, 112), tail=bytes(4)),
        binary((0x20000001, 1, 0), tail=bytes(4)),
    ],
)
def test_other_binaries_are_malformed(raw: bytes) -> None:
    """Bytes that are no binary report do not parse."""
    with pytest.raises(EvidenceMalformedError, match="legacy"):
        verify(raw)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, "{\n}"),
        ({"a": "b"}, '{\n\t"a":\t"b"\n}'),
        ({"a": {"b": 1}, "c": []}, '{\n\t"a":\t{\n\t\t"b":\t1\n\t},\n\t"c":\t[]\n}'),
        ([1, -2, True, False, None], "[1, -2, true, false, null]"),
        ({"a": {}}, '{\n\t"a":\t{\n\t}\n}'),
        ('"\\/\b\f\n\r\t\x01é', '"\\"\\\\/\\b\\f\\n\\r\\t\\u0001é"'),
    ],
)
def test_json_is_printed_as_the_device_prints_it(value: object, text: str) -> None:
    """Tabs, order, escapes and numbers as cJSON has them."""
    assert signed_form(value, code="t").decode() == url(text.encode())


def test_the_simulated_root_is_not_the_pinned_one() -> None:
    """Deployed verifiers refuse everything that the simulator makes."""
    with pytest.raises(EvidenceUntrustedError, match=r"drk-cert\.chain"):
        HuaweiItrusteeVerifier(ROOTS).verify(REPORT, Collateral(ALL), now=NOW)


@given(st.binary(max_size=300), st.integers(0, len(REPORT)))
def test_any_bytes_are_refused_properly(data: bytes, at: int) -> None:
    """No bytes, alone or inside a good report, make anything but our errors."""
    inside = REPORT[:at] + data + REPORT[at + len(data) :]
    for raw in (data, b"{" + data, b"\1\0\0\0" + data, inside):
        try:
            claims = verify(raw)
        except AttestationError:
            continue
        assert claims.report_data == NONCE
