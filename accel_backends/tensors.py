"""Tensors as the Open Inference Protocol declares them, and the check of inputs against that.

Left out: bytes on the wire. Whoever decodes a request builds numpy arrays; a BYTES tensor is an
array of dtype `object` whose elements are `bytes`.

Source: KServe Open Inference Protocol v2, "Tensor Data Types"; BF16 is not among them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

__all__ = ["DYNAMIC", "NUMPY_TYPES", "Tensor", "TensorSpec", "check_inputs", "nbytes"]

Tensor = NDArray[Any]

DYNAMIC: Final = -1
"""A dimension of any length from 1."""

NUMPY_TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One declared input or output."""

    name: str
    datatype: str
    """A key of `NUMPY_TYPES`."""
    shape: tuple[int, ...]
    """Lengths of the dimensions; `DYNAMIC` for one that the request decides."""
    symbols: tuple[str, ...] = ()
    """Per dimension a name, "" for none. Dimensions of one name must agree across inputs."""


def nbytes(tensor: Tensor) -> int:
    """Return the payload of `tensor` in bytes; of a BYTES tensor, the sum of its elements."""
    if tensor.dtype == object:
        return sum(len(element) for element in tensor.flat)
    return int(tensor.nbytes)


def check_inputs(
    inputs: Mapping[str, Tensor], specs: Sequence[TensorSpec], *, max_bytes: int
) -> None:
    """Check that `inputs` are exactly what `specs` declare.

    Names, datatypes (byte order included), ranks, fixed and shared dimensions, and the total
    payload are compared; no value is looked at, except that BYTES elements must be `bytes`.

    Raises:
        InputError: `backend.input.missing`, `.unknown`, `.datatype`, `.shape`, `.value` (an
            element of a BYTES tensor is not `bytes`) or `.size` (above `max_bytes`).
    """
    names = {spec.name for spec in specs}
    for name in inputs:
        if name not in names:
            raise InputError("backend.input.unknown", f"the model has no input {name[:64]!r}")
    bound: dict[str, int] = {}
    total = 0
    for spec in specs:
        if spec.name not in inputs:
            raise InputError("backend.input.missing", f"input {spec.name!r} is missing")
        tensor = inputs[spec.name]
        _check_one(tensor, spec, bound)
        total += nbytes(tensor)
    if total > max_bytes:
        raise InputError("backend.input.size", f"inputs hold {total} bytes, {max_bytes} allowed")


def _check_one(tensor: object, spec: TensorSpec, bound: dict[str, int]) -> None:
    """Check one tensor; `bound` collects the length each symbol has taken so far."""
    expected = NUMPY_TYPES[spec.datatype]
    if not isinstance(tensor, np.ndarray) or tensor.dtype != expected:
        raise InputError("backend.input.datatype", f"input {spec.name!r} must be {spec.datatype}")
    fits = tensor.ndim == len(spec.shape) and all(
        length >= 1 and declared in (DYNAMIC, length)
        for length, declared in zip(tensor.shape, spec.shape, strict=True)
    )
    if not fits:
        raise InputError(
            "backend.input.shape",
            f"input {spec.name!r} must have shape {list(spec.shape)}, has {list(tensor.shape)}",
        )
    for symbol, length in zip(spec.symbols, tensor.shape, strict=False):
        if symbol and bound.setdefault(symbol, length) != length:
            raise InputError(
                "backend.input.shape",
                f"input {spec.name!r}: dimension {symbol!r} is {length}, elsewhere {bound[symbol]}",
            )
    if spec.datatype == "BYTES" and not all(isinstance(e, bytes) for e in tensor.flat):
        raise InputError("backend.input.value", f"input {spec.name!r} must hold bytes only")
