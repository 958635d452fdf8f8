"""Two servers of the OpenAI API in plaintext, for `stream`: `python -m benchmarks.talker SOCKET …`.

What follows the socket says which.

    FOLDER     the node's own engine on the model of a folder: what sealing is compared with
    nothing    an engine that says prepared sentences at the speed of a large model; its words and
               pace are SIMULATED, so that answers last as long as real ones do
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from accel_backends.llm import Usage
from enclave.engines import Job
from enclave.openai_api import Shape
from mifeng.protocol.body import OPENAI_CHAT

PACE_S = 0.018
JITTER = 0.35
SUBJECTS = {
    "opening hours": (
        "On Monday the branch is open from 9 to 17.",
        "On Wednesday we are open until 18.",
        "Saturday's hours are 10 to 14; Sunday is closed.",
        "The counter closes one hour earlier on Friday.",
    ),
    "a declined loan": (
        "Unfortunately the application was declined because of outstanding obligations.",
        "The affordability assessment considers income, expenditure and existing commitments.",
        "An additional guarantor would strengthen the application considerably.",
        "Creditworthiness is reassessed automatically after twelve months.",
    ),
}


def speech(subject: str, seed: int) -> list[str]:
    """Return the tokens of an answer: some sentences of the subject, in some order."""
    chance = random.Random(seed)
    sentences = chance.choices(SUBJECTS[subject], k=chance.randint(4, 7))
    text = " ".join(sentences)
    tokens, at = [], 0
    while at < len(text):
        # Words in pieces of up to five letters, the blank with the word: much as a BPE cuts.
        end = at + 1
        while end < len(text) and end - at < 5 and text[end] != " ":
            end += 1
        tokens.append(text[at:end])
        at = end
    return tokens


async def _speak(request: Request) -> Response:
    body = await request.json()
    subject, _, seed = body["messages"][-1]["content"].partition("|")
    shape = Shape(operation=OPENAI_CHAT, id=f"chatcmpl-{seed}", created=0, model="talker")
    pace = random.Random(f"{seed} pace")

    async def events() -> AsyncIterator[bytes]:
        tokens = speech(subject, int(seed))
        await asyncio.sleep(0.05)
        for number, token in enumerate(tokens):
            yield shape.piece(token, first=number == 0)
            await asyncio.sleep(PACE_S * pace.lognormvariate(0, JITTER))
        yield shape.end("stop", Usage(prompt=1, completion=len(tokens), cached=0))

    return StreamingResponse(events(), media_type="text/event-stream")


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("ok")


def _engine(folder: Path) -> Any:  # noqa: ANN401 - a handler
    from accel_backends import DeviceRequest, LoadOptions, load
    from accel_backends.llm import Limits
    from accel_backends.llm import load as load_model
    from enclave.llm import LlmEngine

    files = {
        "graph": (folder / "model.onnx").read_bytes(),
        "tokenizer": (folder / "tokenizer.json").read_bytes(),
        "tokenizer_config": (folder / "tokenizer_config.json").read_bytes(),
    }
    model = load_model(
        load("onnxruntime", allowed={"onnxruntime"}),
        files,
        options=LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),)),
        limits=Limits(slots=8, context=512),
    )
    engine = LlmEngine(model, name="chat", backend="onnxruntime", pacing=None)

    async def answer(request: Request) -> Response:
        body = bytearray(await request.body())
        job = Job(operation=OPENAI_CHAT, body=memoryview(body), isolation=bytes(32), stream=True)
        return StreamingResponse(engine.run(job), media_type="text/event-stream")

    return answer


def main(socket: str, folder: str | None = None) -> None:
    """Serve until ended."""
    answer = _engine(Path(folder)) if folder else _speak
    routes = [
        Route("/health", _healthy),
        Route("/v1/chat/completions", answer, methods=["POST"]),
    ]
    Path(socket).unlink(missing_ok=True)
    uvicorn.run(Starlette(routes=routes), uds=socket, log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
