"""ONNX Runtime as a backend: named devices, no fallback, placement proved, models from memory.

Device selection goes through the runtime's own device list (`get_ep_devices`, which holds the
CPU, bundled and plug-in providers) and, for providers compiled into a vendor's wheel that do not
appear there, through their classic names. Either way a provider that is not in the list runs no
node, and the session says how many nodes each provider was given.

Left out: wiping. The runtime keeps activations in its arena until `close`; what protects them is
the memory encryption of the enclave.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from . import telemetry

telemetry.silence()

import onnxruntime  # noqa: E402  # the line above must come first
from onnxruntime.capi import onnxruntime_pybind11_state as _binding  # noqa: E402

from . import ort_devices, ort_plugin  # noqa: E402
from .base import Device, LoadOptions, Placement, Result  # noqa: E402
from .errors import (  # noqa: E402
    ClosedError,
    ExecutionError,
    InputError,
    ModelError,
    OutputSizeError,
    PlacementError,
)
from .tensors import DYNAMIC, Tensor, TensorSpec, check_inputs, nbytes  # noqa: E402

__all__ = ["OrtBackend", "OrtSession"]

_ERRORS: Final[tuple[type[Exception], ...]] = (
    RuntimeError,
    ValueError,
    TypeError,
    *(v for v in vars(_binding).values() if isinstance(v, type) and issubclass(v, Exception)),
)
"""What the binding raises; its own classes derive from `Exception` directly."""

_FATAL: Final = 4
"""Log severity. Below it the runtime prints values of tensors with its error messages."""

_MAX_THREADS: Final = 256

_NO_FOLDER: Final = "/dev/null/none"
"""Cannot exist, so an external data file that was not given in memory cannot be opened."""

_OIP_TYPES: Final[Mapping[str, str]] = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


class OrtBackend:
    """See `accel_backends.base.Backend`."""

    name: Final = "onnxruntime"

    def __init__(self) -> None:
        telemetry.check()

    @property
    def version(self) -> str:
        """Version of the runtime."""
        return str(onnxruntime.__version__)

    def register_plugin(self, plugin: ort_plugin.PluginLibrary) -> None:
        """Check a plug-in provider's libraries against their digests, then load it.

        Raises:
            UnavailableError: a digest differs, a library is not listed, or it does not load.
        """
        ort_plugin.register(plugin)

    def devices(self) -> tuple[Device, ...]:
        """See `Backend.devices`."""
        return tuple(offer.device for offer in ort_devices.discover())

    def load(
        self, model: bytes, *, options: LoadOptions, external: Mapping[str, bytes] | None = None
    ) -> "OrtSession":
        """See `Backend.load`."""
        telemetry.check()
        session_options = _session_options(options)
        chosen = ort_devices.select(options)
        providers = ort_devices.apply(session_options, chosen)
        # The binding keeps no reference to these buffers: a temporary freed before the session
        # exists is a crash of the process. `files` lives until this function returns.
        files = dict(external or {})
        session_options.add_external_initializers_from_files_in_memory(
            list(files), list(files.values()), [len(content) for content in files.values()]
        )
        try:
            # enable_fallback=0: by default the Python class answers a failing provider by
            # building the session on the CPU instead.
            session = onnxruntime.InferenceSession(
                bytes(model), session_options, providers=providers, enable_fallback=0
            )
        except _ERRORS as exc:
            raise _load_error(exc) from exc
        # The class keeps the model's bytes for a retry that never comes.
        session._model_bytes = None  # noqa: SLF001
        telemetry.check()
        placement = _placement(session, chosen, options)
        return OrtSession(session, placement=placement, options=options)


class OrtSession:
    """See `accel_backends.base.Session`."""

    def __init__(self, session: Any, *, placement: Placement, options: LoadOptions) -> None:  # noqa: ANN401  # untyped library
        self._session: Any = session
        self._options = options
        self.placement: Final = placement
        self.inputs: Final = tuple(_spec(argument) for argument in session.get_inputs())
        self.outputs: Final = tuple(_spec(argument) for argument in session.get_outputs())
        self.metadata: Final[Mapping[str, str]] = MappingProxyType(
            dict(session.get_modelmeta().custom_metadata_map)
        )
        self._names = [spec.name for spec in self.outputs]

    def run(self, inputs: Mapping[str, Tensor]) -> Result:
        """See `Session.run`."""
        session = self._session  # this reference keeps it alive should `close` come now
        if session is None:
            raise ClosedError("the session is closed")
        check_inputs(inputs, self.inputs, max_bytes=self._options.max_input_bytes)
        feeds = {name: _to_runtime(tensor) for name, tensor in inputs.items()}
        try:
            values = session.run(self._names, feeds)
        except _ERRORS as exc:
            # `from None`: the library's message may quote the input, and causes are logged.
            raise ExecutionError(f"the runtime refused the run: {type(exc).__name__}") from None
        outputs = {
            spec.name: _from_runtime(value)
            for spec, value in zip(self.outputs, values, strict=True)
        }
        size = sum(nbytes(tensor) for tensor in outputs.values())
        if size > self._options.max_output_bytes:
            raise OutputSizeError(
                f"outputs hold {size} bytes, {self._options.max_output_bytes} allowed"
            )
        where = self.placement
        return Result(
            outputs=MappingProxyType(outputs),
            device=where.device,
            ep=where.ep,
            ep_version=where.ep_version,
            node_counts=where.node_counts,
            precision=where.precision,
        )

    def close(self) -> None:
        """See `Session.close`."""
        self._session = None


def _session_options(options: LoadOptions) -> Any:  # noqa: ANN401  # untyped library
    if not 1 <= options.intra_threads <= _MAX_THREADS:
        raise ValueError(f"intra_threads must be 1 … {_MAX_THREADS}")
    result = onnxruntime.SessionOptions()
    result.log_severity_level = _FATAL
    result.intra_op_num_threads = options.intra_threads
    result.inter_op_num_threads = 1
    spinning = str(int(options.spinning))
    cpu_listed = any(request.ep == ort_devices.CPU for request in options.devices)
    for key, value in {
        "session.intra_op.allow_spinning": spinning,
        "session.inter_op.allow_spinning": spinning,
        "session.record_ep_graph_assignment_info": "1",
        "session.disable_cpu_ep_fallback": str(int(not cpu_listed)),
        "session.model_external_initializers_file_folder_path": _NO_FOLDER,
    }.items():
        result.add_session_config_entry(key, value)
    return result


def _load_error(exc: Exception) -> ModelError | PlacementError:
    """Tell a graph that does not fit the device list from one that does not load at all."""
    if "fallback to CPU EP has been explicitly disabled" in str(exc):
        return PlacementError("part of the graph would run on the CPU, which is not in the list")
    return ModelError("backend.model.invalid", f"the model does not load: {exc}")


def _placement(
    session: Any,  # noqa: ANN401  # untyped library
    chosen: tuple[ort_devices.Chosen, ...],
    options: LoadOptions,
) -> Placement:
    """Read from the runtime which provider got which nodes, and hold it against the list."""
    counts: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counts[part.ep_name] += len(part.get_nodes())
    first = chosen[0].offer.device
    if strangers := set(counts) - {choice.offer.device.ep for choice in chosen}:
        raise PlacementError(f"nodes were given to {sorted(strangers)}, not in the list")
    if not counts[first.ep]:
        raise PlacementError(f"{first.ep}, first in the list, would run nothing")
    return Placement(
        device=first,
        ep=first.ep,
        ep_version=first.ep_version,
        node_counts=MappingProxyType(dict(sorted(counts.items()))),
        precision=options.precision,
    )


def _spec(argument: Any) -> TensorSpec:  # noqa: ANN401  # untyped library
    """Translate a declared input or output; a dimension is an int, a symbol or unknown."""
    datatype = _OIP_TYPES.get(argument.type)
    if datatype is None:
        raise ModelError(
            "backend.model.signature", f"{argument.name!r} is {argument.type}: no OIP datatype"
        )
    shape = argument.shape
    return TensorSpec(
        name=argument.name,
        datatype=datatype,
        shape=tuple(d if isinstance(d, int) else DYNAMIC for d in shape),
        # "?" is how some exporters write "unknown": two of them need not be equal.
        symbols=tuple(d if isinstance(d, str) and d != "?" else "" for d in shape),
    )


def _to_runtime(tensor: Tensor) -> Tensor:
    """Return what the binding takes: contiguous, and text as `str`."""
    if tensor.dtype != object:
        return np.ascontiguousarray(tensor)
    text = np.empty(tensor.shape, dtype=object)
    for position, element in np.ndenumerate(tensor):
        text[position] = _decode(element)
    return text


def _decode(element: bytes) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError:
        raise InputError("backend.input.value", "a BYTES element is not UTF-8") from None


def _from_runtime(value: Any) -> Tensor:  # noqa: ANN401  # untyped library
    """Return an OIP tensor: text as `bytes`."""
    array = np.asarray(value)
    if array.dtype != object:
        return array
    text = np.empty(array.shape, dtype=object)
    for position, element in np.ndenumerate(array):
        text[position] = str(element).encode()
    return text
