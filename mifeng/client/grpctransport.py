"""The gateway over gRPC; needs the extra `grpc`."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc

from mifeng.errors import MalformedError, RefusedError, TransportError
from mifeng.grpcschema import METHODS, TYPES, method, parser, serialize
from mifeng.protocol.messages import Message
from mifeng.protocol.proof import ConsistencyProof, InclusionProof
from mifeng.protocol.subject import HEADER as SUBJECT

from .transport import Offered, ReleaseList

_MAX_MESSAGE: Final = 64 << 20
_NOTHING_SENT: Final = (grpc.StatusCode.UNAVAILABLE,)


class GrpcTransport:
    """See `transport.Transport`."""

    def __init__(self, target: str, *, api_key: str, ca: Path | None = None) -> None:
        """Take `host:port` or `unix:/path`; TLS unless it is this machine.

        Args:
            target: as gRPC writes it.
            api_key: who we are.
            ca: CA bundle for another machine; the system's where it is not given.
        """
        options = (
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.enable_retries", 0),
        )
        host = target.rpartition(":")[0]
        local = target.startswith("unix:") or host in ("localhost", "127.0.0.1", "[::1]")
        if ca is not None or not local:
            credentials = grpc.ssl_channel_credentials(ca.read_bytes() if ca else None)
            self._channel = grpc.aio.secure_channel(target, credentials, options=options)
        else:
            self._channel = grpc.aio.insecure_channel(target, options=options)
        self._metadata = (("authorization", f"Bearer {api_key}"),)

    async def attestations(self, model: str | None, challenge: bytes) -> list[Offered]:
        """See `Transport.attestations`."""
        answer = await self._call("ListAttestations", model=model or "", challenge=challenge)
        return [
            Offered(
                node_id=each.node_id,
                offer=each.offer,
                active=each.active,
                capacity=each.capacity,
            )
            for each in answer.attestations
        ]

    async def infer(
        self, messages: AsyncIterator[Message], *, subject: bytes | None = None
    ) -> AsyncIterator[Message]:
        """See `Transport.infer`."""
        sent = False

        async def requests() -> AsyncIterator[Any]:
            nonlocal sent
            async for message in messages:
                sent = True
                yield TYPES["Sealed"](message=message.encode())

        request, response = METHODS["Infer"]
        named = ((SUBJECT, subject.hex()),) if subject is not None else ()
        call = self._channel.stream_stream(
            method("Infer"), request_serializer=serialize, response_deserializer=parser(response)
        )(requests(), metadata=(*self._metadata, *named))
        del request
        received = False
        try:
            async for answer in call:
                received = True
                yield Message.decode(answer.message)
        except grpc.aio.AioRpcError as exc:
            error = _refused(exc)
            if isinstance(error, RefusedError) and not received:
                raise error from exc
            if not sent:
                raise TransportError(f"gateway: {exc.code().name}") from exc
            return
        finally:
            call.cancel()

    async def checkpoint(self) -> bytes:
        """See `Transport.checkpoint`."""
        note: bytes = (await self._call("GetCheckpoint")).note
        return note

    async def proof(self, index: int) -> tuple[bytes, InclusionProof]:
        """See `Transport.proof`."""
        answer = await self._call("GetProof", index=index)
        return answer.entry, InclusionProof.loads(answer.proof)

    async def releases(self) -> ReleaseList:
        """See `Transport.releases`."""
        answer = await self._call("ListReleases")
        return ReleaseList(
            entries=tuple((each.index, each.entry) for each in answer.entries),
            documents=tuple(answer.documents),
        )

    async def consistency(self, old: int, new: int) -> ConsistencyProof:
        """See `Transport.consistency`."""
        answer = await self._call("GetConsistency", old=old, new=new)
        return ConsistencyProof(old=old, new=new, path=tuple(answer.path))

    async def close(self) -> None:
        """See `Transport.close`."""
        await self._channel.close(None)

    async def _call(self, name: str, **fields: object) -> Any:  # noqa: ANN401 - run-time class
        request, response = METHODS[name]
        call = self._channel.unary_unary(
            method(name), request_serializer=serialize, response_deserializer=parser(response)
        )
        try:
            return await call(TYPES[request](**fields), metadata=self._metadata)
        except grpc.aio.AioRpcError as exc:
            raise _refused(exc) from exc


def _refused(exc: grpc.aio.AioRpcError) -> Exception:
    """Return what a failed call means: a named refusal, or a connection that was not there."""
    metadata: Any = exc.trailing_metadata() or ()
    trailer: dict[str, Any] = dict(metadata)
    code = trailer.get("mifeng-code")
    if isinstance(code, str):
        retry = str(trailer.get("retry-after", ""))
        return RefusedError(
            code, exc.details() or "", retry_after_s=int(retry) if retry.isdecimal() else None
        )
    if exc.code() in _NOTHING_SENT:
        return TransportError("gateway: cannot be reached")
    if exc.code() is grpc.StatusCode.INTERNAL:
        return MalformedError(f"gateway: {exc.details()}")
    return TransportError(f"gateway: {exc.code().name}")
