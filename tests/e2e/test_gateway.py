"""A real gateway and real nodes: what works, and what bad input gets. The processes stay up."""

import asyncio
import os
import resource
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from mifeng.client import AsyncClient, Client
from mifeng.client.transport import connect
from mifeng.crypto.randomness import random_bytes
from mifeng.demo.cluster import TENANT, Cluster
from mifeng.errors import MifengError, RefusedError
from mifeng.protocol.body import OIP_INFER
from mifeng.protocol.header import Header
from mifeng.protocol.messages import MEDIA_TYPE, Message, MessageType, Open
from mifeng.protocol.session import Ask, TrustedNode, begin
from tests.e2e.conftest import models

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("cluster")]
X = np.arange(5, dtype=np.float32)


def http(cluster: Cluster) -> httpx.Client:
    """Return a plain HTTP client of the gateway."""
    transport = httpx.HTTPTransport(uds=str(cluster.http_socket))
    return httpx.Client(transport=transport, base_url="http://gateway", timeout=30)


def authorization(cluster: Cluster) -> dict[str, str]:
    """Return the headers of the known tenant."""
    return {"authorization": f"Bearer {cluster.api_key}", "content-type": MEDIA_TYPE}


@pytest.fixture(params=["http", "grpc"])
async def client(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[AsyncClient]:
    """A client over each protocol."""
    made = AsyncClient.from_config(cluster.client_config(grpc=request.param == "grpc"))
    async with made:
        yield made


async def sealed(client: AsyncClient, **changes: object) -> tuple[TrustedNode, list[Message]]:
    """Return a trusted node and the messages of a request to it, its ask changed."""
    node = (await client.attest("neg"))[0]
    now = int(time.time())
    ask = Ask(tenant=TENANT, model="neg", operation=OIP_INFER, deadline=now + 30, stream=False)
    state = begin(node, replace(ask, **changes), now=now)  # type: ignore[arg-type]
    return node, [state.exchange.opening(), *state.exchange.body([b"x"])]


def post(cluster: Cluster, messages: list[Message], **headers: str) -> httpx.Response:
    """Send messages and return the whole response."""
    with http(cluster) as session:
        content = b"".join(message.encode() for message in messages)
        return session.post("/v1/infer", content=content, headers=authorization(cluster) | headers)


async def test_answers_are_verified_and_proven(client: AsyncClient) -> None:
    """Both protocols give verified answers whose records are in the log."""
    answers = await asyncio.gather(*(client.infer("neg", {"x": X + i}) for i in range(8)))
    for number, answer in enumerate(answers):
        assert answer.outputs["y"].tolist() == (-(X + number)).tolist()
        assert answer.marks == ("SIMULATED", "UNWITNESSED")
    assert {answer.node_id for answer in answers} == {"node-1", "node-2"}
    proven = await client.prove(answers[0])
    assert proven.index == answers[0].done.index


def test_the_blocking_client_does_the_same(cluster: Cluster) -> None:
    """The synchronous client gives the same answer, and says when it is closed."""
    with Client(cluster.client_config()) as client:
        answer = client.infer("neg", {"x": X})
        assert answer.outputs["y"].tolist() == (-X).tolist()
        assert client.prove(answer).checkpoint.checkpoint.size > answer.done.index
    with pytest.raises(MifengError):
        client.infer("neg", {"x": X})


async def test_a_model_that_fails_is_a_signed_failure(client: AsyncClient) -> None:
    """An input the model does not have is refused by the node, inside the seal."""
    with pytest.raises(RefusedError) as refused:
        await client.infer("neg", {"other": X})
    assert refused.value.code == "backend.input.unknown"


async def test_the_institution_signs_inside_the_seal(cluster: Cluster, tmp_path: Path) -> None:
    """With an SM2 key configured the receipt names it; the gateway cannot have made that up."""
    from mifeng.client import ClientConfig
    from mifeng.client.config import ClientAuth
    from mifeng.crypto import sm3
    from mifeng.crypto.keyfiles import generate

    pem, public = generate("sm2", b"secret")
    (tmp_path / "bank.pem").write_bytes(pem)
    (tmp_path / "pass").write_bytes(b"secret")
    auth = ClientAuth(key=tmp_path / "bank.pem", passphrase=tmp_path / "pass")
    config: ClientConfig = cluster.client_config().model_copy(update={"client_auth": auth})
    async with AsyncClient.from_config(config) as client:
        answer = await client.infer("neg", {"x": X})
    assert answer.receipt.client_auth == sm3(public.raw)


@pytest.mark.parametrize("authorization", [None, "Bearer short", "Basic x", "Bearer " + "k" * 52])
def test_strangers_are_refused(cluster: Cluster, authorization: str | None) -> None:
    """No key, a malformed one or a wrong one: 401, and nothing else is said."""
    headers = {"authorization": authorization} if authorization else {}
    with http(cluster) as session:
        for path in ("/v1/attestations?nonce=" + "00" * 32, "/v1/infer"):
            method = "POST" if path.endswith("infer") else "GET"
            answer = session.request(method, path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["code"] == "tenant.unauthenticated"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tenant": "bank-b"}, "tenant.mismatch"),
        ({"deadline": 2**40}, "seal.invalid|deadline.too_far|completed"),
    ],
)
async def test_headers_that_cannot_be_served(
    cluster: Cluster, change: dict[str, object], code: str
) -> None:
    """Another tenant's name is refused by code; a far deadline is cut to the keyset's life."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        _, messages = await sealed(client, **change)
    answer = post(cluster, messages)
    found = answer.json()["code"] if answer.status_code != 200 else "completed"
    assert found in code.split("|")


async def test_edited_headers_are_refused_by_name(cluster: Cluster) -> None:
    """Unknown keyset, model, suite; expired; clock skew: a code each, from public facts."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        _, messages = await sealed(client)
    parts = Open.decode(messages[0].payload)
    header = Header.decode(parts.header)
    for change, code in (
        ({"keyset_digest": bytes(32)}, "keyset.unknown"),
        ({"model": "other"}, "model.unknown"),
        ({"model_digest": bytes(32)}, "model.unknown"),
        ({"suite": 0x7777}, "suite.unknown"),
        ({"created": header.created - 1000, "deadline": header.created - 999}, "request.clock"),
        ({"deadline": header.created}, "deadline.expired"),
        ({"deadline": 2**50}, "deadline.too_far"),
    ):
        forged = replace(header, **change).encode()  # type: ignore[arg-type]
        opening = Message(MessageType.OPEN, Open(forged, parts.commitment).encode())
        answer = post(cluster, [opening, *messages[1:]])
        assert answer.json()["code"] == code
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code == answer.json()["status"] >= 400


async def test_bodies_that_are_none(cluster: Cluster) -> None:
    """Empty, wrong type, garbage, messages out of place, cut short: 4xx with a code."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        _, messages = await sealed(client)
    headers = authorization(cluster)
    with http(cluster) as session:
        for content, code in (
            (b"", "request.empty"),
            (b"garbage, not messages", "request.malformed"),
            (messages[1].encode(), "request.malformed"),
            (messages[0].encode()[:-1], "request.malformed"),
            (random_bytes(100_000), "request.malformed"),
        ):
            answer = session.post("/v1/infer", content=content, headers=headers)
            assert answer.status_code == 400, content[:20]
            assert answer.json()["code"] == code
        wrong = session.post("/v1/infer", content=b"x", headers=headers | {"content-type": "a/b"})
        assert (wrong.status_code, wrong.json()["code"]) == (415, "request.media_type")
        assert session.get("/nowhere").status_code == 404
        assert session.get("/v1/log/proof/99999999").json()["code"] == "log.not_found"
        assert session.get("/v1/attestations?nonce=zz", headers=headers).status_code == 400
        assert session.get("/healthz").json() == {"status": "ok"}
        assert session.get("/readyz").status_code == 200


async def test_a_request_that_ends_before_its_final_frame(cluster: Cluster) -> None:
    """The client stops half-way: a clear problem, and the node's receipt is logged."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        node = (await client.attest("neg"))[0]
        now = int(time.time())
        ask = Ask(tenant=TENANT, model="neg", operation=OIP_INFER, deadline=now + 20, stream=False)
        state = begin(node, ask, now=now)
        messages = [state.exchange.opening(), state.exchange.data(b"x" * 10, final=False)]
    answer = post(cluster, messages)
    assert answer.json()["code"] == "request.malformed"


async def test_a_bent_frame_is_one_code(cluster: Cluster) -> None:
    """Whatever is wrong with the seal, the wire says `seal.invalid`."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        for at in (0, 5, 40, -1):
            _, messages = await sealed(client)
            payload = bytearray(messages[1].payload)
            payload[at] ^= 1
            answer = post(cluster, [messages[0], Message(MessageType.FRAME, bytes(payload))])
            assert answer.json()["code"] in ("seal.invalid", "request.malformed")


async def test_a_replayed_request_is_refused(cluster: Cluster) -> None:
    """The same bytes sent twice run once."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        _, messages = await sealed(client)
    assert post(cluster, messages).status_code == 200
    again = post(cluster, messages)
    assert again.json()["code"] == "request.replayed"


def test_idle_connections_do_not_stop_the_gateway(cluster: Cluster) -> None:
    """Thousands of silent connections, and the gateway still answers."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(10_000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, wanted + 500), hard))
    idle = []
    try:
        while len(idle) < wanted:
            sock = socket.socket(socket.AF_UNIX)
            idle.append(sock)
            while sock.connect_ex(str(cluster.http_socket)):
                time.sleep(0.002)  # the gateway's backlog is full for a moment
        with http(cluster) as session:
            assert session.get("/healthz").status_code == 200
    finally:
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with http(cluster) as session:
        assert session.get("/readyz").status_code == 200


async def test_garbage_on_grpc_is_a_status(cluster: Cluster) -> None:
    """Bytes that are no message: INVALID_ARGUMENT or INTERNAL, and the server goes on."""
    import grpc

    async with grpc.aio.insecure_channel(f"unix:{cluster.grpc_socket}") as channel:
        metadata = (("authorization", f"Bearer {cluster.api_key}"),)
        for garbage in (b"", b"\xff" * 50, b"\x0a\x05hello"):
            call = channel.stream_stream("/mifeng.v1.Gateway/Infer")

            async def one(data: bytes = garbage) -> AsyncIterator[bytes]:
                yield data

            with pytest.raises(grpc.aio.AioRpcError) as refused:
                async for _ in call(one(), metadata=metadata):
                    pass
            assert refused.value.code() is not grpc.StatusCode.OK
            unary = channel.unary_unary("/mifeng.v1.Gateway/ListAttestations")
            with pytest.raises(grpc.aio.AioRpcError):
                await unary(garbage, metadata=metadata)
    async with AsyncClient.from_config(cluster.client_config(grpc=True)) as client:
        assert (await client.infer("neg", {"x": X})).outputs["y"].tolist() == (-X).tolist()


def rss_bytes(pid: int) -> int:
    """Return a process's resident memory."""
    with open(f"/proc/{pid}/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_large_bodies_pass_in_bounded_memory(cluster: Cluster, protocol: str) -> None:
    """A body of 1 GiB (MIFENG_BIG_BYTES) streams through while the gateway grows < 64 MiB."""
    size = int(os.environ.get("MIFENG_BIG_BYTES", str(1 << 28)))
    async with AsyncClient.from_config(cluster.client_config(grpc=protocol == "grpc")) as client:
        await client.infer("sum", {"x": X})
        before = rss_bytes(cluster.gateway.pid)
        peak, done = before, asyncio.Event()

        async def sample() -> None:
            nonlocal peak
            while not done.is_set():
                peak = max(peak, rss_bytes(cluster.gateway.pid))
                await asyncio.sleep(0.02)

        sampling = asyncio.create_task(sample())
        big = np.zeros(size // 4, dtype=np.float32)
        big[0], big[-1] = 1.0, 2.0
        answer = await client.infer("sum", {"x": big}, deadline_s=300)
        done.set()
        await sampling
    assert answer.outputs["y"].tolist() == [3.0]
    assert peak - before < 64 << 20


async def test_a_request_over_the_limit_is_413(tmp_path: Path) -> None:
    """More bytes than the gateway takes: 413 by name, and the exchange is closed in the log."""
    limits = {"limits": {"max_request_bytes": 200_000}}
    with Cluster(models(tmp_path), nodes=1, directory=tmp_path, gateway_settings=limits) as small:
        async with AsyncClient.from_config(small.client_config()) as client:
            with pytest.raises(RefusedError) as refused:
                await client.infer("sum", {"x": np.zeros(100_000, dtype=np.float32)})
            assert refused.value.code == "request.too_large"
            assert (await client.infer("neg", {"x": X})).outputs["y"].tolist() == (-X).tolist()


async def test_a_body_that_stalls_is_cut_off(tmp_path: Path) -> None:
    """A slow-loris body: the gateway gives up, cancels the node's work, and says so."""
    limits = {"limits": {"idle_s": 0.5}}
    with Cluster(models(tmp_path), nodes=1, directory=tmp_path, gateway_settings=limits) as small:
        async with AsyncClient.from_config(small.client_config()) as client:
            _, messages = await sealed(client)
        config = small.client_config()
        transport = connect(config.gateway, api_key=small.api_key)

        async def stalling() -> AsyncIterator[Message]:
            yield messages[0]
            await asyncio.sleep(3)

        with pytest.raises(RefusedError) as refused:
            async for _ in transport.infer(stalling()):
                pass
        assert refused.value.code == "request.timeout"
        await transport.close()
