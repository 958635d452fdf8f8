"""Open Inference Protocol v2 over HTTP, as programs speak it, to and from the sealed body.

JSON numbers become bytes and back; tensors in the binary extension pass as they are. Pure.

Source: KServe Open Inference Protocol v2, REST; its binary tensor data extension.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from mifeng.errors import MalformedError
from mifeng.protocol.body import ELEMENT_BYTES, OipBody, Tensor, join_bytes, loads_json, split_bytes

HEADER_LENGTH: Final = "inference-header-content-length"
_STRUCT: Final = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How the program wants its answer."""

    names: tuple[str, ...]
    """Outputs, in this order; empty for all."""
    binary: Mapping[str, bool]
    """Per output named, whether as binary."""
    binary_default: bool

    def is_binary(self, name: str) -> bool:
        """Whether an output goes out in the binary extension."""
        return self.binary.get(name, self.binary_default)


def decode_request(content: bytes, header_length: str | None) -> tuple[OipBody, Wanted]:
    """Return the tensors of an HTTP request and how its answer is wanted.

    Args:
        content: the HTTP body.
        header_length: value of `Inference-Header-Content-Length`, if the request has binary data.

    Raises:
        MalformedError: not an OIP request; the message may be shown to the program.
    """
    size = len(content)
    if header_length is not None:
        if not header_length.isdecimal() or int(header_length) > size:
            raise MalformedError("Inference-Header-Content-Length is not a length of the body")
        size = int(header_length)
    document = loads_json(content[:size])
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise MalformedError("the request needs a list `inputs`")
    tensors, at = [], size
    for item in document["inputs"]:
        tensor, at = _tensor(item, content, at)
        tensors.append(tensor)
    if at != len(content):
        raise MalformedError("binary data beyond the inputs listed")
    parameters = dict(_object(document.get("parameters", {}), "parameters"))
    wanted = _wanted(document.get("outputs") or [], parameters)
    identifier = document.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise MalformedError("`id` is not text")
    return OipBody(tensors=tuple(tensors), parameters=parameters, id=identifier), wanted


def _wanted(outputs: Any, parameters: dict[str, Any]) -> Wanted:  # noqa: ANN401 - JSON
    if not isinstance(outputs, list):
        raise MalformedError("`outputs` is not a list")
    names, binary = [], {}
    for item in outputs:
        each = _object(item, "outputs")
        name = each.get("name")
        if not isinstance(name, str):
            raise MalformedError("an output without a name")
        names.append(name)
        own = _object(each.get("parameters", {}), "outputs.parameters")
        if "binary_data" in own:
            binary[name] = own["binary_data"] is True
    default = parameters.pop("binary_data_output", False) is True
    return Wanted(names=tuple(names), binary=binary, binary_default=default)


def _tensor(item: Any, content: bytes, at: int) -> tuple[Tensor, int]:  # noqa: ANN401 - JSON
    each = _object(item, "inputs")
    name, shape = each.get("name"), each.get("shape")
    datatype = str(each.get("datatype"))
    if not isinstance(name, str) or datatype not in ELEMENT_BYTES or not isinstance(shape, list):
        raise MalformedError("an input needs name, datatype and shape")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise MalformedError(f"input {name[:64]!r}: shape")
    parameters = dict(_object(each.get("parameters", {}), "inputs.parameters"))
    size = parameters.pop("binary_data_size", None)
    if size is None:
        data = encode_data(name, datatype, each.get("data"))
    else:
        if type(size) is not int or not 0 <= size <= len(content) - at or "data" in each:
            raise MalformedError(f"input {name[:64]!r}: binary_data_size")
        data = content[at : at + size]
        at += size
    tensor = Tensor(
        name=name, datatype=datatype, shape=tuple(shape), data=data, parameters=parameters
    )
    tensor.check()
    return tensor, at


def encode_data(name: str, datatype: str, data: Any) -> bytes:  # noqa: ANN401 - JSON
    """Return JSON tensor data, nested or flat, as the wire's bytes; raises `MalformedError`."""
    flat: list[Any] = []
    _flatten(data, flat, depth=0)
    if datatype == "BYTES":
        if not all(isinstance(each, str) for each in flat):
            raise MalformedError(f"input {name[:64]!r}: BYTES data in JSON is text")
        return join_bytes(each.encode() for each in flat)
    code = _STRUCT.get(datatype)
    if code is None:
        raise MalformedError(f"input {name[:64]!r}: {datatype} needs the binary extension")
    try:
        return struct.pack(f"<{len(flat)}{code}", *flat)
    except (struct.error, OverflowError) as exc:
        raise MalformedError(f"input {name[:64]!r}: data is not {datatype}") from exc


def _flatten(value: Any, into: list[Any], *, depth: int) -> None:  # noqa: ANN401 - JSON
    if depth > 16 or value is None or isinstance(value, dict):  # noqa: PLR2004 - OIP's ranks
        raise MalformedError("data is not an array")
    if isinstance(value, list):
        for inner in value:
            _flatten(inner, into, depth=depth + 1)
    else:
        into.append(value)


def decode_data(tensor: Tensor) -> Sequence[Any]:
    """Return a tensor's elements as JSON values, flat."""
    if tensor.datatype == "BYTES":
        return [each.decode("utf-8", "replace") for each in split_bytes(tensor.data)]
    code = _STRUCT.get(tensor.datatype)
    if code is None:
        raise MalformedError(f"output {tensor.name[:64]!r}: ask for it in binary")
    return struct.unpack(f"<{prod(tensor.shape)}{code}", tensor.data)


def encode_response(
    body: OipBody, wanted: Wanted, *, model: str, version: str
) -> tuple[bytes, int | None]:
    """Return the HTTP body of an answer, and the length of its JSON if binary data follow.

    Raises:
        MalformedError: an output that was asked for is not there.
    """
    have = {tensor.name: tensor for tensor in body.tensors}
    missing = [name for name in wanted.names if name not in have]
    if missing:
        raise MalformedError(f"the model has no output {missing[0][:64]!r}")
    chosen = [have[name] for name in wanted.names] if wanted.names else list(body.tensors)
    outputs, binary = [], []
    for tensor in chosen:
        row: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(tensor.shape),
        }
        if wanted.is_binary(tensor.name):
            row["parameters"] = {"binary_data_size": len(tensor.data)}
            binary.append(bytes(tensor.data))
        else:
            row["data"] = list(decode_data(tensor))
        outputs.append(row)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    if body.id is not None:
        document["id"] = body.id
    text = json.dumps(document, ensure_ascii=False).encode()
    return b"".join((text, *binary)), len(text) if binary else None


def _object(value: Any, what: str) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    if not isinstance(value, dict):
        raise MalformedError(f"`{what}` is not an object")
    return value
