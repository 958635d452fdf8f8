"""An engine of its own process that speaks the Open Inference Protocol: y = −x.

    python oip_server.py SOCKET

What a model's name ends in decides how it misbehaves.
"""

import json
import sys

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

LENGTH = "inference-header-content-length"


async def ready(_: Request) -> Response:
    """Say that it is there."""
    return PlainTextResponse("")


async def metadata(request: Request) -> Response:
    """Say what the model takes."""
    return JSONResponse({"name": request.path_params["model"], "platform": "minus"})


async def infer(request: Request) -> Response:
    """Answer in the binary extension, if asked to."""
    raw = await request.body()
    size = int(request.headers[LENGTH])
    document = json.loads(raw[:size])
    (row,) = document["inputs"]
    assert document["parameters"] == {"binary_data_output": True}
    assert row["parameters"]["binary_data_size"] == len(raw) - size
    data = (-np.frombuffer(raw[size:], "<f4")).tobytes()
    out = {"name": "y", "datatype": row["datatype"], "shape": row["shape"]}
    name = request.path_params["model"]
    if name.endswith("json"):
        return JSONResponse({"outputs": [out | {"data": [1.0]}]})
    out["parameters"] = {"binary_data_size": len(data) + name.endswith("wrong")}
    text = json.dumps({"model_name": name, "id": document.get("id"), "outputs": [out]}).encode()
    length = "x" if name.endswith("length") else str(len(text))
    return Response(text + data, headers={LENGTH: length}, media_type="application/octet-stream")


def main(socket: str) -> None:
    """Serve until ended."""
    routes = [
        Route("/v2/health/ready", ready),
        Route("/v2/models/{model}", metadata),
        Route("/v2/models/{model}/infer", infer, methods=["POST"]),
    ]
    uvicorn.run(Starlette(routes=routes), uds=socket, log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
