"""A pen for A4 pages: lines of text that break as Chinese does, boxes, rules, tables.

It knows where it is on the page and begins another where something does not fit. Units are points,
y downwards.

Source: docs/compliance.md; ISO 19005-2.
"""

import logging
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Final

from mifeng.errors import UsageError

from . import fonts
from .content import Content
from .drawing import GRID, INK, PALE
from .typesetting import wrap

if TYPE_CHECKING:
    from fpdf import FPDF

PAGE: Final = (595.28, 841.89)
LEFT: Final = 43.0
RIGHT: Final = PAGE[0] - 43.0
TOP: Final = 56.0
FLOOR: Final = PAGE[1] - 56.0
LEADING: Final = 1.5
_UNKNOWN: Final = "?"
_BULLET: Final = "• "
_HANGING: Final = "   "
"""As wide as a bullet."""


class Pen:
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
        """Write a line of text."""
        self.pdf.text(x, baseline, self.known(text))

    def font(self, size: float, *, bold: bool = False, colour: str = INK) -> None:
        """Take another size, weight and colour."""
        self.pdf.set_font("body", "B" if bold else "", size)
        self.pdf.set_text_color(*rgb(colour))

    def wrapped(self, text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
        """Return the lines of a text at a width; takes the size and weight."""
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
        """Write a text, over as many lines and pages as it takes."""
        for line in self.wrapped(text, width, size, bold=bold):
            self.need(size * LEADING)
            self.font(size, bold=bold, colour=colour)
            self.put(x, self.y + size * 1.1, line)
            self.y += size * LEADING

    def heading(self, text: str, *, room: float = 60) -> None:
        """Write a section's title, on a page with so much room under it."""
        self.y += 18 if self.y > TOP else 0
        self.need(room)
        self.pdf.start_section(text)
        self.paragraph(text, 13, bold=True)
        self.y += 3
        self.rule(LEFT, RIGHT, INK, 1.2)
        self.y += 8

    def rule(self, left: float, right: float, colour: str, width: float) -> None:
        """Draw a line across at the present height."""
        self.pdf.set_draw_color(*rgb(colour))
        self.pdf.set_line_width(width)
        self.pdf.line(left, self.y, right, self.y)

    def box(self, x: float, width: float, height: float, fill: str) -> None:
        """Fill a rectangle that begins at the present height."""
        self.pdf.set_fill_color(*rgb(fill))
        self.pdf.rect(x, self.y, width, height, style="F")

    def banner(self, text: str, fill: str, edge: str, *, bold: bool = False) -> None:
        """Write a paragraph on a ground, with a bar at its left."""
        lines = self.wrapped(text, RIGHT - LEFT - 24, 10.5, bold=bold)
        height = len(lines) * 10.5 * LEADING + 12
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


def rgb(colour: str) -> tuple[int, int, int]:
    """Return the parts of a colour `#rrggbb`."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


Cell = list[tuple[str, str, bool]]
"""Lines of a table's cell: text, colour, whether bold."""


class Table:
    """Rows that stay whole where they fit on a page; the head is repeated."""

    SIZE = 8.5

    def __init__(self, writer: Pen, widths: Sequence[float], head: Sequence[str]) -> None:
        self.writer, self.widths = writer, widths
        self.head = [self.cell(i, [(name, INK, True)]) for i, name in enumerate(head)]
        if head:
            self.draw(self.head, INK)

    def cell(self, column: int, paragraphs: Cell) -> Cell:
        """Return a cell's lines at the width of its column."""
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
        step = self.SIZE * LEADING
        room = int((FLOOR - TOP - 40) / step)
        for start in range(0, lines, room):
            part = [cell[start : start + room] for cell in made]
            high = max(map(len, part)) * step + 9
            if self.writer.need(high) and self.head:
                self.draw(self.head, INK)
            self.draw(part, GRID, tag if start == 0 else None)

    def draw(self, cells: Sequence[Cell], edge: str, tag: tuple[int, str] | None = None) -> None:
        """Write lines that fit on this page, with a rule of colour `edge` under them."""
        writer, step = self.writer, self.SIZE * LEADING
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
