"""A folder's files, loaded and run by the engine's own thread; what does not fit is refused."""

import json
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from accel_backends import DeviceRequest, LoadOptions, llm, load
from accel_backends.errors import ClosedError, ModelError, PlacementError
from accel_backends.llm.decoder import OrtDecoder
from accel_backends.llm.model import LanguageModel
from accel_backends.ort import OrtSession
from examples.chat.graph import Shape, initial, to_onnx
from examples.chat.train import gradients, train

from .conftest import Tokens, limits, request

OPTIONS = LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),))


class Waits(Tokens):
    """A sink that another thread fills."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: SimpleQueue[llm.Reason] = SimpleQueue()

    def finish(self, reason: llm.Reason, usage: llm.Usage) -> None:
        """See `Sink`."""
        super().finish(reason, usage)
        self.ended.put(reason)


def made(files: Mapping[str, bytes], **changed: Any) -> LanguageModel:
    """Load the files, some of them changed."""
    backend = load("onnxruntime", allowed={"onnxruntime"})
    return llm.load(backend, dict(files) | changed, options=OPTIONS, limits=limits(context=512))


def config(files: Mapping[str, bytes], **changed: Any) -> bytes:
    """Return the tokenizer's configuration, changed; None takes a key out."""
    document = json.loads(files["tokenizer_config"]) | changed
    return json.dumps({k: v for k, v in document.items() if v is not None}).encode()


def test_a_folder_loads_and_answers(files: Mapping[str, bytes]) -> None:
    """Requests from outside the thread are served, cancelled and refused after the end."""
    model = made(files)
    assert model.template is not None
    prompt = model.tokenizer.encode(
        model.template.render([{"role": "user", "content": "x"}]), special=False
    )
    sinks = [Waits() for _ in range(6)]
    tickets = [model.runner.submit(request(prompt, most=20), sink) for sink in sinks]
    assert {sink.ended.get(timeout=30) for sink in sinks} == {llm.Reason.LENGTH}
    assert len({tuple(sink.tokens) for sink in sinks}) == 1
    model.runner.cancel(tickets[0])  # over already: nothing happens
    long = Waits()
    ticket = model.runner.submit(request(prompt, most=500), long)
    model.runner.cancel(ticket)
    assert long.ended.get(timeout=30) is llm.Reason.CANCELLED
    model.close()
    model.close()
    with pytest.raises(ClosedError):
        model.runner.submit(request(prompt), Waits())


def test_special_tokens_may_be_objects_and_stop_tokens_many(files: Mapping[str, bytes]) -> None:
    """Both forms of `tokenizer_config.json` are read; a folder need not have a template."""
    content = config(
        files, eos_token={"content": "<|end|>"}, stop_tokens=["<|user|>"], chat_template=None
    )
    model = made(files, tokenizer_config=content)
    assert len(model.stop) == 2
    assert model.template is None
    model.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"tokenizer_config": b"[]"},
        {"tokenizer_config": b"{"},
        {"tokenizer_config": b"{}"},
        {"tokenizer_config": b'{"eos_token": "never a token"}'},
        {"tokenizer": b"{}"},
        {"graph": b"no graph"},
    ],
)
def test_files_that_do_not_fit_are_refused(
    files: Mapping[str, bytes], wrong: dict[str, bytes]
) -> None:
    """Each file is the model's fault, with a code."""
    with pytest.raises(ModelError):
        made(files, **wrong)


def test_a_tokenizer_larger_than_the_graph_is_refused(files: Mapping[str, bytes]) -> None:
    """A token without logits could never be said, nor a prompt with it be read."""
    small = Shape(vocabulary=90)
    with pytest.raises(ModelError, match="tokens"):
        made(files, graph=to_onnx(small, initial(small, seed=1)))


def test_a_graph_that_is_no_decoder_is_refused(files: Mapping[str, bytes]) -> None:
    """Inputs and outputs must be those of a decoder with caches."""
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    with pytest.raises(ModelError, match="past"):
        made(files, graph=model.SerializeToString())


def test_buffers_elsewhere_than_in_host_memory_are_refused(
    tiny: Callable[[llm.Limits], OrtDecoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph on another device would be bound to memory that it cannot see."""
    from dataclasses import replace

    bounds = limits()
    decoder = tiny(bounds)
    session = decoder._session
    assert isinstance(session, OrtSession)
    elsewhere = replace(session.placement, device=replace(session.placement.device, kind="gpu"))
    monkeypatch.setattr(session, "placement", elsewhere)
    with pytest.raises(PlacementError):
        OrtDecoder(session, slots=1, context=8, chunk=4)
    decoder.close()


# The example.


def test_the_example_s_gradients_are_those_of_its_loss() -> None:
    """Every kind of weight, against differences of the loss."""
    shape = Shape(vocabulary=30, width=16, heads=4, kv_heads=2, inner=8)
    random = np.random.default_rng(0)
    weights: Any = {k: v.astype(np.float64) for k, v in initial(shape, seed=3).items()}
    ids, counted = random.integers(0, 30, (3, 9)), random.random((3, 9)) > 0.3
    _, found = gradients(shape, weights, ids, counted)
    for name, values in weights.items():
        place = (ids[0, 0], 2) if name == "embed" else tuple(int(s) // 2 for s in values.shape)
        losses = []
        for step in (1e-5, -2e-5):
            values[place] += step
            losses.append(gradients(shape, weights, ids, counted)[0])
        values[place] += 1e-5
        assert (losses[0] - losses[1]) / 2e-5 == pytest.approx(found[name][place], abs=1e-7)


def test_the_example_learns() -> None:
    """A few steps on two rows bring the loss down, and the graph computes what numpy does."""
    shape = Shape(vocabulary=20, width=32, heads=2, kv_heads=1, inner=16)
    said: list[str] = []
    rows = [([1, 2, 3, 4, 5], 2), ([6, 7, 8, 9], 2)]
    weights = train(shape, rows, steps=40, say=said.append)
    losses = [float(line.split()[-1]) for line in said]
    assert losses[-1] < 0.1 < losses[0] + 1
    session = load("onnxruntime", allowed={"onnxruntime"}).load(
        to_onnx(shape, weights), options=OPTIONS
    )
    assert isinstance(session, OrtSession)
    decoder = OrtDecoder(session, slots=1, context=16, chunk=8)
    assert [int(decoder.prefill(0, [1, 2], at=0).argmax())] == [3]
    assert [int(decoder.decode([3], [3])[0].argmax())] == [4]
    decoder.close()
