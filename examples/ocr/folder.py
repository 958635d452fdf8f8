"""Write the PP-OCR graphs as the files a node serves, and describe them to it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from .models import FILES, read_models

__all__ = ["entry", "write"]


def write(folder: Path) -> None:
    """Put the three graphs into a folder, made if need be; raises `ModelsMissingError`."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, content in asdict(read_models()).items():
        (folder / f"{role}.onnx").write_bytes(content)


def entry(folder: Path) -> dict[str, Any]:
    """Return the entry of a node's `models` list that serves the folder."""
    return {
        "name": "ocr",
        "version": "pp-ocr-v4",
        "kind": "ocr",
        "files": {role: str(folder / f"{role}.onnx") for role in FILES},
        "devices": [{"ep": "CPUExecutionProvider"}],
    }
