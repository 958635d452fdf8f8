"""gRPC front: KServe's `inference.GRPCInferenceService`, over one upstream.

Answers carry what was verified as trailing metadata, under the names of the HTTP headers.

Source: KServe Open Inference Protocol v2, gRPC (open_inference_grpc.proto).
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

import mifeng
from mifeng.errors import MalformedError, MifengError
from mifeng.protocol.body import OipBody, Tensor, join_bytes

from . import errors, oip
from .oipschema import TYPES
from .openai import proofs
from .person import HEADER, subject
from .upstream import Upstream

API: Final = "oip-grpc"
SERVICE: Final = "inference.GRPCInferenceService"
MAX_MESSAGE: Final = 512 << 20
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
        self, behaviour: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:  # noqa: ANN401 - grpc
            if self._token is not None:
                metadata = dict(context.invocation_metadata() or ())
                given = str(metadata.get("authorization", "")).partition(" ")[2]
                if not hmac.compare_digest(given.encode(), self._token.encode()):
                    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the local token is wrong")
            try:
                return await behaviour(request, context)
            except MifengError as exc:
                context.set_trailing_metadata(tuple(errors.headers_of(exc).items()))
                await context.abort(_status(exc), f"{exc.code}: {errors.words_of(exc)}")

        return call

    async def _ServerLive(self, _request: Any, _context: Any) -> Any:  # noqa: ANN401, N802
        return TYPES["ServerLiveResponse"](live=True)

    async def _ServerReady(self, _request: Any, _context: Any) -> Any:  # noqa: ANN401, N802
        ready = bool(await self._up.models_or_none())
        return TYPES["ServerReadyResponse"](ready=ready)

    async def _ModelReady(self, request: Any, _context: Any) -> Any:  # noqa: ANN401, N802
        return TYPES["ModelReadyResponse"](ready=request.name in await self._up.models_or_none())

    async def _ServerMetadata(self, _request: Any, _context: Any) -> Any:  # noqa: ANN401, N802
        return TYPES["ServerMetadataResponse"](
            name="mifeng", version=mifeng.__version__, extensions=[]
        )

    async def _ModelMetadata(self, request: Any, _context: Any) -> Any:  # noqa: ANN401, N802
        found = await self._up.metadata(request.name, api=API)
        tensor = TYPES["ModelMetadataResponse.TensorMetadata"]
        return TYPES["ModelMetadataResponse"](
            name=found["name"],
            versions=found["versions"],
            platform=found["platform"],
            inputs=[tensor(**each) for each in found["inputs"]],
            outputs=[tensor(**each) for each in found["outputs"]],
        )

    async def _ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: ANN401, N802
        metadata = context.invocation_metadata() or ()
        person = subject([value for name, value in metadata if name == HEADER])
        try:
            asked = _decode(request)
        except MalformedError as exc:
            raise errors.of_request(exc) from exc
        answer = await self._up.infer(request.model_name, asked, api=API, subject=person)
        body = OipBody.decode(answer.body, response=True)
        wanted = [each.name for each in request.outputs]
        have = {tensor.name: tensor for tensor in body.tensors}
        if missing := [name for name in wanted if name not in have]:
            raise errors.BadRequestError(f"the model has no output {missing[0][:64]!r}")
        chosen = [have[name] for name in wanted] or list(body.tensors)
        context.set_trailing_metadata(tuple(proofs(answer.receipt, answer.node_id).items()))
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
        if value.WhichOneof("parameter_choice")
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


_STATUS: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


def _status(error: MifengError) -> grpc.StatusCode:
    return _STATUS.get(errors.status_of(error), grpc.StatusCode.ABORTED)
