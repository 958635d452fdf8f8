"""Run a job on an accelerator. A backend sees tensors and nothing else.

It imports no other package of this project, so it cannot reach keys or tenants. Importing it
switches the telemetry of ONNX Runtime off (`accel_backends.telemetry`) and loads no runtime.
"""

from . import telemetry as telemetry  # first: it must precede any import of a runtime
from .base import Backend, Device, DeviceRequest, LoadOptions, Placement, Result, Session
from .errors import BackendError, InputError
from .pipeline import Manifest, OnnxPipeline, Pipeline
from .registry import load
from .tensors import Tensor, TensorSpec

__all__ = [
    "Backend",
    "BackendError",
    "Device",
    "DeviceRequest",
    "InputError",
    "LoadOptions",
    "Manifest",
    "OnnxPipeline",
    "Pipeline",
    "Placement",
    "Result",
    "Session",
    "Tensor",
    "TensorSpec",
    "load",
    "telemetry",
]
