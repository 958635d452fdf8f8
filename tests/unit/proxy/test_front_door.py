"""Who may ask the proxy, where it listens, and what it says of itself."""

import gzip
import os
import socket
import stat
from pathlib import Path

import pytest

from mifeng.errors import NodeRejectedError, RefusedError, UsageError
from mifeng.proxy.listening import bound, local

from .fakes import Client, session

CHAT = {"model": "m", "messages": []}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"host": "evil.example"},
        {"host": "evil.example:8765"},
        {"sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v2/models/m/infer"])
async def test_web_pages_may_not_ask(path: str, headers: dict[str, str]) -> None:
    """A page in somebody's browser reaches 127.0.0.1 too."""
    client = Client()
    async with session(client) as http:
        answer = await http.post(path, json=CHAT, headers=headers)
    assert answer.status_code == 403
    assert client.asked == []


async def test_a_local_token_is_asked_of_every_program() -> None:
    """As the API key that programs send anyway; health needs none."""
    async with session(Client(answer=lambda _: b"{}"), token="secret") as http:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer"}):
            answer = await http.post("/v1/chat/completions", json=CHAT, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "authentication_error"
            answer = await http.get("/v2/models/m", headers=headers)
            assert answer.status_code == 401
        right = {"authorization": "Bearer secret"}
        answer = await http.post("/v1/chat/completions", json=CHAT, headers=right)
        assert answer.status_code == 200
        assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_health_tells_running_from_ready() -> None:
    """Running without a node to ask is not ready."""
    async with session(Client()) as http:
        assert (await http.get("/readyz")).json() == {"models": ["m"]}
        assert (await http.get("/v2/health/ready")).json() == {"ready": True}
    async with session(Client(fails=NodeRejectedError("none"))) as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/v2/health/ready")).status_code == 503
        assert (await http.get("/v2/models/m/ready")).status_code == 404
        assert (await http.get("/v1/models")).status_code == 502


async def test_packed_bodies_are_unpacked_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gzip is undone; a bomb, a lie and an unknown packing are refused."""
    client = Client(answer=lambda _: b"{}")
    packed = gzip.compress(b'{"model":"m"}')
    async with session(client) as http:
        head = {"content-encoding": "gzip"}
        answer = await http.post("/v1/embeddings", content=packed, headers=head)
        assert answer.status_code == 200
        assert client.asked[0]["body"] == b'{"model":"m"}'
        for content, encoding in ((packed[:-4], "gzip"), (b"x", "gzip"), (packed, "br")):
            head = {"content-encoding": encoding}
            answer = await http.post("/v1/embeddings", content=content, headers=head)
            assert answer.status_code == 400
        monkeypatch.setattr("mifeng.proxy.bodies.MAX_BODY", 1000)
        bomb = gzip.compress(bytes(100_000))
        head = {"content-encoding": "gzip"}
        answer = await http.post("/v1/embeddings", content=bomb, headers=head)
        assert answer.status_code == 413
        answer = await http.post("/v1/embeddings", content=bytes(1001))
        assert answer.status_code == 413


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"{}", b'{"model":7}', b'{"a":NaN}'])
async def test_bad_bodies_are_the_program_s_fault(content: bytes) -> None:
    """Never taken for a fault of the node."""
    async with session(Client()) as http:
        answer = await http.post("/v1/chat/completions", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


async def test_unknown_routes_answer_in_the_api_s_shape() -> None:
    """A library that reads JSON errors can show them."""
    async with session(Client()) as http:
        answer = await http.post("/v1/images/generations", json={})
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "invalid_request_error"
        answer = await http.get("/v2/repository/index")
        assert "no such route" in answer.json()["error"]
        assert (await http.get("/v1/chat/completions")).status_code == 405
        answer = await http.get("/v1/models/none")
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")


@pytest.mark.parametrize("address", ["0.0.0.0:1", "10.0.0.1:80", "127.0.0.1", ":80", "host:80"])
def test_nobody_else_s_machine_can_reach_it(address: str) -> None:
    """The proxy speaks plaintext."""
    with pytest.raises(UsageError, match="this machine only"):
        local(address)


def test_a_socket_file_is_its_owner_s_only(tmp_path: Path) -> None:
    """One left behind is replaced; one in use, or a file that is no socket, is not."""
    path = tmp_path / "proxy.sock"
    before = os.umask(0o000)
    try:
        made = bound(local(f"unix:{path}"))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.umask(0o000) == 0o000
        made.listen()
        with pytest.raises(UsageError, match="somebody listens"):
            bound(path)
        made.close()
        bound(path).close()
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError, match="is no socket"):
            bound(tmp_path / "file")
    finally:
        os.umask(before)


def test_a_port_in_use_is_said_in_one_line() -> None:
    """And without a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="in use"):
            bound(("127.0.0.1", taken.getsockname()[1]))


async def test_refusals_keep_their_code() -> None:
    """What the gateway said reaches the program, in OIP's shape too."""
    async with session(Client(fails=RefusedError("quota.exceeded", "used up"))) as http:
        body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]}
        answer = await http.post("/v2/models/m/infer", json=body)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert answer.json() == {"error": "quota.exceeded: used up"}
