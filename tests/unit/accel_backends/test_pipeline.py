"""One graph served as it is, and what a client is told about it."""

import json

import numpy as np
import pytest

from accel_backends import BackendError, LoadOptions, Manifest, OnnxPipeline
from accel_backends.ort import OrtBackend


@pytest.fixture
def pipeline(backend: OrtBackend, affine: bytes, cpu: LoadOptions) -> OnnxPipeline:
    """Return the small graph as a pipeline."""
    return OnnxPipeline(backend.load(affine, options=cpu))


def test_pipeline_runs_its_graph(pipeline: OnnxPipeline) -> None:
    """The answer holds the graph's outputs under their names."""
    answer = pipeline.infer({"x": np.ones((2, 3), np.float32)}, {})
    assert answer["y"].tolist() == [[7, 8], [7, 8]]


def test_unknown_parameter_is_refused(pipeline: OnnxPipeline) -> None:
    """A plain graph takes no parameters."""
    with pytest.raises(BackendError) as caught:
        pipeline.infer({"x": np.ones((2, 3), np.float32)}, {"priority": 1})
    assert caught.value.code == "backend.input.parameter"


def test_pipeline_says_where_it_ran(pipeline: OnnxPipeline, cpu: LoadOptions) -> None:
    """One graph, one placement."""
    (placement,) = pipeline.placements
    assert placement.ep == cpu.devices[0].ep


def test_closed_pipeline_refuses(pipeline: OnnxPipeline) -> None:
    """Closing the pipeline closes its session."""
    pipeline.close()
    with pytest.raises(BackendError) as caught:
        pipeline.infer({"x": np.ones((2, 3), np.float32)}, {})
    assert caught.value.code == "backend.closed"


def test_manifest_is_oip_metadata(pipeline: OnnxPipeline) -> None:
    """The metadata is what the Open Inference Protocol v2 prescribes, and is JSON."""
    manifest = Manifest(
        name="affine",
        version="1",
        digest=bytes(32),
        platform=pipeline.platform,
        inputs=pipeline.inputs,
        outputs=pipeline.outputs,
    )
    assert manifest.operation == "oip.infer"
    assert manifest.idempotent
    assert json.loads(json.dumps(manifest.metadata())) == {
        "name": "affine",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    }
