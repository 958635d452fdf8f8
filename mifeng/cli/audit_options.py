"""What the verbs of `mifeng audit` share: options, exit status, progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mifeng.audit import export as exporting

EXIT_REFUTED: Final = 1
file_type: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
lang_option = click.option(
    "--lang", type=click.Choice(["zh", "en"]), default="en", help="Language of the words."
)


@contextmanager
def bar(what: str, *, quiet: bool) -> Iterator[exporting.Progress]:
    """Show a bar on a terminal; nothing in a pipe."""
    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)
