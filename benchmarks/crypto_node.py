"""`crypto_node`: what SM2 in lanes saves a node and a client under load.

Two nodes of one configuration, side by side, asked on their links by equal clients turn by turn:
one unwraps, signs and verifies in lanes what comes together, the other has its lanes switched off
(`MIFENG_NATIVE_SM2=single`) and does the same work one by one. Then two SDK clients of one gateway
in the same way. The model gives its input back.
"""

import contextlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from .contest import Plan, Side, compare, table
from .hop import echo
from .load import Client
from .systems import model_entry, node_alone, sealed

LANES, SINGLE = "in lanes", "one by one"
_ENV: Final[Mapping[str, Mapping[str, str]]] = {LANES: {}, SINGLE: {"MIFENG_NATIVE_SM2": "single"}}
_NUMBERS: Final = 64
"""FP32 values each way: what costs here is the exchange, not the body."""


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure both at 1, 32 and 64 requests at a time (quick: at 32)."""
    plan = Plan(rounds=3, seconds=1) if quick else Plan(rounds=12, seconds=2)
    order = {"model": "echo", "input": "x", "shape": [_NUMBERS]}
    rows: dict[str, list[dict[str, Any]]] = {"node": [], "client": []}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mifeng-")))
        path = folder / "echo.onnx"
        path.write_bytes(echo())
        cluster = stack.enter_context(sealed([model_entry("echo", path)], folder / "cluster"))
        config = str(cluster.directory / "client.yaml")
        nodes, clients = {}, {}
        for name, env in _ENV.items():
            reach, pid = stack.enter_context(node_alone(cluster, name.replace(" ", "-"), env))
            direct = stack.enter_context(Client(kind="direct", **reach, **order))
            nodes[name] = Side(client=direct, servers={"node": pid})
            through = stack.enter_context(Client(env, kind="sealed", config=config, **order))
            clients[name] = Side(client=through, servers={})
        for c in (32,) if quick else (1, 32, 64):
            rows["node"] += compare(nodes, c=c, plan=plan, say=say)
            rows["client"] += compare(clients, c=c, plan=plan, say=say)
    return rows


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print all of it, and what the lanes save of each process's time."""
    saved = Table(title="processor time per request, µs")
    for column in ("", "c", SINGLE, LANES, "saved"):
        saved.add_column(column, justify="right")
    for process, rows in result.items():
        console.print(table(f"{process}, 256 B each way", rows))
        for c in sorted({row["c"] for row in rows}):
            spent = {row["side"]: row["cpu_us"][process] for row in rows if row["c"] == c}
            share = 1 - spent[LANES] / spent[SINGLE]
            cells = (f"{spent[SINGLE]:,}", f"{spent[LANES]:,}", f"{share:.1%}")
            saved.add_row(process, str(c), *cells)
    console.print(saved)
