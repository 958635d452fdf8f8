"""Store and stapler with SIMULATED platforms and vendors: completion, outage, stale data."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pytest

from attestation.amd_snp.report import parse
from attestation.amd_snp.verifier import AmdSnpVerifier
from attestation.bundle import Bundle, Freshness
from attestation.errors import EvidenceUntrustedError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.intel_tdx.verifier import IntelTdxVerifier
from gateway.collateral import age, sources
from gateway.collateral.fetch import Fetcher, Limits
from gateway.collateral.request import BINARY, JSON, Answer, Request
from gateway.collateral.sources import Urls
from gateway.collateral.staple import Stapler, Timing
from gateway.collateral.store import CollateralStoreError, Store
from mifeng.crypto import sm3
from tests.harness.tee import intel, snp
from tests.unit.gateway.collateral_vendor import Reply, Vendor, serving

WORLD = intel.IntelWorld()
QUOTE = WORLD.quote()
TCB = f"/tdx/certification/v4/tcb?fmspc={intel.FMSPC.lower()}"
QE = "/tdx/certification/v4/qe/identity"
PCK = "/sgx/certification/v4/pckcrl?ca=platform&encoding=der"
ROLES = {Role.TCB_INFO, Role.QE_IDENTITY, Role.PCK_CRL, Role.ROOT_CRL, Role.CERT_CHAIN}


def intel_replies(world: intel.IntelWorld = WORLD) -> dict[str, Reply]:
    """Return what Intel's service would answer about the simulated platform."""
    doc = json.loads(world.dcap())

    def signed(name: str, member: str, header: str) -> Reply:
        body = f'{{"{member}":{doc[name]},"signature":"{doc[name + "_signature"]}"}}'
        chain = quote(doc[f"{name}_issuer_chain"])
        return Reply(body=body.encode(), headers={header: chain, "ETag": f'"{len(body)}"'})

    return {
        TCB: signed("tcb_info", "tcbInfo", "TCB-Info-Issuer-Chain"),
        QE: signed("qe_identity", "enclaveIdentity", "SGX-Enclave-Identity-Issuer-Chain"),
        PCK: Reply(
            body=bytes.fromhex(doc["pck_crl"]),
            headers={"SGX-PCK-CRL-Issuer-Chain": quote(doc["pck_crl_issuer_chain"])},
        ),
        "/root.der": Reply(body=bytes.fromhex(doc["root_ca_crl"])),
    }


def bundle(items: Sequence[tuple[Role, bytes]] = (), raw: bytes | None = None) -> Bundle:
    """Return a bundle of the simulated trust domain."""
    return Bundle(
        keyset=b"k",
        freshness=Freshness(kind=1, x=bytes(32)),
        cpu=Evidence(EvidenceKind.INTEL_TDX, QUOTE if raw is None else raw),
        cpu_collateral=Collateral(tuple(items)),
        accelerators=(),
    )


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: float = float(intel.NOW)

    def __call__(self) -> float:
        """Return the instant."""
        return self.now


def stapler(vendor: Vendor, fetcher: Fetcher, path: Path, clock: Clock) -> Stapler:
    """Return a stapler that takes the vendor for every vendor."""
    urls = Urls(
        intel=vendor.base,
        intel_root_crl=f"{vendor.base}/root.der",
        amd=vendor.base,
        hygon=vendor.base,
        nvidia_rim=vendor.base,
        nvidia_ocsp=vendor.base,
    )
    return Stapler(fetcher=fetcher, store=Store(path), urls=urls, timing=Timing(), clock=clock)


QUICK = Limits(tries=1, timeout_s=2)


async def test_a_bare_quote_becomes_verifiable(tmp_path: Path) -> None:
    """All that Intel's service says is stapled, and the verifier accepts it."""
    async with serving(Vendor(replies=intel_replies())) as vendor, Fetcher(QUICK) as fetcher:
        made = await stapler(vendor, fetcher, tmp_path, Clock()).staple(bundle())
    assert {role for role, _ in made.cpu_collateral.items} == ROLES
    verifier = IntelTdxVerifier(WORLD.anchors())
    assert not verifier.verify(made.cpu.raw, made.cpu_collateral, now=intel.NOW).refused


async def test_nothing_is_removed_and_nothing_asked_twice(tmp_path: Path) -> None:
    """Complete collateral stays as it is; answers come from the store until they are old."""
    clock = Clock()
    full = bundle(WORLD.collateral().items)
    async with serving(Vendor(replies=intel_replies())) as vendor, Fetcher(QUICK) as fetcher:
        subject = stapler(vendor, fetcher, tmp_path, clock)
        assert await subject.staple(full) == full
        assert not vendor.asked
        first = await subject.staple(bundle())
        assert len(vendor.asked) == 4
        assert await subject.staple(bundle()) == first
        assert len(vendor.asked) == 4
        clock.now += 3600
        assert await subject.staple(bundle()) == first
        assert len(vendor.asked) == 8
        assert sum("if-none-match" in headers for _, headers, _ in vendor.asked[4:]) == 2


async def test_outage_staples_the_last_answer(tmp_path: Path) -> None:
    """While the vendor is away what was kept is used; with nothing kept nothing is added."""
    clock = Clock()
    async with serving(Vendor(replies=intel_replies())) as vendor, Fetcher(QUICK) as fetcher:
        subject = stapler(vendor, fetcher, tmp_path / "a", clock)
        first = await subject.staple(bundle())
        vendor.replies, vendor.otherwise = {}, Reply(status=503)
        clock.now += 7200
        assert await subject.staple(bundle()) == first
        asked = len(vendor.asked)
        assert await subject.staple(bundle()) == first
        assert len(vendor.asked) == asked  # it rests
        assert await stapler(vendor, fetcher, tmp_path / "b", clock).staple(bundle()) == bundle()


async def test_stale_answer_of_the_vendor_is_refused(tmp_path: Path) -> None:
    """A lower evaluation number or issue date does not replace what was seen."""
    clock = Clock()
    async with serving(Vendor(replies=intel_replies())) as vendor, Fetcher(QUICK) as fetcher:
        subject = stapler(vendor, fetcher, tmp_path, clock)
        first = await subject.staple(bundle())
        older = WORLD.but(
            tcb_info=intel.tcb_info(tcbEvaluationDataNumber=1),
            root_crl={"begin": intel.NOW - 9 * intel.DAY},
        )
        stale = intel_replies(older)
        vendor.replies |= {path: stale[path] for path in (TCB, "/root.der")}
        clock.now += 3600
        assert await subject.staple(bundle()) == first


async def test_older_collateral_of_the_node_is_refused(tmp_path: Path) -> None:
    """What a node delivers may not be older than what the vendor said before."""
    older = WORLD.but(tcb_info=intel.tcb_info(tcbEvaluationDataNumber=1))
    async with serving(Vendor(replies=intel_replies())) as vendor, Fetcher(QUICK) as fetcher:
        subject = stapler(vendor, fetcher, tmp_path, Clock())
        await subject.staple(bundle())
        with pytest.raises(EvidenceUntrustedError) as caught:
            await subject.staple(bundle(older.collateral().items))
    assert caught.value.findings[0].code == age.DOWNGRADE


async def test_what_does_not_parse_is_left_to_the_verifier(tmp_path: Path) -> None:
    """Malformed evidence, and kinds without a service, pass through untouched."""
    async with serving(Vendor()) as vendor, Fetcher(QUICK) as fetcher:
        subject = stapler(vendor, fetcher, tmp_path, Clock())
        for given in (
            bundle(raw=b"?"),
            replace(bundle(), cpu=Evidence(EvidenceKind.AWS_NITRO, b"?")),
        ):
            assert await subject.staple(given) == given
        assert not vendor.asked


def test_amd_questions() -> None:
    """Names of chip and TCB in AMD's form, per product and kind of key."""
    urls = Urls()
    milan = Evidence(EvidenceKind.AMD_SNP, snp.SnpPlatform().report())
    asked = sources.plan(milan, Collateral(), urls).missing
    assert [each.role for each in asked] == [Role.VEK, Role.CERT_CHAIN, Role.SNP_CRL]
    chip = parse(milan.raw).chip_id.hex()
    assert asked[0].url.startswith(f"https://kdsintf.amd.com/vcek/v1/Milan/{chip}?blSPL=")
    turin = Evidence(EvidenceKind.AMD_SNP, snp.SnpPlatform.turin().report())
    url = sources.plan(turin, Collateral(), urls).missing[0].url
    assert "?fmcSPL=" in url
    assert len(url.split("/")[-1].split("?")[0]) == 16
    vlek = Evidence(EvidenceKind.AMD_SNP, snp.SnpPlatform(kind="VLEK").report())
    assert [each.url for each in sources.plan(vlek, Collateral(), urls).missing] == [
        "https://kdsintf.amd.com/vlek/v1/Milan/cert_chain",
        "https://kdsintf.amd.com/vlek/v1/Milan/crl",
    ]
    given = snp.SnpPlatform().collateral()
    assert not sources.plan(milan, given, urls).missing


def test_the_store_keeps_by_digest(tmp_path: Path) -> None:
    """Old answers stay readable; damage is an error and not an empty store."""
    store = Store(tmp_path)
    request = Request.get(Role.VEK, "http://x/", BINARY)
    store.keep(request, Answer(body=b"1"), now=1)
    store.keep(request, Answer(body=b"2", chain=b"c"), now=2)
    assert store.blob(sm3(b"1")) == b"1"
    found = Store(tmp_path).find(request)
    assert found is not None
    assert (found.answer, found.checked) == (Answer(body=b"2", chain=b"c"), 2)
    assert not list(tmp_path.rglob(".new-*"))
    (tmp_path / "blobs" / sm3(b"2").hex()).write_bytes(b"3")
    with pytest.raises(CollateralStoreError, match="altered"):
        store.find(request)
    record = tmp_path / "answers" / f"{request.key}.json"
    for damage in (b"", b"{}", b'{"seen":["x"]}', b"[]"):
        record.write_bytes(damage)
        with pytest.raises(CollateralStoreError, match="damaged"):
            store.find(request)


def test_an_answer_from_the_future_is_refused(tmp_path: Path) -> None:
    """A date far ahead would block every later answer, so it is not kept."""
    store, request = Store(tmp_path), Request.get(Role.QE_IDENTITY, "http://x/", JSON)
    body = json.dumps({"issueDate": "2999-01-01T00:00:00Z", "tcbEvaluationDataNumber": 1})
    with pytest.raises(EvidenceUntrustedError, match="issue date"):
        store.keep(request, Answer(body=body.encode()), now=intel.NOW)
    assert store.find(request) is None


async def test_a_bare_snp_report_becomes_verifiable(tmp_path: Path) -> None:
    """Key, chain and revocation list are stapled, and the verifier accepts them."""
    platform = snp.SnpPlatform()
    given = replace(bundle(), cpu=Evidence(EvidenceKind.AMD_SNP, platform.report()))
    vendor = Vendor(otherwise=Reply(body=platform.vek))
    vendor.replies["/vcek/v1/Milan/cert_chain"] = Reply(body=platform.ask + platform.ark)
    vendor.replies["/vcek/v1/Milan/crl"] = Reply(body=platform.crl())
    async with serving(vendor), Fetcher(QUICK) as fetcher:
        made = await stapler(vendor, fetcher, tmp_path, Clock(float(snp.NOW))).staple(given)
    verifier = AmdSnpVerifier(platform.roots)
    assert not verifier.verify(made.cpu.raw, made.cpu_collateral, now=snp.NOW).refused
