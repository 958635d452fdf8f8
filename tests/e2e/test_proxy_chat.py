"""Chat through the proxy with the real slot engine: provisional, strict, and cut by a dead node."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from examples.chat.folder import entry, write
from examples.sealed import proxied
from mifeng.demo.cluster import ROOT, Cluster

openai = pytest.importorskip("openai")
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("proxy-chat")]
CONTEXT = 4096
LONG = 3000
"""Tokens of an answer that nobody waits for."""


class Proxies:
    """A cluster whose node serves a chat of random weights, and two proxies."""

    def __init__(self, cluster: Cluster, provisional: str, strict: str) -> None:
        self.cluster, self.provisional, self.strict = cluster, provisional, strict


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxies]:
    """One proxy of each mode."""
    directory = tmp_path_factory.mktemp("mf")
    write(directory / "chat", steps=0, context=CONTEXT)
    served = [entry(directory / "chat", llm={"context": CONTEXT, "slots": 2})]
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(served, nodes=1, directory=directory))
        provisional = stack.enter_context(proxied(directory))
        strict = stack.enter_context(proxied(directory, "--strict"))
        yield Proxies(cluster, provisional, strict)


def ask(url: str, *, tokens: int = 24, stream: bool = False, **more: object) -> "openai.Stream":
    """Ask with OpenAI's own library."""
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="local", max_retries=0, timeout=60)
    messages = [{"role": "user", "content": "你好"}]
    return client.chat.completions.create(
        model="chat",
        messages=messages,
        max_tokens=tokens,
        temperature=0,
        stream=stream,
        **more,
    )


def test_both_modes_stream_the_whole_answer(proxies: Proxies) -> None:
    """Token for token what the answer in one piece says; usage too, where asked for."""
    whole = ask(proxies.provisional)
    for url in (proxies.provisional, proxies.strict):
        events = list(ask(url, stream=True, stream_options={"include_usage": True}))
        text = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
        assert text == whole.choices[0].message.content
        assert events[-1].usage == whole.usage


def test_headers_say_how_far_each_mode_has_checked(proxies: Proxies) -> None:
    """Provisional at the beginning and proven at the end; strict, proven at the beginning."""
    body = {"model": "chat", "stream": True, "max_tokens": 4, "messages": []}
    body["messages"] = [{"role": "user", "content": "hi"}]
    for url, verified in ((proxies.provisional, "provisional"), (proxies.strict, "receipt")):
        answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
        assert answer.headers["mifeng-verified"] == verified
        assert answer.headers["mifeng-node"] == "node-1"
        assert len(answer.headers["mifeng-receipt"]) == 64
        assert answer.text.endswith("data: [DONE]\n\n")
    provisional = httpx.post(f"{proxies.provisional}/v1/chat/completions", json=body, timeout=60)
    proof = provisional.text.split("\n\n")[-3]
    assert proof.startswith(f": mifeng-verified receipt {provisional.headers['mifeng-receipt']}")


def test_what_the_engine_cannot_do_is_said_in_openai_s_words(proxies: Proxies) -> None:
    """The library raises its own errors, naming the parameter."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    for more, param in (
        ({"tools": [tool]}, "tools"),
        ({"tools": [tool], "tool_choice": "required"}, "tool"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
    ):
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError) as refused:
                ask(proxies.provisional, stream=stream, **more)
            assert refused.value.param.startswith(param)
            assert refused.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError):
        client = openai.OpenAI(base_url=f"{proxies.strict}/v1", api_key="local", max_retries=0)
        client.embeddings.create(model="none", input="x")


def test_a_closed_stream_gives_its_slot_back(proxies: Proxies) -> None:
    """Two slots, four long answers begun and left: a fifth request is answered."""
    for _ in range(4):
        stream = ask(proxies.provisional, tokens=LONG, stream=True)
        next(iter(stream))
        stream.close()
    assert ask(proxies.provisional).choices[0].message.content
    give_up = time.monotonic() + 20
    while 'outcome="cancelled"} 4' not in httpx.get(f"{proxies.provisional}/metrics").text:
        assert time.monotonic() < give_up
        time.sleep(0.05)


def test_metrics_count_what_was_verified(proxies: Proxies) -> None:
    """By API and outcome."""
    text = httpx.get(f"{proxies.strict}/metrics").text
    assert 'mifeng_proxy_requests_total{api="openai",outcome="verified"}' in text
    assert 'mifeng_proxy_attested_until_seconds{model="chat"}' in text


def test_a_unix_socket_and_a_token(proxies: Proxies, tmp_path: Path) -> None:
    """No port at all, and not for every program."""
    path, token = tmp_path / "p.sock", tmp_path / "token"
    token.write_text("only-you\n")
    config = str(proxies.cluster.directory / "client.yaml")
    command = [sys.executable, "-m", "mifeng.cli", "proxy", "-c", config]
    command += ["--listen", f"unix:{path}", "--token-file", str(token)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as session:
        while "streams" not in process.stderr.readline():
            assert process.poll() is None
        answer = session.get("http://localhost/v1/models")
        assert answer.status_code == 401
        key = {"authorization": "Bearer only-you"}
        answer = session.get("http://localhost/v1/models", headers=key, timeout=30)
        assert answer.json()["data"][0]["id"] == "chat"
    process.terminate()
    assert process.wait(20) == 0
    process.stderr.close()
    assert not path.exists()


def test_check_says_what_is_trusted(proxies: Proxies) -> None:
    """In sentences; and as JSON."""
    config = str(proxies.cluster.directory / "client.yaml")
    command = [sys.executable, "-m", "mifeng.cli", "proxy", "-c", config, "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "It cannot read them and is not trusted." in " ".join(done.stdout.split())
    assert "SIMULATED: anyone can forge this." in " ".join(done.stdout.split())
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["ok"] is True


def test_a_node_that_dies_in_mid_stream_is_no_end(proxies: Proxies) -> None:
    """Runs last. Provisional: the library raises after some text; strict: no text at all."""
    provisional = ask(proxies.provisional, tokens=LONG, stream=True)
    events = iter(provisional)
    next(events)
    proxies.cluster.nodes[0].kill()
    with pytest.raises((openai.APIError, httpx.TransportError)):
        for _ in events:
            pass
    with pytest.raises(openai.APIStatusError) as refused:
        ask(proxies.strict, tokens=LONG, stream=True)
    assert refused.value.status_code >= 500
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mifeng.cli", "proxy", "--check", "-c"),
            str(proxies.cluster.directory / "client.yaml"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no machine to ask" in done.stdout
