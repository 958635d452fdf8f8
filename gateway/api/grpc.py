"""gRPC: the same operations over grpc.aio, with handlers built from `mifeng.grpcschema`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc

from gateway.auditlog.errors import LogUnavailableError
from gateway.operations import Operations
from gateway.problems import ProblemError
from gateway.subjects.people import HEADER, parse_reference
from mifeng.errors import MalformedError
from mifeng.grpcschema import METHODS, SERVICE, TYPES, parser, serialize
from mifeng.protocol.messages import Message, MessageType

MAX_MESSAGE: Final = 1 << 20
MAX_LIST: Final = 64 << 20
Server = grpc.aio.Server
Context = Any
"""grpc.aio.ServicerContext, whose stub is generic where the class is not."""


class Api:
    """Handlers; each translates and calls one operation."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def handlers(self) -> Any:  # noqa: ANN401 - grpc.GenericRpcHandler, generic in the stub only
        """Return the service for `grpc.aio.Server.add_generic_rpc_handlers`."""
        rows = {}
        for name, (request, _) in METHODS.items():
            make = (
                grpc.stream_stream_rpc_method_handler
                if name == "Infer"
                else grpc.unary_unary_rpc_method_handler
            )
            behaviour = getattr(self, name)
            rows[name] = make(
                behaviour if name == "Infer" else _unary(behaviour),
                request_deserializer=parser(request),
                response_serializer=serialize,
            )
        return grpc.method_handlers_generic_handler(SERVICE, rows)

    def _tenant(self, context: Any) -> Any:  # noqa: ANN401 - grpc's stubs are partial
        metadata = dict(context.invocation_metadata() or ())
        return self._operations.tenants.authenticate(metadata.get("authorization"))

    async def ListAttestations(self, request: Any, context: Context) -> Any:  # noqa: ANN401, N802
        """See the .proto file."""
        found = await self._operations.attestations(
            self._tenant(context), model=request.model or None, challenge=request.challenge
        )
        rows = [
            TYPES["Attestation"](
                node_id=each.node_id,
                offer=each.offer,
                active=each.active,
                capacity=each.capacity,
            )
            for each in found
        ]
        return TYPES["ListAttestationsResponse"](attestations=rows)

    async def Infer(  # noqa: N802 - the method's name
        self, requests: AsyncIterator[Any], context: Context
    ) -> AsyncIterator[Any]:
        """See the .proto file."""
        try:
            tenant = self._tenant(context)
            metadata = dict(context.invocation_metadata() or ())
            reference = parse_reference(metadata.get(HEADER))
            answer = self._operations.relay.infer(tenant, _messages(requests), reference=reference)
            try:
                async for message in answer:
                    yield TYPES["Sealed"](message=message.encode())
            finally:
                await asyncio.shield(answer.aclose())  # type: ignore[attr-defined]
        except (ProblemError, LogUnavailableError) as exc:
            await _abort(context, exc)

    async def GetCheckpoint(self, _request: Any, _context: Context) -> Any:  # noqa: ANN401, N802
        """See the .proto file."""
        return TYPES["GetCheckpointResponse"](note=self._operations.audit.checkpoint().note)

    async def GetProof(self, request: Any, _context: Context) -> Any:  # noqa: ANN401, N802
        """See the .proto file."""
        entry, proof = await self._operations.proof(request.index)
        return TYPES["GetProofResponse"](entry=entry, proof=proof.dumps())

    async def GetConsistency(self, request: Any, _context: Context) -> Any:  # noqa: ANN401, N802
        """See the .proto file."""
        path = await self._operations.consistency(request.old, request.new)
        return TYPES["GetConsistencyResponse"](path=path)

    async def ListReleases(self, _request: Any, _context: Context) -> Any:  # noqa: ANN401, N802
        """See the .proto file."""
        found = await self._operations.released()
        rows = [TYPES["Listed"](index=index, entry=entry) for index, entry in found.entries]
        return TYPES["ListReleasesResponse"](entries=rows, documents=found.documents)


def _unary(
    behaviour: Callable[[Any, Context], Awaitable[Any]],
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def call(request: Any, context: Context) -> Any:  # noqa: ANN401
        try:
            return await behaviour(request, context)
        except (ProblemError, LogUnavailableError) as exc:
            return await _abort(context, exc)

    return call


def _problem_of(exc: Exception) -> ProblemError:
    code = exc.code if isinstance(exc, LogUnavailableError) else LogUnavailableError.code
    return ProblemError(code)


async def _abort(context: Context, exc: Exception) -> None:
    problem = exc if isinstance(exc, ProblemError) else _problem_of(exc)
    trailer = [("mifeng-code", problem.code)]
    if problem.retry_after_s is not None:
        trailer.append(("retry-after", str(problem.retry_after_s)))
    await context.abort(getattr(grpc.StatusCode, problem.grpc), str(problem), tuple(trailer))


async def _messages(requests: AsyncIterator[Any]) -> AsyncIterator[Message]:
    async for request in requests:
        message = Message.decode(request.message)
        if message.type in (MessageType.INTENT, MessageType.RECORD):
            raise MalformedError(f"{message.type.name} is not a client's message")
        yield message


def server(operations: Operations, *, max_concurrent: int) -> grpc.aio.Server:
    """Return a server with the service and its bounds; the caller adds ports."""
    made = grpc.aio.server(
        maximum_concurrent_rpcs=max_concurrent,
        options=(
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", MAX_LIST),
            ("grpc.so_reuseport", 0),
        ),
    )
    made.add_generic_rpc_handlers((Api(operations).handlers(),))
    return made
