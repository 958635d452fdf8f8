"""A table of what a drill did and found, and whether all of it is as it must be."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass
class Step:
    """One line of the table while it is being filled."""

    found: list[str] = field(default_factory=list)
    good: bool = True
    skipped: bool = False

    def fact(self, text: str) -> None:
        """Say something that was found."""
        self.found.append(text)

    def must(self, text: str, *, hold: object) -> None:
        """Say something that must hold; the drill has failed if it does not."""
        self.found.append(text if hold else f"[red]{text}[/]")
        self.good &= bool(hold)

    def skip(self, why: str) -> None:
        """Say why this could not be done here."""
        self.found.append(f"skipped: {why}")
        self.skipped = True


@dataclass
class Findings:
    """The table."""

    title: str
    console: Console
    missing: str = ""
    """Why a part of the drill cannot be done here."""
    rows: list[tuple[str, Step, float]] = field(default_factory=list)

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """Time a step. One that raises has failed, and the drill ends there."""
        step, began = Step(), time.monotonic()
        try:
            with self.console.status(what):
                yield step
        except BaseException as exc:
            step.must(f"{type(exc).__name__}: {exc}", hold=False)
            raise
        finally:
            self.rows.append((what, step, time.monotonic() - began))

    @property
    def good(self) -> bool:
        """Whether all is as it must be."""
        return all(step.good for _, step, _ in self.rows)

    def show(self) -> None:
        """Print it."""
        table = Table(box=None, title=self.title, row_styles=("", "dim"))
        table.add_column("done", overflow="fold", ratio=2)
        table.add_column("found", overflow="fold", ratio=5)
        table.add_column("", width=7)
        table.add_column("seconds", justify="right", width=8)
        for what, step, seconds in self.rows:
            mark = "[green]ok[/]" if step.good else "[red]FAILED[/]"
            mark = "[yellow]skipped[/]" if step.good and step.skipped else mark
            table.add_row(what, "; ".join(step.found), mark, f"{seconds:.1f}")
        self.console.print(table)
