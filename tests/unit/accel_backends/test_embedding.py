"""Texts to vectors: equal to the model's published values, whoever shares the run."""

from collections.abc import Iterator

import numpy as np
import pytest

from accel_backends import DeviceRequest, LoadOptions
from accel_backends.embedding import EmbeddingLimits, EmbeddingModel, load
from accel_backends.errors import InputError, ModelError
from accel_backends.llm import ContextError
from accel_backends.ort import OrtBackend

pytest.importorskip("onnx")
from examples.embeddings.graph import to_onnx
from examples.embeddings.weights import ModelMissingError, read, tensors

CPU = LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),))
SENTENCES = (
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
)


@pytest.fixture(scope="module")
def model() -> Iterator[EmbeddingModel]:
    """Return all-MiniLM-L6-v2, drawn from the package's weights."""
    try:
        files = {"graph": to_onnx(tensors(read("model.safetensors")))}
        files["tokenizer"] = read("tokenizer.json")
    except ModelMissingError as exc:
        pytest.skip(f"no weights: {exc}")
    made = load(OrtBackend(), files, options=CPU, limits=EmbeddingLimits(context=64, rows=2))
    yield made
    made.close()


def test_likeness_is_what_the_library_prints(model: EmbeddingModel) -> None:
    """The three sentences of sentence-transformers' quick start, and its table."""
    vectors = model.embed([model.tokens(each) for each in SENTENCES])
    assert vectors.shape == (3, 384)
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    assert np.abs(vectors @ vectors.T - published).max() < 1e-4


def test_the_first_numbers_are_the_published_ones(model: EmbeddingModel) -> None:
    """What the model's card shows for its first example sentence."""
    vector = model.embed([model.tokens("This is an example sentence")])[0]
    assert vector[:3] == pytest.approx([6.76569e-02, 6.34959e-02, 4.87131e-02], abs=1e-6)


def test_order_and_company_change_nothing(model: EmbeddingModel) -> None:
    """A text has one vector: first or last, alone or padded beside a longer one."""
    texts = [model.tokens(each) for each in (*SENTENCES, "yes", "no " * 50)]
    together = model.embed(texts)
    for index, text in enumerate(texts):
        assert np.abs(model.embed([text])[0] - together[index]).max() < 1e-6
    assert np.abs(model.embed(texts[::-1])[::-1] - together).max() < 1e-6


def test_too_long_is_refused_not_cut(model: EmbeddingModel) -> None:
    """The vector of a beginning would pass for the whole text's."""
    with pytest.raises(ContextError):
        model.tokens("word " * 63)
    assert len(model.tokens("word " * 62)) == 64
    with pytest.raises(ContextError):
        model.checked(())
    with pytest.raises(InputError):
        model.checked((30_522,))


def test_other_graphs_are_refused(model: EmbeddingModel) -> None:
    """A graph without the inputs of an encoder does not load as one."""
    from onnx import TensorProto, helper

    del model
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "g", [x], [y])
    neg = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    files = {"graph": neg.SerializeToString(), "tokenizer": read("tokenizer.json")}
    with pytest.raises(ModelError):
        load(OrtBackend(), files, options=CPU, limits=EmbeddingLimits(context=64))
