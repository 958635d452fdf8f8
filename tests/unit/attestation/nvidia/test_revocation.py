"""Stapled OCSP responses: who may answer, about what, and for how long."""

from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA224, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from attestation.errors import AttestationError, EvidenceMalformedError
from attestation.nvidia import certificates, revocation
from tests.harness.tee import nvidia as sim

CERTS = sim.gpu().certs
PATH = certificates.verify_path(
    certificates.split(sim.pem(CERTS), code="t"), (sim.device_root(),), length=5, code="t"
)
(ASKED,) = [each for each in revocation.questions(PATH, first=2) if each.serial == 3]
POSITION = 2
X = sim.Cert(common="x", role="x", issuer="x", issuer_role="x", serial=1)


def check(*stapled: bytes, now: int = sim.NOW) -> tuple[str, int | None]:
    """Return the one finding's code, or `good`, and until when that holds."""
    try:
        found = revocation.check([ASKED, ASKED], stapled, roots=(), now=now)
    except AttestationError as exc:
        return exc.findings[0].code, None
    codes = [each.code for each in (*found.refused, *found.unchecked)]
    return (codes or ["good"])[0], found.valid_until


def response(**changes: Any) -> bytes:
    """Return a response about the certificate asked about."""
    return sim.Response(certs=CERTS, position=POSITION, **changes).der()


def delegate(**changes: Any) -> sim.Cert:
    """Return a responder certificate from the right issuer."""
    return sim.delegate_for(CERTS, POSITION, **changes)


GOOD = {
    "by the issuer": response(),
    "by the issuer's key": response(by_key=True),
    "CertID over SHA-1": response(algorithm=sim.SHA1_CERT_ID),
    "CertID over SHA-256": response(algorithm=SHA256()),
    "with a nonce somebody else chose": response(nonce=b"n" * 32),
    "by a delegate": response(delegate=delegate()),
    "by a delegate's key": response(delegate=delegate(), by_key=True),
    "by the second of two delegates": response(
        delegate=delegate(),
        also=delegate(common="first", role="first"),
    ),
    "by a delegate since this second": response(delegate=delegate(begin=sim.NOW - 3600)),
    "by a delegate until this second": response(
        delegate=delegate(end=sim.NOW), this_update=sim.NOW
    ),
    "beside an unrelated one": sim.Response(certs=CERTS, position=1).der() + response(),
    "beside an unsuccessful one": ocsp.OCSPResponseBuilder.build_unsuccessful(
        ocsp.OCSPResponseStatus.TRY_LATER
    ).public_bytes(Encoding.DER)
    + response(),
    "slightly ahead of us": response(this_update=sim.NOW + 300),
    "released from hold": response(
        status=ocsp.OCSPCertStatus.REVOKED,
        reason=x509.ReasonFlags.certificate_hold,
        this_update=sim.NOW - 7200,
    )
    + response(),
}

BAD = {
    "none": (b"", "nvidia.revocation.response"),
    "unsuccessful": (
        ocsp.OCSPResponseBuilder.build_unsuccessful(
            ocsp.OCSPResponseStatus.UNAUTHORIZED
        ).public_bytes(Encoding.DER),
        "nvidia.revocation.missing",
    ),
    "about another certificate": (
        sim.Response(certs=CERTS, position=3).der(),
        "nvidia.revocation.missing",
    ),
    "CertID over SHA-224": (response(algorithm=SHA224()), "nvidia.revocation.missing"),
    "same serial, another issuer": (
        sim.Response(
            certs=(replace(CERTS[POSITION], issuer="x", issuer_role="x"), X), position=0
        ).der(),
        "nvidia.revocation.missing",
    ),
    "another serial, same issuer": (
        sim.Response(
            certs=(replace(CERTS[POSITION], serial=4), CERTS[POSITION + 1]), position=0
        ).der(),
        "nvidia.revocation.missing",
    ),
    "an issuer of the same name": (
        sim.Response(
            certs=(CERTS[POSITION], replace(CERTS[POSITION + 1], public=sim.key("twin"))),
            position=0,
            signer="twin",
        ).der(),
        "nvidia.revocation.missing",
    ),
    "an issuer of the same key": (
        sim.Response(
            certs=(
                replace(CERTS[POSITION], issuer="another"),
                replace(CERTS[POSITION + 1], common="another"),
            ),
            position=0,
        ).der(),
        "nvidia.revocation.missing",
    ),
    "no nextUpdate": (response(next_update=None), "nvidia.revocation.stale"),
    "delegate of another issuer": (
        response(delegate=sim.delegate_for(CERTS, 1)),
        "nvidia.revocation.responder",
    ),
    "delegate without the purpose": (
        response(delegate=delegate(ocsp_signing=False)),
        "nvidia.revocation.responder",
    ),
    "delegate expired when it answered": (
        response(delegate=delegate(end=sim.NOW - 3601)),
        "nvidia.revocation.responder",
    ),
    "delegate not yet valid when it answered": (
        response(delegate=delegate(begin=sim.NOW - 3599)),
        "nvidia.revocation.responder",
    ),
    "delegate expired since": (
        response(delegate=delegate(end=sim.NOW - 1)),
        "nvidia.revocation.stale",
    ),
    "delegate signed by a stranger": (
        response(delegate=delegate(issuer_role="stranger")),
        "nvidia.revocation.responder.signature",
    ),
    "delegate not stapled": (
        response(delegate=delegate(), stapled=False),
        "nvidia.revocation.responder",
    ),
    "delegate of a weak algorithm": (
        response(delegate=delegate(weak_hash=True)),
        "nvidia.certificate.profile",
    ),
    "signed with the delegate's name by another": (
        response(delegate=delegate(), signer="stranger"),
        "nvidia.revocation.signature",
    ),
    "revoked": (
        response(status=ocsp.OCSPCertStatus.REVOKED),
        "nvidia.revocation.revoked",
    ),
    "revoked once, good later": (
        response(
            status=ocsp.OCSPCertStatus.REVOKED,
            reason=x509.ReasonFlags.key_compromise,
            this_update=sim.NOW - 7200,
        )
        + response(),
        "nvidia.revocation.revoked",
    ),
    "revoked, long ago": (
        response(
            status=ocsp.OCSPCertStatus.REVOKED,
            this_update=sim.NOW - 90 * sim.DAY,
            next_update=sim.NOW - 89 * sim.DAY,
        ),
        "nvidia.revocation.revoked",
    ),
    "not DER": (b"\x30\x82", "nvidia.revocation.response.der"),
    "noise in DER": (b"\x30\x03\x02\x01\x00", "nvidia.revocation.response"),
    "oversize": (bytes(1 << 19), "nvidia.revocation.size"),
}


@pytest.mark.parametrize("case", GOOD)
def test_answers_of_authorised_responders_decide(case: str) -> None:
    """Issuer or delegate, named by name or key, whatever else is stapled beside it."""
    assert check(GOOD[case])[0] == "good"


@pytest.mark.parametrize("case", BAD)
def test_other_answers_do_not(case: str) -> None:
    """Each is refused, or decides nothing, by its own code."""
    stapled, code = BAD[case]
    assert check(stapled)[0] == code


def test_nothing_stapled_is_missing() -> None:
    """Silence is not good."""
    assert check() == ("nvidia.revocation.missing", None)


def test_an_answer_holds_until_next_update_or_its_age() -> None:
    """Whichever comes first, and one second later it decides nothing."""
    end = sim.NOW - 3600 + revocation.MAX_AGE_S
    long = response(next_update=sim.NOW + 90 * sim.DAY)
    assert check(long) == ("good", end)
    assert check(long, now=end) == ("good", end)
    assert check(long, now=end + 1)[0] == "nvidia.revocation.stale"
    assert check(response()) == ("good", sim.NOW + sim.DAY)
    short = delegate(end=sim.NOW + 60)
    assert check(response(delegate=short)) == ("good", sim.NOW + 60)


def test_a_weak_response_signature_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses are signed like certificates: ECDSA with SHA-384."""
    monkeypatch.setattr(sim, "_SHA384", SHA256())
    assert check(response())[0] == "nvidia.revocation.signature"


def test_every_flipped_bit_of_a_response_is_noticed() -> None:
    """No bit of a response leaves it good, unless it only spells the same response otherwise."""
    valid = response(delegate=delegate())
    for at in range(0, len(valid), 3):
        bent = bytearray(valid)
        bent[at] ^= 0x02
        assert check(bytes(bent))[0] != "good" or sim.same_response(valid, bytes(bent))


def test_unknown_critical_extensions_are_refused() -> None:
    """RFC 6960 lets a responder say that something must be understood."""
    private = sim.key(CERTS[POSITION + 1].role)
    chain = [each.build() for each in CERTS]
    built = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            cert=chain[POSITION],
            issuer=chain[POSITION + 1],
            algorithm=SHA256(),
            cert_status=ocsp.OCSPCertStatus.GOOD,
            this_update=sim.at(sim.NOW),
            next_update=sim.at(sim.NOW + 1),
            revocation_time=None,
            revocation_reason=None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, chain[POSITION + 1])
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\5\0"), True)  # noqa: FBT003
        .sign(private, sim._SHA384)
    )
    with pytest.raises(EvidenceMalformedError):
        revocation.check([ASKED], [built.public_bytes(Encoding.DER)], roots=(), now=sim.NOW)
