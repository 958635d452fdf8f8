"""Risk scoring and the benchmark models, on our backend."""

from collections.abc import Mapping
from types import ModuleType

import numpy as np
import pytest

from accel_backends import LoadOptions, Tensor
from accel_backends.ort import OrtBackend
from benchmarks.models import FRAUD_WIDTH, fraud_mlp, resnet50_shaped

onnx = pytest.importorskip("onnx")
pytest.importorskip("skl2onnx", reason="risk scoring is trained and exported on the spot")

from examples.fraud.train import ROWS, FraudModel, build  # noqa: E402


@pytest.fixture(scope="module")
def fraud() -> FraudModel:
    """Return the trained model and its rows."""
    return build()


@pytest.fixture(scope="module")
def scored(fraud: FraudModel, backend: OrtBackend, cpu: LoadOptions) -> Mapping[str, Tensor]:
    """Return the outputs for all rows."""
    return backend.load(fraud.onnx, options=cpu).run({"rows": fraud.rows}).outputs


def test_risk_scores_are_right_far_above_chance(
    fraud: FraudModel, scored: Mapping[str, Tensor]
) -> None:
    """Ten thousand rows are scored, and most decisions agree with the known outcome."""
    assert scored["probabilities"].shape == (ROWS, 2)
    assert (scored["label"] == fraud.labels).mean() > 0.9
    assert "resampled to 10000" in fraud.description


def test_one_row_scores_as_in_the_batch(
    fraud: FraudModel, scored: Mapping[str, Tensor], backend: OrtBackend, cpu: LoadOptions
) -> None:
    """Online and nightly scoring agree, row by row."""
    session = backend.load(fraud.onnx, options=cpu)
    for row in (0, 1, 4_999, ROWS - 1):
        alone = session.run({"rows": fraud.rows[row : row + 1]}).outputs
        assert alone["probabilities"][0] == pytest.approx(scored["probabilities"][row], abs=1e-6)


def test_scores_equal_the_runtime_used_directly(
    fraud: FraudModel, scored: Mapping[str, Tensor], runtime: ModuleType
) -> None:
    """Our session adds nothing to the numbers."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    direct = runtime.InferenceSession(fraud.onnx, options, providers=["CPUExecutionProvider"]).run(
        None, {"rows": fraud.rows}
    )
    assert scored["label"].tobytes() == direct[0].tobytes()
    assert scored["probabilities"].tobytes() == direct[1].tobytes()


def test_training_is_repeatable(fraud: FraudModel) -> None:
    """The same rows come out every time."""
    again = build()
    assert again.rows.tobytes() == fraud.rows.tobytes()
    assert again.onnx == fraud.onnx


def test_resnet_has_the_real_topology() -> None:
    """53 convolutions, 16 residual sums, 25.6 million numbers."""
    graph = onnx.load_from_string(resnet50_shaped()).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Conv") == 53
    assert kinds.count("Add") == 16
    numbers = sum(int(np.prod(weight.dims)) for weight in graph.initializer)
    assert numbers == pytest.approx(25.6e6, rel=0.01)


def test_resnet_answers_finite_numbers(backend: OrtBackend, cpu: LoadOptions) -> None:
    """One image goes through; activations stay in range although the weights are random."""
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    logits = backend.load(resnet50_shaped(), options=cpu).run({"image": image}).outputs["logits"]
    assert logits.shape == (1, 1000)
    assert np.isfinite(logits).all()
    assert 0.1 < logits.std() < 100


def test_fraud_mlp_scores_rows(backend: OrtBackend, cpu: LoadOptions) -> None:
    """0.43 million parameters, scores between 0 and 1 that depend on the row."""
    session = backend.load(fraud_mlp(), options=cpu)
    rows = np.random.default_rng(0).standard_normal((8, FRAUD_WIDTH), dtype=np.float32)
    score = session.run({"rows": rows}).outputs["score"]
    assert score.shape == (8, 1)
    assert ((score > 0) & (score < 1)).all()
    assert len(np.unique(score)) == 8
