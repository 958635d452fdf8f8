"""SNP verification on a SIMULATED processor: what is accepted, and every way it is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from attestation.amd_snp.product import Product
from attestation.amd_snp.report import LAYOUTS, SIGNED_SIZE
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.claims import Claims, Tier
from attestation.errors import (
    AttestationError,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
)
from attestation.evidence import Collateral, Role
from tests.harness.tee.snp import NOW, SnpPlatform, ec_key, ia5, integer, tcb

MILAN = SnpPlatform()
GENOA = SnpPlatform(product=Product.GENOA)
TURIN = SnpPlatform.turin()
VLEK = SnpPlatform(kind="VLEK")
V2 = SnpPlatform(version=2)

ORDER_P384 = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    16,
)


def u64(value: int) -> bytes:
    """Return 8 little-endian bytes."""
    return value.to_bytes(8, "little")


def u32(value: int) -> bytes:
    """Return 4 little-endian bytes."""
    return value.to_bytes(4, "little")


def verify(
    platform: SnpPlatform = MILAN,
    raw: bytes | None = None,
    collateral: Collateral | None = None,
    *,
    now: int = NOW,
) -> Claims:
    """Verify with the platform's own world, apart from what is given."""
    return AmdSnpVerifier(platform.roots).verify(
        platform.report() if raw is None else raw,
        platform.collateral() if collateral is None else collateral,
        now=now,
    )


@pytest.mark.parametrize(
    "platform",
    [
        MILAN,
        GENOA,
        TURIN,
        VLEK,
        V2,
        SnpPlatform(product=Product.GENOA, version=5),
        SnpPlatform(product=Product.GENOA, kind="VLEK", version=4),
        SnpPlatform.turin(kind="VLEK", version=3),
        SnpPlatform.turin(version=2),
    ],
    ids=lambda platform: f"{platform.product}-{platform.kind}-v{platform.version}",
)
def test_honest_reports_are_authentic(platform: SnpPlatform) -> None:
    """Every product, key kind and report version verifies, with nothing refused or open."""
    claims = verify(platform)
    assert (claims.refused, claims.unchecked) == ((), ())
    assert claims.tier is Tier.TEE
    assert claims.report_data == bytes(range(64, 128))
    assert claims.measurements["launch"] == b"\xa5" * 48
    assert claims.details["product"] == platform.product
    assert claims.details["signing_key"] == platform.kind
    assert claims.details["reported_tcb_snp"] == platform.levels["snp"]
    assert claims.details.get("reported_tcb_fmc") == (
        platform.levels["fmc"] if platform.product is Product.TURIN else None
    )
    assert claims.hardware_id == platform.chip_id.hex()
    assert claims.ratchets == {f"amd/crl/ARK-{platform.product}": 7}
    assert claims.valid_until == NOW + 1_000_000


BENT_REPORTS: dict[str, tuple[SnpPlatform, dict[str, bytes], type[AttestationError], str]] = {
    "version-0": (MILAN, {"version": u32(0)}, EvidenceUnsupportedError, "version"),
    "version-1": (MILAN, {"version": u32(1)}, EvidenceUnsupportedError, "version"),
    "version-6": (MILAN, {"version": u32(6)}, EvidenceUnsupportedError, "version"),
    "algo-0": (MILAN, {"signature_algo": u32(0)}, EvidenceUnsupportedError, "signature-algo"),
    "algo-2": (MILAN, {"signature_algo": u32(2)}, EvidenceUnsupportedError, "signature-algo"),
    "cpuid-unknown": (MILAN, {"cpuid": b"\x1b\x00\x00"}, EvidenceUnsupportedError, "product"),
    "cpuid-between": (MILAN, {"cpuid": b"\x19\x20\x00"}, EvidenceUnsupportedError, "product"),
    "cpuid-venice": (TURIN, {"cpuid": b"\x1a\x50\x00"}, EvidenceUnsupportedError, "product"),
    "cpuid-zero": (MILAN, {"cpuid": bytes(3)}, EvidenceUnsupportedError, "product"),
    "cpuid-other": (MILAN, {"cpuid": b"\x19\x11\x00"}, EvidenceUntrustedError, "product.mismatch"),
    "key-none": (MILAN, {"signer_info": u32(7 << 2)}, EvidenceUntrustedError, "signing-key"),
    "key-2": (MILAN, {"signer_info": u32(2 << 2)}, EvidenceUntrustedError, "signing-key"),
    "key-reserved": (MILAN, {"signer_info": u32(1 << 5)}, EvidenceUntrustedError, "signing-key"),
    "vcek-says-vlek": (
        MILAN,
        {"signer_info": u32(1 << 2)},
        EvidenceUntrustedError,
        "signing-key.mismatch",
    ),
    "vlek-says-vcek": (
        VLEK,
        {"signer_info": u32(0)},
        EvidenceUntrustedError,
        "signing-key.mismatch",
    ),
    "chip-other": (MILAN, {"chip_id": b"\x01" * 64}, EvidenceUntrustedError, "chip-id.mismatch"),
    "chip-masked": (MILAN, {"chip_id": bytes(64)}, EvidenceUntrustedError, "chip-id.mismatch"),
    "chip-turin-tail": (
        TURIN,
        {"chip_id": b"TURIN-08" + b"\x01" * 56},
        EvidenceUntrustedError,
        "chip-id.mismatch",
    ),
    "tcb-older": (
        MILAN,
        {"reported_tcb": tcb(Product.MILAN, {**MILAN.levels, "microcode": 1})},
        EvidenceUntrustedError,
        "tcb.mismatch",
    ),
    "tcb-newer": (
        MILAN,
        {"reported_tcb": tcb(Product.MILAN, {**MILAN.levels, "microcode": 0xDC})},
        EvidenceUntrustedError,
        "tcb.mismatch",
    ),
    "tcb-reserved": (
        MILAN,
        {"reported_tcb": b"\x0a\x02\x01\0\0\0\x17\xdb"},
        EvidenceMalformedError,
        "tcb.reserved",
    ),
    "turin-tcb-as-milan": (
        TURIN,
        {"reported_tcb": tcb(Product.MILAN)},
        EvidenceMalformedError,
        "tcb.reserved",
    ),
    "milan-tcb-as-turin": (
        MILAN,
        {"reported_tcb": tcb(Product.TURIN)},
        EvidenceMalformedError,
        "tcb.reserved",
    ),
}


@pytest.mark.parametrize("case", BENT_REPORTS)
def test_bent_reports_are_refused(case: str) -> None:
    """A report whose signed field does not fit is refused by name, though its signature is good."""
    platform, bend, error, code = BENT_REPORTS[case]
    with pytest.raises(error) as caught:
        verify(platform, platform.report(**bend))
    assert [finding.code for finding in caught.value.findings] == [f"amd-snp.{code}"]


REFUSED: dict[str, tuple[dict[str, bytes], str]] = {
    "debug": ({"policy": u64(0x3001F | 1 << 19)}, "debug"),
    "migration": ({"policy": u64(0x3001F | 1 << 18)}, "migration"),
    "policy-bit-17": ({"policy": u64(0x1001F)}, "policy.reserved"),
    "vmpl-1": ({"vmpl": u32(1)}, "vmpl"),
    "vmpl-3": ({"vmpl": u32(3)}, "vmpl"),
    "vmpl-hypervisor": ({"vmpl": u32(0xFFFFFFFF)}, "vmpl"),
    "committed-below-reported": (
        {"committed_tcb": tcb(Product.MILAN, {**MILAN.levels, "snp": 22})},
        "tcb.order",
    ),
    "current-below-committed": (
        {"current_tcb": tcb(Product.MILAN, {**MILAN.levels, "bootloader": 9})},
        "tcb.order",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_authentic_reports_are_refused_in_code(case: str) -> None:
    """What no policy may accept is a finding of authentic claims, under every policy."""
    bend, code = REFUSED[case]
    claims = verify(MILAN, MILAN.report(**bend))
    assert [finding.code for finding in claims.refused] == [f"amd-snp.{code}"]
    assert claims.debug is (case == "debug")


def test_all_shortfalls_are_listed_at_once() -> None:
    """Debug and migration together are two findings."""
    claims = verify(MILAN, MILAN.report(policy=u64(0x3001F | 3 << 18)))
    assert [finding.code for finding in claims.refused] == ["amd-snp.debug", "amd-snp.migration"]


CHAINS: dict[str, tuple[Callable[[], Collateral], type[AttestationError], str]] = {
    "vek-missing": (lambda: MILAN.collateral(vek=None), EvidenceUnverifiedError, "vek.missing"),
    "ask-missing": (lambda: MILAN.collateral(ask=None), EvidenceUnverifiedError, "ask.missing"),
    "all-missing": (Collateral, EvidenceUnverifiedError, "vek.missing"),
    "vek-of-other-chip": (
        lambda: MILAN.collateral(vek=replace(MILAN, chip_id=b"\x07" * 64).vek),
        EvidenceUntrustedError,
        "chip-id.mismatch",
    ),
    "vek-key-other": (
        lambda: MILAN.collateral(vek=replace(MILAN.vek_issue(), key="other").der()),
        EvidenceUntrustedError,
        "signature",
    ),
    "vek-signed-by-ark": (
        lambda: MILAN.collateral(
            vek=replace(MILAN.vek_issue(), signer="ark", issuer="ARK-Milan").der()
        ),
        EvidenceUntrustedError,
        "chain.extra",
    ),
    "vek-signature-wrong": (
        lambda: MILAN.collateral(vek=replace(MILAN.vek_issue(), signer="ark").der()),
        EvidenceUntrustedError,
        "cert.chain",
    ),
    "vek-is-ca": (
        lambda: MILAN.collateral(vek=replace(MILAN.vek_issue(), ca=True).der()),
        EvidenceUntrustedError,
        "vek.ca",
    ),
    "vek-p256": (
        lambda: MILAN.collateral(
            vek=replace(MILAN.vek_issue(), curve_key=ec.generate_private_key(ec.SECP256R1())).der()
        ),
        EvidenceUntrustedError,
        "vek.key",
    ),
    "vek-rsa": (
        lambda: MILAN.collateral(
            vek=replace(MILAN.vek_issue(), leaf=False, ca=False, cert_sign=False).der()
        ),
        EvidenceUntrustedError,
        "vek.key",
    ),
    "vek-unknown-critical": (
        lambda: MILAN.collateral(
            vek=replace(
                MILAN.vek_issue(),
                extensions={**MILAN.vek_issue().extensions, "1.2.3.4": b"\x05\x00"},
                critical=("1.2.3.4",),
            ).der()
        ),
        EvidenceUntrustedError,
        "cert.critical",
    ),
    "vek-name": (
        lambda: MILAN.collateral(vek=replace(MILAN.vek_issue(), subject="VCEK").der()),
        EvidenceMalformedError,
        "vek.name",
    ),
    "vlek-for-vcek": (
        lambda: MILAN.collateral(vek=VLEK.vek, ask=VLEK.ask),
        EvidenceUntrustedError,
        "signing-key.mismatch",
    ),
    "vcek-under-asvk": (
        lambda: MILAN.collateral(
            vek=replace(MILAN.vek_issue(), issuer="SEV-VLEK-Milan").der(), ask=VLEK.ask
        ),
        EvidenceUntrustedError,
        "ask.role",
    ),
    "genoa-chain": (
        lambda: MILAN.collateral(vek=GENOA.vek, ask=GENOA.ask, snp_crl=GENOA.crl()),
        EvidenceUntrustedError,
        "product.mismatch",
    ),
    "product-name-other": (
        lambda: MILAN.collateral(vek=MILAN.bent_extension("2", ia5("Genoa"))),
        EvidenceUntrustedError,
        "vek.product",
    ),
    "product-name-unknown": (
        lambda: MILAN.collateral(vek=MILAN.bent_extension("2", ia5("Venice"))),
        EvidenceMalformedError,
        "vek.extension",
    ),
    "hwid-absent": (
        lambda: MILAN.collateral(vek=MILAN.bent_extension("4", None)),
        EvidenceMalformedError,
        "vek.extension",
    ),
    "hwid-prefix": (
        lambda: MILAN.collateral(vek=MILAN.bent_extension("4", MILAN.chip_id[:63])),
        EvidenceMalformedError,
        "vek.extension.der",
    ),
    "tcb-absent": (
        lambda: MILAN.collateral(vek=MILAN.bent_extension("3.3", None)),
        EvidenceMalformedError,
        "vek.extension",
    ),
    "csp-in-vcek": (
        lambda: MILAN.collateral(vek=MILAN.bent_extension("5", ia5("CN=x"))),
        EvidenceMalformedError,
        "vek.extension",
    ),
    "fmc-in-milan": (
        lambda: MILAN.collateral(vek=MILAN.bent_extension("3.9", integer(1))),
        EvidenceMalformedError,
        "vek.extension",
    ),
    "ask-not-ca": (
        lambda: MILAN.collateral(ask=replace(MILAN.ask_issue(), ca=False).der()),
        EvidenceUntrustedError,
        "cert.ca",
    ),
    "ask-no-cert-sign": (
        lambda: MILAN.collateral(ask=replace(MILAN.ask_issue(), cert_sign=False).der()),
        EvidenceUntrustedError,
        "cert.ca",
    ),
    "ask-forged": (
        lambda: MILAN.collateral(ask=replace(MILAN.ask_issue(), signer="mallory").der()),
        EvidenceUntrustedError,
        "cert.chain",
    ),
    "ask-pkcs1": (
        lambda: MILAN.collateral(ask=replace(MILAN.ask_issue(), pss=False).der()),
        EvidenceUntrustedError,
        "cert.algorithm",
    ),
    "ask-sha256": (
        lambda: MILAN.collateral(ask=replace(MILAN.ask_issue(), hash_algorithm=SHA256()).der()),
        EvidenceUntrustedError,
        "cert.algorithm",
    ),
    "ask-of-unknown-root": (
        lambda: MILAN.collateral(ask=replace(MILAN.ask_issue(), issuer="ARK-Venice").der()),
        EvidenceUntrustedError,
        "cert.chain",
    ),
    "ark-lookalike": (
        lambda: MILAN.collateral(
            ark=replace(MILAN.ark_issue(), key="mallory", signer="mallory").der()
        ),
        EvidenceUntrustedError,
        "ark",
    ),
    "ark-role-holds-ask": (
        lambda: MILAN.collateral(ark=MILAN.ask),
        EvidenceUntrustedError,
        "ark",
    ),
    "chain-of-lookalike": (
        lambda: MILAN.collateral(
            cert_chain=replace(MILAN.ark_issue(), key="mallory", signer="mallory").der(),
            ask=replace(MILAN.ask_issue(), signer="mallory").der(),
        ),
        EvidenceUntrustedError,
        "ark",
    ),
    "two-veks": (
        lambda: MILAN.collateral(cert_chain=replace(MILAN, chip_id=b"\x07" * 64).vek),
        EvidenceUntrustedError,
        "vek.ambiguous",
    ),
    "unrelated-intermediate": (
        lambda: MILAN.collateral(cert_chain=GENOA.ask),
        EvidenceUntrustedError,
        "ask.ambiguous",
    ),
    "unrelated-root": (
        lambda: MILAN.collateral(cert_chain=GENOA.ark),
        EvidenceUntrustedError,
        "chain.extra",
    ),
    "vek-expired": (
        lambda: MILAN.collateral(vek=replace(MILAN.vek_issue(), end=NOW - 1).der()),
        EvidenceUntrustedError,
        "cert.validity",
    ),
    "vek-not-yet": (
        lambda: MILAN.collateral(vek=replace(MILAN.vek_issue(), begin=NOW + 1).der()),
        EvidenceUntrustedError,
        "cert.validity",
    ),
    "ask-expired": (
        lambda: MILAN.collateral(ask=replace(MILAN.ask_issue(), end=NOW - 1).der()),
        EvidenceUntrustedError,
        "cert.validity",
    ),
    "not-a-certificate": (
        lambda: MILAN.collateral(vek=b"\x30\x03\x02\x01\x01"),
        EvidenceMalformedError,
        "cert.parse",
    ),
    "not-der": (lambda: MILAN.collateral(vek=b"vcek"), EvidenceMalformedError, "cert.der"),
    "empty-file": (lambda: MILAN.collateral(vek=b""), EvidenceMalformedError, "cert.count"),
    "huge-file": (
        lambda: MILAN.collateral(vek=b"\x30" * (1 << 20)),
        EvidenceMalformedError,
        "cert.size",
    ),
    "seventeen": (
        lambda: MILAN.collateral(vek=MILAN.vek * 17),
        EvidenceMalformedError,
        "cert.count",
    ),
    "crl-of-mallory": (
        lambda: MILAN.collateral(snp_crl=MILAN.crl(signer="mallory")),
        EvidenceUntrustedError,
        "crl.signature",
    ),
    "crl-junk": (lambda: MILAN.collateral(snp_crl=b"crl"), EvidenceMalformedError, "crl.parse"),
    "crl-huge": (
        lambda: MILAN.collateral(snp_crl=bytes((1 << 20) + 1)),
        EvidenceMalformedError,
        "crl.size",
    ),
}


@pytest.mark.parametrize("case", CHAINS)
def test_bent_chains_are_refused(case: str) -> None:
    """A chain that is incomplete, expired, mixed or forged is refused by name."""
    build, error, code = CHAINS[case]
    with pytest.raises(error) as caught:
        verify(MILAN, collateral=build())
    assert [finding.code for finding in caught.value.findings] == [f"amd-snp.{code}"]


def test_version_2_takes_its_product_from_the_chain() -> None:
    """A version 2 report of a Genoa verifies with Genoa's chain, never by a default."""
    genoa = SnpPlatform(product=Product.GENOA, version=2)
    assert verify(genoa).details["product"] == "Genoa"
    with pytest.raises(EvidenceUntrustedError, match=r"amd-snp\.signature"):
        verify(genoa, raw=genoa.sign(genoa.body(), key="mallory"))


def test_a_small_root_key_is_refused() -> None:
    """A pinned root that is not RSA-4096 does not issue."""
    small = replace(MILAN.ask_issue(), signer="ask", issuer="SEV-Milan", subject="SEV-Other")
    with pytest.raises(EvidenceUntrustedError, match=r"cert\.chain"):
        verify(MILAN, collateral=MILAN.collateral(ask=small.der()))


def test_vlek_may_hide_the_chip() -> None:
    """A VLEK report without chip id is authentic and names no hardware; enrolment can refuse it."""
    claims = verify(VLEK, VLEK.report(chip_id=bytes(64)))
    assert claims.hardware_id is None
    assert claims.details["csp_id"] == "CN=cc-test.simulated.example"
    assert claims.refused == ()


def test_vek_in_any_role_and_any_file_form() -> None:
    """One bundle, PEM or concatenated DER, in any role and order, with the pinned root in it."""
    for bundle in (MILAN.vek + MILAN.ask + MILAN.ark, MILAN.ark + MILAN.ask + MILAN.vek):
        for role in (Role.VEK, Role.CERT_CHAIN):
            collateral = Collateral(((role, bundle), (Role.SNP_CRL, MILAN.crl())))
            assert verify(MILAN, collateral=collateral).unchecked == ()
    assert verify(MILAN, collateral=MILAN.collateral(ark=MILAN.ark)).unchecked == ()


@pytest.mark.parametrize(
    ("crls", "code"),
    [
        ((), "missing"),
        ((GENOA.crl(),), "missing"),
        ((MILAN.crl(end=NOW - 1),), "stale"),
        ((MILAN.crl(begin=NOW + 1),), "stale"),
    ],
    ids=["none", "of-another-root", "expired", "from-the-future"],
)
def test_open_revocation_is_said(crls: tuple[bytes, ...], code: str) -> None:
    """Without a current list of the right root the verdict stays open, with a revocation code."""
    items = MILAN.collateral(snp_crl=None).items + tuple((Role.SNP_CRL, crl) for crl in crls)
    claims = verify(MILAN, collateral=Collateral(items))
    assert [finding.code for finding in claims.unchecked] == [f"amd-snp.revocation.{code}"]
    assert claims.refused == ()
    assert claims.ratchets == {}


@pytest.mark.parametrize("end", [NOW + 1, NOW - 1], ids=["current", "stale"])
def test_revoked_intermediates_are_refused(end: int) -> None:
    """An ASK on the list is refused, even where the list itself has run out."""
    claims = verify(collateral=MILAN.collateral(snp_crl=MILAN.crl(65_537, end=end)))
    assert [finding.code for finding in claims.refused] == ["amd-snp.revoked"]


def test_the_newest_list_sets_ratchet_and_expiry() -> None:
    """Of several current lists the highest number counts; a list without number counts as 0."""
    items = (
        *MILAN.collateral(snp_crl=MILAN.crl(number=None)).items,
        (Role.SNP_CRL, MILAN.crl(number=9, end=NOW + 5)),
        (Role.SNP_CRL, MILAN.crl(number=8)),
    )
    claims = verify(collateral=Collateral(items))
    assert claims.ratchets == {"amd/crl/ARK-Milan": 9}
    assert claims.valid_until == NOW + 5


def test_every_signed_byte_counts() -> None:
    """Each signed byte flipped is refused, and so is each byte of the signature and its padding."""
    raw = MILAN.report()
    verifier, collateral = AmdSnpVerifier(MILAN.roots), MILAN.collateral()
    named = {
        offset
        for row in LAYOUTS[3]
        for offset in {row.offset, row.offset + row.size // 2, row.offset + row.size - 1}
    }
    sampled = sorted(named | set(range(0, SIGNED_SIZE, 16)) | set(range(0x2A0, len(raw), 24)))
    for at in sampled:
        bent = bytearray(raw)
        bent[at] ^= 0x01
        with pytest.raises(AttestationError):
            verifier.verify(bytes(bent), collateral, now=NOW)


def test_every_byte_of_the_certificates_counts() -> None:
    """A flipped byte of VEK, ASK or CRL is refused, wherever it falls."""
    raw, verifier = MILAN.report(), AmdSnpVerifier(MILAN.roots)
    for role in ("vek", "ask"):
        good = getattr(MILAN, role)
        for at in range(0, len(good), 23):
            bent = bytearray(good)
            bent[at] ^= 0x01
            with pytest.raises(AttestationError):
                verifier.verify(raw, MILAN.collateral(**{role: bytes(bent)}), now=NOW)


def test_no_byte_of_a_crl_answers_wrongly() -> None:
    """A flipped byte of the CRL is refused or leaves revocation open, never silently accepted."""
    raw, good, verifier = MILAN.report(), MILAN.crl(), AmdSnpVerifier(MILAN.roots)
    for at in range(0, len(good), 11):
        bent = bytearray(good)
        bent[at] ^= 0x01
        try:
            claims = verifier.verify(raw, MILAN.collateral(snp_crl=bytes(bent)), now=NOW)
        except AttestationError:
            continue
        assert claims.unchecked


def test_signature_halves_are_checked() -> None:
    """Swapped, reversed, zero and out-of-range halves are refused; n - s is the same report."""
    raw = bytearray(MILAN.report())
    r, s = raw[0x2A0:0x2D0], raw[0x2E8:0x318]
    wrong = [(s, r), (r[::-1], s[::-1]), (bytes(48), s), (r, bytes(48)), (b"\xff" * 48, s)]
    for left, right in wrong:
        raw[0x2A0:0x2D0], raw[0x2E8:0x318] = left, right
        with pytest.raises(EvidenceUntrustedError, match=r"amd-snp\.signature"):
            verify(raw=bytes(raw))
    other = (ORDER_P384 - int.from_bytes(s, "little")).to_bytes(48, "little")
    raw[0x2A0:0x2D0], raw[0x2E8:0x318] = r, other
    assert verify(raw=bytes(raw)).hardware_id == verify().hardware_id


def test_key_of_the_harness_is_p384() -> None:
    """The simulated endorsement key has the curve of the real one."""
    assert isinstance(ec_key("vek").curve, ec.SECP384R1)
