"""HTTP: FastAPI routes, one call each.

Bodies stream both ways. A refusal before the first byte of an answer is problem JSON with its
status; after that it is a PROBLEM message in the stream.

Source: docs/spec/messages.md §6.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gateway.auditlog.errors import LogUnavailableError
from gateway.metrics import Metrics
from gateway.operations import Operations
from gateway.problems import ProblemError
from gateway.subjects.people import HEADER, parse_reference
from mifeng.errors import MalformedError
from mifeng.protocol.messages import MEDIA_TYPE, Message, MessageParser
from mifeng.protocol.release import MAX_DOCUMENT

PROBLEM_JSON: Final = "application/problem+json"


def build(operations: Operations, metrics: Metrics, *, ready: Callable[[], bool]) -> FastAPI:
    """Return the application."""
    app = FastAPI(title="mifeng gateway", version="1", docs_url=None, redoc_url=None)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(LogUnavailableError, _on_log)
    authenticate = operations.tenants.authenticate

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process runs."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> Response:
        """Whether requests can be served: log writable, a node admitted, not draining."""
        ok = ready()
        return JSONResponse({"ready": ok}, status_code=200 if ok else 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        """Numbers for Prometheus."""
        operations.measure(metrics)
        metrics.witnessed(operations.audit)
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    @app.get("/v1/attestations")
    async def attestations(
        request: Request, nonce: str = "", model: str | None = None
    ) -> dict[str, Any]:
        """Ranked nodes, each with evidence for the caller's 32-byte challenge (hex), or shared."""
        tenant = authenticate(request.headers.get("authorization"))
        found = await operations.attestations(tenant, model=model, challenge=_hex(nonce))
        return {
            "attestations": [
                {
                    "node_id": each.node_id,
                    "offer": b64encode(each.offer).decode("ascii"),
                    "active": each.active,
                    "capacity": each.capacity,
                }
                for each in found
            ]
        }

    @app.post("/v1/infer")
    async def infer(request: Request) -> StreamingResponse:
        """One sealed exchange."""
        tenant = authenticate(request.headers.get("authorization"))
        if request.headers.get("content-type", "").partition(";")[0].strip() != MEDIA_TYPE:
            raise ProblemError("request.media_type", f"need {MEDIA_TYPE}")
        reference = parse_reference(request.headers.get(HEADER))
        answer = operations.relay.infer(tenant, _messages(request), reference=reference)
        first = await anext(answer)
        return StreamingResponse(_encoded(first, answer), media_type=MEDIA_TYPE)

    _log_routes(app, operations)
    return app


def _log_routes(app: FastAPI, operations: Operations) -> None:
    """Add what anybody may ask of the log."""

    @app.delete("/v1/subjects/{reference}")
    async def erase(request: Request, reference: str) -> dict[str, Any]:
        """Destroy the key of a person whom this tenant named in requests."""
        tenant = operations.tenants.authenticate(request.headers.get("authorization"))
        named = parse_reference(reference) or ""
        subject, recorded = await operations.erase(tenant, named)
        return {"subject": subject.hex(), "recorded": recorded}

    @app.get("/v1/log/checkpoint")
    async def checkpoint() -> Response:
        """The newest signed checkpoint."""
        return Response(operations.audit.checkpoint().note, media_type="text/plain; charset=utf-8")

    @app.get("/v1/log/witnesses")
    async def witnesses() -> dict[str, Any]:
        """How far the newest checkpoint that is shown lags, and how it goes with each witness."""
        return operations.witnesses()

    @app.get("/v1/log/proof/{index}")
    async def proof(index: int) -> dict[str, Any]:
        """An entry and its inclusion proof."""
        entry, found = await operations.proof(index)
        return {"entry": b64encode(entry).decode("ascii"), "proof": found.to_json()}

    @app.get("/v1/log/releases")
    async def releases() -> dict[str, Any]:
        """Every RELEASE entry that can be proven now, and the documents they name."""
        listed = await operations.released()
        return {
            "entries": [
                {"index": index, "entry": b64encode(entry).decode("ascii")}
                for index, entry in listed.entries
            ],
            "documents": [b64encode(data).decode("ascii") for data in listed.documents],
        }

    @app.post("/v1/log/releases")
    async def release(request: Request) -> dict[str, Any]:
        """Append what a document signed by a release key releases."""
        operations.tenants.authenticate(request.headers.get("authorization"))
        document = bytearray()
        async for chunk in request.stream():
            document += chunk
            if len(document) > MAX_DOCUMENT:
                raise ProblemError("request.too_large")
        return {"indexes": await operations.release(bytes(document))}

    @app.get("/v1/log/consistency")
    async def consistency(old: int, new: int) -> dict[str, Any]:
        """The proof between two sizes."""
        path = await operations.consistency(old, new)
        return {"path": [b64encode(digest).decode("ascii") for digest in path]}


async def _messages(request: Request) -> AsyncIterator[Message]:
    parser = MessageParser()
    try:
        async for chunk in request.stream():
            for message in parser.feed(chunk):
                yield message
    except ClientDisconnect:
        raise ProblemError("request.cancelled") from None
    if not parser.idle:
        raise MalformedError("the body ends inside a message")


async def _encoded(first: Message, rest: AsyncIterator[Message]) -> AsyncIterator[bytes]:
    try:
        yield first.encode()
        async for message in rest:
            yield message.encode()
    finally:
        # Starlette drops the iterator when the client leaves; the relay must hear of it.
        aclose = getattr(rest, "aclose", None)
        if aclose is not None:
            await asyncio.shield(aclose())


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ProblemError("request.malformed", "nonce: need hexadecimal") from None


def _response(problem: ProblemError) -> JSONResponse:
    headers = {}
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(problem.retry_after_s)
    if problem.code == "tenant.unauthenticated":
        headers["www-authenticate"] = "Bearer"
    return JSONResponse(
        problem.document(), status_code=problem.status, media_type=PROBLEM_JSON, headers=headers
    )


async def _on_problem(_request: Request, exc: Exception) -> Response:
    return _response(exc if isinstance(exc, ProblemError) else ProblemError("node.lost"))


async def _on_log(_request: Request, exc: Exception) -> Response:
    code = exc.code if isinstance(exc, LogUnavailableError) else LogUnavailableError.code
    return _response(ProblemError(code, retry_after_s=5))


async def _on_http(_request: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    document = {"type": "about:blank", "title": "HTTP error", "status": status, "code": "http"}
    return JSONResponse(document, status_code=status, media_type=PROBLEM_JSON)
