"""gRPC front: KServe's `inference.GRPCInferenceService`, with messages built at run time.

As in `mifeng.grpcschema`, generated modules are avoided so that the protobuf release that a
program's own client needs can be kept. Field numbers are the protocol's; a test compiles the
published .proto text of this subset and compares.

Source: KServe Open Inference Protocol v2, gRPC (open_inference_grpc.proto).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from mifeng.errors import MalformedError, MifengError, RefusedError
from mifeng.protocol.body import OipBody, Tensor, join_bytes

from . import oip
from .upstream import Upstream

SERVICE: Final = "inference.GRPCInferenceService"
MAX_MESSAGE: Final = 512 << 20
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
_METHODS: Final = (
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelInfer",
)
_CONTENTS: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
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


class OipService:
    """The protocol's methods over one upstream."""

    def __init__(self, upstream: Upstream, *, token: str | None) -> None:
        self._up, self._token = upstream, token

    def handlers(self) -> Any:  # noqa: ANN401 - grpc.GenericRpcHandler
        """Return the service for `grpc.aio.Server.add_generic_rpc_handlers`."""
        rows = {
            name: grpc.unary_unary_rpc_method_handler(
                self._guard(getattr(self, f"_{name}")),
                request_deserializer=_parser(f"{name}Request"),
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name in _METHODS
        }
        return grpc.method_handlers_generic_handler(SERVICE, rows)

    def _guard(
        self, behaviour: Callable[[Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:  # noqa: ANN401 - grpc
            if self._token is not None:
                metadata = dict(context.invocation_metadata() or ())
                if metadata.get("authorization", "") != f"Bearer {self._token}":
                    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the local token is wrong")
            try:
                return await behaviour(request)
            except MifengError as exc:
                await context.abort(_status(exc), f"{exc.code}: {exc}")

        return call

    async def _ServerLive(self, _request: Any) -> Any:  # noqa: ANN401, N802
        return TYPES["ServerLiveResponse"](live=True)

    async def _ServerReady(self, _request: Any) -> Any:  # noqa: ANN401, N802
        try:
            ready = bool(await self._up.models())
        except MifengError:
            ready = False
        return TYPES["ServerReadyResponse"](ready=ready)

    async def _ModelReady(self, request: Any) -> Any:  # noqa: ANN401, N802
        return TYPES["ModelReadyResponse"](ready=request.name in await self._up.models())

    async def _ServerMetadata(self, _request: Any) -> Any:  # noqa: ANN401, N802
        return TYPES["ServerMetadataResponse"](name="mifeng", version="2", extensions=[])

    async def _ModelMetadata(self, request: Any) -> Any:  # noqa: ANN401, N802
        found = await self._up.metadata(request.name)
        tensor = TYPES["ModelMetadataResponse.TensorMetadata"]
        return TYPES["ModelMetadataResponse"](
            name=found["name"],
            versions=found["versions"],
            platform=found["platform"],
            inputs=[tensor(**each) for each in found["inputs"]],
            outputs=[tensor(**each) for each in found["outputs"]],
        )

    async def _ModelInfer(self, request: Any) -> Any:  # noqa: ANN401, N802
        answer = await self._up.infer(request.model_name, _decode(request), deadline_s=None)
        body = OipBody.decode(answer.body, response=True)
        wanted = [each.name for each in request.outputs]
        have = {tensor.name: tensor for tensor in body.tensors}
        if missing := [name for name in wanted if name not in have]:
            raise MalformedError(f"the model has no output {missing[0][:64]!r}")
        chosen = [have[name] for name in wanted] or list(body.tensors)
        output = TYPES["ModelInferResponse.InferOutputTensor"]
        return TYPES["ModelInferResponse"](
            model_name=request.model_name,
            model_version=request.model_version or "1",
            id=request.id,
            outputs=[output(name=t.name, datatype=t.datatype, shape=list(t.shape)) for t in chosen],
            raw_output_contents=[bytes(tensor.data) for tensor in chosen],
        )


def _parser(name: str) -> Callable[[bytes], Any]:
    cls = TYPES[name]

    def parse(data: bytes) -> Any:  # noqa: ANN401 - a run-time class
        message = cls()
        message.ParseFromString(data)
        return message

    return parse


def _decode(request: Any) -> OipBody:  # noqa: ANN401 - a run-time class
    """Return the tensors of a ModelInferRequest; raises `MalformedError`."""
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise MalformedError("raw_input_contents: one for each input, or none")
    tensors = []
    for number, each in enumerate(request.inputs):
        data = raw[number] if raw else _contents(each)
        tensor = Tensor(name=each.name, datatype=each.datatype, shape=tuple(each.shape), data=data)
        tensor.check()
        tensors.append(tensor)
    parameters = {
        name: getattr(value, value.WhichOneof("parameter_choice"))
        for name, value in request.parameters.items()
        if value.WhichOneof("parameter_choice") and name not in ("priority", "timeout")
    }
    return OipBody(tensors=tuple(tensors), parameters=parameters, id=request.id or None)


def _contents(each: Any) -> bytes:  # noqa: ANN401 - a run-time class
    field = _CONTENTS.get(each.datatype)
    if field is None:
        raise MalformedError(f"input {each.name[:64]!r}: {each.datatype} needs raw contents")
    values = list(getattr(each.contents, field))
    if each.datatype == "BYTES":
        return join_bytes(values)
    return oip.encode_data(each.name, each.datatype, values)


def _status(error: MifengError) -> grpc.StatusCode:
    codes = {
        "model.unknown": grpc.StatusCode.NOT_FOUND,
        "quota.exceeded": grpc.StatusCode.RESOURCE_EXHAUSTED,
        "deadline.expired": grpc.StatusCode.DEADLINE_EXCEEDED,
    }
    if error.code in codes:
        return codes[error.code]
    if isinstance(error, MalformedError) or error.code.startswith("backend.input."):
        return grpc.StatusCode.INVALID_ARGUMENT
    if isinstance(error, RefusedError):
        return grpc.StatusCode.UNAVAILABLE
    return grpc.StatusCode.ABORTED
