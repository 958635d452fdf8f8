"""What people see of a batch: a bar on a terminal, a line a minute elsewhere."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from .run import Summary

LINE_EVERY_S: Final = 60.0
_WINDOW: Final = 64
"""Looks over which speed is measured."""


class Speed:
    """Items a second over the last ones, and what that means for the rest."""

    def __init__(self, began: float) -> None:
        self._seen = [(began, 0)]

    def note(self, now: float, items: int) -> None:
        """Take in how many items are finished."""
        self._seen.append((now, items))
        del self._seen[: -_WINDOW - 1]

    def rate(self) -> float:
        """Return items a second, 0 before the first."""
        (began, before), (now, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - began) if now > began else 0.0

    def left(self, items: int) -> str:
        """Return how long so many items take, in words; empty while nobody can know."""
        rate = self.rate()
        return f"about {duration(items / rate)} left" if rate and items else ""


def duration(seconds: float) -> str:
    """Return a time as people say it: `7 h 56 min`, `3 min 20 s`, `12 s`."""
    whole = round(seconds)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [each for at, each in enumerate(parts) if any(value for value, _ in parts[: at + 1])]
    return " ".join(f"{value} {unit}" for value, unit in shown[:2]) or "0 s"


class Reporter:
    """Shows one run as it goes. Use as a context manager."""

    def __init__(self, console: Console, *, model: str, total: int, quiet: bool) -> None:
        self._console, self._model, self._total = console, model, total
        self._lines = not quiet and not console.is_terminal
        self._last = time.monotonic()
        self._speed = Speed(self._last)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task(model, total=total, said="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def told(self, summary: Summary) -> None:
        """Take in how far the run is."""
        now = time.monotonic()
        # What runs before did was not done now.
        self._speed.note(now, summary.settled - summary.skipped)
        left = self._speed.left(self._total - summary.settled)
        said = f"{self._speed.rate():.1f}/s  {left}"
        if summary.failed:
            said += f"  {summary.failed} failed"
        if summary.waiting:
            said = f"waiting: {summary.waiting}"
        self._bar.update(self._task, completed=summary.settled, said=said)
        if self._lines and now - self._last >= LINE_EVERY_S:
            self._last = now
            share = summary.settled / self._total if self._total else 1.0
            self._console.print(
                f"{self._model}: {summary.settled:,} of {self._total:,} ({share:.1%}), {said}",
                highlight=False,
            )
