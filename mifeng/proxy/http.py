"""HTTP front: the OpenAI API and the Open Inference Protocol, as unmodified programs speak them.

Every answer says how far it was verified: `mifeng-verified: receipt` once receipt, digests and
the log's promise were checked, `provisional` for a stream whose receipt comes last. A stream that
does not verify ends with an error event and a connection that breaks, so no program takes it for
complete; with `strict` nothing leaves before the receipt verifies.

Source: OpenAI API reference; KServe Open Inference Protocol v2.
"""

import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from mifeng.client import AnswerStream
from mifeng.errors import MalformedError, MifengError, PeerError, RefusedError
from mifeng.protocol.body import (
    OPENAI_CHAT,
    OPENAI_COMPLETIONS,
    OPENAI_EMBEDDINGS,
    OipBody,
    loads_json,
)
from mifeng.protocol.receipt import Receipt

from . import oip
from .upstream import Upstream

MAX_BODY: Final = 512 << 20
VERSION_OF_PROTOCOL: Final = "2"
_STATUS: Final = {
    "model.unknown": 404,
    "operation.unknown": 400,
    "quota.exceeded": 429,
    "tenant.unauthenticated": 401,
    "tenant.forbidden": 403,
    "request.too_large": 413,
    "deadline.expired": 504,
    "interrupted": 502,
    "transport": 502,
}
_LOCAL: Final = ("localhost", "127.0.0.1", "::1", "gateway", "proxy")
"""Names by which programs reach this machine; the last two over a unix socket."""
_OPENAI_TYPES: Final = {400: "invalid_request_error", 404: "not_found_error", 429: "rate_limit"}
Handler = Callable[[Request], Awaitable[Response]]


def status_of(error: MifengError) -> int:
    """Return the HTTP status a program sees for an error of the sealed world."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    if error.code.startswith(("backend.input.", "request.")) or isinstance(error, MalformedError):
        return 400
    if isinstance(error, RefusedError):
        return 503
    return 502


def headers_of(receipt: Receipt, node_id: str, verified: str) -> dict[str, str]:
    """Return the headers that say what stands behind an answer."""
    return {
        "mifeng-receipt": receipt.h.hex(),
        "mifeng-node": node_id,
        "mifeng-verified": verified,
        "mifeng-marks": ",".join(receipt.marks) or "none",
    }


class Fronts:
    """All HTTP routes over one upstream."""

    def __init__(self, upstream: Upstream, *, token: str | None) -> None:
        self._up, self._token = upstream, token

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/metrics", self._metrics),
                Route("/v1/models", self._guard(self._openai, self._models)),
                *(
                    Route(path, self._guard(self._openai, handler), methods=["POST"])
                    for path, handler in (
                        ("/v1/chat/completions", self._operation(OPENAI_CHAT)),
                        ("/v1/completions", self._operation(OPENAI_COMPLETIONS)),
                        ("/v1/embeddings", self._operation(OPENAI_EMBEDDINGS)),
                    )
                ),
                Route("/v2", self._server),
                Route("/v2/health/live", self._live),
                Route("/v2/health/ready", self._ready),
                *(
                    Route(f"/v2/models/{{model:path}}{version}{tail}", handler, methods=[method])
                    for version in ("/versions/{version}", "")
                    for tail, handler, method in (
                        ("/infer", self._guard(self._oip, self._infer), "POST"),
                        ("/ready", self._model_ready, "GET"),
                        ("", self._guard(self._oip, self._model), "GET"),
                    )
                ),
            ]
        )

    def _guard(self, shape: Callable[[MifengError], Response], handler: Handler) -> Handler:
        """Wrap a handler: local token first, errors in the protocol's own shape."""

        async def call(request: Request) -> Response:
            if not _from_this_machine(request):
                return shape(RefusedError("tenant.forbidden", "a web page may not ask here"))
            if self._token is not None:
                given = request.headers.get("authorization", "").partition(" ")[2]
                if not hmac.compare_digest(given.encode(), self._token.encode()):
                    return shape(RefusedError("tenant.unauthenticated", "the local token is wrong"))
            try:
                return await handler(request)
            except MifengError as exc:
                return shape(exc)

        return call

    # OpenAI.

    def _openai(self, error: MifengError) -> Response:
        status = status_of(error)
        kind = "mifeng_verification_error" if isinstance(error, PeerError) else None
        body = {
            "message": str(error),
            "type": kind or _OPENAI_TYPES.get(status, "server_error"),
            "code": error.code,
            "param": None,
        }
        return JSONResponse({"error": body}, status_code=status, headers=_retry(error))

    async def _models(self, _request: Request) -> Response:
        rows = [
            {"id": name, "object": "model", "created": 0, "owned_by": "mifeng"}
            for name in await self._up.models()
        ]
        return JSONResponse({"object": "list", "data": rows})

    def _operation(self, operation: str) -> Handler:
        async def call(request: Request) -> Response:
            content = await _body(request)
            document = loads_json(content)
            model = document.get("model") if isinstance(document, dict) else None
            if not isinstance(model, str):
                raise MalformedError("the request needs `model`")
            if document.get("stream") is True:
                return await self._stream(model, content, operation)
            answer = await self._up.ask(model, content, operation=operation)
            headers = headers_of(answer.receipt, answer.node_id, "receipt")
            return Response(answer.body, media_type="application/json", headers=headers)

        return call

    async def _stream(self, model: str, content: bytes, operation: str) -> Response:
        stream = await self._up.stream(model, content, operation=operation)
        headers = {
            "mifeng-receipt": stream.h.hex(),
            "mifeng-node": stream.node_id,
            "mifeng-verified": "receipt" if self._up.strict else "provisional",
            "cache-control": "no-store",
        }
        if not self._up.strict:
            return StreamingResponse(
                self._events(stream), media_type="text/event-stream", headers=headers
            )
        pieces = [piece async for piece in stream]
        self._up.finished(stream.done)
        if stream.done.problem is not None:
            raise RefusedError(stream.done.problem, "the node could not answer")
        content = b"".join(pieces)
        return Response(content, media_type="text/event-stream", headers=headers)

    async def _events(self, stream: AnswerStream) -> AsyncIterator[bytes]:
        """Yield events as they come, then a comment that names the verified receipt."""
        try:
            async for piece in stream:
                yield piece
            done = stream.done
            if done.problem is not None:
                raise RefusedError(done.problem, "the node could not answer")
        except MifengError as exc:
            self._up.finished(None)
            body = {"error": {"message": str(exc), "type": "mifeng_error", "code": exc.code}}
            yield b"data: " + json.dumps(body).encode() + b"\n\n"
            # The program must not take what it has for the whole answer.
            raise ConnectionAbortedError(exc.code) from exc
        else:
            self._up.finished(done)
            yield f": mifeng-verified receipt {stream.h.hex()} log {done.index}\n\n".encode()
        finally:
            await stream.aclose()

    # Open Inference Protocol.

    def _oip(self, error: MifengError) -> Response:
        body = {"error": f"{error.code}: {error}"}
        return JSONResponse(body, status_code=status_of(error), headers=_retry(error))

    async def _server(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "name": "mifeng",
                "version": VERSION_OF_PROTOCOL,
                "extensions": ["binary_tensor_data"],
            }
        )

    async def _live(self, _request: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _request: Request) -> Response:
        try:
            await self._up.models()
        except MifengError:
            return JSONResponse({"ready": False}, status_code=503)
        return JSONResponse({"ready": True})

    async def _model_ready(self, request: Request) -> Response:
        model = request.path_params["model"]
        try:
            ready = model in await self._up.models()
        except MifengError:
            ready = False
        return JSONResponse({"name": model, "ready": ready}, status_code=200 if ready else 404)

    async def _model(self, request: Request) -> Response:
        return JSONResponse(await self._up.metadata(request.path_params["model"]))

    async def _infer(self, request: Request) -> Response:
        model = request.path_params["model"]
        body, wanted = oip.decode_request(
            await _body(request), request.headers.get(oip.HEADER_LENGTH)
        )
        timeout = body.parameters.get("timeout")
        deadline_s = timeout / 1e6 if isinstance(timeout, int) and timeout > 0 else None
        rest = {k: v for k, v in body.parameters.items() if k not in ("timeout", "priority")}
        sealed = OipBody(tensors=body.tensors, parameters=rest, id=body.id)
        answer = await self._up.infer(model, sealed, deadline_s=deadline_s)
        made = OipBody.decode(answer.body, response=True)
        version = str(request.path_params.get("version", "1"))
        content, json_length = oip.encode_response(made, wanted, model=model, version=version)
        headers = headers_of(answer.receipt, answer.node_id, "receipt")
        if json_length is not None:
            headers[oip.HEADER_LENGTH] = str(json_length)
        media = "application/json" if json_length is None else "application/octet-stream"
        return Response(content, media_type=media, headers=headers)

    # The proxy itself.

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _metrics(self, _request: Request) -> Response:
        counts = self._up.counts
        rows = {
            "mifeng_proxy_requests_total": counts.requests,
            "mifeng_proxy_verified_total": counts.verified,
            "mifeng_proxy_refused_total": counts.refused,
            "mifeng_proxy_unverified_total": counts.unverified,
        }
        text = "".join(f"# TYPE {name} counter\n{name} {value}\n" for name, value in rows.items())
        return Response(text, media_type="text/plain; version=0.0.4")


def _from_this_machine(request: Request) -> bool:
    """Whether a request was made by a program here, and not by a page in somebody's browser.

    Browsers name the page's origin, or say that a request crosses sites; a page that rebinds a
    name to this address still sends that name as the host.
    """
    host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
    origin = request.headers.get("origin")
    local = urlsplit(origin).hostname in _LOCAL if origin else True
    site = request.headers.get("sec-fetch-site", "none")
    return host.strip("[]") in _LOCAL and local and site in ("none", "same-origin", "same-site")


def _retry(error: MifengError) -> dict[str, str]:
    seconds = error.retry_after_s if isinstance(error, RefusedError) else None
    return {} if seconds is None else {"retry-after": str(seconds)}


async def _body(request: Request) -> bytes:
    """Return the whole body, bounded; gzip and deflate are undone if the program used them."""
    import zlib

    encoding = request.headers.get("content-encoding", "identity")
    if encoding not in ("identity", "gzip", "deflate"):
        raise MalformedError(f"content-encoding {encoding[:32]!r}")
    inflate: Any = zlib.decompressobj(wbits=47) if encoding != "identity" else None
    content = bytearray()
    async for chunk in request.stream():
        try:
            content += inflate.decompress(chunk, MAX_BODY) if inflate else chunk
        except zlib.error as exc:
            raise MalformedError(f"content-encoding: not {encoding}") from exc
        if len(content) > MAX_BODY:
            raise RefusedError("request.too_large", f"at most {MAX_BODY} bytes")
    if inflate and not inflate.eof:
        raise MalformedError(f"content-encoding: {encoding} is cut short")
    return bytes(content)
