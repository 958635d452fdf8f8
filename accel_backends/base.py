"""What a backend offers: name its devices, load a model from memory, run it, prove where.

A backend sees tensors and nothing else: no key, no tenant, no request header. Which devices
and which backend may be used is decided by the node's measured configuration, never guessed
from the hardware present, and there is no fallback: a list that does not hold exactly as
written is an error.

Left out: batching, queues, deadlines (the node owns them) and model decryption (the caller
hands over plaintext bytes, which never touch a disk).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, Protocol

from .tensors import Tensor, TensorSpec

__all__ = [
    "Backend",
    "Device",
    "DeviceRequest",
    "LoadOptions",
    "Placement",
    "Precision",
    "Result",
    "Session",
]

Precision = Literal["native", "reduced"]
"""`native`: arithmetic in the types that the graph declares. `reduced`: the provider may round
further (bf16, TF32). Which one was in force is part of every result."""

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device that an execution provider (EP) offers on this machine."""

    backend: str
    ep: str
    ep_version: str
    index: int
    """Position among the devices of this EP, from 0."""
    kind: Literal["cpu", "gpu", "npu"]
    vendor: str
    vendor_id: int
    """PCI vendor, or what the runtime reports for a CPU."""
    device_id: int
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __str__(self) -> str:
        """Return the form used in receipts: `CPUExecutionProvider:0 (AMD cpu)`."""
        return f"{self.ep}:{self.index} ({self.vendor} {self.kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """One line of the measured device list."""

    ep: str
    index: int = 0
    vendor: str | None = None
    """If given, the device found must be of this vendor."""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Provider options, as that provider documents them. Options that write files are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How one model is loaded. Thread counts and bounds are per session."""

    devices: tuple[DeviceRequest, ...]
    """In order of preference per graph node. The first must run something; a CPU provider runs
    what the others cannot only if it is in the list."""
    precision: Precision = "native"
    intra_threads: int = 1
    """Threads for one operator, 1 … 256. Small models are fastest with 1."""
    spinning: bool = False
    """Let idle threads burn a core for lower latency. Not on a shared machine."""
    max_input_bytes: int = 256 * _MIB
    max_output_bytes: int = 256 * _MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a loaded graph runs, as the runtime itself reports it."""

    device: Device
    """The first device of the list that was asked for."""
    ep: str
    ep_version: str
    node_counts: Mapping[str, int]
    """Graph nodes per execution provider after optimisation. Sums to the whole graph."""
    precision: Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Outputs of one run and the proof of where they were computed."""

    outputs: Mapping[str, Tensor]
    device: Device
    ep: str
    ep_version: str
    node_counts: Mapping[str, int]
    precision: Precision


class Session(Protocol):
    """One model on one device list. `run` may be called from many threads at once."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Declared inputs, in the model's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Declared outputs, in the model's order."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """Key-value pairs that the model's author put into the file."""
        ...

    @property
    def placement(self) -> Placement:
        """Where the graph runs."""
        ...

    def run(self, inputs: Mapping[str, Tensor]) -> Result:
        """Run the model once.

        Raises:
            InputError: the tensors are not what the model declares.
            OutputSizeError: the outputs exceed `max_output_bytes`.
            ExecutionError: the device failed; the message quotes no data.
            ClosedError: `close` was called.
        """
        ...

    def close(self) -> None:
        """Release the model and its buffers. Runs in flight finish; later ones are refused."""
        ...


class Backend(Protocol):
    """One runtime that can reach some devices."""

    @property
    def name(self) -> str:
        """Stable identifier, recorded in receipts: `onnxruntime`, …."""
        ...

    @property
    def version(self) -> str:
        """Version of the runtime underneath."""
        ...

    def devices(self) -> tuple[Device, ...]:
        """Return every device that can be named in a `DeviceRequest`, virtual ones excluded."""
        ...

    def load(
        self, model: bytes, *, options: LoadOptions, external: Mapping[str, bytes] | None = None
    ) -> Session:
        """Load a model from memory.

        Args:
            model: the serialised graph.
            options: devices, precision, threads, bounds.
            external: contents of the files that the graph names as external data. A graph that
                names a file not given here is refused; no path is ever opened.

        Raises:
            DeviceError: a device of the list is not there, or its options are not acceptable.
            ModelError: the bytes are no model, or its signature has no OIP form.
            PlacementError: some node would run on a provider that is not in the list, or the
                first provider of the list would run nothing.
        """
        ...
