"""Small graphs, and the devices that the contract runs on."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from accel_backends import Backend, BackendError, DeviceRequest, LoadOptions, load
from accel_backends.ort import OrtBackend
from accel_backends.ort_plugin import PluginLibrary, measure

CPU = "CPUExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
CUDA = "CUDAExecutionProvider"

Make = Callable[..., bytes]


def refusal(call: Callable[[], object]) -> str | None:
    """Run `call`; return the code it was refused with, or None. Other errors go through."""
    try:
        call()
    except BackendError as error:
        return error.code
    return None


@pytest.fixture(scope="session")
def make() -> Make:
    """Return a maker of ONNX bytes from nodes and value infos."""

    def model(
        nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: list[Any] | None = None
    ) -> bytes:
        graph = helper.make_graph(nodes, "g", inputs, outputs, weights or [])
        opset = [helper.make_opsetid("", 17)]
        return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()

    return model


def tensor(name: str, shape: list[str | int], datatype: int = TensorProto.FLOAT) -> Any:
    """Return a value info."""
    return helper.make_tensor_value_info(name, datatype, shape)


@pytest.fixture(scope="session")
def affine(make: Make) -> bytes:
    """Return y = x · w + b with x FP32 [n, 3], y FP32 [n, 2], followed by a Relu."""
    w = np.arange(6, dtype=np.float32).reshape(3, 2)
    return make(
        [
            helper.make_node("MatMul", ["x", "w"], ["p"]),
            helper.make_node("Add", ["p", "b"], ["q"]),
            helper.make_node("Relu", ["q"], ["y"]),
        ],
        [tensor("x", ["n", 3])],
        [tensor("y", ["n", 2])],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(np.float32([1, -1]), "b")],
    )


@pytest.fixture(scope="session")
def backend() -> OrtBackend:
    """Return the ONNX Runtime backend, loaded as a node loads it."""
    loaded = load("onnxruntime", allowed={"onnxruntime"})
    assert isinstance(loaded, OrtBackend)
    return loaded


@pytest.fixture(scope="session")
def openvino(backend: OrtBackend) -> PluginLibrary:
    """Return the OpenVINO plug-in, checked and loaded, or skip."""
    package = pytest.importorskip("onnxruntime_ep_openvino", reason="optional extra `openvino`")
    path = Path(package.get_library_path())
    plugin = PluginLibrary(ep=OPENVINO, path=path, sha256=measure(path))
    backend.register_plugin(plugin)
    return plugin


@pytest.fixture(scope="session")
def cpu() -> LoadOptions:
    """Return options for the CPU provider, one thread."""
    return LoadOptions(devices=(DeviceRequest(ep=CPU),))


@pytest.fixture(scope="session", params=[CPU, OPENVINO, CUDA])
def on_device(request: pytest.FixtureRequest, backend: OrtBackend) -> LoadOptions:
    """Return options for one provider after the other; skip those with no device here."""
    if request.param == OPENVINO:
        request.getfixturevalue("openvino")
    if not any(device.ep == request.param for device in backend.devices()):
        pytest.skip(f"{request.param} offers no device on this machine")
    return LoadOptions(devices=(DeviceRequest(ep=request.param),))


@pytest.fixture(scope="session")
def runtime(backend: Backend) -> ModuleType:
    """Return the onnxruntime module, imported after the backend has switched telemetry off."""
    import onnxruntime

    return onnxruntime
