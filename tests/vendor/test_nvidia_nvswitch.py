"""Every NVSwitch sample that the evidence collection's manifest judges, with its verdict."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.nvidia import spdm
from attestation.nvidia_nvswitch.topology import findings
from attestation.verdict import Decision, Expected, Verdict, examine

_DIR = os.environ.get("MIFENG_EVIDENCE_DIR")
pytestmark = [
    pytest.mark.vendor,
    pytest.mark.skipif(_DIR is None, reason="MIFENG_EVIDENCE_DIR is not set"),
]
HOME = Path(_DIR or ".")

ASDK = "nvidia-nvswitch/asdk"
REPORT, CHAIN = f"{ASDK}/switchAttestationReport.txt", f"{ASDK}/switchCertChain.txt"
RIM = "nvidia-rim/asdk/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml"
BROKEN_RIM = (
    "nvidia-rim/asdk/sample_rims/NV_SWITCH_BIOS_5612_0002_890_9610550001_measurement_mismatch.xml"
)
GPU_RIM = "nvidia-rim/trustee/test-rim.swidtag"
NONCE = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb"
JANUARY_2027 = 1_800_000_000
JUNE_2024 = 1_717_200_000
REVOCATION = "nvidia.revocation.missing"


class Case(NamedTuple):
    """One row: what is verified with what, as of when, and what comes out."""

    evidence: str
    chain: str | None
    rim: str | None
    at: int
    verdict: str
    codes: set[str]
    """All the codes among the findings."""

    nonce: str | None = NONCE


CASES = (
    # Genuine, and all 31 measurements match: only revocation is undecided.
    Case(REPORT, CHAIN, RIM, JANUARY_2027, "unverified", {REVOCATION}),
    Case(
        f"{ASDK}/sample/switchAttestationReport.txt",
        f"{ASDK}/sample/switchCertChain.txt",
        RIM,
        JANUARY_2027,
        "unverified",
        {REVOCATION},
    ),
    Case(f"{ASDK}/switch_evidence_ls10.json", None, RIM, JANUARY_2027, "unverified", {REVOCATION}),
    Case(
        REPORT,
        CHAIN,
        None,
        JANUARY_2027,
        "unverified",
        {"nvidia.switch-rim.missing", REVOCATION},
    ),
    Case(
        REPORT,
        CHAIN,
        RIM,
        JUNE_2024,
        "unverified",
        {"nvidia.switch-rim.expired", REVOCATION},
    ),
    Case(REPORT, CHAIN, BROKEN_RIM, JUNE_2024, "untrusted", {"nvidia.xmldsig.digest"}),
    Case(REPORT, CHAIN, RIM, JANUARY_2027, "untrusted", {"binding.nonce", REVOCATION}, "00" * 32),
    Case(REPORT, None, RIM, JANUARY_2027, "unverified", {"nvidia.chain.missing"}, None),
    Case(
        "nvidia-nras/asdk/switch_detached_eat.json",
        None,
        None,
        JANUARY_2027,
        "malformed",
        {"nvidia-nvswitch.container.json"},
        None,
    ),
    Case(
        "nvidia-nras/asdk/switch_decoded.json",
        None,
        None,
        JANUARY_2027,
        "malformed",
        {"nvidia-nvswitch.container.json"},
        None,
    ),
    Case(
        "nvidia-hopper/pypi/hopperAttestationReport.txt",
        "nvidia-hopper/pypi/hopperCertChain.txt",
        None,
        JANUARY_2027,
        "malformed",
        {"nvidia.kind"},
        None,
    ),
)


def run(case: Case) -> Verdict:
    """Return the verdict the command line would print."""
    items = [
        (role, (HOME / path).read_bytes())
        for role, path in ((Role.CERT_CHAIN, case.chain), (Role.SWITCH_RIM, case.rim))
        if path is not None
    ]
    return examine(
        Evidence(EvidenceKind.NVIDIA_NVSWITCH, (HOME / case.evidence).read_bytes()),
        Collateral(tuple(items)),
        expected=Expected(nonce=None if case.nonce is None else bytes.fromhex(case.nonce)),
        policy=None,
        now=case.at,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.evidence}-{case.verdict}")
def test_the_sample_gets_its_verdict(case: Case) -> None:
    """Verdict and all codes of one row."""
    verdict = run(case)
    assert verdict.decision == Decision(case.verdict)
    assert {finding.code for finding in verdict.findings} == case.codes


def test_a_gpu_manifest_is_not_a_switchs() -> None:
    """A genuine manifest of another product is refused by version, product and indices."""
    verdict = run(Case(REPORT, CHAIN, GPU_RIM, JUNE_2024, "", set()))
    assert verdict.decision is Decision.REJECTED
    assert {
        "nvidia.switch-rim.version",
        "nvidia.switch-rim.product",
        "nvidia.switch-rim.coverage",
    } <= {each.code for each in verdict.findings}


def test_one_real_switch_is_no_board() -> None:
    """The sample's own list names seven GPUs, one of them twice: no complete board."""
    verdict = run(CASES[0])
    codes = {each.code.rpartition(".")[2] for each in findings(verdict.claims)}
    assert codes == {"gpus", "switches", "switch-links"}
    assert verdict.claims[0].details["device_pdi"] == "203eb31ad9ed0008"


def test_the_parse_equals_the_vendors_parser() -> None:
    """NVIDIA's own parser's output, measurement by measurement."""
    report = spdm.decode(bytes.fromhex((HOME / REPORT).read_text().strip()))
    parsed: dict[str, Any] = json.loads(
        (HOME / ASDK / "switch_spdm_parsed_output.json").read_text()
    )
    blocks = parsed["MeasurementRecord"]["MeasurementBlocks"]
    assert {index + 1: f"0x{value.hex()}" for index, value in report.measurements.items()} == {
        int(number): block["DMTFSpecMeasurementValue"] for number, block in blocks.items()
    }
