"""Evidence of Hygon DCUs through `/dev/mkfd`, one report for every device of the node.

Source: openanolis/csv-rs `src/api/dcu` (ioctl, structures, topology).
"""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attestation.bundle import Device as BundleDevice
from attestation.errors import AttestationError
from attestation.evidence import Collateral, Evidence, EvidenceKind, Role
from attestation.hygon_dcu.report import SIZE, parse

from . import AttesterError
from .ioctl import PAGE, Device, KernelDevice, Page, read_write

DEVICE: Final = "/dev/mkfd"
NODES: Final = Path("/sys/devices/virtual/kfd/kfd/topology/nodes")
CERTIFICATES: Final = Path("/opt/dcu/certs")
"""Where certificates lie if somebody fetched them: `hsk.cert`, `<chip id>_cek.cert`."""

_ARGUMENT: Final = struct.Struct("<IIIxxxxQQQQQ")
"""DCU id, command, version; address and size of request and response; firmware's error."""
GET_REPORT: Final = read_write("M", 0x17, _ARGUMENT.size)
_VERSION: Final = 1
_HEADER: Final = 32
_USER_DATA: Final = 64


def open_device() -> Device:
    """Open the driver's device."""
    return KernelDevice(DEVICE, flags=os.O_RDWR)


class DcuAccelerators:
    """Asks every DCU of this machine."""

    def __init__(
        self,
        *,
        open_device: Callable[[], Device] = open_device,
        nodes: Path = NODES,
        certificates: Path = CERTIFICATES,
    ) -> None:
        """Take the device and where the others are described.

        Args:
            open_device: opens the device; raises OSError if there is none.
            nodes: the driver's topology.
            certificates: directory of HSK and CEK by chip id; need not exist.
        """
        self._open, self._nodes, self._certificates = open_device, nodes, certificates

    def devices(self, nonce: bytes) -> tuple[BundleDevice, ...]:
        """Return the evidence of every DCU over the 32-byte nonce and 32 zero bytes.

        Raises:
            AttesterError: no device, none that can attest, or one that answers something else.
        """
        try:
            device = self._open()
        except OSError as exc:
            raise AttesterError(f"{DEVICE}: {exc}") from exc
        try:
            found = tuple(self._device(device, node, dcu_id, nonce) for node, dcu_id in self._ids())
        except OSError as exc:
            raise AttesterError(f"{DEVICE}: {exc}") from exc
        finally:
            device.close()
        if not found:
            raise AttesterError(f"{self._nodes}: no DCU")
        return found

    def _ids(self) -> list[tuple[str, int]]:
        """Return node names and DCU ids; a node without an id is a CPU."""
        found = []
        for node in sorted(self._nodes.iterdir()):
            text = (node / "gpu_id").read_text("ascii", "replace").strip()
            if not text.isascii() or not text.isdigit():
                raise AttesterError(f"{node}: gpu_id {text!r}")
            if int(text):
                found.append((node.name, int(text)))
        return found

    def _device(self, device: Device, node: str, dcu_id: int, nonce: bytes) -> BundleDevice:
        asked = nonce.ljust(_USER_DATA, b"\0")
        request, response = Page(), Page()
        request.fill(asked)
        argument = _ARGUMENT.pack(
            dcu_id, 0, _VERSION, request.address, PAGE, response.address, PAGE, 0
        )
        device.call(GET_REPORT, bytearray(argument))
        raw = response.content()[_HEADER : _HEADER + SIZE]
        try:
            report = parse(raw)
        except AttestationError as exc:
            raise AttesterError(f"DCU {node}: {exc}") from exc
        if report.fields["user_data"] != asked:
            raise AttesterError(f"DCU {node}: a report for another request")
        return BundleDevice(
            device_id=f"dcu-{node}",
            evidence=Evidence(EvidenceKind.HYGON_DCU, raw),
            collateral=self._collateral(report.chip_id),
        )

    def _collateral(self, chip_id: str) -> Collateral:
        if not chip_id.isalnum():
            return Collateral()
        names = ((Role.HSK, "hsk.cert"), (Role.CEK, f"{chip_id}_cek.cert"))
        try:
            items = tuple((role, (self._certificates / name).read_bytes()) for role, name in names)
        except OSError:
            return Collateral()
        return Collateral(items)
