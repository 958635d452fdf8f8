"""Write all-MiniLM-L6-v2 as the files a node serves, and describe them to it."""

from pathlib import Path
from typing import Any

from .graph import to_onnx
from .weights import read, tensors

__all__ = ["entry", "write"]


def write(folder: Path) -> None:
    """Put `model.onnx` and `tokenizer.json` into a folder; raises `ModelMissingError`."""
    graph = to_onnx(tensors(read("model.safetensors")))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph)
    (folder / "tokenizer.json").write_bytes(read("tokenizer.json"))


def entry(folder: Path) -> dict[str, Any]:
    """Return the entry of a node's `models` list that serves the folder."""
    return {
        "name": "embeddings",
        "version": "1",
        "kind": "embedding",
        "files": {
            "graph": str(folder / "model.onnx"),
            "tokenizer": str(folder / "tokenizer.json"),
        },
        "devices": [{"ep": "CPUExecutionProvider"}],
        "embedding": {"context": 256},
    }
