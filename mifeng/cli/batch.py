"""`mifeng batch submit`: many files through one model, resumable."""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console

from mifeng.batch import items
from mifeng.batch.manifest import Manifest
from mifeng.batch.report import Reporter, duration
from mifeng.batch.run import PATIENCE_S, Options, Summary, run
from mifeng.errors import RefusedError, TransportError

from .options import client, config_option, json_option, print_json

INTERRUPTED: Final = 6
STOPPED: Final = 130


@click.group("batch")
def command() -> None:
    """Run many stored documents through a model."""


@command.command("submit")
@config_option
@json_option
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", "-m", required=True, help="Model, as the gateway serves it.")
@click.option(
    "--out",
    "-o",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for results, receipts and the manifest. Give it again to resume.",
)
@click.option("--input", "input_name", help="BYTES input a file becomes; the only one, if omitted.")
@click.option(
    "--jobs",
    default=4,
    show_default=True,
    type=click.IntRange(1, 256),
    help="Requests under way at once.",
)
@click.option(
    "--patience",
    default=PATIENCE_S,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Seconds to wait for a gateway or a node that is away before giving up.",
)
@click.pass_context
def submit(
    context: click.Context,
    *,
    config: Path,
    as_json: bool,
    files: tuple[Path, ...],
    model: str,
    out: Path,
    input_name: str | None,
    jobs: int,
    patience: float,
) -> None:
    """Send FILES through a model, each sealed and verified, when the nodes have time.

    FILES are documents, directories of documents, or .jsonl files with one {"inputs": {name:
    value}} a line. Killed at any moment, the same command goes on where it was. Results are in
    OUT by item number, receipts beside them; OUT/manifest.jsonl says which is which.

    Exit status: 0 every item succeeded, 1 some failed for good, 6 some may have run and must
    not run twice, 3 or 5 nobody could be asked for so long, 130 stopped by Ctrl-C.
    """
    console = Console(stderr=True)
    manifest = Manifest.open(out, model=model)
    options = Options(input_name=input_name, jobs=jobs, patience_s=patience)
    began = time.monotonic()
    try:
        summary = asyncio.run(_work(config, manifest, files, options, console, quiet=as_json))
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here")
        context.exit(STOPPED)
    except (RefusedError, TransportError):
        console.print("nobody could be asked; the same command goes on from here")
        raise
    finally:
        manifest.close()
    report = _report(summary, time.monotonic() - began)
    if as_json:
        print_json(report)
    else:
        _say(console, report, out)
    context.exit(1 if summary.failed else INTERRUPTED if summary.interrupted else 0)


async def _work(
    config: Path,
    manifest: Manifest,
    files: tuple[Path, ...],
    options: Options,
    console: Console,
    *,
    quiet: bool,
) -> Summary:
    total = await asyncio.to_thread(lambda: sum(1 for _ in items.read(files)))
    reporter = Reporter(console, model=manifest.model, total=total, quiet=quiet)
    async with client(config) as asking:
        with reporter:
            return await run(asking, manifest, files, options, told=reporter.told)


def _report(summary: Summary, seconds: float) -> dict[str, Any]:
    return {
        "total": summary.total,
        "done": summary.done,
        "already_done": summary.skipped,
        "failed": summary.failed,
        "interrupted": summary.interrupted,
        "retried": summary.retried,
        "codes": summary.codes,
        "firsts": summary.firsts,
        "seconds": round(seconds, 2),
        "per_hour": round(summary.done / seconds * 3600) if summary.done else 0,
    }


def _say(console: Console, report: dict[str, Any], out: Path) -> None:
    parts = [f"{report['done']:,} done"]
    if report["already_done"]:
        parts.append(f"{report['already_done']:,} were done before")
    parts += [f"{report[name]:,} {name}" for name in ("failed", "interrupted") if report[name]]
    speed = f" ({report['per_hour']:,} an hour)" if report["done"] else ""
    console.print(
        f"{', '.join(parts)} of {report['total']:,}, in {duration(report['seconds'])}{speed}",
        highlight=False,
    )
    for code, count in report["codes"].items():
        first = report["firsts"][code]
        console.print(f"  {count:,} × {code}, first {first}", highlight=False, soft_wrap=True)
    console.print(f"results, receipts and manifest.jsonl: {out}", highlight=False, soft_wrap=True)
