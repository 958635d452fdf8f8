"""The messages of `mifeng.proto`, built at run time.

Generated modules are bound to the protobuf release that made them; partners hold protobuf at
whatever their other gRPC programs need. Descriptors built here work with any of them. A test
compiles the .proto file and compares.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

PACKAGE: Final = "mifeng.v1"
SERVICE: Final = f"{PACKAGE}.Gateway"
_F = descriptor_pb2.FieldDescriptorProto


class _Field(NamedTuple):
    name: str
    type: int
    repeated: bool = False
    of: str = ""


_MESSAGES: Final[dict[str, tuple[_Field, ...]]] = {
    "ListAttestationsRequest": (
        _Field("model", _F.TYPE_STRING),
        _Field("challenge", _F.TYPE_BYTES),
    ),
    "Attestation": (
        _Field("node_id", _F.TYPE_STRING),
        _Field("offer", _F.TYPE_BYTES),
        _Field("active", _F.TYPE_UINT32),
        _Field("capacity", _F.TYPE_UINT32),
    ),
    "ListAttestationsResponse": (
        _Field("attestations", _F.TYPE_MESSAGE, repeated=True, of="Attestation"),
    ),
    "Sealed": (_Field("message", _F.TYPE_BYTES),),
    "GetCheckpointRequest": (),
    "GetCheckpointResponse": (_Field("note", _F.TYPE_BYTES),),
    "GetProofRequest": (_Field("index", _F.TYPE_UINT64),),
    "GetProofResponse": (_Field("entry", _F.TYPE_BYTES), _Field("proof", _F.TYPE_BYTES)),
    "GetConsistencyRequest": (_Field("old", _F.TYPE_UINT64), _Field("new", _F.TYPE_UINT64)),
    "GetConsistencyResponse": (_Field("path", _F.TYPE_BYTES, repeated=True),),
    "ListReleasesRequest": (),
    "Listed": (_Field("index", _F.TYPE_UINT64), _Field("entry", _F.TYPE_BYTES)),
    "ListReleasesResponse": (
        _Field("entries", _F.TYPE_MESSAGE, repeated=True, of="Listed"),
        _Field("documents", _F.TYPE_BYTES, repeated=True),
    ),
}
METHODS: Final[dict[str, tuple[str, str]]] = {
    "ListAttestations": ("ListAttestationsRequest", "ListAttestationsResponse"),
    "Infer": ("Sealed", "Sealed"),
    "GetCheckpoint": ("GetCheckpointRequest", "GetCheckpointResponse"),
    "GetProof": ("GetProofRequest", "GetProofResponse"),
    "GetConsistency": ("GetConsistencyRequest", "GetConsistencyResponse"),
    "ListReleases": ("ListReleasesRequest", "ListReleasesResponse"),
}


def file_descriptor() -> descriptor_pb2.FileDescriptorProto:
    """Return the descriptor that `protoc` would make of the file, services left out."""
    file = descriptor_pb2.FileDescriptorProto(
        name="mifeng/v1/mifeng.proto", package=PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields, 1):
            label = _F.LABEL_REPEATED if field.repeated else _F.LABEL_OPTIONAL
            added = message.field.add(
                name=field.name, number=number, label=label, json_name=_json_name(field.name)
            )
            added.type = field.type  # type: ignore[assignment]
            if field.of:
                added.type_name = f".{PACKAGE}.{field.of}"
    return file


def _json_name(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _classes() -> dict[str, Callable[..., Any]]:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file_descriptor())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _MESSAGES
    }


TYPES: Final = _classes()
"""Message name → class."""


def method(name: str) -> str:
    """Return the full path of a method, as gRPC spells it."""
    return f"/{SERVICE}/{name}"


def serialize(message: Message) -> bytes:
    """Return a message's wire bytes."""
    return message.SerializeToString()


def parser(name: str) -> Callable[[bytes], Any]:
    """Return what turns wire bytes into the named message; raises protobuf's `DecodeError`."""
    cls = TYPES[name]

    def parse(data: bytes) -> Any:  # noqa: ANN401 - a run-time class
        message = cls()
        message.ParseFromString(data)
        return message

    return parse
