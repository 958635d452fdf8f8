"""A decoder as an ONNX graph whose key-value buffers are shared between input and output.

Names and shapes are those of ONNX Runtime GenAI's model builder, so `accel_backends.llm` runs
its exports and this graph alike: `input_ids`, `attention_mask`, `past_key_values.N.key|value` →
`logits`, `present.N.key|value`. Attention is `com.microsoft.GroupQueryAttention`, which writes
new keys and values into the buffer it is given.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["EPSILON", "ROPE_BASE", "Shape", "Weights", "angles", "initial", "to_onnx"]

EPSILON: Final = 1e-5
ROPE_BASE: Final = 10_000.0
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of a decoder. `width` = `heads` × `head`, and `head` is a multiple of 16."""

    vocabulary: int
    layers: int = 2
    width: int = 64
    heads: int = 4
    kv_heads: int = 2
    inner: int = 128
    context: int = 512

    @property
    def head(self) -> int:
        """Width of one head."""
        return self.width // self.heads


def initial(shape: Shape, *, seed: int) -> Weights:
    """Return random weights: what training starts from, and enough for tests of an engine."""
    random = np.random.default_rng(seed)
    width, kv = shape.width, shape.kv_heads * shape.head

    def matrix(rows: int, columns: int) -> NDArray[np.float32]:
        drawn = random.standard_normal((rows, columns)).astype(np.float32)
        return drawn / np.float32(np.sqrt(rows))

    weights = {
        "embed": random.standard_normal((shape.vocabulary, width)).astype(np.float32) * 0.5,
        "norm": np.ones(width, np.float32),
        "head": matrix(width, shape.vocabulary),
    }
    for n in range(shape.layers):
        weights |= {
            f"{n}.norm1": np.ones(width, np.float32),
            f"{n}.q": matrix(width, width),
            f"{n}.k": matrix(width, kv),
            f"{n}.v": matrix(width, kv),
            f"{n}.o": matrix(width, width),
            f"{n}.norm2": np.ones(width, np.float32),
            f"{n}.gate": matrix(width, shape.inner),
            f"{n}.up": matrix(width, shape.inner),
            f"{n}.down": matrix(shape.inner, width),
        }
    return weights


def angles(shape: Shape, positions: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return cosines and sines of rotary positions, each [positions, head / 2]."""
    half = shape.head // 2
    frequency = ROPE_BASE ** (-np.arange(half) / half)
    angle = np.arange(positions)[:, None] * frequency[None, :]
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


class _Builder:
    """Nodes in order; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def rms_norm(self, x: str, scale: str) -> str:
        square = self.add("Mul", x, x)
        mean = self.add("ReduceMean", square, axes=[-1], keepdims=1)
        root = self.add("Sqrt", self.add("Add", mean, "epsilon"))
        return self.add("Mul", self.add("Div", x, root), scale)


def to_onnx(shape: Shape, weights: Weights) -> bytes:
    """Return the serialised graph. Prompts of at most `context` tokens in all."""
    build = _Builder()
    lengths = build.add("ReduceSum", "attention_mask", "axis", keepdims=0)
    last = build.add("Cast", build.add("Sub", lengths, "one"), to=TensorProto.INT32)
    total = build.add("Gather", build.add("Shape", "attention_mask"), "one")
    total = build.add("Cast", total, to=TensorProto.INT32)
    x = build.add("Gather", "embed", "input_ids")
    for n in range(shape.layers):
        h = build.rms_norm(x, f"{n}.norm1")
        q, k, v = (build.add("MatMul", h, f"{n}.{name}") for name in "qkv")
        past = [f"past_key_values.{n}.{name}" for name in ("key", "value")]
        attended = f"attended_{n}"
        build.nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                [q, k, v, *past, last, total, "cosines", "sines"],
                [attended, f"present.{n}.key", f"present.{n}.value"],
                domain="com.microsoft",
                num_heads=shape.heads,
                kv_num_heads=shape.kv_heads,
                do_rotary=1,
            )
        )
        x = build.add("Add", x, build.add("MatMul", attended, f"{n}.o"))
        h = build.rms_norm(x, f"{n}.norm2")
        gate = build.add("MatMul", h, f"{n}.gate")
        gate = build.add("Mul", gate, build.add("Sigmoid", gate))
        inner = build.add("Mul", gate, build.add("MatMul", h, f"{n}.up"))
        x = build.add("Add", x, build.add("MatMul", inner, f"{n}.down"))
    x = build.rms_norm(x, "norm")
    build.nodes.append(helper.make_node("MatMul", [x, "head"], ["logits"]))
    return _model(shape, weights, build.nodes)


def _model(shape: Shape, weights: Weights, nodes: list[Any]) -> bytes:
    cosines, sines = angles(shape, shape.context)
    constants = weights | {
        "cosines": cosines,
        "sines": sines,
        "epsilon": np.array(EPSILON, np.float32),
        "one": np.array(1, np.int64),
        "axis": np.array([1], np.int64),
    }

    def cache(prefix: str) -> list[Any]:
        dimensions: list[str | int] = ["batch", shape.kv_heads, "room", shape.head]
        return [
            helper.make_tensor_value_info(f"{prefix}.{n}.{name}", TensorProto.FLOAT, dimensions)
            for n in range(shape.layers)
            for name in ("key", "value")
        ]

    graph = helper.make_graph(
        nodes,
        "decoder",
        [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "new"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "total"]),
            *cache("past_key_values"),
        ],
        [
            helper.make_tensor_value_info(
                "logits", TensorProto.FLOAT, ["batch", "new", shape.vocabulary]
            ),
            *cache("present"),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return bytes(model.SerializeToString())
