"""A real gateway: releases appended and insisted on, checkpoints anchored, restarted, audited."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from mifeng.audit.anchors import folder
from mifeng.cli.anchor import command as anchor
from mifeng.cli.attest import command as attest
from mifeng.cli.audit import command as audit
from mifeng.cli.release import command as release
from mifeng.client import AsyncClient, Client, ClientConfig
from mifeng.client.releases import ReleasesDocument
from mifeng.crypto.keyfiles import generate, read_signing_key
from mifeng.demo.cluster import Cluster
from mifeng.errors import NodeRejectedError, RefusedError
from tests.e2e.conftest import models
from tests.harness.anchoring import StampServer, stamp_server

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("cluster")]
X = np.arange(3, dtype=np.float32)
PEM, _ = generate("sm2", b"secret")
KEY = read_signing_key(PEM, b"secret")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StampServer]:
    """Return a timestamp authority."""
    with stamp_server(tmp_path_factory.mktemp("stamp") / "tsa") as running:
        yield running


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, server: StampServer) -> Iterator[Cluster]:
    """Return a gateway with a release key and two anchors, and one node."""
    directory = tmp_path_factory.mktemp("ra")
    members = [
        {"name": "worm", "kind": "file", "directory": str(directory / "worm")},
        {"name": "tsa", "kind": "rfc3161", "url": server.url},
    ]
    settings: dict[str, Any] = {
        "releases": {"keys": [KEY.public_bytes.hex()]},
        "anchors": {
            "directory": str(directory / "anchors"),
            "every_s": 0.5,
            "poll_s": 0.1,
            "members": members,
        },
    }
    (directory / "release.pem").write_bytes(PEM)
    (directory / "secret").write_bytes(b"secret")
    with Cluster(
        models(directory), nodes=1, directory=directory, gateway_settings=settings
    ) as cluster:
        yield cluster


def run(command: Any, *arguments: object, status: int = 0) -> Result:
    """Run a command and look at its exit status."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    assert result.exit_code == status, (result.output, result.exception)
    return result


def until(done: Callable[[], bool]) -> None:
    """Wait for something, 30 seconds at most."""
    for _ in range(300):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def make(cluster: Cluster, name: str, *items: str, withdraw: bool = False) -> Path:
    """Sign a release document with the command line."""
    out = cluster.directory / name
    arguments = ["--key", cluster.directory / "release.pem", "--out", out]
    arguments += ["--passphrase", cluster.directory / "secret"]
    for item in items:
        arguments += ["--item", item]
    run(release, "make", *arguments, *(["--withdraw"] if withdraw else []))
    return out


def strict(cluster: Cluster, *, grpc: bool = False) -> ClientConfig:
    """Return the configuration of a client that insists on releases."""
    document = ReleasesDocument(keys=[KEY.public_bytes.hex()], require=["measurement", "model"])
    return cluster.client_config(grpc=grpc).model_copy(update={"releases": document})


async def digests(cluster: Cluster) -> tuple[list[str], str]:
    """Return the items of the node's measurements, and of its model, as attested."""
    async with AsyncClient.from_config(cluster.client_config()) as client:
        (node,) = await client.attest("neg")
    (claims, *_) = node.key.claims
    measured = [
        f"measurement:{name}:1:sha384:{value.hex()}" for name, value in claims.measurements.items()
    ]
    return measured, f"model:neg:1:sm3:{node.keyset.models['neg'].digest.hex()}"


async def test_a_client_that_insists_on_releases(running: Cluster) -> None:
    """Refused by name before the release, served after it, refused after its withdrawal.

    Over both transports, which list the same.
    """
    config = running.directory / "client.yaml"
    measured, model = await digests(running)

    async def ask(*, grpc: bool = False) -> None:
        async with AsyncClient.from_config(strict(running, grpc=grpc)) as client:
            answer = await client.infer("neg", {"x": X})
            assert (answer.outputs["y"] == -X).all()

    for grpc in (False, True):
        with pytest.raises(NodeRejectedError, match="not in the log as released"):
            await ask(grpc=grpc)
    document = make(running, "node.json", *measured)
    append = [str(document), "-c", str(config), "--json"]
    indexes = json.loads((await asyncio.to_thread(run, release, "append", *append)).output)
    assert len(indexes["indexes"]) == len(measured)
    await asyncio.sleep(1.5)
    with pytest.raises(NodeRejectedError, match="model neg"):
        await ask()
    document = make(running, "model.json", model)
    await asyncio.to_thread(run, release, "append", document, "-c", config)
    await asyncio.sleep(1.5)
    await ask()
    await ask(grpc=True)
    document = make(running, "withdrawn.json", model, withdraw=True)
    await asyncio.to_thread(run, release, "append", document, "-c", config)
    await asyncio.sleep(1.5)
    for grpc in (False, True):
        with pytest.raises(NodeRejectedError, match="withdrawn"):
            await ask(grpc=grpc)
    lists = []
    for grpc in (False, True):
        async with AsyncClient.from_config(strict(running, grpc=grpc)) as client:
            lists.append(await client._transport.releases())
    assert lists[0] == lists[1]
    assert (len(lists[1].entries), len(lists[1].documents)) == (len(measured) + 2, 3)
    tree = yaml.safe_load(config.read_text())
    tree["releases"] = {"keys": [KEY.public_bytes.hex()], "require": ["model"]}
    insisting = running.directory / "insisting.yaml"
    insisting.write_text(yaml.safe_dump(tree))
    arguments = ["list", "-c", str(insisting), "-m", "neg", "--json"]
    shown = await asyncio.to_thread(CliRunner().invoke, attest, arguments)
    assert '"peer.unreleased"' in shown.output
    assert shown.exit_code == 1
    listed = await asyncio.to_thread(run, release, "list", "-c", config, "--json")
    assert len(json.loads(listed.output)["releases"]) == len(measured) + 2


def test_a_release_by_another_key_is_refused(running: Cluster) -> None:
    """The gateway appends what its configured keys signed, nothing else."""
    other, _ = generate("sm2", b"secret")
    (running.directory / "other.pem").write_bytes(other)
    out = running.directory / "other.json"
    arguments = ["--key", running.directory / "other.pem", "--out", out]
    arguments += ["--passphrase", running.directory / "secret", "--item", "model:m:1:sm3:ab"]
    run(release, "make", *arguments)
    config = str(running.directory / "client.yaml")
    result = CliRunner().invoke(release, ["append", str(out), "-c", config])
    assert isinstance(result.exception, RefusedError)
    assert result.exception.code == "release.refused"


def test_anchors_survive_a_crash_and_verify_offline(
    running: Cluster, server: StampServer, tmp_path: Path
) -> None:
    """Work, a killed gateway, a restart; then an auditor who requires both anchors is content."""
    with Client(running.client_config()) as client:
        client.prove(client.infer("neg", {"x": X}))
    place = running.directory / "anchors"
    until(
        lambda: {state.name for state in folder.states(place) if state.records} == {"worm", "tsa"}
    )
    running.gateway.kill()
    running.gateway.start()
    running.wait_ready()
    with Client(running.client_config()) as client:
        answer = client.infer("neg", {"x": X})
        client.prove(answer)
    until(lambda: all(state.newest > answer.done.index for state in folder.states(place)))
    listed = json.loads(run(anchor, "list", place, "--json").output)["anchors"]
    assert [each["name"] for each in listed] == ["tsa", "worm"]
    trusted = [
        {"name": "worm", "kind": "file", "directory": str(running.directory / "worm")},
        {
            "name": "tsa",
            "kind": "rfc3161",
            "certificate": str(server.certificate),
            "chain": [str(server.root)],
        },
    ]
    document = {
        "log": running.pin,
        "policies": [],
        "exporters": [],
        "anchors": {"trusted": trusted, "require": {"count": 2, "within_s": 5}},
    }
    trust = tmp_path / "trust.yaml"
    trust.write_text(yaml.safe_dump(document))
    pack, config = tmp_path / "pack.zip", running.directory / "client.yaml"
    source = ["--database", running.log_database, "--config", config, "--anchors", place]
    run(audit, "export", *source, "--out", pack)
    report = json.loads(run(audit, "verify", pack, "--trust", trust, "--json").output)
    assert report["stands"], [f for f in report["findings"] if f["severity"] == "error"]
    assert {each["name"] for each in report["anchors"] if each["vouches"]} == {"worm", "tsa"}
    released = json.loads(run(release, "list", "--pack", pack, "--json").output)["releases"]
    assert all(each["documents"] for each in released)
    # An auditor who requires releases finds the keyset that was in use before there were any.
    document["releases"] = {"keys": [KEY.public_bytes.hex()], "require": ["measurement", "model"]}
    trust.write_text(yaml.safe_dump(document))
    refuted = json.loads(run(audit, "verify", pack, "--trust", trust, "--json", status=1).output)
    errors = {f["code"] for f in refuted["findings"] if f["severity"] == "error"}
    assert {"release.measurement", "release.model"} <= errors
    assert all(code.startswith("release.") for code in errors)
