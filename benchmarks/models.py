"""Models for benchmarks: real shapes, fixed random weights.

Speed depends on the graph and the sizes, not on what the weights know, so nothing is downloaded.
`resnet50_shaped` is ResNet-50 v1.5 layer for layer (He et al. 2015, arXiv:1512.03385, table 1;
the stride of a stage's first block sits in its 3 × 3 convolution): 25.6 million parameters, 4.1
GMAC per image. `fraud_mlp` is a risk scorer of 64 numbers with 0.43 million parameters.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["FRAUD_WIDTH", "fraud_mlp", "resnet50_shaped"]

FRAUD_WIDTH: Final = 64
_SEED: Final = 50
_OPSET: Final = 17
_IR_VERSION: Final = 9

_STAGES: Final = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Inner width and number of bottleneck blocks of each stage."""
_EXPANSION: Final = 4
_RESIDUAL: Final = 0.2
_CLASSES: Final = 1000
_MLP_LAYERS: Final = (FRAUD_WIDTH, 512, 512, 256, 1)


class _Graph:
    """Nodes and weights in the making; every method returns the name of what it made."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(_SEED)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, values: NDArray[np.float32]) -> str:
        """Add a constant."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def random(self, *shape: int, fan_in: int) -> str:
        """Add a random constant with the variance that keeps activations in range (He)."""
        values = self._random.standard_normal(shape, dtype=np.float32)
        return self.weight(values * np.float32(np.sqrt(2 / fan_in)))

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401  # ONNX attributes
        """Add an operator with one output."""
        name = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def convolution(
        self, x: str, *, channels: tuple[int, int], kernel: int, stride: int, gain: float = 1
    ) -> str:
        """Add a convolution and its batch normalisation, which scales by `gain`."""
        fed, made = channels
        filters = self.random(made, fed, kernel, kernel, fan_in=fed * kernel * kernel)
        pad = [kernel // 2] * 4
        x = self.node("Conv", x, filters, strides=[stride, stride], pads=pad)
        one, zero = np.ones(made, np.float32), np.zeros(made, np.float32)
        scale = np.full(made, gain, np.float32)
        statistics = [self.weight(values) for values in (scale, zero, zero, one)]
        return self.node("BatchNormalization", x, *statistics)

    def bottleneck(self, x: str, *, fed: int, width: int, stride: int) -> str:
        """Add one residual block: 1 × 1, 3 × 3, 1 × 1, and the shortcut."""
        made = width * _EXPANSION
        shortcut = x
        if fed != made:
            shortcut = self.convolution(x, channels=(fed, made), kernel=1, stride=stride)
        x = self.node("Relu", self.convolution(x, channels=(fed, width), kernel=1, stride=1))
        x = self.node("Relu", self.convolution(x, channels=(width, width), kernel=3, stride=stride))
        # Below 1, or sixteen sums in a row would let activations grow without bound.
        x = self.convolution(x, channels=(width, made), kernel=1, stride=1, gain=_RESIDUAL)
        return self.node("Relu", self.node("Add", x, shortcut))

    def model(self, *, inputs: Sequence[Any], outputs: Sequence[Any], name: str) -> bytes:
        """Return the serialised model."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.weights)
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        return bytes(model.SerializeToString())


def resnet50_shaped() -> bytes:
    """Return ResNet-50 in ONNX form: `image` FP32 [n, 3, 224, 224] → `logits` FP32 [n, 1000]."""
    graph = _Graph()
    x = graph.node("Relu", graph.convolution("image", channels=(3, 64), kernel=7, stride=2))
    x = graph.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    fed = 64
    for stage, (width, blocks) in enumerate(_STAGES):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            x = graph.bottleneck(x, fed=fed, width=width, stride=stride)
            fed = width * _EXPANSION
    x = graph.node("Flatten", graph.node("GlobalAveragePool", x))
    head = graph.random(fed, _CLASSES, fan_in=fed)
    graph.node("Gemm", x, head, graph.weight(np.zeros(_CLASSES, np.float32)), output="logits")
    return graph.model(
        inputs=[helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 224, 224])],
        outputs=[helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", _CLASSES])],
        name="resnet50-shaped",
    )


def fraud_mlp() -> bytes:
    """Return a risk scorer in ONNX form: `rows` FP32 [n, 64] → `score` FP32 [n, 1], 0 … 1."""
    graph = _Graph()
    x = "rows"
    for fed, made in pairwise(_MLP_LAYERS):
        bias = graph.weight(np.zeros(made, np.float32))
        x = graph.node("Gemm", x, graph.random(fed, made, fan_in=fed), bias)
        x = graph.node("Relu", x) if made != 1 else graph.node("Sigmoid", x, output="score")
    return graph.model(
        inputs=[helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", FRAUD_WIDTH])],
        outputs=[helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        name="fraud-mlp",
    )
