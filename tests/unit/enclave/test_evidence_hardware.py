"""A node's bundle of hardware evidence, bound both ways, from SIMULATED devices."""

import asyncio

import pytest

from attestation.binding import device_nonce, report_data
from attestation.bundle import Bundle, Device, Freshness
from attestation.evidence import Collateral, Evidence, EvidenceKind
from attestation.hygon_csv.verifier import HygonCsvVerifier
from attestation.hygon_dcu.verifier import HygonDcuVerifier
from enclave.evidence import AttesterError
from enclave.evidence.hardware import HardwareAttester, NoAccelerators, hardware_attester
from mifeng.crypto import sm3
from tests.harness.tee.hygon import Psp, dcu_report, endorsed, roots

KEYSET = b'{"keyset": 1}'
FRESH = Freshness(kind=1, x=bytes(32))


class Cpu:
    """A CSV processor."""

    def report(self, report_data: bytes) -> tuple[Evidence, Collateral]:
        """Report over 64 bytes."""
        raw = Psp(version=2, fields={"report_data": report_data}).report()
        return Evidence(EvidenceKind.HYGON_CSV, raw), endorsed()


class Dcus:
    """Two DCUs."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def devices(self, nonce: bytes) -> tuple[Device, ...]:
        """Report over 32 bytes, each."""
        return tuple(
            Device(
                device_id=name,
                evidence=Evidence(
                    EvidenceKind.HYGON_DCU,
                    dcu_report(chip_id=f"CHIP{index}".encode(), user_data=nonce),
                ),
                collateral=endorsed(),
            )
            for index, name in enumerate(self._names)
        )


def collect(attester: HardwareAttester) -> Bundle:
    """Collect one bundle."""
    return asyncio.run(attester.collect(KEYSET, FRESH))


def test_accelerators_first_then_the_cpu_over_them() -> None:
    """The accelerators sign the device nonce; the CPU signs keyset, freshness and all of them."""
    bundle = collect(HardwareAttester(Cpu(), Dcus("dcu-1", "dcu-0")))
    digest = sm3(KEYSET)
    claims = HygonCsvVerifier(roots()).verify(bundle.cpu.raw, bundle.cpu_collateral, now=0)
    assert claims.report_data == report_data(
        nonce32=FRESH.nonce32, keyset_digest=digest, accelerators=bundle.accelerators
    )
    nonce = device_nonce(nonce32=FRESH.nonce32, keyset_digest=digest)
    for device in bundle.accelerators:
        found = HygonDcuVerifier(roots()).verify(device.evidence.raw, device.collateral, now=0)
        assert found.report_data == nonce + bytes(32)
    assert Bundle.decode(bundle.encode()) == bundle


def test_a_node_without_accelerators() -> None:
    """The CPU alone."""
    assert collect(HardwareAttester(Cpu(), NoAccelerators())).accelerators == ()


def test_devices_have_names_of_their_own() -> None:
    """Two devices of one name are an error before the CPU is asked."""
    with pytest.raises(AttesterError, match="twice"):
        collect(HardwareAttester(Cpu(), Dcus("dcu-0", "dcu-0")))


def test_every_configuration_finds_its_devices_or_says_so() -> None:
    """On a machine without the hardware each configuration is a clear error."""
    for attester, message in (
        (hardware_attester("linux-tsm", "none"), "configfs-tsm"),
        (hardware_attester("csv-guest", "none"), "csv-guest"),
        (hardware_attester("csv-guest", "dcu"), "mkfd"),
        (hardware_attester("linux-tsm", "nvidia"), "NVML"),
    ):
        with pytest.raises(AttesterError, match=message):
            asyncio.run(_run(attester))
    with pytest.raises(AttesterError, match="simulated"):
        hardware_attester("linux-tsm", "unsafe-simulated")


async def _run(attester: object) -> object:
    assert isinstance(attester, HardwareAttester)
    return await attester.collect(KEYSET, FRESH)
