"""Evidence of this machine's hardware: the accelerators first, then the CPU over all of them.

Device calls block, for seconds on some machines, so they run in a thread.

Source: docs/spec/binding.md §3.
"""

import asyncio
from pathlib import Path
from typing import Literal, Protocol

from attestation.binding import device_nonce, report_data
from attestation.bundle import Bundle, Device, Freshness
from attestation.evidence import Collateral, Evidence
from mifeng.protocol.keyset import keyset_digest

from . import Attester, AttesterError
from .ccel import CCEL, with_events
from .csv_guest import CsvGuestCpu
from .dcu import DcuAccelerators
from .nvidia import NvidiaAccelerators
from .tsm import TsmCpu


class Cpu(Protocol):
    """Something that makes CPU evidence."""

    def report(self, report_data: bytes) -> tuple[Evidence, Collateral]:
        """Return evidence over 64 bytes, and what came with it.

        Raises:
            AttesterError: the device is missing or refuses.
        """
        ...


class Accelerators(Protocol):
    """Something that makes the evidence of all accelerators."""

    def devices(self, nonce: bytes) -> tuple[Device, ...]:
        """Return each device's evidence over 32 bytes.

        Raises:
            AttesterError: a device is missing or refuses.
        """
        ...


class NoAccelerators:
    """A node without accelerators."""

    def devices(self, nonce: bytes) -> tuple[Device, ...]:
        """Return nothing."""
        del nonce
        return ()


class HardwareAttester:
    """Makes bundles of one CPU and its accelerators."""

    def __init__(self, cpu: Cpu, accelerators: Accelerators, *, ccel: Path = CCEL) -> None:
        """Take the devices, and where firmware leaves the log of the boot."""
        self._cpu, self._accelerators, self._ccel = cpu, accelerators, ccel
        self._one_at_a_time = asyncio.Lock()

    async def collect(self, keyset: bytes, freshness: Freshness) -> Bundle:
        """See `Attester.collect`."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._collect, keyset, freshness)

    def _collect(self, keyset: bytes, freshness: Freshness) -> Bundle:
        digest, nonce32 = keyset_digest(keyset), freshness.nonce32
        devices = self._accelerators.devices(device_nonce(nonce32=nonce32, keyset_digest=digest))
        names = [device.device_id for device in devices]
        if len(set(names)) != len(names):
            raise AttesterError(f"accelerators: a name occurs twice among {names}")
        wanted = report_data(nonce32=nonce32, keyset_digest=digest, accelerators=devices)
        evidence, collateral = self._cpu.report(wanted)
        collateral = with_events(evidence, collateral, ccel=self._ccel)
        return Bundle(
            keyset=keyset,
            freshness=freshness,
            cpu=evidence,
            cpu_collateral=collateral,
            accelerators=devices,
        )


def hardware_attester(
    kind: Literal["linux-tsm", "csv-guest"],
    accelerators: Literal["none", "nvidia", "dcu", "unsafe-simulated"],
) -> Attester:
    """Return the attester that the measured configuration names; devices are opened when asked.

    Args:
        kind: how CPU evidence is made.
        accelerators: whose evidence goes with it.

    Raises:
        AttesterError: real CPU evidence was to vouch for simulated accelerators.
    """
    cpu: Cpu = TsmCpu() if kind == "linux-tsm" else CsvGuestCpu()
    if accelerators == "unsafe-simulated":
        raise AttesterError("simulated accelerators beside a real CPU: no policy accepts both")
    if accelerators == "nvidia":
        return HardwareAttester(cpu, NvidiaAccelerators())
    if accelerators == "dcu":
        return HardwareAttester(cpu, DcuAccelerators())
    return HardwareAttester(cpu, NoAccelerators())
