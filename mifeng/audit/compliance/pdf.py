"""Write a compliance report as PDF/A-2u: fonts embedded, text that can be searched and copied.

Says what the HTML says, from the same `Content`. A4, points; every page carries the log's name,
that it is evidence and not an assessment, and its number.

Source: docs/compliance.md; ISO 19005-2.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from . import fonts
from .charts import Chart
from .content import COLOURS, Row, compose
from .drawing import INK, PALE, WIDTH, Line, Rect
from .items import Profile
from .pen import FLOOR, LEADING, LEFT, RIGHT, TOP, Cell, Pen, Table, rgb
from .signals import Signals

_LACK: Final = "#8a2a22"


def to_pdf(
    profile: Profile, signals: Signals, *, lang: str, now: int, font: Path | None = None
) -> bytes:
    """Return the report as a PDF file.

    Args:
        profile: see `profiles.PROFILES`.
        signals: see `signals.gather`.
        lang: `zh` or `en`.
        now: Unix seconds, when the report is made.
        font: a font file with Chinese; None to look where fonts usually are.

    Raises:
        UsageError: no font that has Chinese and may be embedded, or `mifeng[pdf]` is missing.
    """
    family = fonts.find(font)
    content = compose(profile, signals, lang=lang, now=now)
    writer = Pen(content, family, now)
    _cover(writer)
    _charts(writer)
    _items(writer)
    _annexes(writer)
    return writer.finish()


def _cover(writer: Pen) -> None:
    content = writer.content
    writer.y += 24
    writer.pdf.start_section(content.title)
    size = 20.0
    while size > 16 and len(writer.wrapped(content.title, RIGHT - LEFT, size, bold=True)) > 1:  # noqa: PLR2004 - smaller is no title
        size -= 0.5
    writer.paragraph(content.title, size, bold=True)
    writer.y += 16
    _notice(writer)
    good = content.stands
    state = content.word("stands" if good else "refuted")
    fill, edge = ("#e4f4ea", "#1a7f4b") if good else ("#fde8e6", "#b3261e")
    writer.banner(state, fill, edge, bold=True)
    if content.simulated:
        writer.banner(content.word("simulated"), "#fff3d6", "#a86500")
    writer.y += 10
    for name, value in content.facts:
        top = writer.y
        writer.paragraph(name, 10, colour=PALE, width=112)
        after = writer.y
        writer.y = top
        writer.paragraph(value, 10, x=LEFT + 124, width=RIGHT - LEFT - 124)
        writer.y = max(writer.y, after) + 4
    writer.y += 18
    _counts(writer)
    third = (RIGHT - LEFT - 48) / 3
    writer.y = max(writer.y + 40, FLOOR - 40)
    for place, key in enumerate(("prepared", "reviewed", "date")):
        x = LEFT + place * (third + 24)
        writer.rule(x, x + third, PALE, 0.7)
        writer.font(9, colour=PALE)
        writer.put(x, writer.y + 14, content.word(key))
    writer.pdf.add_page()
    writer.y = TOP


def _notice(writer: Pen) -> None:
    text, size = writer.content.notice, 11.0
    lines = writer.wrapped(text, RIGHT - LEFT - 28, size, bold=True)
    height = len(lines) * size * LEADING + 22
    writer.pdf.set_draw_color(*rgb(INK))
    writer.pdf.set_line_width(1.5)
    writer.pdf.rect(LEFT, writer.y, RIGHT - LEFT, height)
    top = writer.y
    writer.y += 11
    writer.paragraph(text, size, bold=True, x=LEFT + 14, width=RIGHT - LEFT - 28)
    writer.y = top + height + 12


def _counts(writer: Pen) -> None:
    counts = writer.content.counts
    wide = (RIGHT - LEFT - 12 * (len(counts) - 1)) / len(counts)
    for place, (support, name, count) in enumerate(counts):
        x = LEFT + place * (wide + 12)
        writer.box(x, wide, 4, COLOURS[support])
        writer.font(20, bold=True)
        writer.put(x, writer.y + 28, str(count))
        writer.font(9)
        writer.put(x, writer.y + 44, name)
    writer.y += 52


def _charts(writer: Pen) -> None:
    content = writer.content
    writer.heading(content.word("charts"))
    wide = (RIGHT - LEFT - 30) / 2
    for first in range(0, len(content.charts), 2):
        pair = content.charts[first : first + 2]
        high = max(_high(chart, wide) for chart in pair)
        writer.need(high)
        for place, chart in enumerate(pair):
            _figure(writer, chart, LEFT + place * (wide + 30), wide)
        writer.y += high


def _high(chart: Chart, wide: float) -> float:
    legend = 13 if chart.legend else 0
    return chart.drawing.height * wide / WIDTH + 22 + legend + (28 if chart.remark else 0) + 16


def _figure(writer: Pen, chart: Chart, x: float, wide: float) -> None:
    at = writer.content.at
    top = writer.y
    writer.font(10, bold=True)
    writer.put(x, top + 11, chart.title[at])
    y = top + 20
    if chart.legend:
        left = x
        for fill, words in chart.legend:
            writer.pdf.set_fill_color(*rgb(fill))
            writer.pdf.rect(left, y, 7, 7, style="F")
            writer.font(8, colour=PALE)
            writer.put(left + 10, y + 7, words[at])
            left += 22 + writer.pdf.get_string_width(words[at])
        y += 13
    _draw(writer, chart, x, y, wide / WIDTH)
    if chart.remark:
        writer.y = y + chart.drawing.height * wide / WIDTH + 4
        writer.paragraph(chart.remark[at], 8, colour=PALE, x=x, width=wide)
    writer.y = top


def _draw(writer: Pen, chart: Chart, x: float, y: float, scale: float) -> None:
    pdf = writer.pdf
    for shape in chart.drawing.shapes:
        if isinstance(shape, Rect):
            pdf.set_fill_color(*rgb(shape.fill))
            place = (x + shape.x * scale, y + shape.y * scale)
            pdf.rect(*place, shape.width * scale, shape.height * scale, style="F")
        elif isinstance(shape, Line):
            pdf.set_draw_color(*rgb(shape.stroke))
            pdf.set_line_width(shape.width * scale)
            ends = (shape.x1, shape.y1, shape.x2, shape.y2)
            x1, y1, x2, y2 = (v * scale for v in ends)
            pdf.line(x + x1, y + y1, x + x2, y + y2)
        else:
            writer.font(12 * scale, bold=shape.bold, colour=shape.fill)
            back = {"start": 0.0, "middle": 0.5, "end": 1.0}[shape.anchor]
            left = x + shape.x * scale - back * pdf.get_string_width(shape.text)
            writer.put(left, y + shape.y * scale, shape.text)


def _items(writer: Pen) -> None:
    content = writer.content
    writer.heading(content.word("items"), room=140)
    names = ("item", "title", "strength", "support", "held")
    narrow = content.lang == "zh"
    widths = (
        (72, 92, 40, 70, RIGHT - LEFT - 274) if narrow else (76, 96, 50, 92, RIGHT - LEFT - 314)
    )
    table = Table(writer, widths, [content.word(name) for name in names])
    for row in content.rows:
        _row(table, row, content.word)


def _row(table: Table, row: Row, word: Callable[[str], str]) -> None:
    held: Cell = [(f"• {line}", INK, False) for line in row.held]
    if row.missing:
        held.append((word("missing"), _LACK, True))
        held += [(f"• {line}", _LACK, False) for line in row.missing]
    if row.reach:
        held += [(word("reach"), PALE, True), (f"• {row.reach}", PALE, False)]
    cells: list[Cell] = [
        [(f"{row.id} [{row.footnote}]", INK, False)],
        [(row.title, INK, False)],
        [(row.strength, INK, False)],
        [(row.support_name, "#ffffff", False)],
        held,
    ]
    table.row(cells, tag=(3, COLOURS[row.support]))


def _annexes(writer: Pen) -> None:
    content = writer.content
    writer.heading(content.word("findings"))
    if content.findings:
        table = Table(writer, (48, 132, RIGHT - LEFT - 280, 100), ())
        for finding in content.findings:
            table.row([[(each, INK, False)] for each in finding])
    else:
        writer.paragraph(content.word("none"))
    writer.heading(content.word("kinds"))
    head = (content.word("kind"), content.word("count"))
    table = Table(writer, (160, RIGHT - LEFT - 160), head)
    for name, count in content.kinds:
        table.row([[(name, INK, False)], [(f"{count:,}", INK, False)]])
    notes: list[tuple[Literal["caveats", "footnotes"], list[str]]] = [
        ("caveats", [f"• {line}" for line in content.caveats]),
        ("footnotes", [f"[{i}] {line}" for i, line in enumerate(content.footnotes, 1)]),
    ]
    for key, lines in notes:
        if lines:
            writer.heading(content.word(key))
            for line in lines:
                writer.paragraph(line, 9)
