"""An engine of its own process that speaks the OpenAI API: the slot engine over HTTP.

    python openai_server.py FOLDER SOCKET

Its API key is in ENGINE_KEY. It keeps prefix caches apart by `cache_salt`, as vLLM does, and like
other engines it quotes prompts in errors and prints them. `/state` is for tests.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from enclave.engines import EngineError, Job
from enclave.llm import LlmEngine
from mifeng.crypto import sm3
from tests.unit.enclave.llm_world import model

KEY = os.environ.get("ENGINE_KEY", "")
OPERATIONS = {
    "/v1/chat/completions": "openai.chat.completions",
    "/v1/completions": "openai.completions",
}


class Server:
    """The application's state."""

    def __init__(self, folder: Path) -> None:
        self.model = model(folder, slots=2, kept=1, chunk=8, budget=16)
        self.engine = LlmEngine(self.model, name="inner", backend="x", pacing=None)
        self.bodies: list[str] = []
        self.sick = self.slow = False
        steps = self.model.runner.engine
        real = steps.step

        def step(now: float) -> bool:
            if self.slow:
                time.sleep(0.005)
            return real(now)

        steps.step = step  # type: ignore[method-assign]

    async def health(self, _: Request) -> Response:
        """Say whether it is well."""
        return PlainTextResponse("", status_code=503 if self.sick else 200)

    async def state(self, _: Request) -> Response:
        """Say what tests want to know."""
        return JSONResponse(
            {
                "active": self.model.runner.engine.active,
                "bodies": self.bodies,
                "env": dict(os.environ),
                "cwd": str(Path.cwd()),
            }
        )

    async def answer(self, request: Request) -> Response:
        """Answer as the API does."""
        if request.headers.get("authorization", "") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": "key"}}, status_code=401)
        raw = await request.body()
        self.bodies.append(raw.decode())
        print(raw, flush=True)
        body = json.loads(raw)
        status = body.pop("test_status", None)
        if status is not None:
            return JSONResponse({"error": {"message": f"bad: {raw!r}"}}, status_code=status)
        salt = str(body.pop("cache_salt", ""))
        cut = body.pop("test_cut", False)
        mute = body.pop("test_mute", False)
        self.slow = body.pop("test_slow", False)
        data = bytearray(json.dumps(body).encode())
        job = Job(
            operation=OPERATIONS[request.url.path],
            body=memoryview(data),
            isolation=sm3(salt.encode()) if salt else os.urandom(32),
            stream=body.get("stream") is True,
        )
        if not job.stream:
            try:
                content = b"".join([piece async for piece in self.engine.run(job)])
            except EngineError as exc:
                return JSONResponse({"error": {"message": exc.code}}, status_code=400)
            return Response(content, media_type="application/json")

        async def events() -> AsyncIterator[bytes]:
            pieces = self.engine.run(job)
            async for piece in pieces:
                if cut and piece.endswith(b"[DONE]\n\n"):
                    return
                yield piece.removesuffix(b"data: [DONE]\n\n") if mute else piece
                await asyncio.sleep(0.002)

        return StreamingResponse(events(), media_type="text/event-stream")


def main(folder: str, socket: str) -> None:
    """Serve until ended."""
    server = Server(Path(folder))
    routes = [
        Route("/health", server.health),
        Route("/state", server.state),
        *(Route(path, server.answer, methods=["POST"]) for path in OPERATIONS),
    ]
    Path(socket).unlink(missing_ok=True)
    uvicorn.run(Starlette(routes=routes), uds=socket, log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
