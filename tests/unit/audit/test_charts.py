"""Charts: periods with their gaps, shares that never lie by rounding, shapes on the surface."""

from datetime import date, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mifeng.audit.compliance.charts import charts, periods
from mifeng.audit.compliance.drawing import (
    WIDTH,
    Drawing,
    Label,
    Line,
    Rect,
    bars,
    columns,
    percent,
    share,
    timeline,
)
from mifeng.audit.compliance.signals import Signals
from mifeng.audit.verify import verify
from tests.unit.audit.made import Made


def inside(drawing: Drawing) -> None:
    """Check that every shape is on the surface."""
    for shape in drawing.shapes:
        if isinstance(shape, Rect):
            assert -0.01 <= shape.x <= shape.x + shape.width <= WIDTH + 0.01
            assert -0.01 <= shape.y <= shape.y + shape.height <= drawing.height + 0.01
        elif isinstance(shape, Line):
            assert 0 <= min(shape.x1, shape.x2) <= max(shape.x1, shape.x2) <= WIDTH
        elif isinstance(shape, Label):
            assert 0 <= shape.x <= WIDTH
            assert 0 <= shape.y <= drawing.height


@given(st.lists(st.tuples(st.text(max_size=40), st.integers(0, 10**9)), max_size=12))
def test_bars_stay_on_the_surface(rows: list[tuple[str, int]]) -> None:
    """Whatever the names and numbers, nothing is drawn outside."""
    inside(bars(rows, {}, none="-"))
    inside(share([(name, number, "#000000") for name, number in rows], none="-"))
    inside(columns([(name, (number,)) for name, number in rows], ("#000000",), none="-"))


@given(st.integers(0, 20_000))
def test_timelines_stay_on_the_surface(days: int) -> None:
    """A log of fifty years is drawn to scale too."""
    inside(timeline(days, ((180, "a"), (1095, "b")), text="t"))


def test_a_silent_day_is_a_gap() -> None:
    """Days without anything between others are there, with nothing."""
    assert periods({"2027-01-01": (2,), "2027-01-03": (1,)}, 1) == [
        ("2027-01-01", (2,)),
        ("2027-01-02", (0,)),
        ("2027-01-03", (1,)),
    ]


def test_long_spans_are_weeks_and_months() -> None:
    """More than a month is told by weeks, more than a year by months; sums stay."""
    first = date(2027, 1, 1)
    for span, longest in ((40, 6), (366, 53), (800, 27)):
        days = {(first + timedelta(i)).isoformat(): (1, 2) for i in range(span)}
        found = periods(days, 2)
        assert len(found) <= longest
        assert [sum(each) for each in zip(*(n for _, n in found), strict=True)] == [span, 2 * span]


def test_shares_are_not_rounded_to_all_or_nothing() -> None:
    """One in a million is neither 0 % nor 100 %."""
    assert percent(1, 1_000_000) == "< 0.1 %"
    assert percent(999_999, 1_000_000) == "> 99.9 %"
    assert percent(5, 5) == "100 %"
    assert percent(0, 5) == "0 %"
    assert percent(0, 0) == "–"


def test_an_empty_log_says_so_in_both_languages(tmp_path: Path) -> None:
    """Charts without numbers say that there is nothing, not an empty frame."""
    made = Made()
    pack = made.pack(tmp_path / "a.zip")
    made_report = Signals(report=verify(pack, made.trust, now=made.now))
    for at, word in enumerate(("本证据包中没有", "none in this pack")):
        drawn = charts(made_report, at)
        empty = [c for c in drawn if any(getattr(s, "text", "") == word for s in c.drawing.shapes)]
        assert len(empty) >= 3
        for chart in drawn:
            inside(chart.drawing)
