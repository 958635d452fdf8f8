"""The systems under test, as processes: a sealed cluster, a plain server, a node on its own."""

import contextlib
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from mifeng.demo.cluster import Cluster, Process
from mifeng.errors import UsageError

from .direct import MemoryOnlyLog

NODE_LIMITS: Final = {"concurrency": 64, "max_body_bytes": 64 << 20}
_READY_S: Final = 60.0


def model_entry(name: str, path: Path) -> dict[str, Any]:
    """Return a node's configuration of one ONNX model on one CPU thread."""
    return {
        "name": name,
        "version": "1",
        "kind": "onnx",
        "files": {"graph": str(path)},
        "devices": [{"ep": "CPUExecutionProvider"}],
        "intra_threads": 1,
    }


@contextlib.contextmanager
def sealed(models: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[Cluster]:
    """A gateway with its audit log on disk, and one node; both over unix sockets."""
    folder.mkdir()
    settings = {"limits": NODE_LIMITS}
    with Cluster(models, nodes=1, directory=folder, node_settings=settings) as cluster:
        yield cluster


@contextlib.contextmanager
def plain(model: Path, folder: Path, *, inline: bool) -> Iterator[tuple[Path, int]]:
    """A FastAPI server; yields its socket and process id."""
    socket = folder / f"{model.stem}.sock"
    arguments = (
        "benchmarks.plain_server",
        str(socket),
        str(model),
        "inline" if inline else "thread",
    )
    process = Process(model.stem, arguments, folder / f"{model.stem}.log")
    with _running(process, socket):
        yield socket, process.pid


@contextlib.contextmanager
def node_alone(
    cluster: Cluster, name: str = "direct", env: Mapping[str, str] | None = None
) -> Iterator[tuple[Mapping[str, str], int]]:
    """A node like the cluster's, on the link itself; yields how to reach it and its process id.

    Args:
        cluster: whose node's configuration is taken.
        name: of this node, one for each that runs at a time.
        env: added to its environment.
    """
    scalar = bytes(31) + b"\7"  # a throw-away log of this process tree
    log = MemoryOnlyLog(scalar)
    config = yaml.safe_load((cluster.directory / "node-1.yaml").read_text("utf-8"))
    socket = cluster.directory / f"{name}.sock"
    socket.unlink(missing_ok=True)
    config |= {"node_id": name, "listen": f"unix:{socket}", "log": log.document()}
    path = cluster.directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    arguments = ("enclave", "--config", str(path))
    process = Process(name, arguments, cluster.directory / f"{name}.log", env=env or {})
    with _running(process, socket):
        reach = {"address": f"unix:{socket}", "log_key": b64encode(scalar).decode("ascii")}
        yield reach, process.pid


@contextlib.contextmanager
def _running(process: Process, socket: Path) -> Iterator[None]:
    process.start()
    try:
        give_up = time.monotonic() + _READY_S
        while not socket.exists():
            if (text := process.failed()) is not None or time.monotonic() > give_up:
                raise UsageError(f"{process.name} did not start: {text}")
            time.sleep(0.05)
        yield
    finally:
        process.stop()
