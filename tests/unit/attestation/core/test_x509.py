"""Certificate paths and revocation lists: every rule, with the rule's own certificate."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509 as pyca
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from attestation import AttestationError, EvidenceMalformedError, EvidenceUntrustedError
from attestation.x509 import (
    MAX_CERTIFICATES,
    MAX_CRL_BYTES,
    MAX_FILE_BYTES,
    Certificate,
    _read_certificate,
    check_crl,
    crl_window,
    is_revoked,
    load_certificate,
    load_certificates,
    load_crl,
    path_to_anchor,
)

NOW = 1_700_000_000
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "mid", "leaf", "evil")}
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def moment(instant: int) -> datetime:
    """Return an instant as the library wants it."""
    return datetime.fromtimestamp(instant, UTC)


def called(name: str) -> pyca.Name:
    """Return a name of one common name."""
    return pyca.Name([pyca.NameAttribute(NameOID.COMMON_NAME, name)])


def make(
    subject: str,
    issuer: str,
    *,
    key: Key | None = None,
    signer: str | None = None,
    ca: bool = True,
    path_length: int | None = None,
    begin: int = NOW - 10,
    end: int = NOW + 10,
    usage: bool = True,
    signs: bool | None = None,
    extra: Sequence[tuple[pyca.ExtensionType, bool]] = (),
    serial: int = 7,
) -> Certificate:
    """Return a loaded certificate of one of the test keys."""
    public = (key or KEYS[subject]).public_key()
    builder = (
        pyca.CertificateBuilder()
        .subject_name(called(subject))
        .issuer_name(called(issuer))
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(moment(begin))
        .not_valid_after(moment(end))
        .add_extension(pyca.BasicConstraints(ca, path_length), critical=True)
    )
    if usage:
        flags = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = builder.add_extension(
            pyca.KeyUsage(
                digital_signature=not ca,
                key_cert_sign=ca if signs is None else signs,
                crl_sign=ca,
                **flags,
            ),
            critical=True,
        )
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    cert = builder.sign(KEYS[signer or issuer], SHA256())
    return load_certificate(cert.public_bytes(Encoding.DER), what="test", code="test")


ROOT = make("root", "root")
MID = make("mid", "root")
LEAF = make("leaf", "mid", ca=False)


def path(
    leaf: Certificate, pool: Sequence[Certificate], anchor: Certificate = ROOT, *, now: int = NOW
) -> tuple[Certificate, ...]:
    """Return the path, or raise."""
    return path_to_anchor(leaf, pool, (anchor,), now=now, what="leaf", code="x")


def refused(leaf: Certificate, pool: Sequence[Certificate], **given: object) -> str:
    """Return the code a path is refused with."""
    with pytest.raises(EvidenceUntrustedError) as caught:
        path(leaf, pool, **given)  # type: ignore[arg-type]
    return caught.value.findings[0].code


def test_a_path_is_found_whatever_the_order() -> None:
    """Between leaf and anchor the pool may lie in any order, with strangers in it."""
    stranger = make("evil", "evil")
    assert path(LEAF, [stranger, ROOT, MID]) == (LEAF, MID, ROOT)
    assert path(MID, []) == (MID, ROOT)


def test_a_reissued_root_of_the_same_key_is_the_pinned_one() -> None:
    """A root is its key: another certificate of it leads to the pinned certificate."""
    again = make("root", "root", serial=8, end=NOW + 99)
    assert path(LEAF, [MID, again])[-1] is ROOT


def test_of_two_certificates_of_one_key_the_valid_one_is_taken() -> None:
    """An expired issuer beside its renewal does not spoil the path."""
    expired = make("mid", "root", end=NOW - 1)
    assert path(LEAF, [expired, MID]) == (LEAF, MID, ROOT)


def test_each_rule_of_a_path_has_its_code() -> None:
    """Chain, validity of each certificate, CA flag, key usage, path length, critical extensions."""
    assert refused(LEAF, []) == "x.chain"
    assert refused(ROOT, []) == "x.chain"
    assert refused(LEAF, [MID], anchor=make("root", "root", key=KEYS["evil"], signer="evil")) == (
        "x.chain"
    )
    looping = make("mid", "evil")
    loop = make("evil", "mid")
    assert refused(make("leaf", "mid", ca=False), [looping, loop]) == "x.chain"
    for now in (NOW - 10, NOW + 10):
        assert path(LEAF, [MID], now=now)
    for now in (NOW - 11, NOW + 11):
        assert refused(LEAF, [MID], now=now) == "x.validity"
    assert refused(LEAF, [make("mid", "root", ca=False)]) == "x.ca"
    assert refused(LEAF, [make("mid", "root", signs=False)]) == "x.ca"
    assert refused(LEAF, [make("mid", "root", ca=False, signs=True)]) == "x.ca"


def test_path_lengths_count_the_cas_below() -> None:
    """A path length of 0 allows leaves only."""
    tight = make("root", "root", path_length=0)
    assert refused(LEAF, [MID], anchor=tight) == "x.path-length"
    assert path(LEAF, [MID], make("root", "root", path_length=1))[0] is LEAF


def test_an_unknown_critical_extension_is_refused() -> None:
    """What says that it must be understood and is not, refuses the path."""
    oid = pyca.ObjectIdentifier("1.2.3.4")
    odd = make("leaf", "mid", ca=False, extra=[(pyca.UnrecognizedExtension(oid, b"\5\0"), True)])
    assert refused(odd, [MID]) == "x.critical"
    fine = make("leaf", "mid", ca=False, extra=[(pyca.UnrecognizedExtension(oid, b"\5\0"), False)])
    assert path(fine, [MID])[0].private("1.2.3.4") == b"\5\0"
    assert fine.private("1.2.3.5") is None


def test_every_bent_byte_of_a_certificate_is_refused() -> None:
    """No byte of an intermediate certificate can change."""
    for at in range(len(MID.der)):
        bent = MID.der[:at] + bytes([MID.der[at] ^ 0x20]) + MID.der[at + 1 :]
        with pytest.raises(AttestationError):
            path(LEAF, [load_certificate(bent, what="x", code="x")])


PEM = MID.cert.public_bytes(Encoding.PEM)


def test_files_hold_pem_or_der_and_nothing_else() -> None:
    """Bundles in either form, NUL-terminated or not; text, other blocks and junk are refused."""
    assert load_certificates(PEM * 2 + b"\0", what="x", code="x") == (MID, MID)
    assert len(load_certificates(PEM * MAX_CERTIFICATES, what="x", code="x")) == MAX_CERTIFICATES
    assert load_certificates(MID.der + LEAF.der + b"\0", what="x", code="x") == (MID, LEAF)
    bad = {
        b"": "x.count",
        b"\0": "x.der",
        PEM + b"subject=x\n": "x.pem",
        PEM.replace(b"CERTIFICATE", b"X509 CRL"): "x.pem",
        b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----": "x.pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----": "x.parse",
        MID.der[:-1]: "x.der",
        MID.der + b"\1": "x.der",
        PEM * (MAX_CERTIFICATES + 1): "x.count",
        bytes(MAX_FILE_BYTES + 1): "x.size",
        b"\x30\x82\x40\x00" + bytes(0x4000): "x.size",
    }
    for data, code in bad.items():
        with pytest.raises(EvidenceMalformedError) as caught:
            load_certificates(data, what="x", code="x")
        assert caught.value.findings[0].code == code


def crl(
    *,
    issuer: str = "root",
    signer: Key | None = None,
    revoked: Sequence[int] = (),
    extra: Sequence[tuple[pyca.ExtensionType, bool]] = (),
) -> bytes:
    """Return a revocation list as DER."""
    builder = (
        pyca.CertificateRevocationListBuilder()
        .issuer_name(called(issuer))
        .last_update(moment(NOW - 5))
        .next_update(moment(NOW + 5))
    )
    for serial in revoked:
        entry = pyca.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(entry.revocation_date(moment(NOW)).build())
    for extension, critical in extra:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer or KEYS["root"], SHA256()).public_bytes(Encoding.DER)


def test_a_list_counts_if_its_issuer_signed_it_and_it_is_current() -> None:
    """Issuer, signature and window are checked; serial numbers decide."""
    by_key = pyca.AuthorityKeyIdentifier.from_issuer_public_key(KEYS["root"].public_key())
    extensions = [(by_key, False), (pyca.CRLNumber(3), False)]
    found = load_crl(crl(revoked=[7], extra=extensions), what="x", code="x")
    check_crl(found, ROOT, what="x", code="x")
    assert (found.number, is_revoked(found, MID)) == (3, True)
    assert not is_revoked(found, make("leaf", "mid", ca=False, serial=8))
    assert crl_window(found, now=NOW, what="x", code="x") == ()
    for now in (NOW - 5, NOW + 5):
        assert crl_window(found, now=now, what="x", code="x") == ()
    for now in (NOW - 6, NOW + 6):
        (finding,) = crl_window(found, now=now, what="x", code="x")
        assert finding.code == "x.window"


def test_a_list_of_somebody_else_is_refused() -> None:
    """Wrong name, wrong key, a key that signs no lists, a key of another kind."""
    bent = {
        "x.issuer": (crl(issuer="mid"), ROOT),
        "x.signature": (crl(signer=KEYS["evil"]), ROOT),
    }
    for code, (data, issuer) in bent.items():
        with pytest.raises(EvidenceUntrustedError) as caught:
            check_crl(load_crl(data, what="x", code="x"), issuer, what="x", code="x")
        assert caught.value.findings[0].code == code
    unknown = crl().replace(bytes.fromhex("2a8648ce3d040302"), bytes.fromhex("2a8648ce3d040309"))
    with pytest.raises(EvidenceUntrustedError):
        check_crl(load_crl(unknown, what="x", code="x"), ROOT, what="x", code="x")
    mute = make("root", "root", ca=False)
    other = make("root", "root", key=ed25519.Ed25519PrivateKey.generate(), signer="root")
    grown = make("root", "root", key=rsa.generate_private_key(65537, 2048), signer="root")
    for issuer, code in ((mute, "x.issuer"), (other, "x.signature"), (grown, "x.signature")):
        with pytest.raises(EvidenceUntrustedError) as caught:
            check_crl(load_crl(crl(), what="x", code="x"), issuer, what="x", code="x")
        assert caught.value.findings[0].code == code


class Unsupported:
    """A list whose signature algorithm the library does not know."""

    def is_signature_valid(self, key: object) -> bool:
        """Raise, as the library does."""
        raise UnsupportedAlgorithm("no")


def test_a_list_whose_signature_cannot_be_computed_is_refused() -> None:
    """An algorithm nobody knows is a wrong signature, not an exception."""
    found = load_crl(crl(), what="x", code="x")
    with pytest.raises(EvidenceUntrustedError):
        check_crl(replace(found, crl=Unsupported()), ROOT, what="x", code="x")  # type: ignore[arg-type]


def test_files_of_lists_hold_exactly_one_complete_list() -> None:
    """PEM works; two lists, partial lists, lists without end and junk are refused."""
    der = crl()
    pem = pyca.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    assert load_crl(pem, what="x", code="x") == load_crl(der, what="x", code="x")
    endless = pyca.load_der_x509_crl(der)
    assert endless.next_update_utc is not None
    bad = {
        pem * 2: "x.count",
        b"junk": "x.parse",
        crl(extra=[(pyca.DeltaCRLIndicator(1), True)]): "x.parse",
        bytes(MAX_CRL_BYTES + 1): "x.size",
        without_next_update(der): "x.parse",
    }
    for data, code in bad.items():
        with pytest.raises(EvidenceMalformedError) as caught:
            load_crl(data, what="x", code="x")
        assert caught.value.findings[0].code == code


def without_next_update(der: bytes) -> bytes:
    """Return a list with its next update cut out and the lengths before it put right."""
    stamp = moment(NOW + 5).strftime("%y%m%d%H%M%SZ").encode()
    field = b"\x17\x0d" + stamp
    assert der.count(field) == 1
    at = der.index(field)
    cut = bytearray(der[:at] + der[at + len(field) :])
    # The outer length has the long form, the inner one the short form.
    assert (der[1], der[3]) == (0x81, 0x30)
    cut[2] -= len(field)
    cut[4] -= len(field)
    return bytes(cut)


def test_certificates_without_key_usage_may_sign() -> None:
    """Key usage restricts only where it is present; issuers of older chains have none."""
    assert path(LEAF, [make("mid", "root", usage=False)])[0] is LEAF


def test_a_certificate_of_a_key_nobody_reads_is_malformed() -> None:
    """A curve that the library refuses is refused as malformed, not as an exception."""
    broken = MID.der.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030199"))
    with pytest.raises(EvidenceMalformedError):
        load_certificate(broken, what="x", code="x")


@given(data=st.binary(max_size=200), at=st.integers(0, 400))
def test_certificate_files_are_total(data: bytes, at: int) -> None:
    """Any bytes are certificates or our error."""
    for raw in (data, MID.der[:at] + data, PEM[:at] + data):
        for read in (load_certificates, load_crl):
            try:
                read(raw, what="x", code="x")
            except EvidenceMalformedError:
                continue


def test_values_are_frozen() -> None:
    """What was read of a certificate does not change."""
    with pytest.raises(AttributeError):
        MID.subject = ""  # type: ignore[misc]
    assert replace(MID, serial=1).serial == 1


def test_a_certificate_read_again_is_the_same() -> None:
    """Equality is that of the DER: it holds after the cache of readings has let go of the first."""
    _read_certificate.cache_clear()
    again = load_certificate(MID.der, what="x", code="x")
    assert again is not MID
    assert (again, hash(again)) == (MID, hash(MID))
    assert again != LEAF
    assert again != MID.der
