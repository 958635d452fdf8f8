"""Draw a BERT encoder as an ONNX graph and put weights into it.

Names of the weights are those of HuggingFace's `BertModel`. Out comes `last_hidden_state`;
pooling and length are the node's part (`accel_backends.embedding`).

Source: Devlin et al., "BERT", NAACL 2019; Vaswani et al., "Attention Is All You Need", §3.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Shape", "to_onnx"]

_OPSET: Final = 20
"""The first that has Gelu."""
_EPSILON: Final = 1e-12
_MASKED: Final = -3.4028235e38


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of an encoder; all-MiniLM-L6-v2's unless given."""

    layers: int = 6
    width: int = 384
    heads: int = 12


@dataclass(slots=True)
class _Drawing:
    """Nodes and constants so far."""

    weights: Mapping[str, NDArray[np.float32]]
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401 - ONNX
        """Add a node with one output and return the output's name."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, value: Any, dtype: type) -> str:  # noqa: ANN401 - whatever numpy takes
        """Return the name of a constant."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.array(value, dtype)
        return name

    def weight(self, name: str) -> str:
        """Return a weight by its name in the file."""
        self.constants[name] = self.weights[name]
        return name

    def dense(self, x: str, name: str) -> str:
        """Return x·Wᵀ + b."""
        self.constants[f"{name}.T"] = np.ascontiguousarray(self.weights[f"{name}.weight"].T)
        return self.add("Add", self.add("MatMul", x, f"{name}.T"), self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str) -> str:
        """Return the layer normalisation of x."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=_EPSILON)


def to_onnx(weights: Mapping[str, NDArray[np.float32]], shape: Shape | None = None) -> bytes:
    """Return the encoder as a serialised model.

    Inputs `input_ids`, `attention_mask` INT64 [batch, sequence]; output `last_hidden_state` FP32
    [batch, sequence, width]. Sequences of up to as many tokens as there are position embeddings.
    """
    shape = shape or Shape()
    draw = _Drawing(weights)
    x = _embedded(draw)
    bias = _mask(draw)
    for layer in range(shape.layers):
        x = _layer(draw, f"encoder.layer.{layer}", x, bias, shape)
    draw.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    out = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", shape.width]
    )
    constants = [numpy_helper.from_array(value, name) for name, value in draw.constants.items()]
    graph = helper.make_graph(draw.nodes, "encoder", ids, [out], constants)
    opsets = [helper.make_opsetid("", _OPSET)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def _embedded(draw: _Drawing) -> str:
    """Return words + positions + the one token type, normalised."""
    words = draw.add("Gather", draw.weight("embeddings.word_embeddings.weight"), "input_ids")
    size = draw.add("Shape", "input_ids", start=1, end=2)
    begin, step = draw.constant([0], np.int64), draw.constant([1], np.int64)
    positions = draw.add(
        "Slice", draw.weight("embeddings.position_embeddings.weight"), begin, size, begin, step
    )
    types = draw.constant(draw.weights["embeddings.token_type_embeddings.weight"][0], np.float32)
    x = draw.add("Add", draw.add("Add", words, positions), types)
    return draw.norm(x, "embeddings.LayerNorm")


def _mask(draw: _Drawing) -> str:
    """Return [batch, 1, 1, sequence]: 0 where there is a token, as good as -∞ where none is."""
    axes = draw.constant([1, 2], np.int64)
    mask = draw.add("Cast", draw.add("Unsqueeze", "attention_mask", axes), to=TensorProto.FLOAT)
    none = draw.add("Sub", draw.constant(1, np.float32), mask)
    return draw.add("Mul", none, draw.constant(_MASKED, np.float32))


def _layer(draw: _Drawing, name: str, x: str, bias: str, shape: Shape) -> str:
    size = shape.width // shape.heads
    split = draw.constant([0, 0, shape.heads, size], np.int64)
    joined = draw.constant([0, 0, shape.width], np.int64)
    inner = f"{name}.attention.self"
    query, key, value = (
        draw.add("Reshape", draw.dense(x, f"{inner}.{part}"), split)
        for part in ("query", "key", "value")
    )
    query = draw.add("Transpose", query, perm=[0, 2, 1, 3])
    key = draw.add("Transpose", key, perm=[0, 2, 3, 1])
    value = draw.add("Transpose", value, perm=[0, 2, 1, 3])
    scores = draw.add("Mul", draw.add("MatMul", query, key), draw.constant(size**-0.5, np.float32))
    share = draw.add("Softmax", draw.add("Add", scores, bias), axis=-1)
    heads = draw.add("Transpose", draw.add("MatMul", share, value), perm=[0, 2, 1, 3])
    told = draw.dense(draw.add("Reshape", heads, joined), f"{name}.attention.output.dense")
    x = draw.norm(draw.add("Add", x, told), f"{name}.attention.output.LayerNorm")
    wide = draw.add("Gelu", draw.dense(x, f"{name}.intermediate.dense"))
    told = draw.dense(wide, f"{name}.output.dense")
    return draw.norm(draw.add("Add", x, told), f"{name}.output.LayerNorm")
