"""Charts as shapes: what to draw, apart from what draws it (SVG or PDF).

A drawing is rectangles, lines and labels in points, y downwards, `WIDTH` wide; every number is
written beside its shape, so that nothing is said by colour or length alone.

Source: docs/compliance.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

WIDTH: Final = 400
INK: Final = "#1d2430"
PALE: Final = "#5f6b7a"
GRID: Final = "#d5dbe3"
BLUE: Final = "#2456a6"
GREEN: Final = "#1a7f4b"
AMBER: Final = "#a86500"
RED: Final = "#b3261e"

_NAME_CHARS: Final = 20
_ROW: Final = 24
_MAX_ROWS: Final = 8
_PLOT_TOP, _PLOT_FLOOR, _PLOT_LEFT = 16.0, 116.0, 44.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rect:
    """A filled rectangle; x and y of its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str
    width: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A line of text; x and y of its baseline, at the end that `anchor` names."""

    x: float
    y: float
    text: str
    anchor: Literal["start", "middle", "end"] = "start"
    fill: str = INK
    bold: bool = False


Shape = Rect | Line | Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """Shapes on a surface `WIDTH` points wide."""

    height: float
    shapes: tuple[Shape, ...]


def bars(rows: Sequence[tuple[str, int]], fills: Mapping[str, str], *, none: str) -> Drawing:
    """Return one horizontal bar for each (name, number), the greatest first, at most 8.

    Args:
        rows: numbers are ≥ 0.
        fills: colour by name; blue where it says nothing.
        none: what to write when there are no rows.
    """
    shown = sorted(rows, key=lambda row: (-row[1], row[0]))[:_MAX_ROWS]
    if not shown:
        return Drawing(height=_ROW, shapes=(Label(x=0, y=16, text=none, fill=PALE),))
    most = max(number for _, number in shown) or 1
    shapes: list[Shape] = []
    for place, (name, number) in enumerate(shown):
        top = place * _ROW
        width = max(2.0, 210 * number / most)
        short = name if len(name) <= _NAME_CHARS else name[: _NAME_CHARS - 1] + "…"
        shapes += [
            Label(x=0, y=top + 16, text=short),
            Rect(x=136, y=top + 4, width=width, height=16, fill=fills.get(name, BLUE)),
            Label(x=142 + width, y=top + 16, text=f"{number:,}"),
        ]
    return Drawing(height=_ROW * len(shown), shapes=tuple(shapes))


def share(parts: Sequence[tuple[str, int, str]], *, none: str) -> Drawing:
    """Return one bar divided among (name, number, colour), with a legend under it."""
    whole = sum(number for _, number, _ in parts)
    if not whole:
        return Drawing(height=_ROW, shapes=(Label(x=0, y=16, text=none, fill=PALE),))
    shapes: list[Shape] = []
    left = 0.0
    for _, number, fill in parts:
        width = WIDTH * number / whole
        if number:
            shapes.append(Rect(x=left, y=2, width=width, height=20, fill=fill))
        left += width
    for place, (name, number, fill) in enumerate(parts):
        base = 42 + 18 * place
        shapes += [
            Rect(x=0, y=base - 9, width=10, height=10, fill=fill),
            Label(x=16, y=base, text=name),
            Label(x=300, y=base, text=f"{number:,}", anchor="end"),
            Label(x=360, y=base, text=percent(number, whole), anchor="end", fill=PALE),
        ]
    return Drawing(height=32 + 18 * len(parts), shapes=tuple(shapes))


def percent(number: int, whole: int) -> str:
    """Return a share in per cent, never rounded up to all or down to none."""
    if not whole:
        return "–"
    value = 100 * number / whole
    if 0 < value < 0.1:  # noqa: PLR2004 - one tenth, the last digit shown
        return "< 0.1 %"
    if 99.9 < value < 100:  # noqa: PLR2004 - as above
        return "> 99.9 %"
    return f"{value:.0f} %" if value in {0, 100} else f"{value:.1f} %"


def columns(
    periods: Sequence[tuple[str, Sequence[int]]], fills: Sequence[str], *, none: str
) -> Drawing:
    """Return stacked columns, one for each period, over an axis with a scale.

    Args:
        periods: name and one number for each colour, in order of time.
        fills: colours, bottom first.
        none: what to write when every number is 0.
    """
    most = max((sum(numbers) for _, numbers in periods), default=0)
    if not most:
        return Drawing(height=_ROW, shapes=(Label(x=0, y=16, text=none, fill=PALE),))
    top = _scale(most)
    tall = _PLOT_FLOOR - _PLOT_TOP
    shapes: list[Shape] = []
    for value in sorted({0, top // 2, top}):
        y = _PLOT_FLOOR - tall * value / top
        shapes += [
            Line(x1=_PLOT_LEFT, y1=y, x2=WIDTH, y2=y, stroke=GRID if value else PALE),
            Label(x=_PLOT_LEFT - 6, y=y + 4, text=_tick(value), anchor="end", fill=PALE),
        ]
    step = (WIDTH - _PLOT_LEFT) / max(len(periods), 7)
    for place, (_, numbers) in enumerate(periods):
        y = _PLOT_FLOOR
        for number, fill in zip(numbers, fills, strict=True):
            high = tall * number / top
            y -= high
            if number:
                x = _PLOT_LEFT + step * (place + 0.15)
                shapes.append(Rect(x=x, y=y, width=step * 0.7, height=high, fill=fill))
    first, last = periods[0][0], periods[-1][0]
    shapes.append(Label(x=_PLOT_LEFT, y=_PLOT_FLOOR + 16, text=first, fill=PALE))
    if last != first:
        end = min(WIDTH, max(_PLOT_LEFT + step * len(periods), _PLOT_LEFT + 150))
        shapes.append(Label(x=end, y=_PLOT_FLOOR + 16, text=last, anchor="end", fill=PALE))
    return Drawing(height=_PLOT_FLOOR + 22, shapes=tuple(shapes))


def _tick(value: int) -> str:
    """Return a number of the scale, short enough to stand left of the plot."""
    if value >= 1_000_000:  # noqa: PLR2004 - a million
        return f"{value / 1_000_000:g}M"
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:,}"  # noqa: PLR2004 - five digits


def _scale(most: int) -> int:
    """Return the least of 2, 4, 10, 20, 40, 100 … that is not below `most`."""
    power = 1
    while True:
        for digit in (2, 4, 10):
            if digit * power >= most:
                return digit * power
        power *= 10


def timeline(days: int, marks: Sequence[tuple[int, str]], *, text: str) -> Drawing:
    """Return a bar of so many days with named limits to hold it against.

    Args:
        days: ≥ 0.
        marks: (days, name), in ascending order.
        text: the number of days, in words.
    """
    whole = max([days, *(limit for limit, _ in marks)]) * 1.04
    shapes: list[Shape] = [
        Label(x=0, y=13, text=text, bold=True),
        Rect(x=0, y=24, width=WIDTH, height=18, fill="#eef1f5"),
        Rect(x=0, y=24, width=max(2.0, WIDTH * days / whole), height=18, fill=BLUE),
    ]
    for place, (limit, name) in enumerate(marks):
        x = WIDTH * limit / whole
        side: Literal["start", "end"] = "end" if x > WIDTH / 2 else "start"
        base = 62 + 18 * place
        shapes += [
            Line(x1=x, y1=20, x2=x, y2=base - 12, stroke=RED, width=1.5),
            Label(x=x, y=base, text=name, anchor=side, fill=RED),
        ]
    return Drawing(height=50 + 18 * len(marks), shapes=tuple(shapes))
