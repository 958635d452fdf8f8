"""virtCCA tokens of a SIMULATED machine: bound to its certificate, or not believed."""

import json
from base64 import b64encode
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
from attestation.evidence import Collateral, Role
from attestation.huawei.roots import pin
from attestation.huawei_virtcca.roots import ROOTS
from attestation.huawei_virtcca.verifier import HuaweiVirtccaVerifier
from tests.harness.tee.cca import CHALLENGE, RIM, CoseWriter
from tests.harness.tee.nitro import encode
from tests.harness.tee.virtcca import (
    NOW,
    VirtccaMachine,
    crl,
    device,
    product,
    product_crl,
    root,
    root_crl,
)

HONEST = VirtccaMachine()
TOKEN = HONEST.token()
CRLS = ((Role.ROOT_CRL, product_crl()), (Role.ROOT_CRL, root_crl()))


def given_with(
    *items: tuple[Role, bytes], leaf: bytes | None = None, crls: bool = True
) -> Collateral:
    """Return collateral with a device certificate, its authority, and current lists."""
    certificates = (
        (Role.DEV_CERT, device() if leaf is None else leaf),
        (Role.CERT_CHAIN, product()),
    )
    return Collateral((*certificates, *(CRLS if crls else ()), *items))


def verify(raw: bytes, collateral: Collateral | None = None, *, now: int = NOW) -> Claims:
    """Verify with the simulated root pinned."""
    found = given_with() if collateral is None else collateral
    return HuaweiVirtccaVerifier((pin(root()),)).verify(raw, found, now=now)


@pytest.mark.parametrize("double", [True, False])
def test_a_token_bound_by_a_platform_token_verifies(*, double: bool) -> None:
    """The device signs the hash of the token's key."""
    claims = verify(replace(HONEST, double=double).token())
    assert (claims.report_data, claims.measurements["rim"]) == (CHALLENGE, RIM)
    assert (claims.tier, claims.refused, claims.unchecked) == (Tier.TEE, (), ())
    assert claims.details["binding"] == "platform-token"
    assert claims.hardware_id == "CN=SIMULATED device"
    assert claims.valid_until == NOW + 1000


def test_a_certificate_for_the_tokens_own_key_binds() -> None:
    """Without a platform token the certificate must be for the very key that signed."""
    claims = verify(VirtccaMachine(platform=None).token(), given_with(leaf=device(own="cvm")))
    assert claims.details["binding"] == "certificate"


def test_a_genuine_certificate_beside_any_token_is_no_binding() -> None:
    """A self-signed token and somebody's certificate: everything verifies, nothing is bound."""
    with pytest.raises(EvidenceUnverifiedError) as caught:
        verify(VirtccaMachine(platform=None).token())
    assert [each.code for each in caught.value.findings] == ["huawei-virtcca.unbound"]


def test_an_elliptic_device_key_signs_too() -> None:
    """Newer machines have an EC device key."""
    machine = VirtccaMachine(platform_cose=CoseWriter(signer="ec-device"))
    leaf = device(own="ec-device", elliptic=True)
    assert verify(machine.token(), given_with(leaf=leaf)).report_data == CHALLENGE


def as_json(**changes: object) -> bytes:
    """Return an agent's JSON."""
    doc = {"evidence": list(TOKEN), "dev_cert": list(device()), "ima_log": None, **changes}
    return json.dumps({name: value for name, value in doc.items() if value is not ...}).encode()


def pem(der: bytes) -> str:
    """Return a certificate in PEM."""
    body = b64encode(der).decode()
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"


CHAIN_ONLY = Collateral(((Role.CERT_CHAIN, product()), *CRLS))


@pytest.mark.parametrize(
    "raw",
    [
        as_json(),
        as_json(evidence=TOKEN.hex(), dev_cert=pem(device())),
        as_json(dev_cert=list(pem(device()).encode())),
        as_json(dev_cert=b64encode(device()).decode()),
    ],
    ids=["bytes", "text", "pem-bytes", "base64"],
)
def test_agents_json_is_understood(raw: bytes) -> None:
    """Token and certificate of one document; collateral goes before the latter."""
    assert verify(raw, CHAIN_ONLY).report_data == CHALLENGE
    assert verify(raw).report_data == CHALLENGE


def test_revocation_is_what_the_lists_say() -> None:
    """Without lists it is open; a listed certificate is refused, by a stale list too."""
    open_ = verify(TOKEN, given_with(crls=False))
    assert {each.code for each in open_.unchecked} == {"huawei-virtcca.dev-cert.revocation.missing"}
    assert open_.valid_until > NOW + 1000
    stale = verify(
        TOKEN,
        given_with(
            (Role.ROOT_CRL, product_crl(end=NOW - 1)), (Role.ROOT_CRL, root_crl()), crls=False
        ),
    )
    assert [each.code for each in stale.unchecked] == ["huawei-virtcca.dev-cert.revocation.stale"]
    revoked = verify(TOKEN, given_with((Role.ROOT_CRL, product_crl(revoked=device()))))
    assert [each.code for each in revoked.refused] == ["huawei-virtcca.dev-cert.revocation.revoked"]
    above = verify(TOKEN, given_with((Role.ROOT_CRL, root_crl(revoked=product()))))
    assert [each.code for each in above.refused] == ["huawei-virtcca.dev-cert.revocation.revoked"]


def ps256(signer: str, signature: bytes | None = None) -> CoseWriter:
    """Return an RSA writer."""
    return CoseWriter(signer=signer, algorithm=-37, signature=signature)


UNTRUSTED: dict[str, tuple[VirtccaMachine, Collateral, str]] = {
    "token-of-mallory": (VirtccaMachine(cvm_cose=ps256("mallory")), given_with(), "cvm.signature"),
    "token-signature": (
        VirtccaMachine(cvm_cose=ps256("cvm", bytes(256))),
        given_with(),
        "cvm.signature",
    ),
    "token-es384": (
        VirtccaMachine(cvm_cose=CoseWriter(signer="rak")),
        given_with(),
        "cvm.signature",
    ),
    "small-key": (VirtccaMachine(key="small"), given_with(), "cvm.signature"),
    "platform-of-mallory": (
        VirtccaMachine(platform_cose=ps256("mallory")),
        given_with(),
        "platform.signature",
    ),
    "platform-self-signed": (
        VirtccaMachine(platform_cose=ps256("cvm")),
        given_with(),
        "platform.signature",
    ),
    "platform-for-another-key": (VirtccaMachine(platform={10: bytes(32)}), given_with(), "link"),
    "platform-prefix": (VirtccaMachine(platform={10: b""}), given_with(), "link"),
    "other-hash": (VirtccaMachine(claims={44240: "sha-384"}), given_with(), "link"),
    "device-of-mallory": (HONEST, given_with(leaf=device(signer="mallory")), "dev-cert.chain"),
    "device-expired": (HONEST, given_with(leaf=device(end=NOW - 1)), "dev-cert.validity"),
    "device-not-yet": (HONEST, given_with(leaf=device(begin=NOW + 1)), "dev-cert.validity"),
    "device-is-ca": (HONEST, given_with(leaf=device(ca=True)), "dev-cert.usage"),
    "device-signs-nothing": (
        HONEST,
        given_with(leaf=device(signs_data=False)),
        "dev-cert.usage",
    ),
    "authority-as-device": (HONEST, given_with(leaf=product()), "dev-cert.usage"),
    "without-authority": (
        HONEST,
        Collateral(((Role.DEV_CERT, device()),)),
        "dev-cert.chain",
    ),
    "lookalike-root": (
        HONEST,
        Collateral(
            (
                (Role.DEV_CERT, device(signer="mallory")),
                (Role.CERT_CHAIN, root("mallory")),
            )
        ),
        "dev-cert.chain",
    ),
    "list-of-mallory": (
        HONEST,
        given_with((Role.ROOT_CRL, root_crl(signer="mallory")), crls=False),
        "dev-cert.revocation.signature",
    ),
}


@pytest.mark.parametrize("case", UNTRUSTED)
def test_wrong_evidence_is_untrusted(case: str) -> None:
    """A wrong signature, link, certificate or list is refused by name."""
    machine, collateral, code = UNTRUSTED[case]
    with pytest.raises(EvidenceUntrustedError) as caught:
        verify(machine.token(), collateral)
    assert [each.code for each in caught.value.findings] == [f"huawei-virtcca.{code}"]


def test_without_a_device_certificate_it_stays_open() -> None:
    """A token alone is signed by its own key."""
    for raw in (TOKEN, as_json(dev_cert=...), as_json(dev_cert=[])):
        with pytest.raises(EvidenceUnverifiedError, match=r"dev-cert\.missing"):
            verify(raw, CHAIN_ONLY)


def test_lists_of_others_are_left_alone() -> None:
    """A list that no authority of the path issued decides nothing."""
    stranger = crl("SIMULATED stranger", "stranger")
    assert verify(TOKEN, given_with((Role.ROOT_CRL, stranger))).unchecked == ()


MALFORMED: dict[str, tuple[bytes, Collateral]] = {
    "empty": (b"", given_with()),
    "trailing": (TOKEN + b"\0", given_with()),
    "cut": (TOKEN[:-1], given_with()),
    "json-no-evidence": (b"{}", given_with()),
    "json-duplicate": (b'{"evidence": [], "evidence": []}', given_with()),
    "json-evidence": (as_json(evidence=7), given_with()),
    "json-certificate": (as_json(dev_cert=7), given_with()),
    "json-surrogate": (as_json(dev_cert="-----BEGIN \ud800"), CHAIN_ONLY),
    "challenge": (VirtccaMachine(claims={10: bytes(1)}).token(), given_with()),
    "key": (VirtccaMachine(claims={44237: b"key"}).token(), given_with()),
    "rim": (VirtccaMachine(claims={44238: ...}).token(), given_with()),
    "platform-challenge": (VirtccaMachine(platform={10: ...}).token(), given_with()),
    "platform-claims": (
        encode({44234: ps256("device").token(encode([])), 44241: b"\xd2\x84\x40\xa0\x40\x40"}),
        given_with(),
    ),
    "role": (TOKEN, given_with((Role.CPAK, b""))),
    "certificate": (TOKEN, given_with(leaf=b"x")),
    "list": (TOKEN, given_with((Role.ROOT_CRL, b"x"))),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_other_structures_are_malformed(case: str) -> None:
    """Tokens, documents and collateral of another form do not parse."""
    raw, collateral = MALFORMED[case]
    with pytest.raises(EvidenceMalformedError):
        verify(raw, collateral)


def test_a_platform_token_is_a_map_with_a_challenge() -> None:
    """A platform token without claims does not parse, whoever signed it."""
    other = VirtccaMachine(platform=None).token()
    realm = other[other.index(b"\xd2") :]
    raw = encode({44234: ps256("device").token(encode([])), 44241: realm})
    with pytest.raises(EvidenceMalformedError, match=r"platform\.claims"):
        verify(raw)


def test_every_byte_counts() -> None:
    """A flipped bit anywhere is refused, sampled by five."""
    for at in range(0, len(TOKEN), 5):
        with pytest.raises(AttestationError):
            verify(TOKEN[:at] + bytes([TOKEN[at] ^ 1]) + TOKEN[at + 1 :])


def test_the_pins_are_what_they_say() -> None:
    """Two whole certificates: the root signs itself and the authority below it."""
    from attestation.huawei.roots import INTERMEDIATES

    (anchor,), (below,) = ROOTS, INTERMEDIATES
    anchor.cert.verify_directly_issued_by(anchor.cert)
    below.cert.verify_directly_issued_by(anchor.cert)
    with pytest.raises(EvidenceUntrustedError, match=r"dev-cert\.chain"):
        HuaweiVirtccaVerifier(ROOTS).verify(TOKEN, given_with(), now=NOW)


@given(st.binary(max_size=300), st.integers(0, len(TOKEN)))
def test_any_bytes_are_refused_properly(data: bytes, at: int) -> None:
    """No bytes, as token or certificate, make anything but our errors."""
    inside = TOKEN[:at] + data + TOKEN[at + len(data) :]
    for raw, leaf in ((data, None), (b"{" + data, None), (inside, None), (TOKEN, data)):
        try:
            claims = verify(raw, given_with(leaf=leaf))
        except AttestationError:
            continue
        assert claims.report_data == CHALLENGE
