"""Questions for Hygon and NVIDIA from SIMULATED evidence, against what their verifiers need."""

import pytest

from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.hygon_csv.report import parse
from attestation.nvidia.device import authenticate
from attestation.nvidia_gpu import firmware
from gateway.collateral import sources
from gateway.collateral.sources import Urls
from tests.harness.tee import hygon, nvidia


def test_hygon_question() -> None:
    """The chip's serial number is asked for, unless its certificates were delivered."""
    raw = hygon.Psp().report()
    evidence = Evidence(EvidenceKind.HYGON_CSV, raw)
    (asked,) = sources.plan(evidence, Collateral(), Urls()).missing
    assert asked.role is Role.HSK_CEK
    assert asked.url == f"https://cert.hygon.cn/hsk_cek?snumber={parse(raw).serial}"
    given = Collateral(((Role.HSK_CEK, b"x"),))
    assert not sources.plan(evidence, given, Urls()).missing


def test_nvidia_questions() -> None:
    """Two manifests first; then the status of three device and three signer certificates."""
    device = nvidia.gpu()
    pem = nvidia.pem(device.certs)
    evidence = Evidence(EvidenceKind.NVIDIA_GPU, device.report())
    chain = ((Role.CERT_CHAIN, pem),)
    asked = sources.plan(evidence, Collateral(chain), Urls()).missing
    assert [each.role for each in asked] == [Role.DRIVER_RIM, Role.VBIOS_RIM]
    base = "https://rim.attestation.nvidia.com/v1/rim/NV_GPU_"
    assert asked[0].url.startswith(f"{base}DRIVER_GH100_")
    assert asked[1].url.startswith(f"{base}VBIOS_")
    assert not sources.plan(evidence, Collateral(), Urls()).missing
    more = (*chain, (Role.DRIVER_RIM, nvidia.driver_rim().xml()))
    statuses = sources.second(evidence, Collateral(more), Urls()).missing
    assert {each.url for each in statuses} == {"https://ocsp.ndis.nvidia.com/"}
    assert len(statuses) == 6
    answer = nvidia.Response(certs=device.certs, position=1).der()
    left = sources.second(evidence, Collateral((*more, (Role.OCSP, answer))), Urls()).missing
    assert len(left) == len(statuses) - 1


@pytest.mark.parametrize("device", [nvidia.gpu(), nvidia.blackwell()], ids=["hopper", "blackwell"])
def test_manifests_are_those_the_verifier_needs(device: nvidia.Device) -> None:
    """The names asked for are the names the verified device calls for."""
    given = Collateral(((Role.CERT_CHAIN, nvidia.pem(device.certs)),))
    evidence = Evidence(EvidenceKind.NVIDIA_GPU, device.report())
    verified = authenticate(
        evidence.kind,
        evidence.raw,
        given,
        roots=(nvidia.device_root(),),
        blocks=len(device.blocks),
        now=nvidia.NOW,
    )
    asked = sources.plan(evidence, given, Urls()).missing
    names = [(each.role, each.url.rpartition("/")[2]) for each in asked]
    assert names == [(need.role, need.rim_id) for need in firmware.needs(verified)]
