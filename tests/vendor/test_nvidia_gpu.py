"""Every NVIDIA GPU sample that the evidence collection's manifest judges, with its verdict.

No public sample carries an OCSP response, so a genuine GPU that matches everything it was given
is `unverified` with a revocation code, never accepted.
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from attestation.containers import normalise
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.nvidia import opaque, spdm
from attestation.nvidia.certificates import point, split
from attestation.nvidia.roots import DEVICE_ROOT
from attestation.verdict import Decision, Expected, Freshness, Verdict, examine

_DIR = os.environ.get("MIFENG_EVIDENCE_DIR")
pytestmark = [
    pytest.mark.vendor,
    pytest.mark.skipif(_DIR is None, reason="MIFENG_EVIDENCE_DIR is not set"),
]
HOME = Path(_DIR or ".")

JUNE_2024 = 1_717_200_000
JANUARY_2026 = 1_767_225_600
H = "nvidia-hopper"
B = "nvidia-blackwell/asdk-gb100"
R550, C550 = f"{H}/pypi/hopperAttestationReport.txt", f"{H}/pypi/hopperCertChain.txt"
R535 = f"{H}/asdk/535.86.09/hopperAttestationReport.txt"
C535 = f"{H}/asdk/535.86.09/hopperCertChain.txt"
R570 = f"{H}/asdk/570.124.03/hopperAttestationReportExpired.txt"
C570 = f"{H}/asdk/570.124.03/hopperCertChainExpired.txt"
R580 = f"{H}/asdk/580.159.03/hopperAttestationReport.txt"
C580 = f"{H}/asdk/580.159.03/hopperCertChain.txt"
DRIVER_550 = "nvidia-rim/asdk/NV_GPU_DRIVER_GH100_550.144.03.xml"
BAD_RIMS = "nvidia-rim/asdk/sample_rims"
VBIOS_5E01 = "nvidia-rim/pypi/1010_0200_882_96005E0001_PROD.swidtag"
VBIOS_7420 = "nvidia-rim/pypi/1010_0205_862_9600740020_PROD.swidtag"
NO_RIM = "nvidia.driver-rim.missing"
REVOCATION = "nvidia.revocation.missing"
DRIVER, VBIOS = "driver-rim", "vbios-rim"
TEXT_NONCE = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb"
NONCE_535 = "27a328247bf7935c993341cf587be6f05986ccce4fe7ba2c54100bd616a58f66"
NONCE_580 = "5bb22e377702d4e1e8215a903ba094826b9ac7f731dee1fe8102958bf2840aca"
NONCE_590 = "e97b23a1718095a0e9e35edca810768c70a6a5a389b705e753b197912bc11576"


class Case(NamedTuple):
    """One row: what is verified with what, as of when, and what comes out."""

    evidence: str
    chain: str | None
    rims: dict[str, str]
    at: int
    verdict: str
    codes: set[str]
    """Codes among the findings."""

    nonce: str | None = None


CASES = (
    # Genuine, and as much as public collateral can decide.
    Case(R550, C550, {}, JUNE_2024, "unverified", {NO_RIM, REVOCATION}, TEXT_NONCE),
    Case(
        f"{H}/trustee/hopperAttestationReport.txt",
        f"{H}/trustee/hopper_cert_chain_case1.txt",
        {},
        JUNE_2024,
        "unverified",
        {NO_RIM, REVOCATION},
        TEXT_NONCE,
    ),
    Case(R580, C580, {}, JUNE_2024, "unverified", {NO_RIM, REVOCATION}, NONCE_580),
    Case(R570, C570, {}, JUNE_2024, "unverified", {NO_RIM, REVOCATION}, TEXT_NONCE),
    Case(
        f"{B}/blackwellAttestationReport.txt",
        f"{B}/blackwellCertChain.txt",
        {},
        JUNE_2024,
        "unverified",
        {NO_RIM, "nvidia.vbios-rim.missing", REVOCATION},
        TEXT_NONCE,
    ),
    Case(
        f"{H}/asdk/hopper_evidence.json",
        None,
        {},
        JUNE_2024,
        "unverified",
        {"nvidia-gpu.topology", NO_RIM, REVOCATION},
        NONCE_590,
    ),
    Case(
        f"{H}/asdk/multi_gpu_hopper.json",
        None,
        {},
        JUNE_2024,
        "unverified",
        {"nvidia-gpu.topology", NO_RIM, REVOCATION},
        NONCE_590,
    ),
    Case(
        R535,
        C535,
        {VBIOS: VBIOS_5E01},
        JUNE_2024,
        "unverified",
        {"nvidia-gpu.fwid.absent", NO_RIM, REVOCATION},
        NONCE_535,
    ),
    # The same, when the manifest's signer has expired.
    Case(
        R535,
        C535,
        {VBIOS: VBIOS_5E01},
        JANUARY_2026,
        "unverified",
        {"nvidia.vbios-rim.expired", NO_RIM, REVOCATION},
    ),
    # Genuine, and not what the manifest says.
    Case(R580, C580, {VBIOS: VBIOS_7420}, JUNE_2024, "rejected", {"nvidia.vbios-rim.measurement"}),
    Case(
        R550,
        C550,
        {VBIOS: VBIOS_7420, DRIVER: DRIVER_550},
        1_740_000_000,
        "rejected",
        {
            "nvidia.driver-rim.version",
            "nvidia.driver-rim.measurement",
            "nvidia.vbios-rim.version",
            "nvidia.vbios-rim.measurement",
        },
    ),
    Case(R535, C535, {DRIVER: VBIOS_5E01}, JUNE_2024, "rejected", {"nvidia.driver-rim.coverage"}),
    # Wrong chain, nonce, instant or signature.
    Case(R550, C580, {}, JUNE_2024, "untrusted", {"nvidia.report.signature"}),
    Case(R580, C550, {}, JUNE_2024, "untrusted", {"nvidia.report.signature"}),
    Case(
        R550,
        f"{H}/trustee/hopper_cert_chain_case2.txt",
        {},
        JUNE_2024,
        "untrusted",
        {"nvidia.chain.length"},
    ),
    Case(
        R550,
        f"{H}/trustee/hopper_signing_cert.pem",
        {},
        JUNE_2024,
        "untrusted",
        {"nvidia.chain.length"},
    ),
    Case(R550, C550, {}, JUNE_2024, "untrusted", {"binding.nonce"}, NONCE_580),
    Case(R550, C550, {}, JUNE_2024, "untrusted", {"binding.nonce"}, TEXT_NONCE[:32]),
    Case(R550, C550, {}, JUNE_2024, "untrusted", {"binding.nonce"}, TEXT_NONCE + "00"),
    Case(R550, C550, {}, 1_600_000_000, "untrusted", {"nvidia.chain.validity"}),
    Case(
        R550,
        C550,
        {DRIVER: "nvidia-rim/asdk/incorrect_signature_driver_rim.xml"},
        JANUARY_2026,
        "untrusted",
        {"nvidia.xmldsig.signature"},
    ),
    Case(
        R535,
        C535,
        {DRIVER: f"{BAD_RIMS}/NV_GPU_DRIVER_GH100_535.86.09_measurement_mismatch.xml"},
        JANUARY_2026,
        "untrusted",
        {"nvidia.xmldsig.digest"},
    ),
    Case(
        R570,
        C570,
        {DRIVER: f"{BAD_RIMS}/NV_GPU_DRIVER_GH100_570.124.03_expired.xml"},
        JANUARY_2026,
        "untrusted",
        {"nvidia.xmldsig.digest"},
    ),
    # No evidence of a GPU at all.
    Case(R550, None, {}, JUNE_2024, "unverified", {"nvidia.chain.missing"}),
    Case(
        "nvidia-nvswitch/asdk/switchAttestationReport.txt",
        "nvidia-nvswitch/asdk/switchCertChain.txt",
        {},
        JUNE_2024,
        "malformed",
        {"nvidia.kind"},
    ),
    Case(C550, C550, {}, JUNE_2024, "malformed", {"nvidia-gpu.container.text"}),
    *(
        Case(
            f"nvidia-nras/{name}",
            None,
            {},
            JANUARY_2026,
            "malformed",
            {"nvidia-gpu.container.json"},
        )
        for name in (
            "asdk/hopperClaimsv3_detached_eat.json",
            "asdk/hopperClaimsv3_decoded.json",
            "dstack/gpu_attestation_h100.json",
        )
    ),
)


def run(case: Case, kind: EvidenceKind = EvidenceKind.NVIDIA_GPU) -> Verdict:
    """Return the verdict the command line would print."""
    items = [(Role(role), (HOME / path).read_bytes()) for role, path in case.rims.items()]
    if case.chain is not None:
        items.append((Role.CERT_CHAIN, (HOME / case.chain).read_bytes()))
    return examine(
        Evidence(kind, (HOME / case.evidence).read_bytes()),
        Collateral(tuple(items)),
        expected=Expected(nonce=None if case.nonce is None else bytes.fromhex(case.nonce)),
        policy=None,
        now=case.at,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.evidence}-{case.verdict}")
def test_the_sample_gets_its_verdict(case: Case) -> None:
    """Verdict and codes of one row."""
    verdict = run(case)
    assert verdict.decision == Decision(case.verdict)
    assert case.codes <= {finding.code for finding in verdict.findings}
    if case.nonce is not None and case.verdict != "untrusted":
        assert verdict.freshness is Freshness.MATCH


def test_a_matching_half_leaves_only_what_was_not_given() -> None:
    """The 535.86.09 GPU matches its VBIOS manifest in all twelve measurements."""
    verdict = run(Case(R535, C535, {VBIOS: VBIOS_5E01}, JUNE_2024, "", set()))
    assert {each.code for each in verdict.findings} == {
        "nvidia-gpu.fwid.absent",
        NO_RIM,
        REVOCATION,
    }


def test_a_stale_manifest_mismatches_index_nine_only() -> None:
    """The 580.159.03 GPU against the 2023 issue of its VBIOS manifest."""
    verdict = run(Case(R580, C580, {VBIOS: VBIOS_7420}, JUNE_2024, "", set()))
    mismatches = [each for each in verdict.findings if each.code.endswith("measurement")]
    assert [each.claim for each in mismatches] == ["measurement 9"]


def test_four_gpus_are_four_devices() -> None:
    """Each device of a list is verified, and each is another one."""
    verdict = run(Case(f"{H}/asdk/multi_gpu_hopper.json", None, {}, JUNE_2024, "", set()))
    assert [each.hardware_id for each in verdict.claims] == [
        "655333107904478077882826344426270545524203067314",
        "729021024941865510702082019550403894617170069653",
        "522873818359063613972122709944121513760891589695",
        "462819874314720887924195175206697753480402871124",
    ]
    for each in verdict.claims:
        listed = each.details["switch_pdis"]
        assert isinstance(listed, list)
        assert len(set(listed)) == 4


def test_the_published_roots_are_the_pinned_one() -> None:
    """Both published copies of the device root hold the pinned key."""
    for name in ("verifier_device_root.pem", "nvidia_device_root.trustee.pem"):
        (root,) = split((HOME / H / "roots" / name).read_bytes(), code="t")
        assert point(root) == DEVICE_ROOT.point


def test_the_parse_equals_the_vendors_parser() -> None:
    """NVIDIA's own parser's output for the 580.159.03 report, field by field."""
    report = spdm.decode(bytes.fromhex((HOME / R580).read_text().strip()))
    home = HOME / H / "asdk/580.159.03"
    request = json.loads((home / "spdm_req_parsed_output.json").read_text())
    assert f"0x{report.nonce.hex()}" == request["Nonce"]
    parsed: dict[str, Any] = json.loads((home / "spdm_parsed_output.json").read_text())
    assert f"0x{report.responder_nonce.hex()}" == parsed["Nonce"]
    assert f"0x{report.signature.hex()}" == parsed["Signature"]
    assert len(report.opaque) == parsed["OpaqueLength"]
    blocks = parsed["MeasurementRecord"]["MeasurementBlocks"]
    assert {index + 1: f"0x{value.hex()}" for index, value in report.measurements.items()} == {
        int(number): block["DMTFSpecMeasurementValue"] for number, block in blocks.items()
    }
    fields = opaque.decode(report.opaque)
    for name, value in parsed["OpaqueData"]["OpaqueDataField"].items():
        field = opaque.FieldId[name.removeprefix("OPAQUE_FIELD_ID_")]
        if isinstance(value, list):
            assert opaque.describe(fields)["msrscnt"] == value
        else:
            assert f"0x{fields[field].hex()}" == value


def test_the_parse_equals_another_verifiers_claims() -> None:
    """What the confidential-containers verifier reads from the 550.90.07 report."""
    verdict = run(Case(R550, C550, {}, JUNE_2024, "", set()))
    (claims,) = verdict.claims
    text = (HOME / H / "trustee/hopperAttestationReport-claims.txt").read_text()
    expected: dict[str, Any] = json.loads(text)
    for number, value in expected["measurements"].items():
        assert claims.measurements[f"measurement_{int(number) - 1}"].hex() == value
    config = expected["config"]
    for name in ("chip_sku", "driver_version", "fwid", "gpu_info", "project", "project_sku"):
        assert claims.details[name] == config[name]
    assert str(claims.details["vbios_version"]).lower() == config["vbios_version"]


def test_every_bent_byte_of_a_real_report_is_refused() -> None:
    """Every 13th byte of the Blackwell report, flipped."""
    case = next(each for each in CASES if each.evidence.startswith(B))
    raw = bytes.fromhex((HOME / case.evidence).read_text().strip())
    chain = Collateral(((Role.CERT_CHAIN, (HOME / str(case.chain)).read_bytes()),))
    (unit,) = normalise(Evidence(EvidenceKind.NVIDIA_GPU, raw), chain)
    for at in range(0, len(raw), 13):
        bent = bytearray(unit.evidence.raw)
        bent[at] ^= 0x20
        verdict = examine(
            Evidence(EvidenceKind.NVIDIA_GPU, bytes(bent)),
            chain,
            expected=Expected(),
            policy=None,
            now=case.at,
        )
        assert verdict.decision in {Decision.UNTRUSTED, Decision.MALFORMED}
