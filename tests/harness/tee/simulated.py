"""A node of the `simulated` kind, with accelerators: one field bent at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from attestation import Bundle, Collateral, Device, Evidence, EvidenceKind, Freshness, binding
from attestation.simulated import Component, forge
from mifeng.crypto import sm3

NOW = 1_790_000_000
CHALLENGE = bytes(range(32))
KEYSET = b'{"v":1}'
MEASUREMENT = bytes(range(48))


def _same(raw: bytes) -> bytes:
    """Return what was given."""
    return raw


@dataclass(frozen=True, kw_only=True)
class SimulatedNode:
    """Everything a simulated node says; `but` changes some of it."""

    keyset: bytes = KEYSET
    bound_keyset: bytes | None = None
    """What the evidence commits to, if not `keyset`."""

    freshness: Freshness = field(default_factory=lambda: Freshness(kind=1, x=CHALLENGE))
    devices: int = 0
    shown: Callable[[tuple[Device, ...]], tuple[Device, ...]] = tuple
    """What becomes of the devices after the CPU has committed to them."""

    measurement: bytes = MEASUREMENT
    issued_at: int = NOW
    svn: int = 1
    debug: bool = False
    hardware_id: bytes = bytes(32)
    device_hardware_ids: Mapping[int, bytes] = field(default_factory=dict)
    device_nonce: bytes | None = None
    cpu_component: Component = Component.CPU
    bend_cpu: Callable[[bytes], bytes] = _same
    bend_device: Callable[[bytes], bytes] = _same

    def but(self, **changes: object) -> "SimulatedNode":
        """Return this node with some fields different."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def accelerators(self) -> tuple[Device, ...]:
        """Return the devices as collected."""
        nonce = self.device_nonce
        if nonce is None:
            nonce = binding.device_nonce(
                nonce32=self.freshness.nonce32, keyset_digest=self._digest()
            )
        return tuple(
            Device(
                device_id=f"gpu{index}",
                evidence=Evidence(
                    EvidenceKind.SIMULATED, self.bend_device(self._device(index, nonce))
                ),
                collateral=Collateral(),
            )
            for index in range(self.devices)
        )

    def _device(self, index: int, nonce: bytes) -> bytes:
        """Return one device's report."""
        return forge(
            report_data=nonce,
            measurement=self.measurement,
            issued_at=self.issued_at,
            hardware_id=self.device_hardware_ids.get(index, bytes([index + 1]) * 32),
            component=Component.ACCELERATOR,
        )

    def _digest(self) -> bytes:
        """Return the digest the evidence commits to."""
        return sm3(self.keyset if self.bound_keyset is None else self.bound_keyset)

    def bundle(self) -> Bundle:
        """Return what the node presents."""
        devices = self.accelerators()
        data = binding.report_data(
            nonce32=self.freshness.nonce32, keyset_digest=self._digest(), accelerators=devices
        )
        if self.cpu_component is Component.ACCELERATOR:
            data = data[:32]
        raw = forge(
            report_data=data,
            measurement=self.measurement,
            issued_at=self.issued_at,
            hardware_id=self.hardware_id,
            svn=self.svn,
            debug=self.debug,
            component=self.cpu_component,
        )
        return Bundle(
            keyset=self.keyset,
            freshness=self.freshness,
            cpu=Evidence(EvidenceKind.SIMULATED, self.bend_cpu(raw)),
            cpu_collateral=Collateral(),
            accelerators=self.shown(devices),
        )


HONEST = SimulatedNode()
EIGHT = SimulatedNode(devices=8)
