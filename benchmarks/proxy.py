"""`proxy`: what the local proxy adds to a request, against a program that uses our client itself.

Both reach the same gateway and node. The difference is the proxy: HTTP twice, the Open Inference
Protocol's JSON head, and another process. The program behind it is httpx and nothing of ours.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mifeng.demo.cluster import Cluster, Process

from .contest import Plan, Side, compare, table
from .hop import SIZES, echo
from .load import Client
from .memory import peak_mib
from .systems import _running, model_entry, sealed

DIRECT, PROXY = "our client in the program", "program, proxy"


@contextlib.contextmanager
def proxied(cluster: Cluster) -> Iterator[tuple[Path, int]]:
    """A proxy on a unix socket; yields the socket and the process id."""
    socket = cluster.directory / "proxy.sock"
    config = str(cluster.directory / "client.yaml")
    arguments = ("mifeng.cli", "proxy", "-c", config, "--listen", f"unix:{socket}")
    process = Process("proxy", arguments, cluster.directory / "proxy.log")
    with _running(process, socket):
        yield socket, process.pid


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each size at 1 and 8 requests at a time (quick: at 1)."""
    plan = Plan(rounds=2, seconds=0.6) if quick else Plan(rounds=8, seconds=2)
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mifeng-")))
        path = folder / "echo.onnx"
        path.write_bytes(echo())
        cluster = stack.enter_context(sealed([model_entry("echo", path)], folder / "cluster"))
        socket, pid = stack.enter_context(proxied(cluster))
        config = str(cluster.directory / "client.yaml")
        for size, length in SIZES.items():
            order = {"model": "echo", "input": "x", "shape": [length // 4]}
            with (
                Client(kind="sealed", config=config, **order) as direct,
                Client(kind="oip", socket=str(socket), **order) as through,
            ):
                sides = {
                    DIRECT: Side(client=direct, servers={}),
                    PROXY: Side(client=through, servers={"proxy": pid}),
                }
                rows: list[dict[str, Any]] = []
                for c in (1,) if quick else (1, 8):
                    rows += compare(sides, c=c, plan=plan, say=say)
            found[size] = rows
        found["proxy_peak_mib"] = peak_mib(pid)
    return found


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print a table per size, and the differences."""
    sizes = {size: rows for size, rows in result.items() if size in SIZES}
    for size, rows in sizes.items():
        console.print(table(f"{size} each way", rows))
    added = Table(title="what the proxy adds, c = 1")
    for column in ("", "p50 ms", "processor time of proxy and program less our client's, µs"):
        added.add_column(column, justify="right")
    for size, rows in sizes.items():
        one = {row["side"]: row for row in rows if row["c"] == 1}
        extra = one[PROXY]["p50_ms"] - one[DIRECT]["p50_ms"]
        cost = sum(one[PROXY]["cpu_us"].values()) - sum(one[DIRECT]["cpu_us"].values())
        added.add_row(size, f"{extra:.2f}", f"{cost:,}")
    console.print(added)
    console.print(f"the proxy's memory at its peak: {result['proxy_peak_mib']:.0f} MiB")
