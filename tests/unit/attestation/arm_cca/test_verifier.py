"""CCA tokens of a SIMULATED machine: what is accepted, and every way they are refused."""

import json
from base64 import b64encode, urlsafe_b64encode
from dataclasses import replace
from hashlib import sha256, sha384

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from attestation.arm_cca.roots import ROOTS
from attestation.arm_cca.verifier import NO_END, ArmCcaVerifier
from attestation.claims import Claims, Tier
from attestation.cose import keys, sign1
from attestation.errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
)
from attestation.evidence import Collateral, Role
from tests.harness.tee.cca import (
    CHALLENGE,
    IMPLEMENTATION,
    INSTANCE,
    RIM,
    CcaMachine,
    CoseWriter,
    component,
    ec_key,
    pem,
    point,
    rsa_key,
)
from tests.harness.tee.nitro import certificate, encode, head
from tests.harness.tee.nitro import key as nitro_key

HONEST = CcaMachine()
TOKEN = HONEST.token()


def url(data: bytes) -> str:
    """Return unpadded base64url."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(role: str, crv: str = "P-384") -> dict[str, str]:
    """Return a key as JWK."""
    raw = point(role)[1:]
    half = len(raw) // 2
    return {"kty": "EC", "crv": crv, "x": url(raw[:half]), "y": url(raw[half:])}


def store(*roles: str, instance: bytes = INSTANCE) -> bytes:
    """Return a list of keys by platform."""
    return json.dumps(
        [
            {
                "pkey": jwk(role),
                "implementation-id": IMPLEMENTATION.hex(),
                "instance-id": instance.hex(),
            }
            for role in roles
        ]
    ).encode()


CPAK = json.dumps(jwk("cpak")).encode()


def verify(raw: bytes, *cpaks: bytes) -> Claims:
    """Verify under what the caller vouches for."""
    collateral = Collateral(tuple((Role.CPAK, each) for each in cpaks or (CPAK,)))
    return ArmCcaVerifier(ROOTS).verify(raw, collateral, now=0)


def test_an_honest_token_verifies() -> None:
    """Realm and platform are told apart, at the tier of the caller's word."""
    claims = verify(TOKEN)
    assert claims.report_data == CHALLENGE
    assert claims.hardware_id == INSTANCE.hex()
    assert (claims.tier, claims.valid_until) == (Tier.ENDORSED_BY_CALLER, NO_END)
    assert (claims.refused, claims.unchecked, claims.debug) == ((), (), False)
    assert claims.measurements["rim"] == RIM
    assert {"rem0", "rem3", "rpv", "platform_config", "platform:RMM", "platform:RMM:1"} <= set(
        claims.measurements
    )
    assert claims.measurements["platform:2"] == bytes(48)


COSE_KEY = encode({1: 2, -1: 2, -2: point("rak")[1:49], -3: point("rak")[49:]})
FORMS = {
    "untagged": replace(HONEST, tag=b"").token(),
    "wrapped": replace(HONEST, wrapped=True, tag=head(6, 907)).token(),
    "untagged-cose": replace(
        HONEST,
        platform_cose=CoseWriter(signer="cpak", tag=b""),
        realm_cose=CoseWriter(signer="rak", tag=b""),
    ).token(),
    "newer-profile": CcaMachine(
        platform={265: "tag:arm.com,2023:cca_platform#1.0.0"},
        realm={265: "tag:arm.com,2023:realm#1.0.0"},
    ).token(),
    "cose-key": CcaMachine(key=COSE_KEY).token(),
    "sha-384-link": CcaMachine(
        platform={10: sha384(point("rak")).digest()}, realm={44240: "sha-384"}
    ).token(),
    "p256-realm": CcaMachine(
        key=point("p256-rak"), realm_cose=CoseWriter(signer="p256-rak", algorithm=-7)
    ).token(),
    "p521-realm": CcaMachine(
        key=point("p521-rak"), realm_cose=CoseWriter(signer="p521-rak", algorithm=-36)
    ).token(),
    "unprotected-kid": CcaMachine(
        platform_cose=CoseWriter(signer="cpak", unprotected={4: b"kid"})
    ).token(),
    "no-service": CcaMachine(platform={2400: ...}).token(),
}


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_verify(form: str) -> None:
    """Tags, profiles, key forms and curves that machines and drafts use."""
    assert verify(FORMS[form]).report_data == CHALLENGE


def cpak_der() -> bytes:
    """Return the platform key as DER."""
    public = ec_key("cpak").public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "cpak",
    [
        pem("cpak"),
        cpak_der(),
        cpak_der().hex().encode(),
        store("cpak"),
        json.dumps({**jwk("cpak"), "d": "AA"}).encode(),
    ],
    ids=["pem", "der", "hex", "store", "private"],
)
def test_platform_keys_come_in_many_forms(cpak: bytes) -> None:
    """JWK, PEM, DER or a list of keys by platform."""
    assert verify(TOKEN, cpak).hardware_id == INSTANCE.hex()
    assert verify(TOKEN, cpak, CPAK).hardware_id == INSTANCE.hex()


def test_keys_in_certificates_are_read() -> None:
    """A certificate vouches for nothing, but names a key."""
    der = certificate("a", "a", own="root", signer="root")
    expected = nitro_key("root").public_key().public_numbers()
    text = b"-----BEGIN CERTIFICATE-----\n" + b64encode(der)
    for form in (der, text + b"\n-----END CERTIFICATE-----\n"):
        assert keys.vouched(form, what="key", code="t").public_numbers() == expected


@pytest.mark.parametrize(
    "cpaks", [(store("cpak", instance=b"\x01" + bytes(32)),), (b"[]",)], ids=["other", "none"]
)
def test_without_the_platforms_key_it_stays_open(cpaks: tuple[bytes, ...]) -> None:
    """A token whose platform nobody vouches for is neither right nor wrong."""
    with pytest.raises(EvidenceUnverifiedError, match=r"arm-cca\.cpak\.missing"):
        verify(TOKEN, *cpaks)
    with pytest.raises(EvidenceUnverifiedError):
        ArmCcaVerifier(ROOTS).verify(TOKEN, Collateral(), now=0)


@pytest.mark.parametrize(
    ("lifecycle", "codes", "debug"),
    [
        (0x3000, [], False),
        (0x30FF, [], False),
        (0x2FFF, ["arm-cca.lifecycle"], False),
        (0x3100, ["arm-cca.lifecycle"], False),
        (0x4001, ["arm-cca.debug"], True),
        (0x50FF, ["arm-cca.debug"], True),
        (0x6000, ["arm-cca.lifecycle"], False),
        (0, ["arm-cca.lifecycle"], False),
    ],
)
def test_only_secured_platforms_pass(lifecycle: int, codes: list[str], *, debug: bool) -> None:
    """Every other state of life is refused in code."""
    claims = verify(CcaMachine(platform={2395: lifecycle}).token())
    assert ([each.code for each in claims.refused], claims.debug) == (codes, debug)


def cose(
    signer: str,
    *,
    algorithm: int = -35,
    protected: bytes | None = None,
    unprotected: object = None,
    signature: bytes | None = None,
) -> CoseWriter:
    """Return a writer with one thing bent."""
    return CoseWriter(
        signer=signer,
        algorithm=algorithm,
        protected=protected,
        unprotected={} if unprotected is None else unprotected,
        signature=signature,
    )


UNTRUSTED = {
    "platform-of-mallory": (CcaMachine(platform_cose=cose("mallory")), "platform.signature"),
    "platform-signed-by-realm": (CcaMachine(platform_cose=cose("rak")), "platform.signature"),
    "realm-of-mallory": (CcaMachine(realm_cose=cose("mallory")), "realm.signature"),
    "realm-key-of-mallory": (
        CcaMachine(
            key=point("mallory"),
            realm_cose=cose("mallory"),
            platform={10: sha256(point("rak")).digest()},
        ),
        "link",
    ),
    "link-other-hash": (CcaMachine(realm={44240: "sha-512"}), "link"),
    "link-prefix": (
        CcaMachine(platform={10: sha256(point("rak")).digest() + bytes(16)}),
        "link",
    ),
    "platform-es256": (
        CcaMachine(platform_cose=cose("p256-cpak", algorithm=-7)),
        "platform.signature",
    ),
    "platform-signature-short": (
        CcaMachine(platform_cose=cose("cpak", signature=bytes(95))),
        "platform.signature",
    ),
    "platform-signature-zero": (
        CcaMachine(platform_cose=cose("cpak", signature=bytes(96))),
        "platform.signature",
    ),
    "realm-ps256": (
        CcaMachine(realm_cose=cose("rak", algorithm=-37, signature=bytes(256))),
        "realm.signature",
    ),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_broken_links_are_untrusted(case: str) -> None:
    """A wrong signature, or a realm key that the platform does not name."""
    machine, code = UNTRUSTED[case]
    with pytest.raises(EvidenceUntrustedError) as caught:
        verify(machine.token())
    assert [finding.code for finding in caught.value.findings] == [f"arm-cca.{code}"]


def test_tokens_of_two_machines_do_not_mix() -> None:
    """A platform token beside another realm's token is no link."""
    other = CcaMachine(key=point("rak-2"), realm_cose=cose("rak-2"))
    mixed = encode({44234: HONEST.parts()[0], 44241: other.parts()[1]})
    with pytest.raises(EvidenceUntrustedError, match=r"arm-cca\.link"):
        verify(mixed)


PLATFORM_BENT: dict[str, dict[int, object]] = {
    "profile": {265: "http://arm.com/PSA-SSD/1.0.0"},
    "profile-absent": {265: ...},
    "challenge-size": {10: bytes(50)},
    "challenge-absent": {10: ...},
    "implementation-long": {2396: bytes(34)},
    "implementation-absent": {2396: ...},
    "instance-short": {256: bytes(3)},
    "instance-kind": {256: b"\x02" + bytes(32)},
    "config-absent": {2401: ...},
    "config-text": {2401: "x"},
    "lifecycle-absent": {2395: ...},
    "lifecycle-range": {2395: 32565},
    "lifecycle-true": {2395: True},
    "components-absent": {2399: ...},
    "components-empty": {2399: []},
    "components-map": {2399: {}},
    "component-list": {2399: [[]]},
    "component-value": {2399: [component(value=bytes(31))]},
    "component-no-value": {2399: [component(value=...)]},
    "component-no-signer": {2399: [component(signer=...)]},
    "component-version": {2399: [component(version=1)]},
    "component-hash": {2399: [component(hash="md5")]},
    "service-empty": {2400: ""},
    "hash": {2402: "none"},
    "hash-absent": {2402: ...},
}
REALM_BENT: dict[str, dict[int, object]] = {
    "challenge-short": {10: bytes(32)},
    "challenge-absent": {10: ...},
    "personalization": {44235: bytes(65)},
    "personalization-absent": {44235: ...},
    "hash-absent": {44236: ...},
    "key-absent": {44237: ...},
    "key-junk": {44237: b"WhatIsNextValue"},
    "key-off-curve": {44237: b"\x04" + bytes(96)},
    "key-cose-curve": {44237: encode({1: 2, -1: 9, -2: b"", -3: b""})},
    "key-cose-list": {44237: encode({1: 2, -1: [], -2: b"", -3: b""})},
    "key-cose-type": {44237: encode({1: 1})},
    "key-cose-y": {44237: encode({1: 2, -1: 2, -2: bytes(48), -3: 1})},
    "key-cose-size": {44237: encode({1: 2, -1: 2, -2: bytes(47), -3: bytes(48)})},
    "rim": {44238: bytes(33)},
    "rim-absent": {44238: ...},
    "rem-three": {44239: [bytes(32)] * 3},
    "rem-size": {44239: [bytes(32)] * 3 + [bytes(31)]},
    "rem-absent": {44239: ...},
    "key-hash-absent": {44240: ...},
    "profile": {265: "tag:example.com,2023:realm#1.0.0"},
}


@pytest.mark.parametrize("case", PLATFORM_BENT)
def test_other_platform_claims_are_malformed(case: str) -> None:
    """A platform claim that is missing or of another form does not parse."""
    with pytest.raises(EvidenceMalformedError, match=r"arm-cca\.platform"):
        verify(CcaMachine(platform=PLATFORM_BENT[case]).token())


@pytest.mark.parametrize("case", REALM_BENT)
def test_other_realm_claims_are_malformed(case: str) -> None:
    """A realm claim that is missing or of another form does not parse."""
    with pytest.raises(EvidenceMalformedError, match=r"arm-cca\.realm"):
        verify(CcaMachine(realm=REALM_BENT[case]).token())


PLATFORM, REALM = HONEST.parts()
MALFORMED = {
    "empty": b"",
    "trailing": TOKEN + b"\0",
    "cut": TOKEN[:-1],
    "huge": bytes(1 << 17),
    "other-tag": replace(HONEST, tag=head(6, 398)).token(),
    "list": encode([PLATFORM, REALM]),
    "no-realm": encode({44234: PLATFORM}),
    "no-platform": encode({44241: REALM}),
    "repeated-label": b"\xa2" + (encode(44241) + encode(REALM)) * 2,
    "member-text": encode({44234: "x", 44241: REALM}),
    "member-long-list": encode({44234: [1, PLATFORM, 1, 1], 44241: REALM}),
    "cose-three": encode({44234: b"\x83\x40\xa0\x40", 44241: REALM}),
    "cose-tag": encode({44234: b"\xd1" + PLATFORM[1:], 44241: REALM}),
    "cose-protected": encode({44234: encode([1, {}, b"", b""]), 44241: REALM}),
    "cose-signature": encode({44234: encode([b"\xa0", {}, b"", 1]), 44241: REALM}),
    "cose-header-list": CcaMachine(platform_cose=cose("cpak", protected=b"\x80")).token(),
    "cose-unprotected-list": CcaMachine(platform_cose=cose("cpak", unprotected=[])).token(),
    "cose-no-algorithm": CcaMachine(platform_cose=cose("cpak", protected=b"\xa0")).token(),
    "cose-algorithm": CcaMachine(platform_cose=cose("cpak", protected=encode({1: -8}))).token(),
    "cose-algorithm-true": CcaMachine(
        platform_cose=cose("cpak", protected=encode({1: True}))
    ).token(),
    "cose-critical": CcaMachine(
        platform_cose=cose("cpak", protected=encode({1: -35, 2: [9]}))
    ).token(),
    "cose-algorithm-outside": CcaMachine(platform_cose=cose("cpak", unprotected={1: -7})).token(),
    "payload-not-a-map": encode({44234: cose("cpak").token(b"\x80"), 44241: REALM}),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_other_structures_are_malformed(case: str) -> None:
    """Collections and COSE structures of another form do not parse."""
    with pytest.raises(EvidenceMalformedError):
        verify(MALFORMED[case])


ED25519 = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
BAD_CPAKS = {
    "junk": b"\x30\x00",
    "text": b"not a key!",
    "pem-two": pem("cpak") * 2,
    "pem-body": b"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
    "ed25519": ED25519.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "json-list": b'{"kty": []}',
    "oct": b'{"kty": "oct"}',
    "curve": json.dumps(jwk("cpak", "P-999")).encode(),
    "wrong-curve": json.dumps(jwk("cpak", "P-256")).encode(),
    "off-curve": json.dumps({**jwk("cpak"), "y": jwk("rak")["y"]}).encode(),
    "base64": json.dumps({**jwk("cpak"), "x": "?"}).encode(),
    "base64-length": json.dumps({**jwk("cpak"), "x": "A"}).encode(),
    "rsa-zero": b'{"kty": "RSA", "n": "", "e": ""}',
    "rsa-huge": json.dumps({"kty": "RSA", "n": url(b"\xff" * 1025), "e": "AQAB"}).encode(),
    "store-id": store("cpak", instance=b"\1"),
    "store-numbers": b"[1]",
    "store-twice": store("cpak", "rak"),
    "duplicate": b'{"kty": "EC", "kty": "EC"}',
}


@pytest.mark.parametrize("case", BAD_CPAKS)
def test_other_endorsements_are_malformed(case: str) -> None:
    """What the caller hands in must be a key, and one for each platform."""
    with pytest.raises(EvidenceMalformedError, match=r"arm-cca\.cpak"):
        verify(TOKEN, BAD_CPAKS[case])


def test_other_roles_are_malformed() -> None:
    """Collateral that this kind has no use for is a mistake."""
    with pytest.raises(EvidenceMalformedError, match=r"arm-cca\.collateral"):
        ArmCcaVerifier(ROOTS).verify(TOKEN, Collateral(((Role.ARK, b""),)), now=0)


def test_an_rsa_key_may_be_vouched_for_and_then_does_not_fit() -> None:
    """A key of another type is a key, but did not sign."""
    numbers = rsa_key("x").public_key().public_numbers()
    doc = {"kty": "RSA", "n": url(numbers.n.to_bytes(256)), "e": "AQAB"}
    with pytest.raises(EvidenceUntrustedError, match=r"arm-cca\.platform\.signature"):
        verify(TOKEN, json.dumps(doc).encode())


def test_every_byte_counts() -> None:
    """A flipped bit anywhere is refused, sampled by three."""
    for at in range(0, len(TOKEN), 3):
        with pytest.raises(AttestationError):
            verify(TOKEN[:at] + bytes([TOKEN[at] ^ 1]) + TOKEN[at + 1 :])


def test_signed_structures_are_small() -> None:
    """What needs a longer length than two bytes is no token."""
    with pytest.raises(EvidenceMalformedError, match=r"t\.cose"):
        sign1.parse(bytes(1 << 16), what="token", code="t")


def test_keys_are_on_curves() -> None:
    """A compressed or misplaced point is no key."""
    compressed = (
        ec_key("rak").public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    )
    with pytest.raises(EvidenceMalformedError):
        keys.token_key(compressed, what="key", code="t")
    found = keys.token_key(point("rak"), what="key", code="t")
    assert isinstance(found.curve, ec.SECP384R1)


@given(st.binary(max_size=300), st.integers(0, len(TOKEN)))
def test_any_bytes_are_refused_properly(data: bytes, at: int) -> None:
    """No bytes, as token, payload, key or endorsement, make anything but our errors."""
    inside = TOKEN[:at] + data + TOKEN[at + len(data) :]
    for raw, cpak in ((data, CPAK), (inside, CPAK), (TOKEN, data), (TOKEN, b"{" + data)):
        try:
            claims = verify(raw, cpak)
        except AttestationError:
            continue
        assert claims.report_data == CHALLENGE
