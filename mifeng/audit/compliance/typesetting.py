"""Break text into lines as Chinese is set.

Between any two characters, but not before a closing mark and not after an opening one; Latin words
and numbers stay whole while they fit. Pure: widths come from the caller's `measure`.

Source: GB/T 15834-2011 §5.1 (places of marks); docs/compliance.md.
"""

from collections.abc import Callable, Iterator
from typing import Final

NOT_FIRST: Final = frozenset("，。、；：！？）》〉」』】〕…—”’％%,.;:!?)]}·")
NOT_LAST: Final = frozenset("（《〈「『【〔“‘([{")

Measure = Callable[[str], float]


def wrap(text: str, width: float, measure: Measure) -> list[str]:
    """Return the lines of `text`, each no wider than `width` unless one character is.

    Args:
        text: may hold newlines, which end a line.
        width: in the units of `measure`.
        measure: width of a piece of text.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        lines += _paragraph(paragraph, width, measure)
    return lines


def _paragraph(text: str, width: float, measure: Measure) -> list[str]:
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if not line or measure((line + piece).rstrip()) <= width:
            line += piece
        else:
            lines.append(line.rstrip())
            line = piece.lstrip()
        while measure(line.rstrip()) > width and len(line) > 1:
            cut = _fitting(line, width, measure)
            lines.append(line[:cut])
            line = line[cut:]
    lines.append(line.rstrip())
    return lines


def _fitting(line: str, width: float, measure: Measure) -> int:
    """Return how many characters of an unbreakable piece fit; at least one."""
    low, high = 1, len(line) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if measure(line[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def _pieces(text: str) -> Iterator[str]:
    """Yield what may not be broken: words with the blanks after them, or characters with marks."""
    piece = ""
    for char in text:
        if piece and _breaks(piece[-1], char):
            yield piece
            piece = ""
        piece += char
    if piece:
        yield piece


def _breaks(before: str, after: str) -> bool:
    if after == " " or after in NOT_FIRST or before in NOT_LAST:
        return False
    if before in " /":
        return True
    return _wide(before) or _wide(after)


def _wide(char: str) -> bool:
    """Whether a character is of the kind that is set without blanks between words."""
    return (
        "⺀" <= char <= "鿿" or "豈" <= char <= "﫿" or "＀" <= char <= "｠" or char >= "\U00020000"
    )
