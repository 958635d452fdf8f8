"""What is inside the seal: tensors of the Open Inference Protocol v2, or OpenAI JSON.

    oip body = length of JSON(4) ‖ JSON ‖ raw tensors in the order the JSON lists them

The JSON is the protocol's own (`model_name` stands in the header and is not repeated); every
tensor uses the binary extension (`parameters.binary_data_size`), so there is one encoding of
a number. BYTES tensors hold each element behind a 32-bit *little-endian* length, as the
extension says. Numbers stay bytes here; whoever has numpy interprets them.

Source: KServe Open Inference Protocol v2 and its binary tensor data extension;
docs/spec/body.md.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final, Self

from attestation import json_strict
from mifeng.errors import MalformedError, UsageError

from .codec import u32

OIP_INFER: Final = "oip.infer"
OIP_METADATA: Final = "oip.metadata"
"""No body; the answer is OIP's model metadata as JSON."""
OPENAI_CHAT: Final = "openai.chat.completions"
OPENAI_COMPLETIONS: Final = "openai.completions"
OPENAI_EMBEDDINGS: Final = "openai.embeddings"
OPERATIONS: Final = (OIP_INFER, OIP_METADATA, OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_EMBEDDINGS)

MAX_JSON: Final = 4 << 20
MAX_TENSORS: Final = 256
MAX_RANK: Final = 16
MAX_SIDE: Final = 2**31 - 1
MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 1 << 20
"""Of one BYTES tensor: each costs an object, so a body of empty ones must not be a bomb."""
ELEMENT_BYTES: Final[Mapping[str, int | None]] = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
    "BYTES": None,
}
"""OIP datatype → bytes per element; BYTES elements carry their own length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One named tensor, row-major, little-endian elements."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes | memoryview
    parameters: Mapping[str, object] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `MalformedError` unless shape, datatype and size agree."""
        if self.datatype not in ELEMENT_BYTES:
            raise MalformedError(f"tensor {self.name[:64]!r}: datatype")
        if len(self.shape) > MAX_RANK or not all(0 <= side <= MAX_SIDE for side in self.shape):
            raise MalformedError(f"tensor {self.name[:64]!r}: shape")
        size = ELEMENT_BYTES[self.datatype]
        if size is None:
            count = prod(self.shape)
            if count > MAX_ELEMENTS or count_bytes(self.data, most=count) != count:
                raise MalformedError(f"tensor {self.name[:64]!r}: number of elements")
        elif len(self.data) != prod(self.shape) * size:
            raise MalformedError(f"tensor {self.name[:64]!r}: number of bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class OipBody:
    """An inference request (`inputs`) or response (`outputs`)."""

    tensors: tuple[Tensor, ...]
    parameters: Mapping[str, object] = field(default_factory=dict)
    id: str | None = None

    def encode(self, *, response: bool) -> bytes:
        """Return the body's bytes.

        Raises:
            UsageError: a tensor's shape, datatype and size disagree.
        """
        try:
            for tensor in self.tensors:
                tensor.check()
        except MalformedError as exc:
            raise UsageError(str(exc)) from exc
        doc: dict[str, Any] = {"id": self.id} if self.id is not None else {}
        if self.parameters:
            doc["parameters"] = dict(self.parameters)
        doc["outputs" if response else "inputs"] = [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": dict(tensor.parameters) | {"binary_data_size": len(tensor.data)},
            }
            for tensor in self.tensors
        ]
        text = json.dumps(doc, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        return b"".join((u32(len(text)), text, *(tensor.data for tensor in self.tensors)))

    @classmethod
    def decode(cls, data: bytes | memoryview, *, response: bool) -> Self:
        """Return what `data` encodes; tensor data are views of `data`, not copies.

        Raises:
            MalformedError: not an OIP body, or sizes that do not add up.
        """
        view = memoryview(data)
        if len(view) < 4:  # noqa: PLR2004 - the length prefix
            raise MalformedError("oip: no JSON")
        end = 4 + int.from_bytes(view[:4], "big")
        if end - 4 > MAX_JSON or end > len(view):
            raise MalformedError("oip: length of JSON")
        doc = loads_json(bytes(view[4:end]))
        if not isinstance(doc, dict):
            raise MalformedError("oip: not an object")
        tensors = []
        for item in _list(doc.get("outputs" if response else "inputs")):
            tensor, end = _tensor(item, view, end)
            tensors.append(tensor)
        if end != len(view):
            raise MalformedError("oip: trailing bytes")
        identifier = doc.get("id")
        if identifier is not None and not isinstance(identifier, str):
            raise MalformedError("oip: id")
        return cls(
            tensors=tuple(tensors), parameters=_map(doc.get("parameters", {})), id=identifier
        )


def _tensor(item: object, view: memoryview, at: int) -> tuple[Tensor, int]:
    doc = _map(item)
    parameters = dict(_map(doc.get("parameters", {})))
    size = parameters.pop("binary_data_size", None)
    name, datatype, shape = doc.get("name"), doc.get("datatype"), _list(doc.get("shape"))
    if not (isinstance(name, str) and isinstance(datatype, str)):
        raise MalformedError("oip: a tensor without name or datatype")
    if "data" in doc or type(size) is not int or not 0 <= size <= len(view) - at:
        raise MalformedError(f"tensor {name[:64]!r}: needs binary_data_size within the body")
    if not all(type(side) is int for side in shape):
        raise MalformedError(f"tensor {name[:64]!r}: shape")
    tensor = Tensor(
        name=name,
        datatype=datatype,
        shape=tuple(shape),
        data=view[at : at + size],
        parameters=parameters,
    )
    tensor.check()
    return tensor, at + size


def join_bytes(elements: Iterable[bytes]) -> bytes:
    """Return the data of a BYTES tensor."""
    return b"".join(
        piece for element in elements for piece in (len(element).to_bytes(4, "little"), element)
    )


def count_bytes(data: bytes | memoryview, *, most: int) -> int:
    """Return how many elements a BYTES tensor has, or more than `most`; makes no objects.

    Raises:
        MalformedError: a length runs past the end.
    """
    count, at = 0, 0
    while at < len(data) and count <= most:
        at += 4 + int.from_bytes(data[at : at + 4], "little")
        count += 1
    if count <= most and at != len(data):
        raise MalformedError("tensor: a BYTES element runs past the end")
    return count


def split_bytes(data: bytes | memoryview) -> list[bytes]:
    """Return the elements of a BYTES tensor that `Tensor.check` has passed.

    Raises:
        MalformedError: a length runs past the end.
    """
    elements, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        if at + 4 + size > len(data):
            raise MalformedError("tensor: a BYTES element runs past the end")
        elements.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    return elements


def loads_json(data: bytes) -> Any:  # noqa: ANN401 - JSON is what it is
    """Return strict JSON: UTF-8, no duplicate keys, no NaN, bounded depth.

    Raises:
        MalformedError: anything else.
    """
    try:
        text = data.decode()
        if json_strict.depth(text) > MAX_DEPTH:
            raise MalformedError("json: too deep")
        doc = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except ValueError as exc:
        raise MalformedError("json: does not parse") from exc
    _check_depth(doc, MAX_DEPTH)
    return doc


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    doc = dict(pairs)
    if len(doc) != len(pairs):
        raise ValueError("duplicate key")
    return doc


def _no_constant(text: str) -> float:
    raise ValueError(text)


def _check_depth(value: object, left: int) -> None:
    if left == 0:
        raise MalformedError("json: too deep")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, left - 1)


def _list(value: object) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) > MAX_TENSORS:
        raise MalformedError("oip: not a list, or too long")
    return value


def _map(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError("oip: not an object")
    return value
