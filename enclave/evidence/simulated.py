"""Evidence of no hardware at all, for laptops and tests. Everything built on it says SIMULATED."""

import time
from collections.abc import Callable

from attestation.binding import device_nonce, report_data
from attestation.bundle import Bundle, Device, Freshness
from attestation.evidence import Collateral, Evidence, EvidenceKind
from attestation.simulated import Component, forge
from mifeng.crypto import sm3
from mifeng.protocol.keyset import keyset_digest

MEASUREMENT_BYTES = 48


class SimulatedAttester:
    """Plays a CPU TEE and any number of accelerators."""

    def __init__(
        self,
        *,
        node_id: str,
        measurement: bytes,
        accelerators: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take what the imaginary silicon will say.

        Args:
            node_id: distinguishes the hardware identities of several nodes.
            measurement: launch measurement, 48 bytes.
            accelerators: how many to play, 0 … 8.
            clock: Unix seconds.
        """
        self._node_id, self._measurement = node_id, measurement
        self._accelerators, self._clock = accelerators, clock

    async def collect(self, keyset: bytes, freshness: Freshness) -> Bundle:
        """See `Attester.collect`."""
        digest, issued_at = keyset_digest(keyset), int(self._clock())
        nonce32 = freshness.nonce32
        devices = tuple(
            Device(
                device_id=f"sim-{index}",
                evidence=Evidence(
                    EvidenceKind.SIMULATED,
                    forge(
                        report_data=device_nonce(nonce32=nonce32, keyset_digest=digest),
                        measurement=self._measurement,
                        issued_at=issued_at,
                        hardware_id=sm3(f"{self._node_id}/accelerator/{index}".encode()),
                        component=Component.ACCELERATOR,
                    ),
                ),
                collateral=Collateral(),
            )
            for index in range(self._accelerators)
        )
        cpu = forge(
            report_data=report_data(nonce32=nonce32, keyset_digest=digest, accelerators=devices),
            measurement=self._measurement,
            issued_at=issued_at,
            hardware_id=sm3(f"{self._node_id}/cpu".encode()),
        )
        return Bundle(
            keyset=keyset,
            freshness=freshness,
            cpu=Evidence(EvidenceKind.SIMULATED, cpu),
            cpu_collateral=Collateral(),
            accelerators=devices,
        )
