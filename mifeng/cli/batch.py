"""`mifeng batch submit`: many files through one model, resumable."""

import asyncio
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mifeng.batch import items
from mifeng.batch.manifest import Manifest
from mifeng.batch.run import Summary, run

from .options import client, config_option, json_option, print_json


@click.group("batch")
def command() -> None:
    """Run many stored documents through a model."""


@command.command("submit")
@config_option
@json_option
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
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
@click.pass_context
def submit(
    context: click.Context,
    config: Path,
    as_json: bool,
    files: tuple[Path, ...],
    model: str,
    out: Path,
    input_name: str | None,
    jobs: int,
) -> None:
    """Send FILES (documents, or .jsonl of inputs) through a model, each sealed and verified.

    Killed at any moment, the same command goes on where it was. Results are OUT/NNNNNNNN.json,
    receipts beside them. Exit status 0 if every item succeeded, 1 if some failed for good.
    """
    manifest = Manifest.open(out, model=model)
    began = time.monotonic()
    total = sum(1 for _ in items.read(files))
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=as_json or not console.is_terminal,
    )

    async def work() -> Summary:
        async with client(config) as asking:
            with bar:
                done = sum(each.ok for each in manifest.done.values())
                task = bar.add_task(model, total=total, completed=done, rate="")

                def told(summary: Summary) -> None:
                    rate = summary.done / max(time.monotonic() - began, 1e-3)
                    bar.update(
                        task,
                        completed=summary.skipped + summary.done + summary.failed,
                        rate=f"{rate:.1f}/s",
                    )

                return await run(
                    asking, manifest, files, input_name=input_name, jobs=jobs, on_item=told
                )

    try:
        summary = asyncio.run(work())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        manifest.close()
    seconds = time.monotonic() - began
    report = {
        "total": summary.total,
        "done": summary.done,
        "already_done": summary.skipped,
        "failed": summary.failed,
        "retried": summary.retried,
        "codes": summary.codes,
        "seconds": round(seconds, 2),
        "per_hour": round(summary.done / seconds * 3600) if summary.done else 0,
    }
    if as_json:
        print_json(report)
    else:
        console.print(
            f"{summary.done} done, {summary.skipped} were done before, {summary.failed} failed, "
            f"{summary.retried} retries, {seconds:.1f} s ({report['per_hour']:,} per hour)"
        )
        for code, count in summary.codes.items():
            console.print(f"  {count} × {code}")
    context.exit(1 if summary.failed else 0)
