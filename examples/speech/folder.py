"""Take Silero's detector out of the package `silero-vad` and describe it to a node.

The package itself is never imported: it asks for PyTorch. Only its graph is used, and only if
it is the one whose digest stands here. The model is the Silero team's, MIT.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

__all__ = ["ModelMissingError", "entry", "write"]

_PACKAGE: Final = "silero_vad"
_FILE: Final = "silero_vad_16k_sequence.onnx"
_DIGEST: Final = "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85"


class ModelMissingError(Exception):
    """The package is not installed, or carries another graph than the one we know."""


def write(folder: Path) -> None:
    """Put `model.onnx` into a folder, made if need be; raises `ModelMissingError`."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissingError(f"{_PACKAGE} is not installed")
    path = Path(spec.submodule_search_locations[0], "data", _FILE)
    if not path.is_file():
        raise ModelMissingError(f"{_FILE} is not in the package")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _DIGEST:
        raise ModelMissingError(f"{_FILE} is not the file with the known digest")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)


def entry(folder: Path) -> dict[str, Any]:
    """Return the entry of a node's `models` list that serves the folder."""
    return {
        "name": "speech",
        "version": "1",
        "kind": "onnx",
        "files": {"graph": str(folder / "model.onnx")},
        "devices": [{"ep": "CPUExecutionProvider"}],
    }
