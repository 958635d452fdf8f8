"""Nitro documents of a SIMULATED module: what is accepted, and every way they are refused."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestation.aws_nitro import cbor
from attestation.aws_nitro.document import parse
from attestation.aws_nitro.roots import ROOTS, pin
from attestation.aws_nitro.verifier import AwsNitroVerifier
from attestation.claims import Claims, Tier
from attestation.errors import AttestationError, EvidenceMalformedError, EvidenceUntrustedError
from attestation.evidence import Collateral, Role
from tests.harness.tee.nitro import (
    NOW,
    NitroModule,
    bend,
    encode,
    key,
    leaf,
    regional,
    root,
    zonal,
)

HONEST = NitroModule()
SIGNATURE = HONEST.signature(HONEST.payload())
ZERO_PCRS = dict.fromkeys(range(16), bytes(48))


def verify(raw: bytes | None = None, *, now: int = NOW, chain: bytes | None = None) -> Claims:
    """Verify with the simulated root pinned."""
    collateral = Collateral(() if chain is None else ((Role.CERT_CHAIN, chain),))
    return AwsNitroVerifier((pin(root()),)).verify(
        HONEST.document() if raw is None else raw, collateral, now=now
    )


@pytest.mark.parametrize(
    "module",
    [
        HONEST,
        replace(HONEST, tag=b"\xd2"),
        replace(HONEST, indefinite=False),
        NitroModule(fields={"public_key": b"key"}),
    ],
    ids=["as-the-module-writes", "tagged", "definite", "public-key"],
)
def test_honest_documents_verify(module: NitroModule) -> None:
    """A document gives nonce, PCRs and times, at tier tee, with nothing refused or open."""
    claims = verify(module.document())
    assert (claims.refused, claims.unchecked) == ((), ())
    assert claims.tier is Tier.TEE
    assert claims.report_data == b"nonce"
    assert claims.measurements["pcr0"] == b"\x01" * 48
    assert claims.issued_at == NOW
    assert claims.valid_until == NOW + 7200
    assert claims.details["user_data"] == b"user data".hex()


def test_a_dstack_envelope_is_opened() -> None:
    """The document inside a SCALE envelope counts; what follows it there does not."""
    raw = HONEST.document()
    envelope = b"\x00\x02" + (len(raw) << 2 | 1).to_bytes(2, "little") + raw
    assert verify(envelope + b"anything").report_data == b"nonce"
    with pytest.raises(EvidenceMalformedError):
        verify(b"\x00\x02\x04\x00" + raw)


def test_report_data_is_the_nonce_or_else_the_user_data() -> None:
    """An enclave that was given no nonce binds what it signed as user data."""
    assert verify(bend(nonce=None)).report_data == b"user data"
    assert verify(bend(nonce=..., user_data=...)).report_data == b""
    assert verify(bend(nonce=b"")).report_data == b""


def test_debug_enclaves_are_refused_in_code() -> None:
    """All-zero PCR 0 is debug mode, under every policy."""
    claims = verify(bend(pcrs=ZERO_PCRS))
    assert claims.debug
    assert [finding.code for finding in claims.refused] == ["aws-nitro.debug"]
    assert verify(bend(pcrs={**ZERO_PCRS, 0: b"\x01" * 48})).refused == ()


BENT: dict[str, tuple[bytes, type[AttestationError], str]] = {
    "signature-other": (
        replace(HONEST, signer="zonal").document(),
        EvidenceUntrustedError,
        "signature",
    ),
    "signature-zero": (
        HONEST.document(signature=bytes(96)),
        EvidenceUntrustedError,
        "signature",
    ),
    "signature-short": (
        HONEST.document(signature=bytes(95)),
        EvidenceMalformedError,
        "document.field",
    ),
    "signature-of-other-payload": (
        HONEST.document(
            payload=NitroModule(fields={"nonce": b"x"}).payload(),
            signature=HONEST.signature(HONEST.payload()),
        ),
        EvidenceUntrustedError,
        "signature",
    ),
    "swapped-halves": (
        HONEST.document(signature=SIGNATURE[48:] + SIGNATURE[:48]),
        EvidenceUntrustedError,
        "signature",
    ),
    "es256-header": (
        replace(HONEST, protected=bytes.fromhex("a10126")).document(),
        EvidenceMalformedError,
        "document.field",
    ),
    "empty-header": (
        replace(HONEST, protected=b"").document(),
        EvidenceMalformedError,
        "document.field",
    ),
    "long-header": (
        replace(HONEST, protected=bytes.fromhex("a201382204 41aa".replace(" ", ""))).document(),
        EvidenceMalformedError,
        "document.field",
    ),
    "unprotected": (
        replace(HONEST, unprotected=bytes.fromhex("a10126")).document(),
        EvidenceMalformedError,
        "document.field",
    ),
    "other-tag": (
        replace(HONEST, tag=b"\xd1").document(),
        EvidenceMalformedError,
        "document.field",
    ),
    "empty-payload": (
        HONEST.document(payload=b""),
        EvidenceMalformedError,
        "document.field",
    ),
    "array-payload": (
        HONEST.document(payload=encode([1])),
        EvidenceMalformedError,
        "document.field",
    ),
    "duplicate-label": (
        replace(HONEST, extra=encode("nonce") + encode(b"other")).document(),
        EvidenceMalformedError,
        "document.cbor",
    ),
    "module-id": (bend(module_id=""), EvidenceMalformedError, "document.field"),
    "module-id-bytes": (bend(module_id=b"i-0"), EvidenceMalformedError, "document.field"),
    "timestamp-zero": (bend(timestamp=0), EvidenceMalformedError, "document.field"),
    "timestamp-text": (bend(timestamp="now"), EvidenceMalformedError, "document.field"),
    "timestamp-true": (bend(timestamp=True), EvidenceMalformedError, "document.field"),
    "timestamp-early": (
        bend(timestamp=(NOW - 3601) * 1000),
        EvidenceUntrustedError,
        "timestamp",
    ),
    "timestamp-late": (
        bend(timestamp=(NOW + 7201) * 1000),
        EvidenceUntrustedError,
        "timestamp",
    ),
    "digest": (bend(digest="SHA256"), EvidenceMalformedError, "document.field"),
    "pcrs-list": (bend(pcrs=[]), EvidenceMalformedError, "document.field"),
    "pcrs-empty": (bend(pcrs={}), EvidenceMalformedError, "document.field"),
    "pcrs-without-0": (
        bend(pcrs={1: bytes(48)}),
        EvidenceMalformedError,
        "document.field",
    ),
    "pcr-32": (bend(pcrs={32: bytes(48)}), EvidenceMalformedError, "document.field"),
    "pcr-text-label": (bend(pcrs={"0": bytes(48)}), EvidenceMalformedError, "document.field"),
    "pcr-short": (bend(pcrs={0: bytes(32)}), EvidenceMalformedError, "document.field"),
    "pcr-text": (bend(pcrs={0: "0" * 48}), EvidenceMalformedError, "document.field"),
    "certificate-absent": (bend(certificate=...), EvidenceMalformedError, "document.field"),
    "certificate-junk": (bend(certificate=b"x"), EvidenceMalformedError, "cert.parse"),
    "nonce-text": (bend(nonce="nonce"), EvidenceMalformedError, "document.field"),
    "bundle-absent": (bend(cabundle=...), EvidenceMalformedError, "document.field"),
    "bundle-empty": (bend(cabundle=[]), EvidenceMalformedError, "document.field"),
    "bundle-long": (bend(cabundle=[root()] * 9), EvidenceMalformedError, "document.field"),
    "bundle-text": (bend(cabundle=["x"]), EvidenceMalformedError, "document.field"),
    "bundle-lookalike": (
        bend(cabundle=[root("mallory"), regional(), zonal()]),
        EvidenceUntrustedError,
        "cert.bundle",
    ),
    "bundle-without-root": (
        bend(cabundle=[regional(), zonal()]),
        EvidenceUntrustedError,
        "cert.bundle",
    ),
    "bundle-reordered": (
        bend(cabundle=[root(), zonal(), regional()]),
        EvidenceUntrustedError,
        "cert.bundle",
    ),
    "bundle-unrelated": (
        bend(cabundle=[root(), root("mallory"), regional(), zonal()]),
        EvidenceUntrustedError,
        "cert.bundle",
    ),
    "bundle-dropped": (
        bend(cabundle=[root(), regional()]),
        EvidenceUntrustedError,
        "cert.chain",
    ),
    "leaf-of-mallory": (
        bend(certificate=leaf(signer="mallory")),
        EvidenceUntrustedError,
        "cert.chain",
    ),
    "leaf-expired": (bend(certificate=leaf(end=NOW - 1)), EvidenceUntrustedError, "cert.validity"),
    "leaf-not-yet": (
        bend(certificate=leaf(begin=NOW + 1)),
        EvidenceUntrustedError,
        "cert.validity",
    ),
    "leaf-is-ca": (bend(certificate=leaf(ca=True)), EvidenceUntrustedError, "cert.usage"),
    "leaf-agrees-keys": (
        bend(certificate=leaf(signs_data=False)),
        EvidenceUntrustedError,
        "cert.usage",
    ),
    "leaf-p256": (bend(certificate=leaf(own="p256")), EvidenceUntrustedError, "cert.key"),
    "leaf-sha256": (
        bend(certificate=leaf(sha256=True)),
        EvidenceUntrustedError,
        "cert.algorithm",
    ),
    "trailing": (HONEST.document() + b"\x00", EvidenceMalformedError, "document.cbor"),
    "cut": (HONEST.document()[:-1], EvidenceMalformedError, "document.cbor"),
    "huge": (bytes(1 << 17), EvidenceMalformedError, "document.size"),
    "three-parts": (b"\x83\x44\xa1\x01\x38\x22\xa0\x40", EvidenceMalformedError, "document.field"),
    "not-cose": (b"\x00", EvidenceMalformedError, "document.field"),
}


@pytest.mark.parametrize("case", BENT)
def test_bent_documents_are_refused(case: str) -> None:
    """A document with one thing wrong is refused by name."""
    raw, error, code = BENT[case]
    with pytest.raises(error) as caught:
        verify(raw)
    assert [finding.code for finding in caught.value.findings] == [f"aws-nitro.{code}"]


def test_documents_expire_with_their_certificate() -> None:
    """Three hours later the same document is refused."""
    assert verify(now=NOW + 7200).report_data == b"nonce"
    with pytest.raises(EvidenceUntrustedError, match=r"aws-nitro\.cert\.validity"):
        verify(now=NOW + 7201)


def test_a_root_beside_the_document_must_be_the_pin() -> None:
    """The pinned root may be repeated as collateral; another one is refused."""
    assert verify(chain=root()).report_data == b"nonce"
    with pytest.raises(EvidenceUntrustedError, match=r"aws-nitro\.cert\.root"):
        verify(chain=root("mallory"))


def test_short_payloads_are_signed_in_their_own_form() -> None:
    """The signed structure spells the payload's length as CBOR does, for every length form."""
    for size in (1, 23, 24, 255, 256):
        payload = b"\xa1\x00" + encode(bytes(size)) if size > 1 else b"\xa0"
        with pytest.raises(EvidenceMalformedError, match="module_id"):
            parse(HONEST.document(payload=payload))


def test_every_byte_counts() -> None:
    """A flipped byte anywhere in a document is refused, sampled by seven."""
    raw = HONEST.document()
    for at in range(0, len(raw), 7):
        bent = bytearray(raw)
        bent[at] ^= 0x01
        with pytest.raises(AttestationError):
            verify(bytes(bent))


BAD_CBOR = {
    "empty": "",
    "long-integer": "1817"[:2] + "17",
    "long-length": "5800",
    "two-byte-small": "1900ff",
    "four-byte-small": "1a0000ffff",
    "eight-byte-small": "1b00000000ffffffff",
    "reserved-info": "1c",
    "indefinite-bytes": "5f41aaff",
    "indefinite-text": "7f6161ff",
    "break-alone": "ff",
    "break-in-array": "81ff",
    "undefined": "f7",
    "half-float": "f93c00",
    "double": "fb3ff0000000000000",
    "simple": "e0",
    "not-utf8": "61ff",
    "duplicate": "a201000100",
    "label-bytes": "a14100f6",
    "label-true": "a1f500",
    "label-null": "a1f600",
    "deep": "81" * 20 + "00",
    "deep-tags": "c1" * 20 + "00",
    "cut-map": "a1",
    "cut-indefinite": "bf",
    "huge-array": "9a7fffffff",
    "huge-map": "ba7fffffff",
    "endless-array": "9f" + "00" * 300 + "ff",
    "endless-map": "bf" + "".join(f"19{i:04x}00" for i in range(256, 600)) + "ff",
    "huge-bytes": "5b7fffffffffffffff",
    "trailing": "0000",
}


@pytest.mark.parametrize("case", BAD_CBOR)
def test_loose_cbor_is_malformed(case: str) -> None:
    """What has two readings, no end, or no business here does not parse."""
    with pytest.raises(EvidenceMalformedError):
        cbor.decode(bytes.fromhex(BAD_CBOR[case]), what="test", code="test")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("00", 0),
        ("17", 23),
        ("1818", 24),
        ("190100", 256),
        ("1a00010000", 65536),
        ("1b0000000100000000", 1 << 32),
        ("20", -1),
        ("3903e7", -1000),
        ("40", b""),
        ("4401020304", b"\1\2\3\4"),
        ("60", ""),
        ("6449455446", "IETF"),
        ("80", []),
        ("83010203", [1, 2, 3]),
        ("a201020304", {1: 2, 3: 4}),
        ("f4", False),
        ("f5", True),
        ("f6", None),
        ("c11a514b67b0", cbor.Tagged(1, 1_363_896_240)),
        ("9f01820203ff", [1, [2, 3]]),
        ("bf6346756ef563416d7421ff", {"Fun": True, "Amt": -2}),
    ],
)
def test_examples_of_the_standard(text: str, value: object) -> None:
    """The examples of RFC 8949, Appendix A, that this subset has."""
    assert cbor.decode(bytes.fromhex(text), what="test", code="test") == value


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_properly(data: bytes) -> None:
    """No bytes make the parsers raise anything but our errors."""
    for raw in (data, HONEST.document(payload=data), bend(certificate=data), bend(nonce=data)):
        try:
            claims = verify(raw)
        except AttestationError:
            continue
        assert claims.report_data == data


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 64), (1 << 64) - 1)
        | st.binary(max_size=40)
        | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.integers(0, 99) | st.text(max_size=3), inner, max_size=4)
        ),
        max_leaves=5,
    )
)
def test_values_survive_encoding(value: object) -> None:
    """Decoding an encoded value gives it back."""
    assert cbor.decode(encode(value), what="test", code="test") == value


def test_the_pin_is_what_it_says() -> None:
    """The pinned root signs itself and has the fingerprint that AWS publishes."""
    (cert,) = ROOTS
    fingerprint = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"
    assert sha256(cert.der).hexdigest() == fingerprint
    cert.cert.verify_directly_issued_by(cert.cert)
    assert key("root").curve.key_size == 384
