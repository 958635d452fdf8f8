"""Write a compliance report as PDF/A-2u: fonts embedded, text that can be searched and copied.

Says what the HTML says, from the same `Content`. A4, points; every page carries the log's name,
that it is evidence and not an assessment, and its number.

Source: docs/compliance.md; ISO 19005-2.
"""

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from mifeng.errors import UsageError

from . import fonts
from .charts import Chart
from .content import COLOURS, Content, Row, compose
from .drawing import GRID, INK, PALE, WIDTH, Line, Rect
from .items import Profile
from .signals import Signals
from .typesetting import wrap

if TYPE_CHECKING:
    from fpdf import FPDF

PAGE: Final = (595.28, 841.89)
LEFT: Final = 43.0
RIGHT: Final = PAGE[0] - 43.0
TOP: Final = 56.0
FLOOR: Final = PAGE[1] - 56.0
_LEADING: Final = 1.5
_UNKNOWN: Final = "?"
_BULLET: Final = "• "
_HANGING: Final = "   "
"""As wide as a bullet."""
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
    writer = _Writer(content, family, now)
    _cover(writer)
    _charts(writer)
    _items(writer)
    _annexes(writer)
    return writer.finish()


class _Writer:
    """A pen that knows where it is on the page."""

    def __init__(self, content: Content, family: fonts.Family, now: int) -> None:
        try:
            from fpdf import FPDF
        except ImportError as exc:
            raise UsageError("pdf: install mifeng[pdf]") from exc
        # Both narrate the subsetting of each table.
        for name in ("fontTools.subset", "fpdf"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self.content = content
        self.pdf = FPDF(unit="pt", format="A4", enforce_compliance="PDF/A-2U")
        self.pdf.set_auto_page_break(auto=False)
        self.pdf.set_lang("zh-CN" if content.lang == "zh" else "en")
        self.pdf.set_title(content.title)
        self.pdf.set_creation_date(datetime.fromtimestamp(now, UTC))
        for style, face in (("", family.regular), ("B", family.bold)):
            self.pdf.add_font(
                "body",
                style=style,
                fname=str(face.path),
                collection_font_number=face.number,
            )
        self._covered = _covered(self.pdf)
        self.y = TOP
        self.pdf.add_page()

    def known(self, text: str) -> str:
        """Return text without what the font cannot write: a log's names may hold any character."""
        return "".join(char if ord(char) in self._covered else _UNKNOWN for char in text)

    def put(self, x: float, baseline: float, text: str) -> None:
        self.pdf.text(x, baseline, self.known(text))

    def font(self, size: float, *, bold: bool = False, colour: str = INK) -> None:
        self.pdf.set_font("body", "B" if bold else "", size)
        self.pdf.set_text_color(*_rgb(colour))

    def wrapped(self, text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
        self.font(size, bold=bold)
        return wrap(self.known(text), width, self.pdf.get_string_width)

    def need(self, height: float) -> bool:
        """Begin a page if so much does not fit on this one; returns whether it did."""
        if self.y + height <= FLOOR or self.y == TOP:
            return False
        self.pdf.add_page()
        self.y = TOP
        return True

    def paragraph(
        self,
        text: str,
        size: float = 10,
        *,
        bold: bool = False,
        colour: str = INK,
        x: float = LEFT,
        width: float = RIGHT - LEFT,
    ) -> None:
        for line in self.wrapped(text, width, size, bold=bold):
            self.need(size * _LEADING)
            self.font(size, bold=bold, colour=colour)
            self.put(x, self.y + size * 1.1, line)
            self.y += size * _LEADING

    def heading(self, text: str, *, room: float = 60) -> None:
        self.y += 18 if self.y > TOP else 0
        self.need(room)
        self.pdf.start_section(text)
        self.paragraph(text, 13, bold=True)
        self.y += 3
        self.rule(LEFT, RIGHT, INK, 1.2)
        self.y += 8

    def rule(self, left: float, right: float, colour: str, width: float) -> None:
        self.pdf.set_draw_color(*_rgb(colour))
        self.pdf.set_line_width(width)
        self.pdf.line(left, self.y, right, self.y)

    def box(self, x: float, width: float, height: float, fill: str) -> None:
        self.pdf.set_fill_color(*_rgb(fill))
        self.pdf.rect(x, self.y, width, height, style="F")

    def banner(self, text: str, fill: str, edge: str, *, bold: bool = False) -> None:
        lines = self.wrapped(text, RIGHT - LEFT - 24, 10.5, bold=bold)
        height = len(lines) * 10.5 * _LEADING + 12
        self.need(height)
        self.box(LEFT, RIGHT - LEFT, height, fill)
        self.box(LEFT, 4, height, edge)
        top = self.y
        self.y += 6
        self.paragraph(text, 10.5, bold=bold, x=LEFT + 16, width=RIGHT - LEFT - 24)
        self.y = top + height + 8

    def finish(self) -> bytes:
        """Put the foot on every page and return the file."""
        from fpdf.fonts import TTFFont

        pages = self.pdf.pages_count
        content = self.content
        for number in range(1, pages + 1):
            self.pdf.page = number
            self.font(8, colour=PALE)
            left = f"{content.facts[0][1]} · {content.word('short-notice')}"
            right = content.word("page").format(page=number, pages=pages)
            measure = self.pdf.get_string_width
            foot = PAGE[1] - 30
            self.put(LEFT, foot, wrap(left, 380, measure)[0])
            self.put(RIGHT - measure(right), foot, right)
        made = BytesIO()
        self.pdf.output(made)
        for font in self.pdf.fonts.values():
            if isinstance(font, TTFFont):
                font.ttfont.close()
        return made.getvalue()


def _covered(pdf: "FPDF") -> Collection[int]:
    """Return the characters that the body font has."""
    from fpdf.fonts import TTFFont

    font = pdf.fonts["body"]
    return font.cmap.keys() if isinstance(font, TTFFont) else ()


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _cover(writer: _Writer) -> None:
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


def _notice(writer: _Writer) -> None:
    text, size = writer.content.notice, 11.0
    lines = writer.wrapped(text, RIGHT - LEFT - 28, size, bold=True)
    height = len(lines) * size * _LEADING + 22
    writer.pdf.set_draw_color(*_rgb(INK))
    writer.pdf.set_line_width(1.5)
    writer.pdf.rect(LEFT, writer.y, RIGHT - LEFT, height)
    top = writer.y
    writer.y += 11
    writer.paragraph(text, size, bold=True, x=LEFT + 14, width=RIGHT - LEFT - 28)
    writer.y = top + height + 12


def _counts(writer: _Writer) -> None:
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


def _charts(writer: _Writer) -> None:
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


def _figure(writer: _Writer, chart: Chart, x: float, wide: float) -> None:
    at = writer.content.at
    top = writer.y
    writer.font(10, bold=True)
    writer.put(x, top + 11, chart.title[at])
    y = top + 20
    if chart.legend:
        left = x
        for fill, words in chart.legend:
            writer.pdf.set_fill_color(*_rgb(fill))
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


def _draw(writer: _Writer, chart: Chart, x: float, y: float, scale: float) -> None:
    pdf = writer.pdf
    for shape in chart.drawing.shapes:
        if isinstance(shape, Rect):
            pdf.set_fill_color(*_rgb(shape.fill))
            place = (x + shape.x * scale, y + shape.y * scale)
            pdf.rect(*place, shape.width * scale, shape.height * scale, style="F")
        elif isinstance(shape, Line):
            pdf.set_draw_color(*_rgb(shape.stroke))
            pdf.set_line_width(shape.width * scale)
            ends = (shape.x1, shape.y1, shape.x2, shape.y2)
            x1, y1, x2, y2 = (v * scale for v in ends)
            pdf.line(x + x1, y + y1, x + x2, y + y2)
        else:
            writer.font(12 * scale, bold=shape.bold, colour=shape.fill)
            back = {"start": 0.0, "middle": 0.5, "end": 1.0}[shape.anchor]
            left = x + shape.x * scale - back * pdf.get_string_width(shape.text)
            writer.put(left, y + shape.y * scale, shape.text)


Cell = list[tuple[str, str, bool]]
"""Lines of a table's cell: text, colour, whether bold."""


class _Table:
    """Rows that stay whole where they fit on a page; the head is repeated."""

    SIZE = 8.5

    def __init__(self, writer: _Writer, widths: Sequence[float], head: Sequence[str]) -> None:
        self.writer, self.widths = writer, widths
        self.head = [self.cell(i, [(name, INK, True)]) for i, name in enumerate(head)]
        if head:
            self.draw(self.head, INK)

    def cell(self, column: int, paragraphs: Cell) -> Cell:
        width = self.widths[column] - 8
        made: Cell = []
        for text, colour, bold in paragraphs:
            bullet = _BULLET if text.startswith(_BULLET) else ""
            rest = text.removeprefix(bullet)
            lines = self.writer.wrapped(rest, width - 8 * bool(bullet), self.SIZE, bold=bold)
            made += [
                ((bullet if place == 0 else _HANGING) + line if bullet else line, colour, bold)
                for place, line in enumerate(lines)
            ]
        return made

    def row(self, cells: Sequence[Cell], tag: tuple[int, str] | None = None) -> None:
        """Write a row; `tag` is a column whose cell gets a filled background."""
        made = [self.cell(i, cell) for i, cell in enumerate(cells)]
        lines = max(map(len, made))
        step = self.SIZE * _LEADING
        room = int((FLOOR - TOP - 40) / step)
        for start in range(0, lines, room):
            part = [cell[start : start + room] for cell in made]
            high = max(map(len, part)) * step + 9
            if self.writer.need(high) and self.head:
                self.draw(self.head, INK)
            self.draw(part, GRID, tag if start == 0 else None)

    def draw(self, cells: Sequence[Cell], edge: str, tag: tuple[int, str] | None = None) -> None:
        writer, step = self.writer, self.SIZE * _LEADING
        x, top = LEFT, writer.y + 4
        for column, (cell, width) in enumerate(zip(cells, self.widths, strict=True)):
            if tag and tag[0] == column and cell:
                writer.y = top - 1
                writer.font(self.SIZE)
                wide = max(writer.pdf.get_string_width(line) for line, _, _ in cell) + 8
                writer.box(x - 4, wide, step * len(cell) + 2, tag[1])
            for place, (line, colour, bold) in enumerate(cell):
                writer.font(self.SIZE, bold=bold, colour=colour)
                writer.put(x, top + place * step + self.SIZE * 1.1, line)
            x += width
        writer.y = top + max(map(len, cells)) * step + 4
        writer.rule(LEFT, RIGHT, edge, 0.6)
        writer.y += 1


def _items(writer: _Writer) -> None:
    content = writer.content
    writer.heading(content.word("items"), room=140)
    names = ("item", "title", "strength", "support", "held")
    narrow = content.lang == "zh"
    widths = (
        (72, 92, 40, 70, RIGHT - LEFT - 274) if narrow else (76, 96, 50, 92, RIGHT - LEFT - 314)
    )
    table = _Table(writer, widths, [content.word(name) for name in names])
    for row in content.rows:
        _row(table, row, content.word)


def _row(table: _Table, row: Row, word: Callable[[str], str]) -> None:
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


def _annexes(writer: _Writer) -> None:
    content = writer.content
    writer.heading(content.word("findings"))
    if content.findings:
        table = _Table(writer, (48, 132, RIGHT - LEFT - 280, 100), ())
        for finding in content.findings:
            table.row([[(each, INK, False)] for each in finding])
    else:
        writer.paragraph(content.word("none"))
    writer.heading(content.word("kinds"))
    head = (content.word("kind"), content.word("count"))
    table = _Table(writer, (160, RIGHT - LEFT - 160), head)
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
