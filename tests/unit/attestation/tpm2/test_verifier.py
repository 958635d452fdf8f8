"""TPM 2.0 quotes of a SIMULATED TPM: what is accepted, and every way they are refused."""

import json
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
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
from attestation.tpm2.quote import parse
from attestation.tpm2.roots import ROOTS, pin
from attestation.tpm2.verifier import Tpm2Verifier
from tests.harness.tee.tpm2 import (
    CA_USAGES,
    ECDSA,
    EK,
    NOW,
    RSAPSS,
    SERVER,
    Tpm,
    ak_certificate,
    crl,
    crls,
    ec_key,
    intermediate,
    root,
    rsa_key,
    spki,
)

TPM = Tpm()
ELLIPTIC = Tpm(key=ec_key("ak"), scheme=ECDSA)


def collateral(*certs: bytes, lists: tuple[bytes, ...] | None = None) -> Collateral:
    """Return an AK certificate with its authority, and current lists unless told otherwise."""
    files = certs or (ak_certificate(), intermediate())
    items = [(Role.AK_CERT, cert) for cert in files]
    items += [(Role.ROOT_CRL, data) for data in (crls() if lists is None else lists)]
    return Collateral(tuple(items))


def verify(raw: bytes | None = None, given: Collateral | None = None, *, now: int = NOW) -> Claims:
    """Verify with the simulated root pinned."""
    return Tpm2Verifier((pin(root()),)).verify(
        TPM.evidence() if raw is None else raw,
        collateral() if given is None else given,
        now=now,
    )


def test_an_honest_quote_is_measured_boot() -> None:
    """A certified key's quote gives its nonce and PCRs, at tier measured-boot, nothing open."""
    claims = verify()
    assert (claims.refused, claims.unchecked) == ((), ())
    assert claims.tier is Tier.MEASURED_BOOT
    assert claims.report_data == TPM.nonce
    assert claims.measurements["pcr4"] == b"\x04" * 32
    assert len(claims.measurements) == 24
    assert claims.details["pcr_bank"] == "sha256"
    assert claims.details["reset_count"] == 3
    assert claims.valid_until == NOW + 1_000_000
    assert claims.hardware_id is None


@pytest.mark.parametrize(
    "tpm",
    [
        replace(TPM, bare=True),
        replace(TPM, scheme=RSAPSS),
        replace(TPM, scheme_hash=0x000C),
        replace(TPM, bank=0x000C, pcrs=tuple(bytes([i]) * 48 for i in range(24))),
        replace(TPM, pcrs=TPM.pcrs[:8]),
        replace(TPM, nonce=b"\x01"),
        ELLIPTIC,
    ],
    ids=["bare", "pss", "sha384", "sha384-bank", "eight-pcrs", "short-nonce", "ecdsa"],
)
def test_other_honest_forms_verify(tpm: Tpm) -> None:
    """Bare RSA, PSS, ECDSA, the SHA-384 bank and fewer PCRs are quotes too."""
    given = collateral(ak_certificate(key=tpm.key), intermediate())
    claims = verify(tpm.evidence(), given)
    assert claims.report_data == tpm.nonce
    assert len(claims.measurements) == len(tpm.pcrs)


def bent(tpm: Tpm) -> bytes:
    """Return evidence whose PCR values do not follow the bend."""
    return tpm.evidence()


QUOTES: dict[str, tuple[bytes, type[AttestationError], str]] = {
    "magic": (bent(replace(TPM, magic=0xFF544348)), EvidenceUntrustedError, "magic"),
    "certify-type": (bent(replace(TPM, kind=0x8017)), EvidenceUntrustedError, "type"),
    "creation-type": (bent(replace(TPM, kind=0x801A)), EvidenceUntrustedError, "type"),
    "nv-type": (bent(replace(TPM, kind=0x8014)), EvidenceUntrustedError, "type"),
    "time-type": (bent(replace(TPM, kind=0x8019)), EvidenceUntrustedError, "type"),
    "empty-nonce": (bent(replace(TPM, nonce=b"")), EvidenceUntrustedError, "nonce"),
    "safe-2": (bent(replace(TPM, safe=2)), EvidenceMalformedError, "safe"),
    "no-selection": (bent(replace(TPM, selections=0)), EvidenceMalformedError, "selection"),
    "two-selections": (bent(replace(TPM, selections=2)), EvidenceMalformedError, "selection"),
    "sha1-bank": (bent(replace(TPM, bank=0x0004)), EvidenceUntrustedError, "bank"),
    "empty-selection": (bent(replace(TPM, selected=())), EvidenceUntrustedError, "selection"),
    "missing-pcr": (
        bent(replace(TPM, selected=tuple(range(23)))),
        EvidenceUntrustedError,
        "selection",
    ),
    "other-pcrs": (
        bent(replace(TPM, pcrs=TPM.pcrs[:8], selected=tuple(range(8, 16)))),
        EvidenceUntrustedError,
        "selection",
    ),
    "trailing": (bent(replace(TPM, tail=b"\x00")), EvidenceMalformedError, "trailing"),
    "digest": (bent(replace(TPM, digest=bytes(32))), EvidenceUntrustedError, "pcr-digest"),
    "short-digest": (bent(replace(TPM, digest=b"")), EvidenceUntrustedError, "pcr-digest"),
    "pcr-swapped": (
        TPM.evidence(
            tpm_quote=TPM.quote(
                pcrs=[value.hex() for value in (TPM.pcrs[1], TPM.pcrs[0], *TPM.pcrs[2:])]
            )
        ),
        EvidenceUntrustedError,
        "pcr-digest",
    ),
    "pcr-size": (
        TPM.evidence(tpm_quote=TPM.quote(pcrs=["00" * 16] * 24)),
        EvidenceMalformedError,
        "pcrs",
    ),
    "signature-other-key": (
        TPM.evidence(
            tpm_quote=TPM.quote(signature=replace(TPM, key=rsa_key("x")).signature().hex())
        ),
        EvidenceUntrustedError,
        "signature",
    ),
    "signature-other-nonce": (
        TPM.evidence(tpm_quote=TPM.quote(signature=replace(TPM, nonce=b"x").signature().hex())),
        EvidenceUntrustedError,
        "signature",
    ),
    "signature-alg": (bent(replace(TPM, scheme=0x0015)), EvidenceUntrustedError, "algorithm"),
    "signature-sha1": (bent(replace(TPM, scheme_hash=0x0004)), EvidenceUntrustedError, "algorithm"),
    "ecdsa-alg": (bent(replace(ELLIPTIC, scheme=0x001B)), EvidenceUntrustedError, "algorithm"),
    "signature-cut": (
        TPM.evidence(tpm_quote=TPM.quote(signature=TPM.signature()[:-1].hex())),
        EvidenceMalformedError,
        "signature.truncated",
    ),
    "signature-trailing": (
        TPM.evidence(tpm_quote=TPM.quote(signature=TPM.signature().hex() + "00")),
        EvidenceMalformedError,
        "signature.trailing",
    ),
    "message-huge": (bent(replace(TPM, tail=bytes(5000))), EvidenceMalformedError, "size"),
}


@pytest.mark.parametrize("case", QUOTES)
def test_bent_quotes_are_refused(case: str) -> None:
    """A quote that is something else, says something else or proves nothing fresh is refused."""
    raw, error, code = QUOTES[case]
    key = ec_key("ak") if case.startswith("ecdsa") else rsa_key("ak")
    with pytest.raises(error) as caught:
        verify(raw, collateral(ak_certificate(key=key), intermediate()))
    assert [finding.code for finding in caught.value.findings] == [f"tpm2.quote.{code}"]


def test_weak_keys_are_refused() -> None:
    """An RSA-1024 or Ed25519 key is no attestation key, whoever certifies it."""
    short = replace(TPM, key=rsa_key("short"))
    with pytest.raises(EvidenceUntrustedError, match=r"tpm2\.quote\.key"):
        verify(short.evidence(), Collateral(((Role.CPAK, spki(rsa_key("short"))),)))
    other = ed25519.Ed25519PrivateKey.generate().public_key()
    der = other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(EvidenceUntrustedError, match=r"tpm2\.quote\.key"):
        verify(TPM.evidence(ak_public=der.hex()), Collateral(((Role.CPAK, der),)))
    curve = ec.generate_private_key(ec.SECP521R1())
    with pytest.raises(EvidenceUntrustedError, match=r"tpm2\.quote\.key"):
        verify(TPM.evidence(ak_public=spki(curve).hex()), Collateral(((Role.CPAK, spki(curve)),)))


OWNERS: dict[str, tuple[tuple[bytes, ...], str]] = {
    "other-key": ((ak_certificate(key=rsa_key("x")), intermediate()), "key"),
    "only-authority": ((intermediate(),), "key"),
    "no-intermediate": ((ak_certificate(),), "chain"),
    "lookalike": (
        (ak_certificate(signer="mallory"), intermediate(), root("mallory")),
        "chain",
    ),
    "endorsement-key": ((ak_certificate(eku=(EK,)), intermediate()), "usage"),
    "web-server": ((ak_certificate(eku=(SERVER,)), intermediate()), "usage"),
    "encryption": ((ak_certificate(usages=("key_encipherment",)), intermediate()), "usage"),
    "authority": ((ak_certificate(ca=True, usages=CA_USAGES), intermediate()), "usage"),
    "expired": ((ak_certificate(end=NOW - 1), intermediate()), "validity"),
    "not-yet": ((ak_certificate(begin=NOW + 1), intermediate()), "validity"),
    "authority-expired": ((ak_certificate(), intermediate(end=NOW - 1)), "validity"),
}


@pytest.mark.parametrize("case", OWNERS)
def test_keys_of_others_are_refused(case: str) -> None:
    """Only a current certificate for this very key and for attestation makes it one."""
    certs, code = OWNERS[case]
    with pytest.raises(EvidenceUntrustedError) as caught:
        verify(given=collateral(*certs))
    assert [finding.code for finding in caught.value.findings] == [f"tpm2.ak-cert.{code}"]


def test_a_certificate_without_extended_usage_is_enough() -> None:
    """Authorities that only set digitalSignature are understood."""
    assert verify(given=collateral(ak_certificate(eku=()), intermediate())).unchecked == ()


def test_explanatory_text_beside_pem_blocks_is_skipped() -> None:
    """Certificate files of vendors carry comments (RFC 7468 §2)."""
    pem = b"# issuing authority\n" + b"".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        for der in (intermediate(), ak_certificate())
    )
    assert verify(given=collateral(pem)).unchecked == ()


def test_a_key_without_provenance_is_unverified() -> None:
    """Without certificate and without the caller's word nothing is decided."""
    with pytest.raises(EvidenceUnverifiedError, match=r"tpm2\.ak-cert\.missing"):
        verify(given=Collateral())


def test_a_vouched_key_says_so() -> None:
    """A key the caller vouches for verifies at the tier of that name, and only that key."""
    claims = verify(given=Collateral(((Role.CPAK, spki(rsa_key("ak"))),)))
    assert claims.tier is Tier.ENDORSED_BY_CALLER
    pem = rsa_key("ak").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert verify(given=Collateral(((Role.CPAK, pem),))).unchecked == ()
    with pytest.raises(EvidenceUntrustedError, match=r"tpm2\.cpak\.key"):
        verify(given=Collateral(((Role.CPAK, spki(rsa_key("x"))),)))


def test_open_revocation_is_said() -> None:
    """Each certificate below the root needs a current list of its issuer."""
    claims = verify(given=collateral(lists=()))
    assert [finding.code for finding in claims.unchecked] == [
        "tpm2.ak-cert.revocation.missing",
        "tpm2.ak-cert.revocation.missing",
    ]
    stale = (crl("SIMULATED vTPM CA", "ca", end=NOW - 1), crls()[1])
    claims = verify(given=collateral(lists=stale))
    assert [finding.code for finding in claims.unchecked] == ["tpm2.ak-cert.revocation.stale"]


def test_revoked_keys_are_refused() -> None:
    """A listed serial number is a refusal; a list with a wrong signature is no list."""
    claims = verify(given=collateral(lists=crls(77)))
    assert [finding.code for finding in claims.refused] == ["tpm2.ak-cert.revoked"]
    forged = (crl("SIMULATED vTPM CA", "mallory"), crls()[1])
    with pytest.raises(EvidenceUntrustedError, match=r"tpm2\.ak-cert\.crl\.signature"):
        verify(given=collateral(lists=forged))


BAD: dict[str, bytes] = {
    "empty": b"",
    "array": b"[]",
    "duplicate": b'{"ak_public":"","ak_public":""}',
    "no-key": b"{}",
    "bad-key": TPM.evidence(ak_public="AAAA"),
    "no-quote": TPM.evidence(tpm_quote=None),
    "no-message": TPM.evidence(tpm_quote=TPM.quote(message=None)),
    "no-pcrs": TPM.evidence(tpm_quote=TPM.quote(pcrs=[])),
    "many-pcrs": TPM.evidence(tpm_quote=TPM.quote(pcrs=["00"] * 25)),
    "pcrs-object": TPM.evidence(tpm_quote=TPM.quote(pcrs={"0": "00"})),
    "large": b"{" + b" " * (1 << 20) + b"}",
}


@pytest.mark.parametrize("case", BAD)
def test_bad_documents_are_malformed(case: str) -> None:
    """JSON that is not this evidence is malformed."""
    with pytest.raises(EvidenceMalformedError):
        verify(BAD[case])


def test_every_byte_of_the_quote_counts() -> None:
    """A flipped byte of structure or signature is refused."""
    message, signature = TPM.message(), TPM.signature()
    for at in range(len(message)):
        wrong = bytearray(message)
        wrong[at] ^= 0x01
        with pytest.raises(AttestationError):
            verify(TPM.evidence(tpm_quote=TPM.quote(message=wrong.hex())))
    for at in range(len(signature)):
        wrong = bytearray(signature)
        wrong[at] ^= 0x01
        with pytest.raises(AttestationError):
            verify(TPM.evidence(tpm_quote=TPM.quote(signature=wrong.hex())))


def test_every_cut_is_malformed() -> None:
    """A structure cut anywhere does not parse."""
    message = TPM.message()
    for size in range(len(message)):
        with pytest.raises(AttestationError):
            parse(message[:size], code="test")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_properly(data: bytes) -> None:
    """No bytes make the parsers raise anything but our errors."""
    quote = {"message": data.hex() or "00", "signature": data.hex() or "00", "pcrs": ["00" * 32]}
    prefix = bytes.fromhex("ff5443478018") + data
    for raw in (
        data,
        TPM.evidence(tpm_quote=quote),
        json.dumps({"ak_public": data.hex()}).encode(),
    ):
        with pytest.raises(AttestationError):
            verify(raw)
    with pytest.raises(AttestationError):
        parse(prefix, code="test")


PINS = (
    "594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2",
    "e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95",
)
KEYS = (
    "56a613f57126a385dd6949294e93b0b566f96ab0573be0c2368e6f5ca779831f",
    "5cbc52672ae101263c2976736044a964c1182ce9412c39937183baddcccb8cdf",
)


def test_pins_are_what_they_say() -> None:
    """Each pinned root signs itself and has the fingerprint in the source."""
    assert tuple(sha256(cert.der).hexdigest() for cert in ROOTS) == PINS
    assert tuple(sha256(cert.spki).hexdigest() for cert in ROOTS) == KEYS
    for cert in ROOTS:
        cert.cert.verify_directly_issued_by(cert.cert)
        assert cert.is_ca
