"""Messages of KServe's `inference.GRPCInferenceService`, built at run time.

As in `mifeng.grpcschema`, generated modules are avoided so that the protobuf release that a
program's own client needs can be kept. Field numbers are the protocol's.

Source: KServe Open Inference Protocol v2, gRPC (open_inference_grpc.proto).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_F = descriptor_pb2.FieldDescriptorProto
_STRING, _BOOL, _BYTES = _F.TYPE_STRING, _F.TYPE_BOOL, _F.TYPE_BYTES
_INT64, _MESSAGE = _F.TYPE_INT64, _F.TYPE_MESSAGE

Field = tuple[str, int, int] | tuple[str, int, int, str] | tuple[str, int, int, str, str]
"""name, number, type [, message or "" [, "repeated" | "map" | oneof name]]"""

_MESSAGES: Final[Mapping[str, tuple[Field, ...]]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": (("live", 1, _BOOL),),
    "ServerReadyRequest": (),
    "ServerReadyResponse": (("ready", 1, _BOOL),),
    "ModelReadyRequest": (("name", 1, _STRING), ("version", 2, _STRING)),
    "ModelReadyResponse": (("ready", 1, _BOOL),),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": (
        ("name", 1, _STRING),
        ("version", 2, _STRING),
        ("extensions", 3, _STRING, "", "repeated"),
    ),
    "ModelMetadataRequest": (("name", 1, _STRING), ("version", 2, _STRING)),
    "ModelMetadataResponse": (
        ("name", 1, _STRING),
        ("versions", 2, _STRING, "", "repeated"),
        ("platform", 3, _STRING),
        ("inputs", 4, _MESSAGE, "ModelMetadataResponse.TensorMetadata", "repeated"),
        ("outputs", 5, _MESSAGE, "ModelMetadataResponse.TensorMetadata", "repeated"),
    ),
    "ModelMetadataResponse.TensorMetadata": (
        ("name", 1, _STRING),
        ("datatype", 2, _STRING),
        ("shape", 3, _INT64, "", "repeated"),
    ),
    "InferParameter": (
        ("bool_param", 1, _BOOL, "", "parameter_choice"),
        ("int64_param", 2, _INT64, "", "parameter_choice"),
        ("string_param", 3, _STRING, "", "parameter_choice"),
        ("double_param", 4, _F.TYPE_DOUBLE, "", "parameter_choice"),
        ("uint64_param", 5, _F.TYPE_UINT64, "", "parameter_choice"),
    ),
    "InferTensorContents": (
        ("bool_contents", 1, _BOOL, "", "repeated"),
        ("int_contents", 2, _F.TYPE_INT32, "", "repeated"),
        ("int64_contents", 3, _INT64, "", "repeated"),
        ("uint_contents", 4, _F.TYPE_UINT32, "", "repeated"),
        ("uint64_contents", 5, _F.TYPE_UINT64, "", "repeated"),
        ("fp32_contents", 6, _F.TYPE_FLOAT, "", "repeated"),
        ("fp64_contents", 7, _F.TYPE_DOUBLE, "", "repeated"),
        ("bytes_contents", 8, _BYTES, "", "repeated"),
    ),
    "ModelInferRequest": (
        ("model_name", 1, _STRING),
        ("model_version", 2, _STRING),
        ("id", 3, _STRING),
        ("parameters", 4, _MESSAGE, "InferParameter", "map"),
        ("inputs", 5, _MESSAGE, "ModelInferRequest.InferInputTensor", "repeated"),
        ("outputs", 6, _MESSAGE, "ModelInferRequest.InferRequestedOutputTensor", "repeated"),
        ("raw_input_contents", 7, _BYTES, "", "repeated"),
    ),
    "ModelInferRequest.InferInputTensor": (
        ("name", 1, _STRING),
        ("datatype", 2, _STRING),
        ("shape", 3, _INT64, "", "repeated"),
        ("parameters", 4, _MESSAGE, "InferParameter", "map"),
        ("contents", 5, _MESSAGE, "InferTensorContents"),
    ),
    "ModelInferRequest.InferRequestedOutputTensor": (
        ("name", 1, _STRING),
        ("parameters", 2, _MESSAGE, "InferParameter", "map"),
    ),
    "ModelInferResponse": (
        ("model_name", 1, _STRING),
        ("model_version", 2, _STRING),
        ("id", 3, _STRING),
        ("parameters", 4, _MESSAGE, "InferParameter", "map"),
        ("outputs", 5, _MESSAGE, "ModelInferResponse.InferOutputTensor", "repeated"),
        ("raw_output_contents", 6, _BYTES, "", "repeated"),
    ),
    "ModelInferResponse.InferOutputTensor": (
        ("name", 1, _STRING),
        ("datatype", 2, _STRING),
        ("shape", 3, _INT64, "", "repeated"),
        ("parameters", 4, _MESSAGE, "InferParameter", "map"),
        ("contents", 5, _MESSAGE, "InferTensorContents"),
    ),
}


def file_descriptor() -> descriptor_pb2.FileDescriptorProto:
    """Return the descriptor of the subset we speak."""
    file = descriptor_pb2.FileDescriptorProto(
        name="mifeng/inference.proto", package="inference", syntax="proto3"
    )
    made: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name in sorted(_MESSAGES, key=lambda each: each.count(".")):
        parent, _, short = name.rpartition(".")
        message = (
            made[parent].nested_type.add(name=short) if parent else file.message_type.add(name=name)
        )
        made[name] = message
        for field in _MESSAGES[name]:
            _add_field(message, name, field)
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, owner: str, field: Field) -> None:
    name, number, kind, of, how = (*field, "", "")[:5]
    added = message.field.add(name=str(name), number=int(number), label=_F.LABEL_OPTIONAL)
    added.type = kind
    if of:
        added.type_name = f".inference.{of}"
    if how == "map":
        entry = message.nested_type.add(name=_entry(str(name)))
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_STRING, label=_F.LABEL_OPTIONAL)
        value = entry.field.add(name="value", number=2, type=kind, label=_F.LABEL_OPTIONAL)
        value.type_name = f".inference.{of}"
        added.type_name = f".inference.{owner}.{entry.name}"
    if how in ("map", "repeated"):
        added.label = _F.LABEL_REPEATED
    elif how:
        if not message.oneof_decl:
            message.oneof_decl.add(name=str(how))
        added.oneof_index = 0


def _entry(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_")) + "Entry"


def _classes() -> dict[str, Callable[..., Any]]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file_descriptor())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))
        for name in _MESSAGES
    }


TYPES: Final = _classes()
"""Message name → class."""
