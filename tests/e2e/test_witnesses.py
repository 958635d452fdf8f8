"""A gateway, a node and three witness processes, of which two must cosign; one killed, then two."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from attestation.bundle import Bundle
from mifeng.client import AsyncClient
from mifeng.demo.cluster import Cluster
from mifeng.errors import NodeRejectedError, RefusedError
from mifeng.protocol import checkpoint
from mifeng.protocol.freshness import cosigned_at
from mifeng.protocol.offer import Offer
from mifeng.protocol.receipt import UNWITNESSED
from mifeng.witness.keys import WitnessKeys
from tests.e2e.conftest import models

pytestmark = pytest.mark.e2e
X = np.arange(4, dtype=np.float32)
PATIENCE_S = 2


class Witnessed(Cluster):
    """A cluster whose gateway soon stops taking requests that no witness will vouch for."""

    def _gateway_config(self) -> dict[str, Any]:
        document = super()._gateway_config()
        document["log"]["publish"] = {"directory": str(self.directory / "out")}
        document["log"]["publish_every_s"] = 0.2
        return document

    def _write(self, name: str, document: Any) -> Path:
        if name == "gateway.yaml":
            document["log"]["witnesses"] |= {"patience_s": PATIENCE_S, "timeout_s": 2}
        return super()._write(name, document)

    async def get(self, path: str) -> Any:
        """Ask the gateway."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.http_socket))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            return await http.get(path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witnessed]:
    """Everything started; the first node is admitted under two cosignatures."""
    directory = tmp_path_factory.mktemp("mw")
    with Witnessed(
        models(directory), nodes=1, directory=directory, witnesses=3, quorum=2
    ) as cluster:
        yield cluster


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds."""
    give_up = time.monotonic() + 30
    while not await what():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


async def answered(cluster: Cluster) -> bool:
    """Whether a request is answered now, by a client that attests anew."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        try:
            answer = await client.infer("neg", {"x": X})
        except RefusedError as exc:
            if exc.code != "log.unwitnessed":
                raise
            return False
        return bool((answer.outputs["y"] == -X).all())


async def test_what_a_client_gets_is_witnessed(running: Witnessed) -> None:
    """Receipt without UNWITNESSED, proof under two cosignatures, keyset entry too."""
    pin = running.client_config().terms().log
    assert (len(pin.witnesses), pin.quorum) == (3, 2)
    async with AsyncClient.from_config(running.client_config()) as client:
        answer = await client.infer("neg", {"x": X})
        assert UNWITNESSED not in answer.done.receipt.marks
        proven = await client.prove(answer)
        assert len(proven.checkpoint.cosigned) >= 2
    shown = (await running.get("/v1/log/checkpoint")).content
    assert checkpoint.verify_witnessed(shown, pin).checkpoint.size > answer.done.index
    told = (await running.get("/v1/log/witnesses")).json()
    assert (told["quorum"], told["taking_requests"], told["alarms"]) == (2, True, [])
    assert sum(not each["code"] for each in told["witnesses"]) >= 2
    metrics = (await running.get("/metrics")).text
    assert 'mifeng_witness_up{witness="witness.example/w1"}' in metrics

    async def published() -> bool:
        path = running.directory / "out" / "checkpoint"
        return path.exists() and checkpoint.verify_witnessed(path.read_bytes(), pin) is not None

    await until(published)


async def test_a_stricter_client_refuses(running: Witnessed) -> None:
    """Who pins a higher quorum than the node obeys gets nothing; nor who pins other witnesses."""
    config = running.client_config()
    stranger = WitnessKeys.generate("stranger.example").public[0].encode()
    pins = (
        config.log.model_copy(update={"quorum": 3}),
        config.log.model_copy(update={"witnesses": [config.log.witnesses[2], stranger]}),
    )
    for pin in pins:
        strict = config.model_copy(update={"log": pin})
        async with AsyncClient.from_config(strict) as client:
            with pytest.raises(NodeRejectedError):
                await client.infer("neg", {"x": X})


async def test_clients_share_evidence_made_after_a_cosigned_note(running: Witnessed) -> None:
    """Two clients get one piece of evidence; each sees how young it is from its own witnesses."""
    config = running.client_config().model_copy(update={"freshness": "note"})
    bundles = []
    pin = config.terms().log
    for _ in range(2):
        async with AsyncClient.from_config(config) as client:
            nodes = await client.attest("neg")
            assert client.refused == []
            assert (await client.infer("neg", {"x": X})).outputs["y"].tolist() == (-X).tolist()
            offered = await client._transport.attestations("neg", b"")
            bundles.append(Bundle.decode(Offer.decode(offered[0].offer).bundle))
            assert nodes[0].key.nonce32 == bundles[-1].freshness.nonce32
    assert bundles[0] == bundles[1]
    assert bundles[0].freshness.kind == 2
    assert abs(cosigned_at(bundles[0].freshness.x, pin) - time.time()) < 60


async def test_one_witness_may_die_and_two_may_not(running: Witnessed) -> None:
    """With two of three all goes on; with one nothing new begins, and nobody is misled."""
    pin = running.client_config().terms().log
    first, second, _ = running.witnesses
    first.kill()
    for _ in range(3):
        assert await answered(running)
    told = (await running.get("/v1/log/witnesses")).json()
    assert told["taking_requests"]

    async def noticed() -> bool:
        told = (await running.get("/v1/log/witnesses")).json()
        await answered(running)
        return any(each["code"] == "transport" for each in told["witnesses"])

    await until(noticed)
    second.kill()

    async def stopped() -> bool:
        return not await answered(running)

    await until(stopped)
    assert (await running.get("/readyz")).status_code == 503
    told = (await running.get("/v1/log/witnesses")).json()
    assert not told["taking_requests"]
    assert told["waiting_s"] > PATIENCE_S
    assert told["shown"] < told["entries"]
    shown = (await running.get("/v1/log/checkpoint")).content
    held = checkpoint.verify_witnessed(shown, pin).checkpoint
    assert held.size == told["shown"]
    second.start()

    async def back() -> bool:
        return await answered(running)

    await until(back)
    shown = (await running.get("/v1/log/checkpoint")).content
    assert checkpoint.verify_witnessed(shown, pin).checkpoint.size > held.size
    told = (await running.get("/v1/log/witnesses")).json()
    assert told["alarms"] == []


async def test_a_gateway_that_starts_without_its_witnesses_serves_nobody(
    running: Witnessed,
) -> None:
    """Until the quorum is back it shows no checkpoint and admits no node; then it does."""
    second, third = running.witnesses[1:]
    running.gateway.kill()
    second.kill()
    third.kill()
    running.gateway.start()

    async def listening() -> bool:
        try:
            return bool((await running.get("/healthz")).status_code == 200)
        except httpx.HTTPError:
            return False

    await until(listening)
    refused = await running.get("/v1/log/checkpoint")
    assert (refused.status_code, refused.json()["code"]) == (503, "log.unwitnessed")
    assert (await running.get("/readyz")).status_code == 503
    assert (await running.get("/v1/log/witnesses")).json()["shown"] is None
    second.start()
    third.start()

    async def ready() -> bool:
        return bool((await running.get("/readyz")).status_code == 200)

    await until(ready)
    assert await answered(running)
