"""Lines of Chinese, Latin and both: where they may break, and that nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from mifeng.audit.compliance.typesetting import NOT_FIRST, NOT_LAST, wrap


def measure(text: str) -> float:
    """Chinese takes two units, Latin one."""
    return sum(2 if ord(char) > 0x2E80 else 1 for char in text)


def test_chinese_breaks_between_characters() -> None:
    """Lines fill up to the measure."""
    assert wrap("日志记录完整性证据", 8, measure) == ["日志记录", "完整性证", "据"]


def test_a_line_never_begins_with_a_closing_mark() -> None:
    """The character before a comma goes with it to the next line."""
    assert wrap("日志记录，完整性", 8, measure) == ["日志记", "录，完整", "性"]


def test_a_line_never_ends_with_an_opening_mark() -> None:
    """An opening bracket goes with what it opens."""
    assert wrap("日志记（录）完", 8, measure) == ["日志记", "（录）完"]


def test_latin_words_stay_whole() -> None:
    """Blanks at the end of a line vanish, words are not cut."""
    assert wrap("sealed end to end", 8, measure) == ["sealed", "end to", "end"]
    assert wrap("用SM2签名", 5, measure) == ["用SM2", "签名"]


def test_a_word_wider_than_the_line_is_cut() -> None:
    """A digest has no place to break; it is cut rather than run off the page."""
    assert wrap("0123456789", 4, measure) == ["0123", "4567", "89"]


def test_paragraphs_end_lines() -> None:
    """A newline is kept, an empty paragraph is an empty line."""
    assert wrap("a\n\nb", 10, measure) == ["a", "", "b"]


@given(st.text(alphabet="日志，。“”（）ab 12/", max_size=60), st.integers(6, 30))
def test_nothing_is_lost_and_nothing_sticks_out(text: str, width: int) -> None:
    """All characters but blanks come out in order; marks stand where they may."""
    lines = wrap(text, width, measure)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(measure(line) <= width or len(line) == 1 for line in lines)


@given(st.text(alphabet="日志记录（，", max_size=40))
def test_marks_stand_where_they_may(text: str) -> None:
    """Unless a line is nothing but marks, it neither begins nor ends with the wrong one."""
    runs = max(
        (len(run) for run in text.replace("日", "x").replace("志", "x").split("x")), default=0
    )
    if runs > 3:
        return
    for before, after in zip(lines := wrap(text, 12, measure), lines[1:], strict=False):
        assert not (after[0] in NOT_FIRST and before[-1] not in NOT_FIRST)
        assert not (before[-1] in NOT_LAST and after[0] not in NOT_LAST)
