"""What `make drill-audit` starts: two witnesses, two gateways on one log, two nodes both know.

All are ordinary processes with configuration files; the silicon alone is SIMULATED.
"""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import yaml

from examples.chat.folder import entry, write
from mifeng.client import ClientConfig
from mifeng.demo.cluster import Cluster, Process
from mifeng.errors import UsageError
from tests.e2e.conftest import models
from tests.harness.evm import Chain

ORIGIN = "log.example/drill"
WITNESSES = 2
"""All of them must cosign before a checkpoint is shown."""
SECOND_S = 60.0


def served(directory: Path) -> list[dict[str, Any]]:
    """Write three models, one of which may not run twice, and return their entries."""
    write(directory / "chat", steps=0)
    negate, add = models(directory)
    return [negate | {"idempotent": True}, add | {"idempotent": False}, entry(directory / "chat")]


def admitted(socket: Path) -> int:
    """Return how many nodes the gateway at a unix socket has admitted; -1 if it does not answer."""
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as http:
            text = http.get("http://gateway/metrics", timeout=5).text
    except httpx.HTTPError:
        return -1
    line = next((row for row in text.splitlines() if row.startswith("mifeng_nodes_adm")), "0")
    return int(float(line.split()[-1]))


class TwoGateways(Cluster):
    """Witnesses, two gateways and two nodes; either gateway dispatches to either node."""

    def __init__(self, dsn: Path, directory: Path, chain: Chain | None) -> None:
        """Describe them.

        Args:
            dsn: file with the connection string of the database they share.
            directory: where everything goes.
            chain: where the log is anchored, if there is one; in a write-once folder it is always.
        """
        self.chain = chain
        log = {
            "origin": ORIGIN,
            "storage": "postgres",
            "postgres": {"dsn": str(dsn)},
            "guard": str(directory / "guard" / "guard"),
            "keys": str(directory / "keys"),
            "passphrase": str(directory / "passphrase"),
            "twin": True,
            "publish": {"directory": str(directory / "published")},
            "heartbeat_every_s": 5,
            "lease_s": 3,
        }
        settings = {"log": log, "anchors": self._anchors(directory)}
        super().__init__(
            served(directory),
            directory=directory,
            gateway_settings=settings,
            witnesses=WITNESSES,
        )
        self.second: Process

    def _anchors(self, directory: Path) -> dict[str, Any]:
        members: list[dict[str, Any]] = [
            {"name": "worm", "kind": "file", "directory": str(directory / "worm")}
        ]
        (directory / "worm").mkdir()
        if self.chain is not None:
            evm = {"url": self.chain.url, "chain_id": self.chain.chain_id, "confirmations": 0}
            where = {"contract": self.chain.contract, "key": str(self.chain.key_file)}
            members.append({"name": "chain", "kind": "evm", **evm, **where})
        place = str(directory / "anchors")
        return {"directory": place, "every_s": 4, "poll_s": 0.5, "members": members}

    @property
    def sockets(self) -> list[Path]:
        """HTTP sockets of the two gateways."""
        return [self.http_socket, self.directory / "second.sock"]

    def prepare(self) -> None:
        """Write the second gateway's configuration too."""
        super().prepare()
        document = yaml.safe_load((self.directory / "gateway.yaml").read_text())
        document["http"]["listen"] = f"unix:{self.sockets[1]}"
        document["grpc"]["listen"] = f"unix:{self.directory / 'second-grpc.sock'}"
        del document["anchors"]  # one gateway of a log carries them
        path = self._write("second.yaml", document)
        log = self.directory / "second.log"
        self.second = Process("second", ("gateway", "--config", str(path)), log)

    def start(self) -> None:
        """Start everything and wait until both gateways have admitted both nodes."""
        for process in (*self.witnesses, *self.nodes, self.gateway, self.second):
            process.start()
        self.wait_ready()
        self.wait_second()

    def wait_second(self, nodes: int = 2) -> None:
        """Wait until the second gateway has admitted so many nodes."""
        give_up = time.monotonic() + SECOND_S
        while time.monotonic() < give_up:
            if (text := self.second.failed()) is not None:
                raise UsageError(f"second gateway ended: {text}")
            if admitted(self.sockets[1]) >= nodes:
                return
            time.sleep(0.05)
        raise UsageError(f"second gateway: {self.second.log.read_text()[-2000:]}")

    def stop(self) -> list[int]:
        """Stop nodes, so that their final tallies are logged, then gateways."""
        return [process.stop() for process in (*self.nodes, self.second, self.gateway)]

    def close(self) -> None:
        """Stop whatever runs."""
        if hasattr(self, "second"):
            self.second.stop()
        super().close()

    def client(self, gateway: int, *, grpc: bool = False, suite: str = "sm") -> ClientConfig:
        """Return how a client reaches one of the gateways."""
        folder = self.directory
        grpc_socket = (self.grpc_socket, folder / "second-grpc.sock")[gateway]
        place = f"grpc:unix:{grpc_socket}" if grpc else f"unix:{self.sockets[gateway]}"
        return self.client_config().model_copy(update={"gateway": place, "suites": [suite]})

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events that a process wrote into its log."""
        lines = (self.directory / f"{name}.log").read_text("utf-8", "replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]
