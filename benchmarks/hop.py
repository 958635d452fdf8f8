"""`hop`: what the gateway adds to a request, against the same node asked on its link directly.

Both sides seal, attest and check the receipt, and reach a node of the same configuration over a
unix socket. The difference is the gateway: HTTP, admission, two durable log entries, a second
check of the receipt, the promise, and the client's check of that.
"""

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table

from .contest import Plan, Side, compare, table
from .load import Client
from .systems import model_entry, node_alone, sealed

DIRECT, GATEWAY = "node directly", "through the gateway"
SIZES: Final = {"1 KiB": 1 << 10, "64 KiB": 1 << 16, "1 MiB": 1 << 20}
"""Bytes each way."""


def echo() -> bytes:
    """Return a model that gives its input back: `x` FP32 [n] → `y`."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "echo", ends[:1], ends[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each size at 1 and 8 requests at a time (quick: at 1)."""
    plan = Plan(rounds=2, seconds=0.6) if quick else Plan(rounds=8, seconds=2)
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mifeng-")))
        path = folder / "echo.onnx"
        path.write_bytes(echo())
        cluster = stack.enter_context(sealed([model_entry("echo", path)], folder / "cluster"))
        config = str(cluster.directory / "client.yaml")
        for size, length in SIZES.items():
            order = {"model": "echo", "input": "x", "shape": [length // 4]}
            # A node for each client that is a log: a node follows one history only.
            with (
                node_alone(cluster) as (reach, pid),
                Client(kind="direct", **reach, **order) as direct,
                Client(kind="sealed", config=config, **order) as through,
            ):
                gateway = {"gateway": cluster.gateway.pid, "node": cluster.nodes[0].pid}
                sides = {
                    DIRECT: Side(client=direct, servers={"node": pid}),
                    GATEWAY: Side(client=through, servers=gateway),
                }
                rows: list[dict[str, Any]] = []
                for c in (1,) if quick else (1, 8):
                    rows += compare(sides, c=c, plan=plan, say=say)
            found[size] = rows
    return found


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print a table per size, and the differences."""
    for size, rows in result.items():
        console.print(table(f"{size} each way", rows))
    added = Table(title="what the gateway adds, c = 1")
    for column in ("", "p50 ms", "gateway's processor time, µs"):
        added.add_column(column, justify="right")
    for size, rows in result.items():
        one = {row["side"]: row for row in rows if row["c"] == 1}
        extra = one[GATEWAY]["p50_ms"] - one[DIRECT]["p50_ms"]
        added.add_row(size, f"{extra:.2f}", f"{one[GATEWAY]['cpu_us']['gateway']:,}")
    console.print(added)
