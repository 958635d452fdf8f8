"""HTTP front: routes, who may ask, health and metrics.

Every answer says how far it was verified: `mifeng-verified: receipt` once receipt, digests and
the log's promise were checked, `provisional` for a stream whose receipt comes last.
"""

import hmac
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mifeng.errors import MifengError, RefusedError

from . import oiphttp, openai
from .openai import Handler
from .upstream import Upstream

_LOCAL: Final = ("localhost", "127.0.0.1", "::1", "gateway", "proxy")
"""Names by which programs reach this machine; the last two over a unix socket."""
Shape = Callable[[MifengError], Response]


class Fronts:
    """All HTTP routes over one upstream."""

    def __init__(self, upstream: Upstream, *, token: str | None) -> None:
        self._up, self._token = upstream, token

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/healthz", self._health),
                Route("/readyz", self._ready),
                Route("/metrics", self._metrics),
                *self._openai(),
                *self._oip(),
            ],
            exception_handlers={HTTPException: _no_route},
        )

    def _openai(self) -> list[Route]:
        api = openai.OpenAi(self._up)
        rows = [
            ("/v1/models", api.models, "GET"),
            ("/v1/models/{model:path}", api.model, "GET"),
            *((path, api.operation(name), "POST") for path, name in openai.PATHS.items()),
        ]
        return [
            Route(path, self._guard(openai.failure, handler), methods=[method])
            for path, handler, method in rows
        ]

    def _oip(self) -> list[Route]:
        api = oiphttp.Oip(self._up)
        rows = [
            ("/infer", api.infer, "POST"),
            ("/ready", api.model_ready, "GET"),
            ("", api.model, "GET"),
        ]
        return [
            Route("/v2", api.server),
            Route("/v2/health/live", api.live),
            Route("/v2/health/ready", api.ready),
            *(
                Route(
                    f"/v2/models/{{model:path}}{version}{tail}",
                    self._guard(oiphttp.failure, handler),
                    methods=[method],
                )
                for version in ("/versions/{version}", "")
                for tail, handler, method in rows
            ),
        ]

    def _guard(self, shape: Shape, handler: Handler) -> Handler:
        """Wrap a handler: who asks first, errors in the protocol's own shape."""

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

    async def _health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, _request: Request) -> Response:
        models = await self._up.models_or_none()
        return JSONResponse({"models": sorted(models)}, status_code=200 if models else 503)

    async def _metrics(self, _request: Request) -> Response:
        return PlainTextResponse(self._up.counts.text(), media_type="text/plain; version=0.0.4")


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


async def _no_route(request: Request, exc: Exception) -> Response:
    """Say in the shape of the API that was meant that there is no such thing."""
    status = exc.status_code if isinstance(exc, HTTPException) else 404
    message = f"{request.method} {request.url.path[:128]}: the proxy has no such route"
    if request.url.path.startswith("/v2"):
        return JSONResponse({"error": message}, status_code=status)
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "route"}
    return JSONResponse({"error": error}, status_code=status)
