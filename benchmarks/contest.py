"""Several systems under the same load, turn by turn, and what each request cost each process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from .load import Client, cpu_seconds
from .timing import percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One system: the client process that asks it, and the processes that answer."""

    client: Client
    servers: Mapping[str, int]
    """Name → process id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long: `rounds` turns of `seconds` for each side, after one turn that is thrown away."""

    rounds: int
    seconds: float


def compare(
    sides: Mapping[str, Side], *, c: int, plan: Plan, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return one row per side: percentiles in ms, requests per second, processor time each."""
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    used: dict[str, dict[str, float]] = {
        name: dict.fromkeys(sides[name].servers, 0.0) for name in sides
    }
    for number in range(-1, plan.rounds):
        for name, side in sides.items():
            say(f"{name}, c = {c}, turn {number + 2} of {plan.rounds + 1}")
            before = {each: cpu_seconds(pid) for each, pid in side.servers.items()}
            turn = side.client.drive(c=c, seconds=plan.seconds if number >= 0 else plan.seconds / 4)
            if number < 0:
                continue
            turns[name].append(turn)
            for each, pid in side.servers.items():
                used[name][each] += cpu_seconds(pid) - before[each]
    return [_row(name, c, turns[name], used[name]) for name in sides]


def _row(
    name: str, c: int, turns: Sequence[Mapping[str, Any]], used: Mapping[str, float]
) -> dict[str, Any]:
    latencies = sorted(each for turn in turns for each in turn["ms"])
    count = len(latencies)
    spent = {"client": sum(turn["cpu_s"] for turn in turns), **used}
    return {
        "side": name,
        "c": c,
        "requests": count,
        "p50_ms": round(percentile(latencies, 0.5), 3),
        "p99_ms": round(percentile(latencies, 0.99), 3),
        "per_second": round(count / sum(turn["wall_s"] for turn in turns), 1),
        "cpu_us": {each: round(seconds / count * 1e6) for each, seconds in spent.items()},
    }


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the rows as a table for people."""
    made = Table(title=title)
    made.add_column("")
    for column in ("c", "p50 ms", "p99 ms", "per s", "requests"):
        made.add_column(column, justify="right")
    made.add_column("processor time per request, µs")
    for row in rows:
        spent = ", ".join(f"{name} {value:,}" for name, value in row["cpu_us"].items())
        made.add_row(
            row["side"],
            str(row["c"]),
            f"{row['p50_ms']:.2f}",
            f"{row['p99_ms']:.2f}",
            f"{row['per_second']:,.0f}",
            str(row["requests"]),
            spent,
        )
    return made
