"""What people run today: FastAPI around ONNX Runtime, the tensor as raw bytes or as JSON.

Made as fast as that gets: uvloop, httptools, no access log; a model of microseconds runs in the
event loop, a model of milliseconds in a worker thread. ONNX Runtime gets the options that
`accel_backends` gives it on a node. Nothing is authenticated, checked, sealed, signed or logged.

    python -m benchmarks.plain_server SOCKET MODEL.onnx inline|thread
"""

import asyncio
import sys
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel

Floats = NDArray[np.float32]


class Rows(BaseModel):
    """A tensor as JSON: its numbers and its shape."""

    shape: list[int]
    data: list[float]


def session(path: str) -> Any:  # noqa: ANN401 - untyped library
    """Return the model with the options of `accel_backends.ort`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def build(model: Any, *, inline: bool) -> FastAPI:  # noqa: ANN401 - untyped library
    """Return the application."""
    app = FastAPI()
    (source,), (target,) = model.get_inputs(), model.get_outputs()
    tail = [side for side in source.shape[1:] if isinstance(side, int)]

    def infer(array: Floats) -> Floats:
        found: Floats = model.run([target.name], {source.name: array})[0]
        return found

    async def run(array: Floats) -> Floats:
        return infer(array) if inline else await asyncio.to_thread(infer, array)

    @app.post("/binary")
    async def binary(request: Request) -> Response:
        array = np.frombuffer(await request.body(), dtype=np.float32).reshape(-1, *tail)
        return Response((await run(array)).tobytes(), media_type="application/octet-stream")

    @app.post("/json")
    async def as_json(rows: Rows) -> dict[str, Any]:
        array = np.array(rows.data, dtype=np.float32).reshape(rows.shape)
        found = await run(array)
        return {"shape": list(found.shape), "data": found.ravel().tolist()}

    return app


def main(socket: str, path: str, where: str) -> None:
    """Serve on a unix socket until SIGTERM."""
    app = build(session(path), inline=where == "inline")
    uvicorn.run(
        app, uds=socket, loop="uvloop", http="httptools", log_level="error", access_log=False
    )


if __name__ == "__main__":
    main(*sys.argv[1:4])
