"""ONNX Runtime in particular: placement, external data, text, silence about inputs."""

import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from accel_backends import BackendError, DeviceRequest, LoadOptions, Tensor, ort_devices
from accel_backends.errors import ExecutionError, PlacementError
from accel_backends.ort import OrtBackend, OrtSession, _placement, _session_options
from accel_backends.ort_plugin import PluginLibrary
from tests.unit.accel_backends.conftest import CPU, CUDA, OPENVINO, Make, refusal, tensor

SECRET = 424_242


def external_weight(location: str) -> TensorProto:
    """Return a 3 × 2 weight that lies in the file `location`."""
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 2])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "24")):
        weight.external_data.add(key=key, value=value)
    return weight


def outside(make: Make, location: str = "w.bin") -> bytes:
    """Return y = x · w with w in another file."""
    return make(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", ["n", 3])],
        [tensor("y", ["n", 2])],
        [external_weight(location)],
    )


ONES = np.ones((1, 3), np.float32)
WEIGHT = np.full((3, 2), 7, np.float32).tobytes()


def test_external_data_comes_from_memory(backend: OrtBackend, make: Make, cpu: LoadOptions) -> None:
    """Weights beside the graph are taken from the bytes given, which may then go away."""
    content = bytearray(WEIGHT)
    session = backend.load(outside(make), options=cpu, external={"w.bin": bytes(content)})
    content[:] = bytes(len(content))
    assert session.run({"x": ONES}).outputs["y"].tolist() == [[21, 21]]


def test_external_data_from_temporaries_survives_collection(
    backend: OrtBackend, make: Make, cpu: LoadOptions
) -> None:
    """Buffers that nobody else holds live until the session is built (a crash otherwise)."""
    session = backend.load(
        outside(make), options=cpu, external={"w.bin": b"".join([WEIGHT[:12], WEIGHT[12:]])}
    )
    junk = [bytes(24) for _ in range(1000)]
    assert session.run({"x": ONES}).outputs["y"].tolist() == [[21, 21]]
    assert len(junk) == 1000


@pytest.mark.parametrize("location", ["w.bin", "../w.bin", "/etc/hostname", "./w.bin"])
@pytest.mark.usefixtures("in_a_folder_with_the_file")
def test_no_path_is_opened(
    backend: OrtBackend, make: Make, cpu: LoadOptions, location: str
) -> None:
    """A graph that names a file not given is refused, even if the file is there to be read."""
    assert refusal(lambda: backend.load(outside(make, location), options=cpu)) == (
        "backend.model.invalid"
    )


@pytest.fixture
def in_a_folder_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `w.bin` lie in the working directory and in its parent."""
    (tmp_path / "w.bin").write_bytes(WEIGHT)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "w.bin").write_bytes(WEIGHT)
    monkeypatch.chdir(tmp_path / "work")


def test_failed_run_does_not_quote_the_input(
    backend: OrtBackend, make: Make, cpu: LoadOptions, capfd: pytest.CaptureFixture[str]
) -> None:
    """The runtime's own message holds the offending value; neither error nor stderr may."""
    model = make(
        [helper.make_node("Gather", ["t", "i"], ["y"])],
        [tensor("i", ["n"], TensorProto.INT64)],
        [tensor("y", ["n"])],
        [numpy_helper.from_array(np.ones(4, np.float32), "t")],
    )
    session = backend.load(model, options=cpu)
    with pytest.raises(ExecutionError) as caught:
        session.run({"i": np.array([SECRET])})
    assert str(SECRET) not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert capfd.readouterr() == ("", "")


def test_control_the_runtime_itself_quotes_the_input(runtime: ModuleType, make: Make) -> None:
    """Control for the test above: used directly, the runtime puts the value in its message."""
    model = make(
        [helper.make_node("Gather", ["t", "i"], ["y"])],
        [tensor("i", ["n"], TensorProto.INT64)],
        [tensor("y", ["n"])],
        [numpy_helper.from_array(np.ones(4, np.float32), "t")],
    )
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    direct = runtime.InferenceSession(model, options, providers=[CPU])
    with pytest.raises(Exception, match=str(SECRET)):
        direct.run(None, {"i": np.array([SECRET])})


def test_text_goes_in_and_out_as_bytes(backend: OrtBackend, make: Make, cpu: LoadOptions) -> None:
    """BYTES tensors are UTF-8 bytes on both sides."""
    model = make(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", ["n"], TensorProto.STRING)],
        [tensor("y", ["n"], TensorProto.STRING)],
    )
    session = backend.load(model, options=cpu)
    text = np.array(["密封".encode(), b"", b"a"], dtype=object)
    assert session.run({"x": text}).outputs["y"].tolist() == text.tolist()


@pytest.mark.parametrize("element", [b"\xff", "str", 3, None])
def test_text_must_be_utf8_bytes(
    backend: OrtBackend, make: Make, cpu: LoadOptions, element: object
) -> None:
    """Anything but UTF-8 bytes in a BYTES tensor is the caller's error."""
    model = make(
        [helper.make_node("Identity", ["x"], ["y"])],
        [tensor("x", ["n"], TensorProto.STRING)],
        [tensor("y", ["n"], TensorProto.STRING)],
    )
    session = backend.load(model, options=cpu)
    with pytest.raises(BackendError) as caught:
        session.run({"x": np.array([element], dtype=object)})
    assert caught.value.code == "backend.input.value"


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (DeviceRequest(ep="CUDAExecutionProvider", index=7), "backend.device.missing"),
        (DeviceRequest(ep="NoSuchExecutionProvider"), "backend.device.missing"),
        (DeviceRequest(ep=CPU, index=1), "backend.device.missing"),
        (DeviceRequest(ep=CPU, vendor="Nobody"), "backend.device.missing"),
        (DeviceRequest(ep=CPU, options={"cache_dir": "x"}), "backend.device.options"),
        (DeviceRequest(ep=CPU, options={"load": '{"CACHE_DIR": 1}'}), "backend.device.options"),
        (DeviceRequest(ep=CPU, options={"trt_dump_subgraphs": "1"}), "backend.device.options"),
        (DeviceRequest(ep=CPU, options={"device_id": "3"}), "backend.device.options"),
    ],
)
def test_device_list_holds_as_written_or_not_at_all(
    backend: OrtBackend, affine: bytes, request_: DeviceRequest, code: str
) -> None:
    """A device that is not there, or an option that writes files, is an error."""
    with pytest.raises(BackendError) as caught:
        backend.load(affine, options=LoadOptions(devices=(request_,)))
    assert caught.value.code == code


@pytest.mark.parametrize("devices", [(), (DeviceRequest(ep=CPU), DeviceRequest(ep=CPU))])
def test_device_list_must_make_sense(
    backend: OrtBackend, affine: bytes, devices: tuple[DeviceRequest, ...]
) -> None:
    """An empty list and a list with a provider twice are refused."""
    with pytest.raises(BackendError) as caught:
        backend.load(affine, options=LoadOptions(devices=devices))
    assert caught.value.code == "backend.device.options"


@pytest.mark.parametrize("threads", [0, -1, 257])
def test_thread_count_is_bounded(backend: OrtBackend, affine: bytes, threads: int) -> None:
    """A thread count out of range is a programming error."""
    with pytest.raises(ValueError, match="intra_threads"):
        backend.load(
            affine, options=LoadOptions(devices=(DeviceRequest(ep=CPU),), intra_threads=threads)
        )


class Part:
    """One assigned part of a graph, as the runtime reports it."""

    def __init__(self, ep_name: str, nodes: int) -> None:
        self.ep_name = ep_name
        self._nodes = nodes

    def get_nodes(self) -> list[int]:
        """Return as many things as there are nodes."""
        return list(range(self._nodes))


class Reported:
    """A session that reports a placement we choose."""

    def __init__(self, *parts: Part) -> None:
        self._parts = parts

    def get_provider_graph_assignment_info(self) -> tuple[Part, ...]:
        """Return the chosen placement."""
        return self._parts


def chosen(*names: str) -> tuple[ort_devices.Chosen, ...]:
    """Return a resolved device list of classic providers."""
    return tuple(
        ort_devices.Chosen(
            offer=ort_devices.Offer(
                device=ort_devices._classic(name, 0)
                if name != CPU
                else next(o.device for o in ort_devices.discover() if o.device.ep == CPU),
                handle=None,
            ),
            options={},
        )
        for name in names
    )


def test_node_on_an_unlisted_provider_is_refused(cpu: LoadOptions) -> None:
    """If the runtime placed one node on the CPU although only CUDA was listed, we refuse."""
    with pytest.raises(PlacementError, match="not in the list"):
        _placement(Reported(Part(CUDA, 9), Part(CPU, 1)), chosen(CUDA), cpu)


def test_first_provider_must_run_something(cpu: LoadOptions) -> None:
    """A list of CUDA, then CPU, of which only the CPU got nodes, is a fallback and refused."""
    with pytest.raises(PlacementError, match="would run nothing"):
        _placement(Reported(Part(CPU, 10)), chosen(CUDA, CPU), cpu)


def test_mixed_placement_is_counted(cpu: LoadOptions) -> None:
    """With the CPU in the list, a mixed placement is accepted and stated."""
    placement = _placement(
        Reported(Part(CUDA, 4), Part(CPU, 1), Part(CUDA, 5)), chosen(CUDA, CPU), cpu
    )
    assert dict(placement.node_counts) == {CPU: 1, CUDA: 9}
    assert placement.device.vendor == "NVIDIA"


def test_classic_providers_get_their_device_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled-in CUDA provider is given its device index and kept from TF32."""
    monkeypatch.setattr(ort_devices.onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    options = LoadOptions(devices=(DeviceRequest(ep=CUDA, index=3), DeviceRequest(ep=CPU)))
    selected = ort_devices.select(options)
    assert [choice.offer.device.index for choice in selected] == [3, 0]
    assert ort_devices.apply(None, selected) == [
        (CUDA, {"use_tf32": "0", "device_id": "3"}),
        (CPU, {}),
    ]


def test_native_precision_cannot_be_undone_by_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that would override native precision is refused; `reduced` allows it."""
    monkeypatch.setattr(ort_devices.onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    devices = (DeviceRequest(ep=CUDA, options={"use_tf32": "1"}),)
    with pytest.raises(BackendError) as caught:
        ort_devices.select(LoadOptions(devices=devices))
    assert caught.value.code == "backend.device.options"
    (choice,) = ort_devices.select(LoadOptions(devices=devices, precision="reduced"))
    assert choice.options == {"use_tf32": "1"}


def test_unknown_precision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider nobody has checked for native precision can only be used as `reduced`."""
    name = "MIGraphXExecutionProvider"
    monkeypatch.setattr(ort_devices.onnxruntime, "get_available_providers", lambda: [name])
    with pytest.raises(BackendError) as caught:
        ort_devices.select(LoadOptions(devices=(DeviceRequest(ep=name),)))
    assert caught.value.code == "backend.device.options"
    assert ort_devices.select(LoadOptions(devices=(DeviceRequest(ep=name),), precision="reduced"))


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_provider_that_cannot_start_is_no_cpu_session(
    backend: OrtBackend,
    affine: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A provider that the runtime lists but cannot start is an error: no CPU session appears.

    The CPU wheel has no CUDA library, which is what a broken driver looks like from here.
    """
    if CUDA in {device.ep for device in backend.devices()}:
        pytest.skip("there is a CUDA provider here")
    real = ort_devices.onnxruntime.get_available_providers
    monkeypatch.setattr(ort_devices.onnxruntime, "get_available_providers", lambda: [CUDA, *real()])
    for devices in (
        (DeviceRequest(ep=CUDA),),
        (DeviceRequest(ep=CUDA), DeviceRequest(ep=CPU)),
    ):
        options = LoadOptions(devices=devices)
        code = refusal(lambda chosen=options: backend.load(affine, options=chosen))
        assert code == "backend.placement"
    assert "Falling back" not in capfd.readouterr().out


def test_run_in_flight_survives_close(backend: OrtBackend, affine: bytes, cpu: LoadOptions) -> None:
    """`close` during a run lets that run finish."""
    session = backend.load(affine, options=cpu)
    inner = session._session
    entered, go = threading.Event(), threading.Event()

    class Slow:
        def run(self, names: list[str], feeds: dict[str, Tensor]) -> list[Tensor]:
            entered.set()
            go.wait(10)
            return inner.run(names, feeds)

    session._session = Slow()
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(session.run({"x": ONES}).outputs["y"].shape)
    )
    thread.start()
    assert entered.wait(10)
    session.close()
    go.set()
    thread.join(10)
    assert answers == [(1, 2)]
    assert isinstance(session, OrtSession)


@pytest.fixture
def partly_supported(make: Make) -> bytes:
    """Return MatMul, Relu, and an operator that OpenVINO does not have."""
    return make(
        [
            helper.make_node("MatMul", ["x", "w"], ["p"]),
            helper.make_node("Relu", ["p"], ["r"]),
            helper.make_node("Binarizer", ["r"], ["y"], domain="ai.onnx.ml", threshold=1.0),
        ],
        [tensor("x", ["n", 3])],
        [tensor("y", ["n", 2])],
        [numpy_helper.from_array(np.ones((3, 2), np.float32), "w")],
    )


@pytest.fixture
def openvino_device(backend: OrtBackend, openvino: PluginLibrary) -> DeviceRequest:
    """Return the plug-in's device, or skip."""
    if not any(device.ep == openvino.ep for device in backend.devices()):
        pytest.skip("OpenVINO offers no device on this machine")
    return DeviceRequest(ep=openvino.ep)


def test_plugin_does_not_fall_back(
    backend: OrtBackend, openvino_device: DeviceRequest, partly_supported: bytes
) -> None:
    """A graph with one operator that the plug-in lacks does not load on the plug-in alone."""
    options = LoadOptions(devices=(openvino_device,))
    assert refusal(lambda: backend.load(partly_supported, options=options)) == "backend.placement"


def test_plugin_and_cpu_share_a_graph_if_both_are_listed(
    backend: OrtBackend, openvino_device: DeviceRequest, partly_supported: bytes
) -> None:
    """With the CPU listed too, the result counts what each of them ran."""
    options = LoadOptions(devices=(openvino_device, DeviceRequest(ep=CPU)))
    result = backend.load(partly_supported, options=options).run({"x": ONES})
    assert result.outputs["y"].tolist() == [[1, 1]]
    assert dict(result.node_counts) == {CPU: 1, OPENVINO: 2}
    assert result.ep == OPENVINO


def test_meta_devices_are_not_offered(backend: OrtBackend, openvino_device: DeviceRequest) -> None:
    """A device that chooses another device by itself cannot be named."""
    assert openvino_device.ep in {device.ep for device in backend.devices()}
    assert not any("AUTO" in device.ep for device in backend.devices())


def test_openvino_not_on_this_machine_is_said(
    backend: OrtBackend, openvino: PluginLibrary, affine: bytes
) -> None:
    """Where the plug-in loads but finds no device, asking for it is an error and no fallback."""
    if any(device.ep == OPENVINO for device in backend.devices()):
        pytest.skip("OpenVINO has a device here; the contract suite runs on it")
    with pytest.raises(BackendError) as caught:
        backend.load(affine, options=LoadOptions(devices=(DeviceRequest(ep=OPENVINO),)))
    assert caught.value.code == "backend.device.missing"


@pytest.mark.parametrize(("eps", "entry"), [((CUDA,), "1"), ((CUDA, CPU), "0"), ((CPU,), "0")])
def test_fallback_is_off_unless_the_cpu_is_listed(eps: tuple[str, ...], entry: str) -> None:
    """The runtime itself is told to fail; reading the placement back is the second line."""
    options = LoadOptions(devices=tuple(DeviceRequest(ep=ep) for ep in eps))
    configured = _session_options(options)
    assert configured.get_session_config_entry("session.disable_cpu_ep_fallback") == entry
    assert configured.get_session_config_entry("session.intra_op.allow_spinning") == "0"


@pytest.mark.parametrize(
    ("hardware", "provider"), [({"is_virtual": "1"}, {}), ({}, {"ov_meta_device": "AUTO"})]
)
def test_devices_that_are_not_devices_are_left_out(
    monkeypatch: pytest.MonkeyPatch, hardware: dict[str, str], provider: dict[str, str]
) -> None:
    """Virtual and meta devices do not appear, whatever the provider."""

    def handle(metadata: dict[str, str], ep_metadata: dict[str, str]) -> SimpleNamespace:
        device = SimpleNamespace(
            metadata=metadata,
            type=ort_devices.onnxruntime.OrtHardwareDeviceType.NPU,
            vendor="V",
            vendor_id=1,
            device_id=2,
        )
        return SimpleNamespace(
            ep_name="PluginEP", ep_vendor="V", ep_metadata=ep_metadata, device=device
        )

    handles = [handle(hardware, provider), handle({}, {"version": "9", "library_path": "/p"})]
    monkeypatch.setattr(ort_devices.onnxruntime, "get_ep_devices", lambda: handles)
    monkeypatch.setattr(ort_devices.onnxruntime, "get_available_providers", list)
    (offer,) = ort_devices.discover()
    assert offer.handle is handles[1]
    assert (offer.device.index, offer.device.kind, offer.device.ep_version) == (0, "npu", "9")
    assert offer.device.properties == {}
