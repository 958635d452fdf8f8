"""`mifeng policy test` and `mifeng policy show`: policies are reviewed, so they can be run."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from policies import PolicyError, parse
from policies.cases import Outcome, run_cases
from policies.load import SHIPPED, parse_document, shipped_bytes

from .reading import printable

_FAILED = 1


def _read(name: str) -> bytes:
    """Return the bytes of a shipped profile, or of a file."""
    if name in SHIPPED:
        return shipped_bytes(name)
    try:
        return Path(name).read_bytes()
    except OSError as exc:
        shipped = ", ".join(SHIPPED)
        raise click.UsageError(f"{name}: {exc.strerror}; shipped are {shipped}") from exc


@click.group("policy")
def command() -> None:
    """Test or read a policy: a file, or the name of a shipped profile."""


@command.command()
@click.argument("names", metavar="POLICY...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def test(names: tuple[str, ...], as_json: bool) -> None:
    """Run the test cases that each POLICY carries.

    Exit status: 0 all as expected, 1 some not, 2 usage or not a policy.
    """
    outcomes: dict[str, tuple[Outcome, ...]] = {}
    for name in names:
        try:
            outcomes[name] = run_cases(_read(name))
        except PolicyError as exc:
            raise click.UsageError(f"{name}: {exc}") from exc
    if as_json:
        shown = {
            name: [
                {"name": o.name, "passed": o.passed, "expected": o.expected, "found": o.found}
                for o in each
            ]
            for name, each in outcomes.items()
        }
        click.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    else:
        _print(outcomes)
    sys.exit(0 if all(o.passed for each in outcomes.values() for o in each) else _FAILED)


def _print(outcomes: dict[str, tuple[Outcome, ...]]) -> None:
    console = Console()
    for name, each in outcomes.items():
        table = Table(title=printable(name), title_justify="left")
        for heading in ("case", "expected", "found", ""):
            table.add_column(heading, overflow="fold")
        for outcome in each:
            mark = "[green]ok[/]" if outcome.passed else "[red]FAILED[/]"
            table.add_row(
                printable(outcome.name), _words(outcome.expected), _words(outcome.found), mark
            )
        console.print(table)


def _words(codes: tuple[str, ...]) -> str:
    return ", ".join(codes) or "accepted"


@command.command()
@click.argument("name", metavar="POLICY")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(name: str, as_json: bool) -> None:
    """Print what POLICY requires, and the digest that receipts name it by."""
    raw = _read(name)
    try:
        found = parse(raw)
    except PolicyError as exc:
        raise click.UsageError(f"{name}: {exc}") from exc
    summary: dict[str, object] = {
        "name": found.name,
        "digest": found.digest.hex(),
        "unsafe_allow_simulated": found.unsafe_allow_simulated,
        "min_tier": found.min_tier.label,
        "max_evidence_age_s": found.max_evidence_age_s,
        "max_keyset_life_s": found.max_keyset_life_s,
        "post_quantum": parse_document(raw).post_quantum,
        "accelerators": {kind.value: count for kind, count in found.accelerators.items()},
        "kinds": {
            kind.value: {
                "references": {
                    measurement: [reference.value.hex() for reference in accepted]
                    for measurement, accepted in rule.references.items()
                },
                "unsafe_any_measurement": rule.unsafe_any_measurement,
                "tcb_statuses": sorted(rule.tcb_statuses),
                "advisories": sorted(rule.advisories),
                "minimums": dict(rule.minimums),
                "values": {name: sorted(map(str, v)) for name, v in rule.values.items()},
                "enrolled": "any" if rule.enrolled is None else sorted(rule.enrolled),
                "denied": sorted(rule.denied),
                "conditions": len(rule.conditions),
            }
            for kind, rule in found.rules.items()
        },
    }
    if as_json:
        click.echo(json.dumps(summary, ensure_ascii=False, indent=2))
        return
    console = Console()
    if found.unsafe_allow_simulated:
        console.print("[bold red]UNSAFE: accepts simulated evidence, which anyone can make[/]")
    console.print(printable(f"{found.name}  SM3 {found.digest.hex()}"))
    for line in raw.decode().splitlines():
        console.print(printable(line))
