"""`crypto`: every primitive by every provider and code path, and the ratios that are promised."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from .crypto_worker import LEAF_BYTES, LEAVES, SIZES, SM2_BATCH

ROOT: Final = Path(__file__).parent.parent
KIB, KIB_16, MIB = SIZES  # their names
OFF: Final = "off"
BEST: Final = ""
"""No path asked for: what an installation uses."""
_SM2_PATHS: Final = ("ifma", "adx", "portable")
_AEAD: Final = "sm4-gcm seal"
_OPERATIONS: Final = ("sign", "verify", "encrypt", "decrypt")

Runs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One ratio: how many times as fast as the reference `what` must be."""

    run: str
    what: str
    reference: str
    at_least: float
    per_call: tuple[int, int] = (1, 1)
    """Operations in one call of either."""


def _sm4(run: str, size: str, ratio: float, reference: str = "cryptography sm4-gcm") -> Promise:
    return Promise(
        run=run, what=f"{_AEAD} {size}", reference=f"{reference} seal {size}", at_least=ratio
    )


def _sm2(operation: str, reference: str, ratio: float) -> Promise:
    return Promise(
        run=BEST, what=f"sm2 {operation}", reference=f"p-256 {reference}", at_least=ratio
    )


def _batch(operation: str) -> Promise:
    return Promise(
        run=BEST,
        what=f"sm2 batch {operation}",
        reference=f"sm2 {operation}",
        at_least=3,
        per_call=(SM2_BATCH, 1),
    )


PROMISES: Final = (
    _sm4("avx512-gfni", MIB, 35),
    _sm4("avx512-gfni", KIB_16, 30),
    _sm4("avx512-gfni", KIB, 12),
    _sm4("avx512-gfni", MIB, 0.35, "aes-128-gcm"),
    _sm4("avx2-gfni", MIB, 12),
    _sm4("avx2-aesni", MIB, 5),
    _sm4("portable", MIB, 0.5),
    Promise(run=BEST, what=f"sm3 {MIB}", reference=f"cryptography sm3 {MIB}", at_least=1),
    Promise(run=BEST, what="sm3 leaves", reference="cryptography sm3 leaves", at_least=7),
    _sm2("sign", "sign", 0.7),
    _sm2("verify", "verify", 0.9),
    _sm2("encrypt", "ecdh", 0.6),
    _sm2("decrypt", "ecdh", 0.75),
    _batch("sign"),
    _batch("decrypt"),
)
CALL_OVERHEAD_S: Final = 1e-6


def _worker(rounds: int, groups: Sequence[str], **choice: str) -> dict[str, Any]:
    """Run one worker; raises `CalledProcessError` if its path does not run here."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MIFENG_NA")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.crypto_worker", str(rounds), *groups],
        cwd=ROOT,
        env=env | choice,
        capture_output=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def _available() -> list[str]:
    code = "from mifeng.crypto._native import _core; print(*_core.available())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, text=True
    )
    return done.stdout.split()


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure every path this processor has and return figures and ratios."""
    rounds = 8 if quick else 120
    runs: dict[str, dict[str, Any]] = {}
    paths = _available()
    if paths:
        say("native core, its best paths")
        runs[BEST] = _worker(rounds, ("symmetric", "sm2"))
    for path in paths:
        say(f"native core, {path}")
        runs[path] = _worker(rounds, ("symmetric",), MIFENG_NATIVE=path)
    say("without the native core")
    runs[OFF] = _worker(max(4, rounds // 4), ("symmetric", "sm2"), MIFENG_NATIVE=OFF)
    for path in _SM2_PATHS if paths and not quick else ():
        say(f"SM2, {path}")
        try:
            runs[f"sm2 {path}"] = _worker(rounds, ("sm2",), MIFENG_NATIVE_SM2=path)
        except subprocess.CalledProcessError:
            say(f"SM2, {path}: not on this processor")
    kept = (_kept(promise, runs) for promise in PROMISES)
    return {"runs": runs, "promises": [row for row in kept if row is not None]}


def _kept(promise: Promise, runs: Runs) -> dict[str, Any] | None:
    found = runs.get(promise.run)
    if found is None:
        return None
    seconds, (ours, theirs) = found["seconds"], promise.per_call
    ratio = (seconds[promise.reference] / theirs) / (seconds[promise.what] / ours)
    return {
        "path": promise.run or "best",
        "what": promise.what,
        "reference": promise.reference,
        "ratio": round(ratio, 2),
        "at_least": promise.at_least,
        "kept": ratio >= promise.at_least,
    }


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables."""
    runs: Runs = result["runs"]
    console.print(_bulk(runs), _hashing(runs), _signatures(runs))
    table = Table(title="ratios, each measured in one process, turn by turn")
    for column in ("path", "what", "reference", "ratio", "must reach", ""):
        table.add_column(column, justify="right" if column in ("ratio", "must reach") else "left")
    for row in result["promises"]:
        table.add_row(
            row["path"],
            row["what"],
            row["reference"],
            f"{row['ratio']:.2f}",
            f"{row['at_least']:g}",
            "[green]kept[/green]" if row["kept"] else "[red]missed[/red]",
        )
    console.print(table)
    if best := runs.get(BEST):
        call = best["seconds"][f"{_AEAD} 0 B"]
        console.print(f"one call with an empty message: {call * 1e9:.0f} ns (at most 1000)")


def _bulk(runs: Runs) -> Table:
    table = Table(title="SM4-GCM, seal into the caller's buffer: GB/s (cycles per byte)")
    table.add_column("path")
    for size in SIZES:
        table.add_column(size, justify="right")
    for path, found in runs.items():
        if path and f"{_AEAD} {KIB}" in found["seconds"]:
            table.add_row(
                path, *(_rate(found, f"{_AEAD} {label}", size) for label, size in SIZES.items())
            )
    for name in ("cryptography sm4-gcm", "aes-128-gcm"):
        found = runs.get(BEST, runs[OFF])
        table.add_row(
            name, *(_rate(found, f"{name} seal {label}", size) for label, size in SIZES.items())
        )
    return table


def _rate(found: Mapping[str, Any], what: str, size: int) -> str:
    seconds, clock = found["seconds"][what], found["clock_ghz"]
    cycles = f" ({seconds * clock * 1e9 / size:.2f})" if clock else ""
    return f"{size / seconds / 1e9:.3f}{cycles}"


def _hashing(runs: Runs) -> Table:
    table = Table(title="SM3: GB/s (cycles per byte)")
    for column in ("path", "one stream, 1 MiB", f"{LEAVES} leaves of 4 KiB"):
        table.add_column(column, justify="right" if column != "path" else "left")
    size = LEAVES * LEAF_BYTES
    for path, found in runs.items():
        if path and "sm3 leaves" in found["seconds"]:
            table.add_row(
                path, _rate(found, f"sm3 {MIB}", SIZES[MIB]), _rate(found, "sm3 leaves", size)
            )
    found = runs.get(BEST, runs[OFF])
    prefix = "cryptography sm3"
    one, many = _rate(found, f"{prefix} {MIB}", SIZES[MIB]), _rate(found, f"{prefix} leaves", size)
    table.add_row("cryptography", one, many)
    return table


def _signatures(runs: Runs) -> Table:
    table = Table(title="SM2: operations per second on one core")
    table.add_column("provider")
    for operation in _OPERATIONS:
        table.add_column(operation, justify="right")
    for path, found in runs.items():
        seconds = found["seconds"]
        if "sm2 sign" not in seconds:
            continue
        label = f"native, {found['sm2_path']}" if path != OFF else ""
        if label:
            table.add_row(label, *_per_second(seconds, "sm2", 1))
        if "sm2 batch sign" in seconds:
            table.add_row(
                f"  in eights, {found['sm2_path']}", *_per_second(seconds, "sm2 batch", SM2_BATCH)
            )
        for name in ("libcrypto", "portable"):
            if f"{name} sm2 sign" in seconds:
                table.add_row(name, *_per_second(seconds, f"{name} sm2", 1))
    seconds = runs.get(BEST, runs[OFF])["seconds"]
    ecdh = f"{1 / seconds['p-256 ecdh']:,.0f} (ECDH)"
    table.add_row(
        "P-256, cryptography",
        f"{1 / seconds['p-256 sign']:,.0f}",
        f"{1 / seconds['p-256 verify']:,.0f}",
        ecdh,
        ecdh,
    )
    return table


def _per_second(seconds: Mapping[str, float], prefix: str, each: int) -> list[str]:
    return [f"{each / seconds[f'{prefix} {operation}']:,.0f}" for operation in _OPERATIONS]
