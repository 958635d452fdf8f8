"""Real processes for the tests of this folder: one gateway and two nodes, started once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mifeng.demo.cluster import Cluster

CPU = [{"ep": "CPUExecutionProvider"}]


def models(directory: Path) -> list[dict[str, Any]]:
    """Write small ONNX graphs and return the node's entries for them."""
    from onnx import TensorProto, helper

    def save(name: str, operator: str, *, attributes: dict[str, Any] | None = None) -> str:
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
        shape: list[Any] = [1] if operator == "ReduceSum" else ["n"]
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
        node = helper.make_node(operator, ["x"], ["y"], **(attributes or {}))
        graph = helper.make_graph([node], name, [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        path = directory / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        return str(path)

    def entry(name: str, path: str, **more: Any) -> dict[str, Any]:
        return {
            "name": name,
            "version": "1",
            "kind": "onnx",
            "files": {"graph": path},
            "devices": CPU,
            **more,
        }

    return [
        entry("neg", save("neg", "Neg")),
        entry(
            "sum",
            save("sum", "ReduceSum", attributes={"keepdims": 1}),
            max_input_bytes=2 << 30,
        ),
    ]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running gateway and two nodes."""
    directory = tmp_path_factory.mktemp("mf")
    settings = {
        "limits": {
            "concurrency": 64,
            "max_body_bytes": 2 << 30,
            "first_frame_s": 5.0,
            "max_salted_bytes": 1 << 20,
        }
    }
    running = Cluster(models(directory), directory=directory, node_settings=settings)
    with running:
        yield running
