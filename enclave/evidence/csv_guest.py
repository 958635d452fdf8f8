"""CPU evidence of a Hygon CSV guest through `/dev/csv-guest`.

The device is asked for the unmasked version 2 report where firmware and guest have runtime
registers, and for version 1 otherwise. What it answers is compared with what was asked: only the
guest knows the nonce that protects the PEK's way here.

Source: openanolis/csv-rs `src/api/guest` (ioctls and structures).
"""

import os
import secrets
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attestation.errors import AttestationError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.hygon_csv.report import MAGIC, V1_SIZE, V2_SIZE, parse
from mifeng.crypto import sm3

from . import AttesterError
from .ioctl import Device, KernelDevice, Page, read_write

DEVICE: Final = "/dev/csv-guest"
CERTIFICATES: Final = Path("/opt/hygon/csv/hsk_cek")
"""Where HSK and CEK lie if somebody fetched them: `<serial>/hsk_cek.cert`."""

_REPORT: Final = struct.Struct("<QII")
"""Address, length, padding."""
_RTMR: Final = struct.Struct("<QQHHI")
"""Address, length, subcommand, reserved, firmware's error."""
GET_REPORT: Final = read_write("D", 1, _REPORT.size)
RTMR_REQUEST: Final = read_write("D", 2, _RTMR.size)
_STATUS: Final = 1
_STATUS_SIZE: Final = 3
_EXTENDED: Final = 1
_NONCE_BYTES: Final = 16
_SERIAL: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def open_device() -> Device:
    """Open the guest device."""
    return KernelDevice(DEVICE, flags=os.O_RDONLY)


class CsvGuestCpu:
    """Asks the secure processor."""

    def __init__(
        self,
        *,
        open_device: Callable[[], Device] = open_device,
        certificates: Path = CERTIFICATES,
    ) -> None:
        """Take the device and the local certificates.

        Args:
            open_device: opens the device; raises OSError if there is none.
            certificates: directory of HSK and CEK by serial number; need not exist.
        """
        self._open, self._certificates = open_device, certificates

    def report(self, report_data: bytes) -> tuple[Evidence, Collateral]:
        """Return evidence over 64 bytes, and HSK and CEK if they lie on this machine.

        Raises:
            AttesterError: no device, or its answer is not to what was asked.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        try:
            device = self._open()
        except OSError as exc:
            raise AttesterError(f"{DEVICE}: {exc}") from exc
        try:
            version = 2 if _has_registers(device) else 1
            page = _ask(device, report_data, nonce, version=version)
        except OSError as exc:
            raise AttesterError(f"{DEVICE}: {exc}") from exc
        finally:
            device.close()
        raw = page[: V1_SIZE if version == 1 else V2_SIZE]
        serial = _check(raw, report_data, nonce, version=version)
        return Evidence(EvidenceKind.HYGON_CSV, raw), self._collateral(serial)

    def _collateral(self, serial: str) -> Collateral:
        if not serial or not _SERIAL.issuperset(serial):
            return Collateral()
        try:
            data = (self._certificates / serial / "hsk_cek.cert").read_bytes()
        except OSError:
            return Collateral()
        return Collateral(((Role.HSK_CEK, data),))


def _has_registers(device: Device) -> bool:
    page = Page()
    argument = bytearray(_RTMR.pack(page.address, _STATUS_SIZE, _STATUS, 0, 0))
    try:
        device.call(RTMR_REQUEST, argument)
    except OSError:
        return False
    *_, error = _RTMR.unpack(argument)
    return bool(error == 0)


def _ask(device: Device, report_data: bytes, nonce: bytes, *, version: int) -> bytes:
    page = Page()
    request = report_data + nonce + sm3(report_data + nonce)
    if version > 1:
        request += MAGIC + _EXTENDED.to_bytes(4, "little")
    page.fill(request)
    content = len(page.content())
    device.call(GET_REPORT, bytearray(_REPORT.pack(page.address, content, 0)))
    return page.content()


def _check(raw: bytes, report_data: bytes, nonce: bytes, *, version: int) -> str:
    """Return the serial number of a report that answers what was asked."""
    try:
        report = parse(raw)
    except AttestationError as exc:
        raise AttesterError(f"{DEVICE}: {exc}") from exc
    asked = (version, report_data, nonce)
    if (report.version, report.fields["report_data"], report.fields["mnonce"]) != asked:
        raise AttesterError(f"{DEVICE}: a report for another request")
    if report.mac_is_wrong:
        raise AttesterError(f"{DEVICE}: the report's PEK was altered on its way here")
    return report.serial
