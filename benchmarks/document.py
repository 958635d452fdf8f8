"""Write recorded figures into docs/performance.md: `python -m benchmarks.document RESULTS.json`.

The page holds the words; between `<!-- table NAME -->` and `<!-- end -->` stands what this script
makes of a file of `results/`, so that page and record cannot differ.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .batch import COLUMNS as BATCH_COLUMNS
from .batch import through
from .crypto import BEST, MIB, OFF
from .crypto_node import LANES, SINGLE
from .crypto_worker import LEAF_BYTES, LEAVES, SIZES, SM2_BATCH
from .hop import SIZES as HOP_SIZES

PAGE: Final = Path(__file__).parent.parent / "docs" / "performance.md"
_PLACE: Final = re.compile(r"(<!-- table ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_OPERATIONS: Final = ("sign", "verify", "encrypt", "decrypt")
Results = Mapping[str, Any]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _rate(run: Results, what: str, size: int) -> str:
    seconds, clock = run["seconds"][what], run["clock_ghz"]
    cycles = f" ({seconds * clock * 1e9 / size:.2f})" if clock else ""
    return f"{size / seconds / 1e9:.2f}{cycles}"


def machine(results: Results) -> str:
    """Return what was measured where and when."""
    found = results["crypto"]["machine"]
    clock = results["crypto"]["result"]["runs"][BEST]["clock_ghz"]
    rows = [
        ("processor", f"{found['processor']}, {found['cores']} cores, {clock} GHz"),
        ("instructions", ", ".join(found["instructions"])),
        ("system", f"{found['system']}, {found['python']}"),
        ("libraries", ", ".join(f"{k} {v}" for k, v in found["libraries"].items())),
    ]
    loads = (
        f"{name} {each['machine']['measured']}, load {each['machine']['load_average_1_min']}"
        for name, each in results.items()
    )
    return _table(("", ""), [*rows, ("measured", "; ".join(loads))]).replace("---:", "---")


def sm4(results: Results) -> str:
    """Return SM4-GCM by path and size."""
    runs = results["crypto"]["result"]["runs"]
    rows = [
        [f"`{path}`", *(_rate(run, f"sm4-gcm seal {label}", n) for label, n in SIZES.items())]
        for path, run in runs.items()
        if path not in (BEST, OFF) and f"sm4-gcm seal {MIB}" in run["seconds"]
    ]
    best = runs[BEST]
    for title, name in (
        ("`cryptography`, SM4-GCM", "cryptography sm4-gcm"),
        ("`cryptography`, AES-128-GCM", "aes-128-gcm"),
    ):
        rows.append(
            [title, *(_rate(best, f"{name} seal {label}", n) for label, n in SIZES.items())]
        )
    return _table(("path", *SIZES), rows)


def sm3(results: Results) -> str:
    """Return SM3 by path."""
    runs = results["crypto"]["result"]["runs"]
    size = LEAVES * LEAF_BYTES
    rows = [
        [
            f"`{path}`",
            _rate(run, f"sm3 {MIB}", SIZES[MIB]),
            _rate(run, "sm3 leaves", size),
        ]
        for path, run in runs.items()
        if path not in (BEST, OFF) and "sm3 leaves" in run["seconds"]
    ]
    best, prefix = runs[BEST], "cryptography sm3"
    one, many = _rate(best, f"{prefix} {MIB}", SIZES[MIB]), _rate(best, f"{prefix} leaves", size)
    return _table(
        ("path", "one stream, 1 MiB", "16 leaves of 4 KiB"), [*rows, ["`cryptography`", one, many]]
    )


def sm2(results: Results) -> str:
    """Return SM2 operations per second by provider."""
    runs = results["crypto"]["result"]["runs"]
    best, off = runs[BEST], runs[OFF]

    def row(title: str, run: Results, prefix: str, each: int = 1) -> list[str]:
        return [title, *(f"{each / run['seconds'][f'{prefix} {op}']:,.0f}" for op in _OPERATIONS)]

    rows = [
        row("native, one by one", best, "sm2"),
        row("native, in eights (AVX-512 IFMA)", best, "sm2 batch", SM2_BATCH),
    ]
    if (portable := runs.get("sm2 portable")) is not None:
        rows.append(row("native, portable path", portable, "sm2"))
    rows += [
        row(f"{name}, without the native core", off, f"{name} sm2")
        for name in ("libcrypto", "portable")
        if f"{name} sm2 sign" in off["seconds"]
    ]
    p256 = [f"{1 / best['seconds'][f'p-256 {op}']:,.0f}" for op in ("sign", "verify", "ecdh")]
    rows.append(["`cryptography`, P-256", p256[0], p256[1], f"{p256[2]} (ECDH)", "the same"])
    return _table(("", *_OPERATIONS), rows)


def ratios(results: Results) -> str:
    """Return the promised ratios."""
    rows = [
        [
            f"{row['what']}, `{row['path']}`",
            row["reference"],
            f"{row['at_least']:g}",
            f"{row['ratio']:.2f}" + ("" if row["kept"] else ", **missed**"),
        ]
        for row in results["crypto"]["result"]["promises"]
    ]
    return _table(("what", "against", "must reach", "reached"), rows).replace(
        "| --- | ---: |", "| --- | --- |", 1
    )


def _contest(rows: Sequence[Results]) -> str:
    made = [
        [
            row["side"],
            str(row["c"]),
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            f"{row['per_second']:.0f}",
            ", ".join(f"{name} {spent / 1000:.1f}" for name, spent in row["cpu_us"].items()),
        ]
        for row in rows
    ]
    return _table(("", "c", "p50 ms", "p99 ms", "per s", "processor ms per request"), made)


def crypto_node(results: Results) -> str:
    """Return what lanes save a node and a client."""
    rows = []
    for process, found in results["crypto_node"]["result"].items():
        for c in sorted({row["c"] for row in found}):
            single, lanes = (
                next(row for row in found if (row["side"], row["c"]) == (side, c))
                for side in (SINGLE, LANES)
            )
            before, after = single["cpu_us"][process], lanes["cpu_us"][process]
            rates = (f"{row['per_second']:,.0f}" for row in (single, lanes))
            spent = (f"{before:,}", f"{after:,}", f"{1 - after / before:.1%}")
            rows.append([process, str(c), *rates, *spent])
    head = ("", "c", "per s, one by one", "in lanes", "µs, one by one", "in lanes", "saved")
    return _table(head, rows)


def hop(results: Results) -> str:
    """Return the hop at every size."""
    found = results["hop"]["result"]
    return _contest(
        [{**row, "side": f"{size}, {row['side']}"} for size, rows in found.items() for row in rows]
    )


def proxy(results: Results) -> str:
    """Return the proxy at every size."""
    found = results["proxy"]["result"]
    return _contest(
        [{**row, "side": f"{size}, {row['side']}"} for size in HOP_SIZES for row in found[size]]
    )


def batch(results: Results) -> str:
    """Return what goes through, and what interactive requests notice."""
    found = results["batch"]["result"]
    first = _table(("", *BATCH_COLUMNS), through(found))
    beside = [
        [name, f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", str(row["requests"])]
        for name, row in found["interactive"].items()
    ]
    head = ("an interactive request of 1 KiB", "p50 ms", "p99 ms", "requests")
    return f"{first}\n{_table(head, beside)}"


def log(results: Results) -> str:
    """Return the audit log's rates."""
    found = results["log"]["result"]
    rows = [
        [
            f"{row['c']} at once{', with twin' if row['twin'] else ''}",
            f"{row['appends_per_second']:,}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            str(row["cpu_us_per_append"]),
        ]
        for row in found["rows"]
    ]
    return _table(("", "appends per s", "p50 ms, both entries", "p99 ms", "µs CPU each"), rows)


def attestation(results: Results) -> str:
    """Return verification times by kind, then of whole nodes."""
    found = results["attestation"]["result"]
    listed = [(f"`{kind}`", row) for kind, row in found["kinds"].items()]
    listed += [(f"node: {shape}", row) for shape, row in found["nodes"].items()]
    rows = [
        [
            name,
            f"{row['bytes']:,}",
            f"{row['collateral_bytes']:,}",
            *(
                "" if row[at] is None else f"{row[at]:.2f}"
                for at in ("first_ms", "p50_ms", "p99_ms")
            ),
        ]
        for name, row in listed
    ]
    mixed = found["mixed"]
    label = f"{mixed['count']} nodes mixed: {mixed['per_second']:.0f} per second"
    return _table(
        ("", "evidence B", "collateral B", "first ms", "p50 ms", "p99 ms"),
        [*rows, [label, *[""] * 5]],
    )


TABLES: Final[Mapping[str, Callable[[Results], str]]] = {
    "machine": machine,
    "sm4": sm4,
    "sm3": sm3,
    "sm2": sm2,
    "ratios": ratios,
    "crypto-node": crypto_node,
    "hop": hop,
    "proxy": proxy,
    "batch": batch,
    "log": log,
    "attestation": attestation,
    "fraud-mlp": lambda results: _contest(results["e2e"]["result"]["fraud-mlp"]),
    "resnet50": lambda results: _contest(results["e2e"]["result"]["resnet50"]),
}


def main(path: Path) -> None:
    """Fill the page from one file of results."""
    results: Results = json.loads(path.read_text("utf-8"))
    text = _PLACE.sub(
        lambda found: found[1] + TABLES[found[2]](results) + found[3], PAGE.read_text("utf-8")
    )
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
