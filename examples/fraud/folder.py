"""Train the risk model, write it as the file a node serves, and describe it to it."""

from pathlib import Path
from typing import Any

import numpy as np

from .train import build

__all__ = ["entry", "write"]


def write(folder: Path) -> None:
    """Put `model.onnx` into a folder, and rows with known outcomes as `rows.npz`."""
    model = build()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.onnx)
    np.savez(folder / "rows.npz", rows=model.rows, labels=model.labels)


def entry(folder: Path) -> dict[str, Any]:
    """Return the entry of a node's `models` list that serves the folder."""
    return {
        "name": "risk",
        "version": "1",
        "kind": "onnx",
        "files": {"graph": str(folder / "model.onnx")},
        "devices": [{"ep": "CPUExecutionProvider"}],
    }
