"""Start a gateway and some nodes as ordinary processes, in one directory, over unix sockets.

For the demonstration, the drills and the benchmarks: real processes with real configuration
files; the only thing that is simulated is the silicon, and everything says so.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import yaml

from mifeng.client import ClientConfig
from mifeng.crypto import hmac_sm3
from mifeng.errors import UsageError

from .witnesses import WitnessFolder, section

ROOT: Final = Path(__file__).parent.parent.parent
READY_S: Final = 60.0
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "MIFENG_NATIVE")
TENANT: Final = "bank-a"


def require_checkout() -> None:
    """Raise `UsageError` where gateway and nodes are not beside this package."""
    if not (ROOT / "enclave").is_dir() or not (ROOT / "gateway").is_dir():
        raise UsageError(
            "gateway and nodes are not installed here: the package for partners does not "
            "carry them; run this from a checkout of the repository"
        )


@dataclass(slots=True)
class Process:
    """One child process and where its log goes."""

    name: str
    arguments: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, with a clean environment."""
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(  # noqa: S603 - our own modules, fixed arguments
                [sys.executable, "-m", *self.arguments],
                cwd=ROOT,
                env=env | dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id; raises `UsageError` if it was not started."""
        if self.popen is None:
            raise UsageError(f"{self.name} is not running")
        return self.popen.pid

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        if self.popen is not None:
            self.popen.kill()
            self.popen.wait()

    def stop(self, timeout_s: float = 20.0) -> int:
        """Ask it to end (SIGTERM), wait, and return its exit status."""
        if self.popen is None:
            return 0
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return -9

    def failed(self) -> str | None:
        """Return the end of its log if it has exited."""
        if self.popen is None or self.popen.poll() is None:
            return None
        return self.log.read_text("utf-8", "replace")[-2000:]


class Cluster:
    """A gateway and its nodes. Use as a context manager."""

    def __init__(
        self,
        models: Sequence[Mapping[str, Any]],
        *,
        nodes: int = 2,
        directory: Path | None = None,
        node_settings: Mapping[str, Any] | None = None,
        gateway_settings: Mapping[str, Any] | None = None,
        gateway_env: Mapping[str, str] | None = None,
        witnesses: int = 0,
        quorum: int | None = None,
    ) -> None:
        """Describe the cluster; nothing is started yet.

        Args:
            models: entries of a node's `models` list.
            nodes: how many nodes, each serving every model.
            directory: where to put sockets, keys and logs; a temporary one if None.
            node_settings: further keys of each node's configuration.
            gateway_settings: further keys of the gateway's configuration.
            gateway_env: environment of the gateway process.
            witnesses: how many witness processes the log has.
            quorum: how many of them must cosign; all, if None.
        """
        self._temporary = None if directory else tempfile.TemporaryDirectory(prefix="mifeng-")
        self.directory = directory or Path(self._temporary.name if self._temporary else ".")
        self._models, self._count = list(models), nodes
        self._node_settings = dict(node_settings or {})
        self._gateway_settings = dict(gateway_settings or {})
        self._gateway_env = dict(gateway_env or {})
        self.api_key = "mfk_" + secrets.token_hex(24)
        self.gateway: Process
        self.nodes: list[Process] = []
        self._witness_count = witnesses
        self._quorum = witnesses if quorum is None else quorum
        self._witness_folders: list[WitnessFolder] = []
        self.witnesses: list[Process] = []
        self.pin: dict[str, Any] = {}

    @property
    def http_socket(self) -> Path:
        """Unix socket of the gateway's HTTP."""
        return self.directory / "gateway.sock"

    @property
    def grpc_socket(self) -> Path:
        """Unix socket of the gateway's gRPC."""
        return self.directory / "grpc.sock"

    @property
    def log_database(self) -> Path:
        """The audit log's database."""
        return self.directory / "log" / "log.db"

    def __enter__(self) -> Self:
        self.prepare()
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Write keys and configuration files, and create the log.

        Raises:
            UsageError: gateway and nodes are not part of this installation.
        """
        require_checkout()
        (self.directory / "passphrase").write_text(secrets.token_hex(16))
        (self.directory / "api.key").write_text(self.api_key)
        numbers = range(1, self._witness_count + 1)
        self._witness_folders = [WitnessFolder(self.directory, number) for number in numbers]
        document = self._gateway_config()
        if self._witness_folders:
            document["log"]["witnesses"] = dict(section(self._witness_folders, self._quorum))
        config = self._write("gateway.yaml", document)
        made = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "gateway", "--config", str(config), "--create-log"],
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        if made.returncode:
            raise UsageError(f"create-log: {made.stderr.decode('utf-8', 'replace')[-500:]}")
        self.pin = yaml.safe_load(made.stdout)["log"]
        for each in self._witness_folders:
            each.serve(self.pin["origin"], self.pin["keys"])
            arguments = ("mifeng.cli", "witness", "serve", "--config", str(each.config))
            log = each.folder / "witness.log"
            self.witnesses.append(Process(each.folder.name, arguments, log))
        self.gateway = Process(
            "gateway",
            ("gateway", "--config", str(config)),
            self.directory / "gateway.log",
            self._gateway_env,
        )
        for name in self.node_ids():
            path = self._write(f"{name}.yaml", self._node_config(name))
            self.nodes.append(
                Process(name, ("enclave", "--config", str(path)), self.directory / f"{name}.log")
            )
        self._write("client.yaml", self._client_config())

    def node_ids(self) -> list[str]:
        """Return the names of the nodes."""
        return [f"node-{number}" for number in range(1, self._count + 1)]

    def start(self) -> None:
        """Start everything and wait until every node is admitted."""
        for witness in self.witnesses:
            witness.start()
        for node in self.nodes:
            node.start()
        self.gateway.start()
        self.wait_ready()

    def wait_ready(self, nodes: int | None = None) -> None:
        """Wait until the gateway answers and so many nodes are admitted (all, if None).

        Raises:
            UsageError: a process ended, or it took too long.
        """
        wanted = len(self.nodes) if nodes is None else nodes
        give_up = time.monotonic() + READY_S
        while time.monotonic() < give_up:
            if (text := self.gateway.failed()) is not None:
                raise UsageError(f"gateway ended: {text}")
            if self.http_socket.exists() and self._admitted() >= wanted:
                return
            time.sleep(0.05)
        logs = "\n".join(p.log.read_text("utf-8", "replace")[-600:] for p in self.processes())
        raise UsageError(f"the cluster did not become ready: {logs}")

    def _admitted(self) -> int:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self.http_socket))
                connection.sendall(b"GET /metrics HTTP/1.0\r\nhost: gateway\r\n\r\n")
                text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        except OSError:
            return -1
        line = next((row for row in text.splitlines() if row.startswith("mifeng_nodes_adm")), "0")
        return int(float(line.split()[-1]))

    def processes(self) -> list[Process]:
        """Return gateway and nodes."""
        return [self.gateway, *self.nodes]

    def close(self) -> None:
        """Stop everything and remove a temporary directory."""
        if hasattr(self, "gateway"):
            self.gateway.stop()
        for process in (*self.nodes, *self.witnesses):
            process.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def client_config(self, *, grpc: bool = False) -> ClientConfig:
        """Return how a client reaches and pins this cluster."""
        config = ClientConfig.load(self.directory / "client.yaml")
        if grpc:
            return config.model_copy(update={"gateway": f"grpc:unix:{self.grpc_socket}"})
        return config

    def _write(self, name: str, document: Mapping[str, Any]) -> Path:
        path = self.directory / name
        path.write_text(yaml.safe_dump(dict(document), sort_keys=False), "utf-8")
        return path

    def _gateway_config(self) -> dict[str, Any]:
        salt = secrets.token_bytes(16)
        digest = hmac_sm3(salt, self.api_key.encode())
        return {
            "http": {"listen": f"unix:{self.http_socket}"},
            "grpc": {"listen": f"unix:{self.grpc_socket}"},
            "log": {
                "origin": "log.example/mifeng-demo",
                "database": str(self.log_database),
                "guard": str(self.directory / "guard" / "guard"),
                "keys": str(self.directory / "keys"),
                "passphrase": str(self.directory / "passphrase"),
                "twin": False,
            },
            "policy": "unsafe-simulated",
            "nodes": [
                {"node_id": name, "address": f"unix:{self.directory / name}.sock"}
                for name in self.node_ids()
            ],
            "tenants": [
                {
                    "name": TENANT,
                    "keys": [f"{salt.hex()}:{digest.hex()}"],
                    "models": "all",
                    "quota": "1000000/second",
                }
            ],
            "require_constant_time_crypto": False,
        } | self._gateway_settings

    def _node_config(self, name: str) -> dict[str, Any]:
        return {
            "node_id": name,
            "listen": f"unix:{self.directory / name}.sock",
            "tee": {"kind": "unsafe-simulated", "accelerators": "none"},
            "log": self.pin,
            "suites": ["sm", "sm-pq", "intl"],
            "keyset": {"life_s": 3600, "active_s": 1800},
            "backends": ["onnxruntime"],
            "models": self._models,
            "require_constant_time_crypto": False,
        } | self._node_settings

    def _client_config(self) -> dict[str, Any]:
        return {
            "gateway": f"unix:{self.http_socket}",
            "tenant": TENANT,
            "api_key": "api.key",
            "policy": "unsafe-simulated",
            "log": self.pin,
            "suites": ["sm"],
        }
