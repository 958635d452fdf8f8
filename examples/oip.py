"""Tensors to and from an Open Inference Protocol server, with `httpx` and nothing of ours.

What a program without a client library does: a POST with the binary tensor data extension. It
works against any server of the protocol; the URL alone makes it a confidential one.

Source: KServe Open Inference Protocol v2, REST; its binary tensor data extension.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

__all__ = ["Answer", "infer"]

Array = NDArray[Any]
_TYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "int32": "INT32",
    "int64": "INT64",
    "float32": "FP32",
    "float64": "FP64",
}
_LENGTH = "inference-header-content-length"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Outputs by name, and the headers the answer came with."""

    outputs: Mapping[str, Array]
    headers: httpx.Headers


def infer(url: str, model: str, inputs: Mapping[str, Array], *, timeout_s: float = 60) -> Answer:
    """Run arrays through a model; arrays of dtype object hold `bytes`."""
    rows, raw = [], []
    for name, array in inputs.items():
        data = _joined(array) if array.dtype == object else np.ascontiguousarray(array).tobytes()
        datatype = "BYTES" if array.dtype == object else _TYPES[array.dtype.name]
        size = {"binary_data_size": len(data)}
        shape = list(array.shape)
        rows.append({"name": name, "datatype": datatype, "shape": shape, "parameters": size})
        raw.append(data)
    head = json.dumps({"inputs": rows, "parameters": {"binary_data_output": True}}).encode()
    answer = httpx.post(
        f"{url}/v2/models/{model}/infer",
        content=b"".join((head, *raw)),
        headers={_LENGTH: str(len(head))},
        timeout=timeout_s,
    )
    answer.raise_for_status()
    return Answer(outputs=_outputs(answer), headers=answer.headers)


def _outputs(answer: httpx.Response) -> dict[str, Array]:
    at = int(answer.headers[_LENGTH])
    found = {}
    for row in json.loads(answer.content[:at])["outputs"]:
        size = row["parameters"]["binary_data_size"]
        found[row["name"]] = _array(answer.content[at : at + size], row).reshape(row["shape"])
        at += size
    return found


def _joined(array: Array) -> bytes:
    return b"".join(struct.pack("<I", len(each)) + each for each in array.flat)


def _array(data: bytes, row: Mapping[str, Any]) -> Array:
    if row["datatype"] != "BYTES":
        names = {datatype: name for name, datatype in _TYPES.items()}
        return np.frombuffer(data, names[row["datatype"]])
    elements, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        elements.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    array = np.empty(len(elements), object)
    array[:] = elements
    return array
