"""What every backend and every device must do; runs on each provider that has a device here."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from accel_backends import BackendError, LoadOptions
from accel_backends.errors import ClosedError, OutputSizeError
from accel_backends.ort import OrtBackend
from tests.unit.accel_backends.conftest import Make, refusal, tensor

X = np.array([[1, 2, 3], [-1, 0, 1], [0.5, 0.25, -4]], np.float32)


def test_outputs_equal_the_runtime_used_directly(
    backend: OrtBackend, on_device: LoadOptions, affine: bytes, runtime: ModuleType
) -> None:
    """A session's outputs are those of onnxruntime itself on the CPU, bit for bit there."""
    direct = runtime.InferenceSession(affine, providers=["CPUExecutionProvider"])
    outputs = backend.load(affine, options=on_device).run({"x": X}).outputs
    expected = direct.run(None, {"x": X})[0]
    assert list(outputs) == ["y"]
    assert outputs["y"].dtype == np.float32
    if on_device.devices[0].ep == "CPUExecutionProvider":
        assert outputs["y"].tobytes() == expected.tobytes()
    np.testing.assert_allclose(outputs["y"], expected, rtol=1e-5, atol=1e-6)


def test_result_names_the_device_and_counts_the_nodes(
    backend: OrtBackend, on_device: LoadOptions, affine: bytes
) -> None:
    """Every node is accounted for, and only on the provider that was asked for."""
    result = backend.load(affine, options=on_device).run({"x": X})
    ep = on_device.devices[0].ep
    assert result.ep == result.device.ep == ep
    assert set(result.node_counts) == {ep}
    assert result.node_counts[ep] >= 1
    assert result.ep_version
    assert result.precision == "native"


def test_session_declares_its_signature(
    backend: OrtBackend, on_device: LoadOptions, affine: bytes
) -> None:
    """Names, datatypes and shapes are the graph's, with -1 where the request decides."""
    session = backend.load(affine, options=on_device)
    (declared,) = session.inputs
    assert (declared.name, declared.datatype, declared.shape) == ("x", "FP32", (-1, 3))
    assert declared.symbols == ("n", "")
    assert [spec.name for spec in session.outputs] == ["y"]


def test_device_is_listed(backend: OrtBackend, on_device: LoadOptions) -> None:
    """The device that a list names is one that `devices` shows."""
    wanted = on_device.devices[0]
    assert any(d.ep == wanted.ep and d.index == wanted.index for d in backend.devices())


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({}, "backend.input.missing"),
        ({"x": X, "z": X}, "backend.input.unknown"),
        ({"x": X.astype(np.float64)}, "backend.input.datatype"),
        ({"x": X.astype(">f4")}, "backend.input.datatype"),
        ({"x": X.tolist()}, "backend.input.datatype"),
        ({"x": X[0]}, "backend.input.shape"),
        ({"x": X[:, :2]}, "backend.input.shape"),
        ({"x": X[:0]}, "backend.input.shape"),
        ({"x": np.zeros((10**6, 3), np.float32)}, "backend.input.size"),
    ],
)
def test_bad_inputs_are_refused_by_code(
    backend: OrtBackend, on_device: LoadOptions, affine: bytes, inputs: dict[str, Any], code: str
) -> None:
    """Inputs that do not fit are refused before the device sees them."""
    options = LoadOptions(devices=on_device.devices, max_input_bytes=1 << 20)
    with pytest.raises(BackendError) as caught:
        backend.load(affine, options=options).run(inputs)
    assert caught.value.code == code


def test_output_is_bounded(backend: OrtBackend, on_device: LoadOptions, affine: bytes) -> None:
    """An answer above the bound is an error and not an answer."""
    session = backend.load(
        affine, options=LoadOptions(devices=on_device.devices, max_output_bytes=16)
    )
    assert session.run({"x": X[:2]}).outputs["y"].nbytes == 16
    with pytest.raises(OutputSizeError):
        session.run({"x": X})


def test_closed_session_refuses(backend: OrtBackend, on_device: LoadOptions, affine: bytes) -> None:
    """After `close` nothing runs; closing twice is no error."""
    session = backend.load(affine, options=on_device)
    session.close()
    session.close()
    with pytest.raises(ClosedError):
        session.run({"x": X})


def test_many_threads_share_a_session(
    backend: OrtBackend, on_device: LoadOptions, affine: bytes
) -> None:
    """Concurrent runs get their own answers, also when the session is closed meanwhile."""
    session = backend.load(affine, options=on_device)
    expected = session.run({"x": X}).outputs["y"]
    gate = threading.Barrier(4)

    def caller(number: int) -> int:
        gate.wait()
        done = 0
        for _ in range(50):
            try:
                got = session.run({"x": X * np.float32(number)}).outputs["y"]
            except ClosedError:
                break
            assert got.shape == expected.shape
            np.testing.assert_allclose(
                got, np.maximum((X * number) @ np.arange(6).reshape(3, 2) + [1, -1], 0), rtol=1e-5
            )
            done += 1
            if number == 1 and done == 25:
                session.close()
        return done

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(caller, range(1, 5)))
    assert counts[0] == 25


def test_non_contiguous_input_is_the_same_tensor(
    backend: OrtBackend, on_device: LoadOptions, affine: bytes
) -> None:
    """A strided view gives what its copy gives."""
    session = backend.load(affine, options=on_device)
    wide = np.repeat(X, 2, axis=1)
    strided = session.run({"x": wide[:, ::2]}).outputs["y"]
    assert strided.tobytes() == session.run({"x": X}).outputs["y"].tobytes()


def test_shared_symbol_must_agree(backend: OrtBackend, on_device: LoadOptions, make: Make) -> None:
    """Two inputs whose dimensions carry one name must have one length."""
    model = make(
        [helper.make_node("Add", ["a", "b"], ["y"])],
        [tensor("a", ["n", 2]), tensor("b", ["n", 2])],
        [tensor("y", ["n", 2])],
    )
    session = backend.load(model, options=on_device)
    two, one = np.ones((2, 2), np.float32), np.ones((1, 2), np.float32)
    assert session.run({"a": two, "b": two}).outputs["y"].sum() == 8
    with pytest.raises(BackendError) as caught:
        session.run({"a": two, "b": one})
    assert caught.value.code == "backend.input.shape"


@pytest.mark.parametrize("junk", [b"", b"\0", b"not a model", b"\x08\x09" * 50])
def test_junk_is_no_model(backend: OrtBackend, on_device: LoadOptions, junk: bytes) -> None:
    """Bytes that are no graph are refused with the model's code."""
    with pytest.raises(BackendError) as caught:
        backend.load(junk, options=on_device)
    assert caught.value.code == "backend.model.invalid"


def test_truncated_model_never_crashes(
    backend: OrtBackend, on_device: LoadOptions, affine: bytes
) -> None:
    """Every prefix of a valid model is refused, or loads as a smaller graph; nothing else."""
    for length in range(0, len(affine), 3):
        code = refusal(lambda n=length: backend.load(affine[:n], options=on_device).close())
        assert code is None or code.startswith(("backend.model.", "backend.placement"))


def test_unservable_signature_is_refused(backend: OrtBackend, make: Make, cpu: LoadOptions) -> None:
    """A datatype the Open Inference Protocol lacks is refused at load, not at the first call."""
    model = make(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", [2], TensorProto.BFLOAT16)],
        [tensor("y", [2], TensorProto.BFLOAT16)],
    )
    with pytest.raises(BackendError) as caught:
        backend.load(model, options=cpu)
    assert caught.value.code == "backend.model.signature"
