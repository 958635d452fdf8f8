"""Bare evidence of each kind becomes verifiable, or not, as its SIMULATED vendor answers.

Every vendor is a server on the loopback interface that speaks the vendor's own protocol. For each:
all is well, the vendor is away, and the vendor answers with what is no longer current.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from cryptography.x509 import ocsp

from attestation.azure_vtpm.verifier import AzureVtpmVerifier
from attestation.bundle import Bundle, Device, Freshness
from attestation.claims import Claims
from attestation.errors import EvidenceUnverifiedError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.hygon_csv.verifier import HygonCsvVerifier
from attestation.hygon_dcu.verifier import HygonDcuVerifier
from attestation.intel_sgx.verifier import IntelSgxVerifier
from attestation.nvidia_gpu.verifier import NvidiaGpuVerifier
from attestation.nvidia_nvswitch.verifier import NvidiaNvswitchVerifier
from attestation.verifier import Verifier
from gateway.collateral import staple
from gateway.collateral.fetch import Fetcher
from gateway.collateral.sources import Urls, plan
from tests.harness.tee import azure, hygon, intel, nvidia, snp
from tests.unit.gateway.collateral_vendor import Reply, Vendor, serving
from tests.unit.gateway.test_collateral_staple import QUICK, Clock, stapler

NVIDIA = (nvidia.device_root(),), (nvidia.rim_root(),)
GPU, SWITCH = nvidia.gpu(), nvidia.switch()
DAY = intel.DAY
TDX_VM, SNP_VM = azure.AzureVm(tdx=True), azure.AzureVm()


def intel_answers(world: intel.IntelWorld, tee: str) -> Callable[[], Vendor]:
    """Return Intel's service for one platform."""

    def vendor() -> Vendor:
        doc = json.loads(world.dcap())

        def signed(name: str, member: str, header: str) -> Reply:
            body = f'{{"{member}":{doc[name]},"signature":"{doc[name + "_signature"]}"}}'
            headers = {header: quote(doc[f"{name}_issuer_chain"])}
            return Reply(body=body.encode(), headers=headers)

        fmspc = intel.FMSPC.lower()
        return Vendor(
            replies={
                f"/{tee}/certification/v4/tcb?fmspc={fmspc}": signed(
                    "tcb_info", "tcbInfo", "TCB-Info-Issuer-Chain"
                ),
                f"/{tee}/certification/v4/qe/identity": signed(
                    "qe_identity", "enclaveIdentity", "SGX-Enclave-Identity-Issuer-Chain"
                ),
                "/sgx/certification/v4/pckcrl?ca=platform&encoding=der": Reply(
                    body=bytes.fromhex(doc["pck_crl"]),
                    headers={"SGX-PCK-CRL-Issuer-Chain": quote(doc["pck_crl_issuer_chain"])},
                ),
                "/root.der": Reply(body=bytes.fromhex(doc["root_ca_crl"])),
            }
        )

    return vendor


def amd_answers(begin: int = snp.BEGIN, end: int = snp.END) -> Callable[[], Vendor]:
    """Return AMD's service for one chip."""

    def vendor() -> Vendor:
        platform = snp.SnpPlatform()
        made = Vendor(otherwise=Reply(body=platform.vek))
        made.replies["/vcek/v1/Milan/cert_chain"] = Reply(body=platform.ask + platform.ark)
        made.replies["/vcek/v1/Milan/crl"] = Reply(body=platform.crl(begin=begin, end=end))
        return made

    return vendor


def hygon_answers() -> Vendor:
    """Return Hygon's service, which knows the serial numbers of the simulated chips."""
    both = Reply(body=hygon.ca() + hygon.csv())
    serials = ("SIM0000000000001", hygon.CHIP_ID.rstrip(b"\0").decode())
    return Vendor(replies={f"/hsk_cek?snumber={each}": both for each in serials})


def nvidia_answers(device: nvidia.Device, whole: Collateral, **bend: int) -> Callable[[], Vendor]:
    """Return NVIDIA's two services: manifests by name, and status by certificate."""

    def vendor() -> Vendor:
        bare = Collateral(((Role.CERT_CHAIN, nvidia.pem(device.certs)),))
        kind = EvidenceKind.NVIDIA_GPU if device.chip == "GH100" else EvidenceKind.NVIDIA_NVSWITCH
        asked = plan(Evidence(kind, device.report()), bare, Urls(nvidia_rim="")).missing
        replies = {}
        for each in asked:
            rim = b64encode(whole.all(each.role)[0]).decode()
            name = each.url.rpartition("/")[2]
            body = json.dumps({"id": name, "rim": rim, "sha256": "", "request_id": "1"})
            replies[each.url] = Reply(body=body.encode())
        chips = "LS10" if kind is EvidenceKind.NVIDIA_NVSWITCH else "GH100"
        asked_of = nvidia.responses(device.certs, first=1, **bend)
        asked_of += nvidia.responses(nvidia.rim_certs(chips), first=0, **bend)
        answers = {}
        for one in asked_of:
            der = one.der()
            (single,) = ocsp.load_der_ocsp_response(der).responses
            answers[single.serial_number] = der

        def status(body: bytes) -> Reply:
            serial = ocsp.load_der_ocsp_request(body).serial_number
            return Reply(body=answers[serial]) if serial in answers else Reply(status=404)

        return Vendor(replies=replies, posted=status)

    return vendor


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One machine, its vendor, and who verifies it."""

    evidence: Evidence
    verifier: Verifier
    now: int
    vendor: Callable[[], Vendor]
    stale: Callable[[], Vendor] | None
    """The vendor when its answers have run out; None where the format has no end."""

    missing: str
    """Code of the verdict when the vendor is away."""

    out: str = ""
    """Code of the verdict when its answers have run out."""

    given: Collateral = field(default_factory=Collateral)


def _old(world: intel.IntelWorld, tee: str) -> intel.IntelWorld:
    """Return the platform under TCB info that ran out a month ago."""
    dates = {
        "issueDate": intel.utc(intel.NOW - 60 * intel.DAY),
        "nextUpdate": intel.utc(intel.NOW - 30 * intel.DAY),
    }
    return world.but(tcb_info=intel.tcb_info(tee.upper(), **dates))


def _gpu_subject(device: nvidia.Device, kind: EvidenceKind) -> Subject:
    whole = nvidia.gpu_collateral(device)
    verifier: Verifier = NvidiaGpuVerifier(*NVIDIA)
    if kind is EvidenceKind.NVIDIA_NVSWITCH:
        whole, verifier = nvidia.switch_collateral(device), NvidiaNvswitchVerifier(*NVIDIA)
    old = {"this_update": nvidia.NOW - 90 * nvidia.DAY, "next_update": nvidia.NOW - 60 * nvidia.DAY}
    rim = "driver-rim" if kind is EvidenceKind.NVIDIA_GPU else "switch-rim"
    return Subject(
        evidence=Evidence(kind, device.report()),
        verifier=verifier,
        now=nvidia.NOW,
        vendor=nvidia_answers(device, whole),
        stale=nvidia_answers(device, whole, **old),
        missing=f"nvidia.{rim}.missing",
        out="nvidia.revocation",
        given=Collateral(((Role.CERT_CHAIN, nvidia.pem(device.certs)),)),
    )


SUBJECTS = {
    "nvidia-gpu": _gpu_subject(GPU, EvidenceKind.NVIDIA_GPU),
    "nvidia-nvswitch": _gpu_subject(SWITCH, EvidenceKind.NVIDIA_NVSWITCH),
    "hygon-csv": Subject(
        evidence=Evidence(EvidenceKind.HYGON_CSV, hygon.Psp(version=2).report()),
        verifier=HygonCsvVerifier(hygon.roots()),
        now=0,
        vendor=hygon_answers,
        stale=None,
        missing="hygon-csv.hsk-cek.missing",
    ),
    "hygon-dcu": Subject(
        evidence=Evidence(EvidenceKind.HYGON_DCU, hygon.dcu_report()),
        verifier=HygonDcuVerifier(hygon.roots()),
        now=0,
        vendor=hygon_answers,
        stale=None,
        missing="hygon-dcu.hsk-cek.missing",
    ),
    "azure-vtpm on SNP": Subject(
        evidence=Evidence(EvidenceKind.AZURE_VTPM, SNP_VM.evidence()),
        verifier=AzureVtpmVerifier(SNP_VM.roots()),
        now=snp.NOW,
        vendor=amd_answers(),
        stale=amd_answers(begin=snp.NOW - 99 * DAY, end=snp.NOW - 30 * DAY),
        missing="amd-snp.ask.missing",
        out="amd-snp.revocation",
    ),
    "azure-vtpm on TDX": Subject(
        evidence=Evidence(EvidenceKind.AZURE_VTPM, TDX_VM.evidence()),
        verifier=AzureVtpmVerifier(TDX_VM.roots()),
        now=intel.NOW,
        vendor=intel_answers(TDX_VM.world(), "tdx"),
        stale=intel_answers(_old(TDX_VM.world(), "tdx"), "tdx"),
        out="intel-tdx.tcb-info",
        missing="intel-tdx.tcb-info.missing",
    ),
    "intel-sgx": Subject(
        evidence=Evidence(EvidenceKind.INTEL_SGX, intel.ENCLAVE.quote()),
        verifier=IntelSgxVerifier(intel.ENCLAVE.anchors()),
        now=intel.NOW,
        vendor=intel_answers(intel.ENCLAVE, "sgx"),
        stale=intel_answers(_old(intel.ENCLAVE, "sgx"), "sgx"),
        out="intel-sgx.tcb-info",
        missing="intel-sgx.tcb-info.missing",
    ),
}


def bare(subject: Subject) -> Bundle:
    """Return a bundle with this evidence and what only the machine itself has."""
    keyset, fresh = b"k", Freshness(kind=1, x=bytes(32))
    if subject.evidence.kind in (EvidenceKind.NVIDIA_GPU, EvidenceKind.NVIDIA_NVSWITCH):
        device = Device(device_id="d", evidence=subject.evidence, collateral=subject.given)
        host = Evidence(EvidenceKind.AWS_NITRO, b"x")
        return Bundle(
            keyset=keyset,
            freshness=fresh,
            cpu=host,
            cpu_collateral=Collateral(),
            accelerators=(device,),
        )
    return Bundle(
        keyset=keyset,
        freshness=fresh,
        cpu=subject.evidence,
        cpu_collateral=subject.given,
        accelerators=(),
    )


def judged(subject: Subject, made: Bundle, *, now: int | None = None) -> Claims:
    """Verify the subject with what the bundle came to hold."""
    given = made.accelerators[0].collateral if made.accelerators else made.cpu_collateral
    at = subject.now if now is None else now
    return subject.verifier.verify(subject.evidence.raw, given, now=at)


def codes(subject: Subject, made: Bundle) -> list[str]:
    """Return everything that keeps the bundle from being accepted."""
    try:
        claims = judged(subject, made)
    except EvidenceUnverifiedError as exc:
        return [finding.code for finding in exc.findings]
    return [finding.code for finding in (*claims.refused, *claims.unchecked)]


async def stapled(subject: Subject, vendor: Vendor, path: Path) -> Bundle:
    """Complete the bare bundle from one vendor."""
    async with serving(vendor), Fetcher(QUICK) as fetcher:
        completes = stapler(vendor, fetcher, path, Clock(float(subject.now)))
        return await completes.staple(bare(subject))


@pytest.mark.parametrize("name", SUBJECTS)
async def test_bare_evidence_becomes_verifiable(name: str, tmp_path: Path) -> None:
    """Everything the verifier needs is asked for and stapled, and it accepts."""
    subject = SUBJECTS[name]
    assert codes(subject, bare(subject))
    assert codes(subject, await stapled(subject, subject.vendor(), tmp_path)) == []


@pytest.mark.parametrize("name", SUBJECTS)
async def test_a_vendor_that_is_away_leaves_it_undecided(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is added, the verdict names what is missing, and the log whom it was asked of."""
    logged: list[tuple[str, str]] = []

    def warning(event: str, *, code: str, host: str) -> None:
        logged.append((f"{event} {code}", host))

    monkeypatch.setattr(staple, "log", SimpleNamespace(warning=warning))
    subject = SUBJECTS[name]
    away = Vendor(otherwise=Reply(status=503), posted=lambda _: Reply(status=503))
    made = await stapled(subject, away, tmp_path)
    assert made == bare(subject)
    assert set(logged) == {("collateral.failed collateral.fetch.unavailable", "127.0.0.1")}
    assert any(code.startswith(subject.missing) for code in codes(subject, made))


@pytest.mark.parametrize("name", SUBJECTS)
async def test_an_outage_later_is_bridged_by_what_was_kept(name: str, tmp_path: Path) -> None:
    """The last answers are stapled again, and still decide while they are in date."""
    subject = SUBJECTS[name]
    vendor, clock = subject.vendor(), Clock(float(subject.now))
    async with serving(vendor), Fetcher(QUICK) as fetcher:
        completes = stapler(vendor, fetcher, tmp_path, clock)
        first = await completes.staple(bare(subject))
        vendor.replies, vendor.otherwise = {}, Reply(status=503)
        vendor.posted = lambda _: Reply(status=503)
        clock.now += 7200
        assert await completes.staple(bare(subject)) == first
    assert codes(subject, first) == []


@pytest.mark.parametrize("name", [name for name, each in SUBJECTS.items() if each.stale])
async def test_answers_that_have_run_out_decide_nothing(name: str, tmp_path: Path) -> None:
    """A vendor that serves old data is stapled, and the verifier says that it is old."""
    subject = SUBJECTS[name]
    assert subject.stale is not None
    found = codes(subject, await stapled(subject, subject.stale(), tmp_path))
    assert found
    assert all(code.startswith(subject.out) for code in found)


async def test_older_answers_do_not_replace_newer_ones(tmp_path: Path) -> None:
    """OCSP responses made before those already seen are refused, and the kept ones stay."""
    subject = SUBJECTS["nvidia-gpu"]
    assert subject.stale is not None
    vendor, clock = subject.vendor(), Clock(float(subject.now))
    async with serving(vendor), Fetcher(QUICK) as fetcher:
        completes = stapler(vendor, fetcher, tmp_path, clock)
        first = await completes.staple(bare(subject))
        vendor.posted = subject.stale().posted
        clock.now += 3600
        assert await completes.staple(bare(subject)) == first


def test_what_cannot_be_asked_is_not() -> None:
    """A TD without its quote, or a chip whose name is none, gives no question."""
    urls, none = Urls(), Collateral()
    blob = Evidence(EvidenceKind.AZURE_VTPM, TDX_VM.blob())
    assert not plan(blob, none, urls).missing
    odd = Evidence(EvidenceKind.HYGON_DCU, hygon.dcu_report(chip_id=b"a/../b".ljust(16, b"\0")))
    assert not plan(odd, none, urls).missing
    known = SUBJECTS["hygon-dcu"].evidence
    assert not plan(known, hygon.endorsed(), urls).missing
    whole = plan(SUBJECTS["azure-vtpm on SNP"].evidence, SNP_VM.collateral(), urls)
    assert Role.CERT_CHAIN not in {each.role for each in whole.missing}
    more = TDX_VM.collateral((Role.AK_CERT, b"not looked at here"))
    assert not plan(SUBJECTS["azure-vtpm on TDX"].evidence, more, urls).missing
