"""The Open Inference Protocol's HTTP routes.

Source: KServe Open Inference Protocol v2, REST; its binary tensor data extension.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import mifeng
from mifeng.errors import MalformedError, MifengError
from mifeng.protocol.body import OipBody

from . import errors, oip
from .bodies import attended, read
from .openai import proofs
from .person import HEADER, subject
from .upstream import Upstream

API: Final = "oip"
EXTENSIONS: Final = ("binary_tensor_data",)


def failure(error: MifengError) -> Response:
    """Return an error in OIP's shape."""
    return JSONResponse(
        errors.oip(error), status_code=errors.status_of(error), headers=errors.headers_of(error)
    )


class Oip:
    """Handlers over one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._up = upstream

    async def server(self, _request: Request) -> Response:
        """Server metadata."""
        return JSONResponse(
            {"name": "mifeng", "version": mifeng.__version__, "extensions": list(EXTENSIONS)}
        )

    async def live(self, _request: Request) -> Response:
        """Whether the proxy runs."""
        return JSONResponse({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Whether an attested node is there."""
        ready = bool(await self._up.models_or_none())
        return JSONResponse({"ready": ready}, status_code=200 if ready else 503)

    async def model_ready(self, request: Request) -> Response:
        """Whether an attested node serves a model."""
        model = request.path_params["model"]
        ready = model in await self._up.models_or_none()
        return JSONResponse({"name": model, "ready": ready}, status_code=200 if ready else 404)

    async def model(self, request: Request) -> Response:
        """Model metadata, as the node says it."""
        return JSONResponse(await self._up.metadata(request.path_params["model"], api=API))

    async def infer(self, request: Request) -> Response:
        """Run tensors through a model."""
        model = request.path_params["model"]
        person = subject(request.headers.getlist(HEADER))
        content = await read(request)
        try:
            body, wanted = oip.decode_request(content, request.headers.get(oip.HEADER_LENGTH))
        except MalformedError as exc:
            raise errors.of_request(exc) from exc
        answer = await attended(request, self._up.infer(model, body, api=API, subject=person))
        made = OipBody.decode(answer.body, response=True)
        version = str(request.path_params.get("version", "1"))
        try:
            data, json_length = oip.encode_response(made, wanted, model=model, version=version)
        except MalformedError as exc:
            raise errors.of_request(exc) from exc
        headers = proofs(answer.receipt, answer.node_id)
        if json_length is None:
            return Response(data, media_type="application/json", headers=headers)
        headers[oip.HEADER_LENGTH] = str(json_length)
        return Response(data, media_type="application/octet-stream", headers=headers)
