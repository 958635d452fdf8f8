"""`python -m benchmarks NAME [--quick] [--json]`."""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from . import machine

NAMES: Final = (
    "crypto",
    "crypto_node",
    "log",
    "log_postgres",
    "log_audit",
    "hop",
    "e2e",
    "attestation",
    "stream",
    "proxy",
    "batch",
)
RESULTS: Final = Path(__file__).parent / "results"


def benchmark(name: str) -> Any:  # noqa: ANN401 - a module
    """Return the module of a benchmark: `run(*, quick, say)` and `show(result, console)`."""
    return import_module(f"{__package__}.{name}")


def measure(name: str, *, quick: bool, console: Console) -> dict[str, Any]:
    """Run one benchmark and return its result with the machine's description."""
    module = benchmark(name)
    described = machine.describe() | {"quick": quick}
    console.rule(name)
    with console.status(name) as status:
        result: dict[str, Any] = module.run(
            quick=quick, say=lambda text: status.update(f"{name}: {text}")
        )
    module.show(result, console)
    return {"machine": described, "result": result}


def recorded() -> dict[str, Any]:
    """Return what this machine's file holds, by benchmark."""
    path = RESULTS / f"{machine.slug()}.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    return found


def record(documents: dict[str, Any]) -> Path:
    """Put results in this machine's file, beside those of other benchmarks, and return it."""
    path = RESULTS / f"{machine.slug()}.json"
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(recorded() | documents, indent=1, ensure_ascii=False)
    path.write_text(f"{text}\n", "utf-8")
    return path


@click.command()
@click.argument("name", type=click.Choice([*NAMES, "all"]))
@click.option("--quick", is_flag=True, help="A tenth of the time, coarser figures.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON, tables to stderr.")
@click.option("--record", "keep", is_flag=True, help="Write them to benchmarks/results/ too.")
@click.option("--recorded", "show", is_flag=True, help="Measure nothing: print what is recorded.")
def main(*, name: str, quick: bool, as_json: bool, keep: bool, show: bool) -> None:
    """Measure NAME and print tables.

    What is compared is measured in one run, turn by turn. Anything else the machine does shows
    in the figures; the load average stands in the result.
    """
    console = Console(stderr=as_json, highlight=False)
    names = NAMES if name == "all" else (name,)
    if show:
        documents = {each: found for each, found in recorded().items() if each in names}
        for each, document in documents.items():
            console.rule(f"{each}, {document['machine']['measured']}")
            benchmark(each).show(document["result"], console)
        return
    documents = {each: measure(each, quick=quick, console=console) for each in names}
    if as_json:
        json.dump(documents, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
    if keep:
        console.print(f"recorded in benchmarks/results/{record(documents).name}")


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
