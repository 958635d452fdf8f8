"""Evidence of DCUs, against a SIMULATED driver."""

import ctypes
import errno
import os
import struct
from pathlib import Path

import pytest

from attestation.bundle import Device
from attestation.evidence import Role
from attestation.hygon_dcu.verifier import HygonDcuVerifier
from enclave.evidence import AttesterError
from enclave.evidence.dcu import GET_REPORT, DcuAccelerators, open_device
from enclave.evidence.ioctl import KernelDevice
from tests.harness.tee.hygon import ca, csv, dcu_report, endorsed, roots

NONCE = bytes(range(32))


class Driver:
    """Plays `/dev/mkfd`."""

    def __init__(self, **bend: bytes) -> None:
        self.bend, self.is_open, self.error = bend, True, 0

    def call(self, request: int, argument: bytearray) -> None:
        """Answer one ioctl."""
        assert request == GET_REPORT
        if self.error:
            raise OSError(self.error, "driver")
        dcu_id, _, version, asked, size, answer, room, _ = struct.unpack("<IIIxxxxQQQQQ", argument)
        assert (version, size, room) == (1, 4096, 4096)
        chip_id = self.bend.get("chip_id", f"SIMDCU{dcu_id:010}".encode())
        user_data = self.bend.get("user_data", ctypes.string_at(asked, 64))
        report = dcu_report(chip_id=chip_id, user_data=user_data)
        response = len(report).to_bytes(4, "little") + bytes(28) + report
        ctypes.memmove(answer, response, len(response))

    def close(self) -> None:
        """Close the device."""
        self.is_open = False


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """Return a topology of a CPU and two DCUs."""
    home = tmp_path / "nodes"
    for name, text in (("0", "0\n"), ("1", "4097\n"), ("2", "4098\n")):
        (home / name).mkdir(parents=True)
        (home / name / "gpu_id").write_text(text)
    return home


def ask(driver: Driver, nodes: Path, certificates: Path = Path("/absent")) -> tuple[Device, ...]:
    """Ask the simulated driver."""
    source = DcuAccelerators(open_device=lambda: driver, nodes=nodes, certificates=certificates)
    found = source.devices(NONCE)
    assert not driver.is_open
    return found


def test_the_ioctl_is_the_drivers() -> None:
    """The number is _IOWR('M', 0x17, 56)."""
    assert GET_REPORT == 0xC0384D17


def test_every_dcu_answers(nodes: Path, tmp_path: Path) -> None:
    """Each device signs the nonce and zeros; local certificates come along."""
    (tmp_path / "hsk.cert").write_bytes(ca())
    (tmp_path / "SIMDCU0000004098_cek.cert").write_bytes(csv())
    found = ask(Driver(), nodes, tmp_path)
    assert [device.device_id for device in found] == ["dcu-1", "dcu-2"]
    verifier = HygonDcuVerifier(roots())
    claims = [verifier.verify(each.evidence.raw, endorsed(), now=0) for each in found]
    assert {each.report_data for each in claims} == {NONCE + bytes(32)}
    assert [each.hardware_id for each in claims] == ["SIMDCU0000004097", "SIMDCU0000004098"]
    assert found[0].collateral.items == ()
    assert found[1].collateral.items == ((Role.HSK, ca()), (Role.CEK, csv()))


def test_answers_to_something_else_are_errors(nodes: Path) -> None:
    """Another nonce, or no report at all, is not passed on."""
    with pytest.raises(AttesterError, match="another request"):
        ask(Driver(user_data=bytes(64)), nodes)
    with pytest.raises(AttesterError, match="chip"):
        ask(Driver(chip_id=b""), nodes)
    assert ask(Driver(chip_id=b"../../x"), nodes, nodes)[0].collateral.items == ()


def test_missing_devices_are_errors(nodes: Path) -> None:
    """No driver, no topology, no DCU in it, or a driver that refuses."""
    with pytest.raises(AttesterError, match="mkfd"):
        DcuAccelerators(open_device=open_device, nodes=nodes).devices(NONCE)
    with pytest.raises(AttesterError, match="nodes"):
        ask(Driver(), nodes / "absent-nodes")
    refusing = Driver()
    refusing.error = errno.EIO
    with pytest.raises(AttesterError, match="driver"):
        ask(refusing, nodes)
    (nodes / "1" / "gpu_id").write_text("x")
    with pytest.raises(AttesterError, match="gpu_id"):
        ask(Driver(), nodes)
    for name in ("1", "2"):
        (nodes / name / "gpu_id").write_text("0")
    with pytest.raises(AttesterError, match="no DCU"):
        ask(Driver(), nodes)


def test_a_device_node_is_opened_and_asked() -> None:
    """A real node that knows no such call refuses it."""
    device = KernelDevice("/dev/null", flags=os.O_RDWR)
    with pytest.raises(OSError, match="Inappropriate"):
        device.call(GET_REPORT, bytearray(56))
    device.close()
