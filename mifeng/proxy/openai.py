"""The OpenAI API's routes. Bodies pass as they are: what a model cannot do, it says itself.

A streamed answer is provisional until its receipt verifies. Its last word, `data: [DONE]`, is
held back until then; a stream that does not verify ends with an error event and a connection
that breaks, so no program takes it for complete. With `strict` nothing leaves before.

Source: OpenAI API reference.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from mifeng.client import AnswerStream
from mifeng.errors import MalformedError, MifengError, RefusedError
from mifeng.protocol.body import OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_EMBEDDINGS, loads_json
from mifeng.protocol.receipt import Receipt

from . import errors
from .bodies import attended, read
from .person import HEADER, subject
from .sse import LastWord
from .upstream import Upstream

API: Final = "openai"
PATHS: Final = {
    "/v1/chat/completions": OPENAI_CHAT,
    "/v1/completions": OPENAI_COMPLETIONS,
    "/v1/embeddings": OPENAI_EMBEDDINGS,
}
_EVENTS: Final = "text/event-stream"
Handler = Callable[[Request], Awaitable[Response]]


class BrokenStreamError(Exception):
    """Raised to break the connection: the program must not take what it has for the whole."""


def proofs(receipt: Receipt, node_id: str) -> dict[str, str]:
    """Return the headers that say what stands behind an answer."""
    return {
        "mifeng-receipt": receipt.h.hex(),
        "mifeng-node": node_id,
        "mifeng-verified": "receipt",
        "mifeng-marks": ",".join(receipt.marks) or "none",
    }


def failure(error: MifengError) -> Response:
    """Return an error in OpenAI's shape."""
    return JSONResponse(
        {"error": errors.openai(error)},
        status_code=errors.status_of(error),
        headers=errors.headers_of(error),
    )


class OpenAi:
    """Handlers over one upstream."""

    def __init__(self, upstream: Upstream) -> None:
        self._up = upstream

    async def models(self, _request: Request) -> Response:
        """List the models that attested nodes serve now."""
        rows = [_model(name) for name in await self._up.models()]
        return JSONResponse({"object": "list", "data": rows})

    async def model(self, request: Request) -> Response:
        """Describe one model."""
        name = request.path_params["model"]
        if name not in await self._up.models():
            raise RefusedError("model.unknown", f"no attested node serves {name[:128]!r}")
        return JSONResponse(_model(name))

    def operation(self, operation: str) -> Handler:
        """Return the handler of an operation."""

        async def call(request: Request) -> Response:
            person = subject(request.headers.getlist(HEADER))
            content = await read(request)
            model, stream = _understood(content)
            if stream:
                return await attended(request, self._stream(model, content, operation, person))
            asking = self._up.ask(model, content, operation=operation, api=API, subject=person)
            answer = await attended(request, asking)
            headers = proofs(answer.receipt, answer.node_id)
            return Response(answer.body, media_type="application/json", headers=headers)

        return call

    async def _stream(
        self, model: str, content: bytes, operation: str, person: bytes | None
    ) -> Response:
        stream = await self._up.stream(model, content, operation=operation, api=API, subject=person)
        pieces = self._pieces(stream)
        # A refusal that comes instead of the first piece still has a status of its own.
        first = await anext(pieces, b"")
        headers = {"cache-control": "no-store"}
        if not self._up.strict:
            headers |= {
                "mifeng-receipt": stream.h.hex(),
                "mifeng-node": stream.node_id,
                "mifeng-verified": "provisional",
            }
            events = self._events(stream, first, pieces)
            return StreamingResponse(events, media_type=_EVENTS, headers=headers)
        whole = first + b"".join([piece async for piece in pieces])
        headers |= proofs(stream.done.receipt, stream.node_id)
        return Response(whole, media_type=_EVENTS, headers=headers)

    async def _pieces(self, stream: AnswerStream) -> AsyncGenerator[bytes, None]:
        async with self._up.ending(stream, api=API):
            async for piece in stream:
                yield piece

    async def _events(
        self, stream: AnswerStream, first: bytes, pieces: AsyncGenerator[bytes, None]
    ) -> AsyncIterator[bytes]:
        """Yield events as they come; the last word only when the receipt has verified."""
        last = LastWord()
        try:
            if ready := last.push(first):
                yield ready
            async for piece in pieces:
                if ready := last.push(piece):
                    yield ready
        except MifengError as exc:
            yield b"data: " + json.dumps({"error": errors.openai(exc)}).encode() + b"\n\n"
            raise BrokenStreamError(exc.code) from exc
        finally:
            await pieces.aclose()
        proof = f": mifeng-verified receipt {stream.h.hex()} log {stream.done.index}\n\n"
        yield proof.encode() + last.end()


def _understood(content: bytes) -> tuple[str, bool]:
    """Return the model and whether to stream; all the rest is the model's to read."""
    try:
        document = loads_json(content)
    except MalformedError as exc:
        raise errors.of_request(exc) from exc
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, str):
        raise errors.BadRequestError("the request needs `model`")
    return model, document.get("stream") is True


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "mifeng"}
