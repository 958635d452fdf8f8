"""CPU evidence of a CSV guest, against a SIMULATED device."""

import ctypes
import errno
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from attestation.evidence import Collateral, Evidence, Role
from attestation.hygon_csv.verifier import HygonCsvVerifier
from enclave.evidence import AttesterError
from enclave.evidence.csv_guest import GET_REPORT, RTMR_REQUEST, CsvGuestCpu, open_device
from mifeng.crypto import sm3
from tests.harness.tee.hygon import Psp, ca, csv, endorsed, pek, roots

DATA = bytes(range(64))


class Guest:
    """Plays `/dev/csv-guest` of a version 1 or version 2 firmware."""

    def __init__(self, psp: Psp, *, registers: bool | int = False) -> None:
        self.psp, self.registers = psp, registers
        self.altered = -1
        self.requests: list[bytes] = []
        self.is_open = True
        self.error = 0

    def call(self, request: int, argument: bytearray) -> None:
        """Answer one ioctl."""
        if request == RTMR_REQUEST:
            if not self.registers:
                raise OSError(errno.ENOTTY, "no registers")
            struct.pack_into("<I", argument, 20, int(self.registers) - 1)
            return
        assert request == GET_REPORT
        if self.error:
            raise OSError(self.error, "firmware")
        address, length, _ = struct.unpack("<QII", argument)
        assert (address % 4096, length) == (0, 4096)
        asked = ctypes.string_at(address, length)
        self.requests.append(asked)
        assert asked[80:112] == sm3(asked[:80])
        fields = {"report_data": asked[:64], "mnonce": asked[64:80], **self.psp.fields}
        raw = bytearray(replace(self.psp, fields=fields).report().ljust(4096, b"\0"))
        if self.altered >= 0:
            raw[self.altered] ^= 1
        ctypes.memmove(address, bytes(raw), length)

    def close(self) -> None:
        """Close the device."""
        self.is_open = False


def ask(guest: Guest, certificates: Path = Path("/absent")) -> tuple[Evidence, Collateral]:
    """Ask the simulated device."""
    found = CsvGuestCpu(open_device=lambda: guest, certificates=certificates).report(DATA)
    assert not guest.is_open
    return found


def test_the_ioctls_are_the_drivers() -> None:
    """The numbers are _IOWR('D', 1, 16) and _IOWR('D', 2, 24)."""
    assert (GET_REPORT, RTMR_REQUEST) == (0xC0104401, 0xC0184402)


@pytest.mark.parametrize(("version", "registers"), [(1, 0), (1, 8), (2, 1)])
def test_evidence_verifies(version: int, registers: int) -> None:
    """What comes out is what the verifier takes; version 2 where there are registers."""
    guest = Guest(Psp(version=version), registers=registers)
    evidence, collateral = ask(guest)
    assert collateral == Collateral()
    claims = HygonCsvVerifier(roots()).verify(evidence.raw, endorsed(), now=0)
    assert claims.report_data == DATA
    assert claims.details["report_version"] == version
    assert guest.requests[0][112:132] == (
        bytes(20) if version == 1 else b"ATTESTATION_EXT\0\1\0\0\0"
    )


def test_certificates_on_this_machine_come_along(tmp_path: Path) -> None:
    """HSK and CEK lie under the serial number."""
    home = tmp_path / "SIM0000000000001"
    home.mkdir()
    (home / "hsk_cek.cert").write_bytes(ca() + csv())
    assert ask(Guest(Psp()), tmp_path)[1].items == ((Role.HSK_CEK, ca() + csv()),)
    strange = Guest(Psp(fields={"sn": b"../etc"}))
    assert ask(strange, tmp_path)[1] == Collateral()


BAD = {
    "other-nonce": Guest(Psp(fields={"mnonce": bytes(16)})),
    "other-data": Guest(Psp(fields={"report_data": bytes(64)})),
    "not-a-report": Guest(Psp(pek=pek(curve=1))),
    "other-version": Guest(Psp(), registers=1),
}


@pytest.mark.parametrize("case", BAD)
def test_answers_to_something_else_are_errors(case: str) -> None:
    """A report that is not over what was asked is not passed on."""
    with pytest.raises(AttesterError, match="csv-guest"):
        ask(BAD[case])


def test_an_altered_certificate_is_noticed() -> None:
    """The MAC under our nonce covers PEK and serial number on their way here."""
    guest = Guest(Psp())
    guest.altered = 0x974
    with pytest.raises(AttesterError, match="altered"):
        ask(guest)


def test_a_missing_or_refusing_device_is_an_error() -> None:
    """No device node, or a firmware error, is said with its reason."""
    with pytest.raises(AttesterError, match="csv-guest"):
        CsvGuestCpu(open_device=open_device).report(DATA)
    guest = Guest(Psp())
    guest.error = errno.EIO
    with pytest.raises(AttesterError, match="firmware"):
        ask(guest)
