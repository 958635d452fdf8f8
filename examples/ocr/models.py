"""Read the PP-OCR graphs that the package `rapidocr-onnxruntime` carries, as bytes.

The package itself is never imported: its sessions open files by path and choose their own
devices. Only its model files are used, and only if they are the ones whose digests stand here.
PP-OCRv4 (detection, recognition) and PP-OCRv2 (angle) are PaddleOCR's, Apache-2.0.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from accel_backends.ocr import OcrModels

__all__ = ["FILES", "ModelsMissingError", "read_models"]

FILES: Final = {
    "detect": (
        "ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    ),
    "classify": (
        "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    "recognise": (
        "ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    ),
}
"""Role of each graph, its file in the package, its SHA-256."""

_PACKAGE: Final = "rapidocr_onnxruntime"


class ModelsMissingError(Exception):
    """The package is not installed, or carries other files than the ones we know."""


def read_models() -> OcrModels:
    """Return the three graphs.

    Raises:
        ModelsMissingError: see the class.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelsMissingError(f"{_PACKAGE} is not installed")
    folder = Path(spec.submodule_search_locations[0], "models")
    contents = {role: _read(folder / name, digest) for role, (name, digest) in FILES.items()}
    return OcrModels(**contents)


def _read(path: Path, digest: str) -> bytes:
    if not path.is_file():
        raise ModelsMissingError(f"{path.name} is not in the package")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ModelsMissingError(f"{path.name} is not the file with the known digest")
    return content
