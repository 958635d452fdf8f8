"""`e2e`: a sealed, logged, receipted request against FastAPI, binary and JSON, same model.

Sealed means all of it: SM2 and SM4-GCM on both sides, INTENT and COMPLETION durable on disk before
dispatch and release, receipt and promise verified by the client. Plain means none of it. Clients
and servers are separate processes over unix sockets; both sides use httpx, uvicorn, uvloop and
httptools, and ONNX Runtime with one thread and the same options.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from mifeng.demo.cluster import Cluster

from .contest import Plan, Side, compare, table
from .load import Client
from .models import FRAUD_WIDTH, fraud_mlp, resnet50_shaped
from .systems import model_entry, plain, sealed

SEALED, BINARY, JSON = "sealed", "FastAPI binary", "FastAPI JSON"
SEALED_RAM: Final = "sealed, log in memory"
"""The same with the log's files on a tmpfs: what is left when the disk costs nothing."""
TMPFS: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
WORKLOADS: Final[Mapping[str, tuple[Callable[[], bytes], str, list[int], bool]]] = {
    "fraud-mlp": (fraud_mlp, "rows", [1, FRAUD_WIDTH], True),
    "resnet50": (resnet50_shaped, "image", [1, 3, 224, 224], False),
}
"""Model, name of its input, shape of one request, whether FastAPI runs it in the event loop."""


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every workload at 1, 8 and 32 requests at a time (quick: less of it)."""
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        folder = _folder(stack, None)
        paths = {model: folder / f"{model}.onnx" for model in WORKLOADS}
        for model, path in paths.items():
            path.write_bytes(WORKLOADS[model][0]())
        entries = [model_entry(model, path) for model, path in paths.items()]
        clusters = {SEALED: stack.enter_context(sealed(entries, folder / "cluster"))}
        if not quick and os.access(TMPFS, os.W_OK):
            memory = _folder(stack, TMPFS) / "cluster"
            clusters[SEALED_RAM] = stack.enter_context(sealed(entries, memory))
        for model, path in paths.items():
            found[model] = _workload(model, path, clusters, quick=quick, say=say)
    return found


def _folder(stack: contextlib.ExitStack, parent: Path | None) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mifeng-", dir=parent)))


def _workload(
    model: str,
    path: Path,
    clusters: Mapping[str, Cluster],
    *,
    quick: bool,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    _, source, shape, inline = WORKLOADS[model]
    rows: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        socket, pid = stack.enter_context(plain(path, path.parent, inline=inline))

        def client(**order: Any) -> Client:  # noqa: ANN401 - JSON
            return stack.enter_context(Client(shape=shape, **order))

        sides = {}
        for name, cluster in clusters.items():
            config = str(cluster.directory / "client.yaml")
            sides[name] = Side(
                client=client(kind="sealed", config=config, model=model, input=source),
                servers={"gateway": cluster.gateway.pid, "node": cluster.nodes[0].pid},
            )
        for name, kind in ((BINARY, "binary"), (JSON, "json")):
            sides[name] = Side(
                client=client(kind=kind, socket=str(socket)), servers={"server": pid}
            )
        if quick:
            plan = Plan(rounds=2, seconds=0.8) if inline else Plan(rounds=1, seconds=1)
        else:
            plan = Plan(rounds=6, seconds=2 if inline else 4)
        for c in (1, 8, 32) if inline or not quick else (1, 8):
            rows += compare(sides, c=c, plan=plan, say=lambda text: say(f"{model}, {text}"))
    return rows


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print a table per workload."""
    for model, rows in result.items():
        console.print(table(f"{model}: one request end to end", rows))
