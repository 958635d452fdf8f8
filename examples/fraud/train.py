"""Risk scoring, trained on the spot: a gradient-boosting model in ONNX form, and rows to score.

The shape of an anti-fraud call is a row of numbers in and a probability out, one row at a time
online and ten thousand at night. No public fraud table ships with a library, so this uses the
Wisconsin breast-cancer table inside scikit-learn (569 rows, 30 measurements, two classes) as a
stand-in of the same shape. The ten thousand rows are drawn from the part held out of training,
with replacement, and jittered by 1 % of each column's deviation: they are no new observations, and
the accuracy stated is that of the held-out rows themselves.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import train_test_split

__all__ = ["ROWS", "FraudModel", "build"]

ROWS: Final = 10_000
_SEED: Final = 20260417
_JITTER: Final = 0.01
_OPSET: Final = 17


class FraudModel(NamedTuple):
    """A trained model and the rows to run it on."""

    onnx: bytes
    """Input `rows` FP32 [n, 30]; outputs `label` INT64 [n], `probabilities` FP32 [n, 2]."""
    rows: NDArray[np.float32]
    """10 000 × 30."""
    labels: NDArray[np.int64]
    """Class of the observation each row was drawn from; 1 is the riskier (malignant)."""
    description: str
    """One sentence, with the accuracy on the held-out rows before resampling."""


def build() -> FraudModel:
    """Train, export and resample; the same bytes of rows every time, in seconds on one core."""
    table: Any = load_breast_cancer()
    features = table.data.astype(np.float32)
    risky = (1 - table.target).astype(np.int64)  # the table calls benign 1
    train, held, train_labels, held_labels = train_test_split(
        features, risky, test_size=0.3, stratify=risky, random_state=_SEED
    )
    model = GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=_SEED)
    model.fit(train, train_labels)
    rows, labels = _resample(held, held_labels)
    return FraudModel(
        onnx=_export(model),
        rows=rows,
        labels=labels,
        description=(
            "gradient boosting, 100 trees of depth 3, on scikit-learn's breast-cancer table as a "
            f"stand-in for risk scoring: {model.score(held, held_labels):.1%} right on "
            f"{len(held)} held-out rows, resampled to {ROWS} with 1 % jitter"
        ),
    )


def _resample(
    features: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(_SEED)
    drawn = generator.integers(len(features), size=ROWS)
    scale = features.std(axis=0) * _JITTER
    noise = generator.standard_normal((ROWS, features.shape[1])) * scale
    return (features[drawn] + noise).astype(np.float32), labels[drawn]


def _export(model: Any) -> bytes:  # noqa: ANN401  # untyped library
    """Return the model as ONNX, probabilities as a plain tensor and not as a list of maps."""
    graph = to_onnx(
        model,
        np.zeros((1, model.n_features_in_), np.float32),
        options={id(model): {"zipmap": False}},
        target_opset={"": _OPSET, "ai.onnx.ml": 3},
    )
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    _rename(graph.graph, {graph.graph.input[0].name: "rows"})
    return bytes(graph.SerializeToString())


def _rename(graph: Any, names: dict[str, str]) -> None:  # noqa: ANN401  # untyped library
    """Rename graph inputs wherever they are used."""
    for value in graph.input:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = names.get(name, name)
