"""Streams through the proxy: provisional or withheld, and loud when they do not verify."""

import asyncio
import json

import pytest

from mifeng.errors import (
    InterruptedRequestError,
    MifengError,
    ReceiptRejectedError,
    RefusedError,
    StreamRejectedError,
)
from mifeng.proxy.http import Fronts
from mifeng.proxy.openai import BrokenStreamError
from mifeng.proxy.upstream import Upstream

from .fakes import Client, H, Stream, session

ASK = {"model": "m", "stream": True, "messages": []}
PIECES = (b'data: {"a":1}\n\n', b'data: {"a":2}\n\ndata: [DO', b"NE]\n\n")
FAILURES = (
    StreamRejectedError("a frame is missing"),
    ReceiptRejectedError("forged"),
    InterruptedRequestError("cut"),
)


async def test_a_stream_is_provisional_and_its_proof_comes_before_its_last_word() -> None:
    """Headers say what is known when they leave; the comment, what was proven."""
    client = Client(stream=Stream(PIECES))
    async with session(client) as http:
        answer = await http.post("/v1/chat/completions", json=ASK)
        metrics = (await http.get("/metrics")).text
    assert answer.headers["mifeng-verified"] == "provisional"
    assert answer.headers["mifeng-receipt"] == H.hex()
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = answer.text.split("\n\n")
    assert events[:2] == ['data: {"a":1}', 'data: {"a":2}']
    assert events[2] == f": mifeng-verified receipt {H.hex()} log 7"
    assert events[3:] == ["data: [DONE]", ""]
    assert 'requests_total{api="openai",outcome="verified"} 1' in metrics


@pytest.mark.parametrize("error", FAILURES, ids=lambda each: each.code)
async def test_a_stream_that_does_not_verify_fails_loudly(error: MifengError) -> None:
    """An error event, no [DONE], and the connection breaks."""
    client = Client(stream=Stream(PIECES, fails=error))
    upstream = Upstream(client, strict=False)  # type: ignore[arg-type]
    app = Fronts(upstream, token=None).app()
    body = json.dumps(ASK).encode()
    sent: list[dict[str, object]] = []
    asked = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, object]:
        if asked:
            return asked.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    with pytest.raises((BrokenStreamError, ExceptionGroup)) as broken:
        await app(scope, receive, send)  # type: ignore[arg-type]
    assert "BrokenStreamError" in repr(broken.value)
    told = b"".join(message.get("body", b"") for message in sent).decode()  # type: ignore[misc]
    assert "[DONE]" not in told
    assert json.loads(told.split("data: ")[-1])["error"]["code"] == error.code
    assert sent[-1].get("more_body") is True
    assert 'outcome="unverified"} 1' in upstream.counts.text()


@pytest.mark.parametrize("error", FAILURES, ids=lambda each: each.code)
async def test_strict_withholds_everything_until_it_is_proven(error: MifengError) -> None:
    """No piece of an answer that does not verify leaves; the status says that it failed."""
    async with session(Client(stream=Stream(PIECES, fails=error)), strict=True) as http:
        answer = await http.post("/v1/chat/completions", json=ASK)
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == error.code
    assert '"a"' not in answer.text
    async with session(Client(stream=Stream(PIECES)), strict=True) as http:
        answer = await http.post("/v1/chat/completions", json=ASK)
    assert answer.headers["mifeng-verified"] == "receipt"
    assert answer.content == b"".join(PIECES)


@pytest.mark.parametrize("strict", [False, True])
async def test_a_refusal_instead_of_an_answer_has_its_own_status(*, strict: bool) -> None:
    """Sealed failures before the first piece are not a stream that ends badly."""
    client = Client(stream=Stream((), problem="request.unsupported.tools"))
    async with session(client, strict=strict) as http:
        answer = await http.post("/v1/chat/completions", json=ASK)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tools")
    client = Client(stream=Stream((), problem="backend.busy"))
    async with session(client, strict=strict) as http:
        answer = await http.post("/v1/chat/completions", json=ASK)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    client = Client(fails=RefusedError("quota.exceeded", "", retry_after_s=30))
    async with session(client, strict=strict) as http:
        answer = await http.post("/v1/chat/completions", json=ASK)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")


async def test_a_program_that_leaves_gives_its_work_up() -> None:
    """Closing the connection in mid-stream closes the sealed exchange."""
    stream = Stream(PIECES, hold=asyncio.Event())
    upstream = Upstream(Client(stream=stream), strict=False)  # type: ignore[arg-type]
    app = Fronts(upstream, token=None).app()
    body = json.dumps(ASK).encode()
    began = asyncio.Event()
    asked = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, object]:
        if asked:
            return asked.pop()
        await began.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message.get("body"):
            began.set()

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await app(scope, receive, send)  # type: ignore[arg-type]
    assert stream.closed
    assert 'outcome="cancelled"} 1' in upstream.counts.text()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_program_that_leaves_before_the_answer_gives_its_work_up(*, stream: bool) -> None:
    """Whole answers too, and streams that have not begun."""
    ended = asyncio.Event()

    class Slow(Client):
        async def _wait(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async def ask(self, *_: object, **__: object) -> None:
            await self._wait()

        async def open_stream(self, *_: object, **__: object) -> None:
            await self._wait()

    upstream = Upstream(Slow(), strict=False)  # type: ignore[arg-type]
    body = json.dumps(ASK | {"stream": stream}).encode()
    messages: list[dict[str, object]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": body, "more_body": False},
    ]
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0)
        return messages.pop()

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    await Fronts(upstream, token=None).app()(scope, receive, send)  # type: ignore[arg-type]
    assert ended.is_set()
    assert sent[0]["status"] == 499
    assert 'outcome="cancelled"} 1' in upstream.counts.text()


async def test_bodies_pass_as_they_are() -> None:
    """Tools, formats, several choices: what a model can do is the model's to say."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "你好"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "tool_choice": "auto",
        "response_format": {"type": "json_object"},
        "n": 3,
    }
    client = Client(answer=lambda _: b'{"object":"chat.completion"}')
    raw = json.dumps(body, ensure_ascii=False, indent=3).encode()
    async with session(client) as http:
        for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings"):
            answer = await http.post(path, content=raw)
            assert answer.content == b'{"object":"chat.completion"}'
            assert answer.headers["mifeng-verified"] == "receipt"
            assert answer.headers["mifeng-node"] == "node-1"
    assert [each["body"] for each in client.asked] == [raw] * 3
    assert [each["operation"] for each in client.asked] == [
        "openai.chat.completions",
        "openai.completions",
        "openai.embeddings",
    ]
