"""`attestation`: what it costs to verify one machine's evidence, and to appraise whole nodes.

Machines are SIMULATED in their vendors' formats, under test roots, with the whole chain and all
collateral; verifiers are the shipped ones. Every piece of evidence has a nonce of its own, so its
own signature is always checked; chains and collateral repeat, as they do for a verifier that sees
the same machines again, and their caches are warm but for the `first` column.

A node's bundle is admitted by `attestation.appraise`, which is what gateway and clients call: every
signature, both directions of binding, policy, and the count and wiring of devices.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from attestation.appraise import appraise

from .attestation_machines import Node, Subject, nodes, subjects
from .timing import percentile

MIXED: Final = 1000


def _nonces() -> Iterator[bytes]:
    for number in range(1 << 31):
        yield number.to_bytes(32)


def _timed(subject: Subject, raw: bytes) -> float:
    """Verify once and return milliseconds of this thread's processor time."""
    began = time.thread_time()
    claims = subject.verifier.verify(raw, subject.collateral, now=subject.now)
    spent = (time.thread_time() - began) * 1000
    if claims.refused or claims.unchecked:
        raise RuntimeError(f"{claims.kind}: not a clean verdict")
    return spent


def _admitted(node: Node) -> float:
    """Appraise once and return milliseconds of this thread's processor time; it must pass."""
    began = time.thread_time()
    appraise(
        node.bundle,
        node.policy,
        nonce32=node.bundle.freshness.nonce32,
        now=node.now,
        verifier_for=node.verifier_for,
    )
    return (time.thread_time() - began) * 1000


def _row(first: float, times: Sequence[float], evidence: int, collateral: int) -> dict[str, Any]:
    ordered = sorted(times)
    return {
        "bytes": evidence,
        "collateral_bytes": collateral,
        "first_ms": round(first, 3),
        "p50_ms": round(percentile(ordered, 0.5), 3),
        "p99_ms": round(percentile(ordered, 0.99), 3),
    }


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure each kind, then each kind of node, and all nodes mixed."""
    say("making machines")
    machines, nonces = subjects(), _nonces()
    count = 20 if quick else 200
    found: dict[str, Any] = {"kinds": {}, "nodes": {}}
    for kind, subject in machines.items():
        say(kind)
        raws = [subject.evidence(next(nonces)) for _ in range(count)]
        first, *times = [_timed(subject, raw) for raw in raws]
        size = sum(len(data) for _, data in subject.collateral.items)
        found["kinds"][kind] = _row(first, times, len(raws[0]), size)
    total = MIXED // 10 if quick else MIXED
    say(f"{total} nodes")
    makers = nodes(machines)
    made = [(name, make(next(nonces))) for name, make in islice(cycle(makers.items()), total)]
    for make in makers.values():
        _admitted(make(next(nonces)))
    times_of: dict[str, list[float]] = {name: [] for name in makers}
    for name, node in made:
        times_of[name].append(_admitted(node))
    for name, node in made[: len(makers)]:
        row = _row(0, times_of[name], node.evidence_bytes, node.collateral_bytes)
        found["nodes"][name] = row | {"first_ms": None}
    spent = sum(sum(times) for times in times_of.values()) / 1000
    found["mixed"] = {
        "count": total,
        "seconds": round(spent, 3),
        "per_second": round(total / spent, 1),
    }
    return found


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print two tables."""
    for title, rows in (("verifying evidence", "kinds"), ("admitting whole nodes", "nodes")):
        table = Table(title=f"{title}, processor time of one core")
        for column in ("", "evidence B", "collateral B", "first ms", "p50 ms", "p99 ms"):
            table.add_column(column, justify="right" if column else "left")
        for kind, row in result[rows].items():
            table.add_row(
                kind,
                f"{row['bytes']:,}",
                f"{row['collateral_bytes']:,}",
                "" if row["first_ms"] is None else f"{row['first_ms']:.2f}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
            )
        console.print(table)
    mixed = result["mixed"]
    console.print(
        f"{mixed['count']} nodes of all shapes in turn: {mixed['per_second']:.0f} per second"
    )
