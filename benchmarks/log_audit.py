"""`log_audit`: how fast an audit pack is verified offline, in how much memory, and reported on.

Packs of an honest log, half INTENTs and half COMPLETIONs, one SM2 signature each. The tree alone,
then everything that `mifeng audit verify` does, with one process and with one per core; then the
report of one standard. Verifying is measured in a process of its own, so that its memory is.
"""

import os
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console
from rich.table import Table

SIZES: Final = (10_000, 100_000, 1_000_000)
QUICK: Final = (2_000,)


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Make and verify packs; the largest takes a quarter of an hour to make."""
    from tests.unit.audit.measure import measure

    rows: list[dict[str, float]] = []
    for size in QUICK if quick else SIZES:
        say(f"{size} entries")
        rows += measure(size, sorted({1, os.cpu_count() or 1}))
    return {"rows": rows}


def show(result: dict[str, Any], console: Console) -> None:
    """Print one table."""
    table = Table(title="verifying an audit pack", box=None)
    columns = {
        "entries": "entries",
        "jobs": "processes",
        "tree_entries_per_s": "tree, entries per s",
        "entries_per_s": "all, entries per s",
        "entries_per_cpu_s": "per CPU s",
        "signatures_alone_per_cpu_s": "signatures per CPU s",
        "sm2_batch_per_cpu_s": "SM2 core",
        "peak_mb": "MB",
        "report_s": "report s",
    }
    for title in columns.values():
        table.add_column(title, justify="right")
    for row in result["rows"]:
        table.add_row(*(f"{row[name]:,}" for name in columns))
    console.print(table)
