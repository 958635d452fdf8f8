"""Every error a backend raises on purpose, each with a stable dotted code.

    BackendError                     backend
    ├── UnavailableError             backend.unavailable   not allowed, not installed, wrong digest
    ├── TelemetryError               backend.telemetry     a library of ours would report home
    ├── DeviceError                  backend.device.*      the device named is not there
    ├── ModelError                   backend.model.*       the graph does not load as configured
    ├── PlacementError               backend.placement     the graph would run somewhere else
    ├── InputError                   backend.input.*       the caller's tensors do not fit the model
    ├── OutputSizeError              backend.output.size   the answer exceeds the configured bound
    ├── ExecutionError               backend.run           the device failed while running
    └── ClosedError                  backend.closed        the session is gone

No message quotes a value of a tensor: errors reach logs, inputs must not.
"""

from typing import ClassVar

__all__ = [
    "BackendError",
    "ClosedError",
    "DeviceError",
    "ExecutionError",
    "InputError",
    "ModelError",
    "OutputSizeError",
    "PlacementError",
    "TelemetryError",
    "UnavailableError",
]


class BackendError(Exception):
    """A backend could not be loaded or could not finish a job."""

    code: str = "backend"


class UnavailableError(BackendError):
    """The backend or plug-in named is not allowed, not installed, or not the measured one."""

    code = "backend.unavailable"


class TelemetryError(BackendError):
    """A library would report to its vendor, or has begun to."""

    code = "backend.telemetry"


class _CodedError(BackendError):
    """An error whose code is chosen from a closed set when it is raised."""

    CODES: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, code: str, message: str) -> None:
        if code not in self.CODES:
            raise ValueError(f"{type(self).__name__} has no code {code!r}")
        super().__init__(message)
        self.code = code


class DeviceError(_CodedError):
    """A requested device does not exist or cannot be configured as requested."""

    CODES = frozenset({"backend.device.missing", "backend.device.options"})


class ModelError(_CodedError):
    """The model's bytes do not load, or declare something that cannot be served."""

    CODES = frozenset({"backend.model.invalid", "backend.model.signature"})


class PlacementError(BackendError):
    """The graph, or part of it, would run on a device that was not asked for."""

    code = "backend.placement"


class InputError(_CodedError):
    """The caller's tensors do not fit what the model declares."""

    CODES = frozenset(
        {
            "backend.input.missing",
            "backend.input.unknown",
            "backend.input.datatype",
            "backend.input.shape",
            "backend.input.size",
            "backend.input.value",
            "backend.input.parameter",
        }
    )


class OutputSizeError(BackendError):
    """The answer is larger than the session may return."""

    code = "backend.output.size"


class ExecutionError(BackendError):
    """The device failed. What the library said is dropped: it may quote the input."""

    code = "backend.run"


class ClosedError(BackendError):
    """The session was closed."""

    code = "backend.closed"
