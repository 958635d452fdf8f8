"""What people see: speed over the last items, times as people say them."""

import io

import pytest
from rich.console import Console

from mifeng.batch.report import Reporter, Speed, duration
from mifeng.batch.run import Summary


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (12, "12 s"),
        (200, "3 min 20 s"),
        (28_560, "7 h 56 min"),
        (3600, "1 h 0 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    """Two units at most."""
    assert duration(seconds) == said


def test_speed_is_that_of_the_last_items() -> None:
    """A slow beginning is forgotten."""
    speed = Speed(0.0)
    assert (speed.rate(), speed.left(5)) == (0.0, "")
    for number in range(200):
        speed.note(1000 + number / 2, number)
    assert speed.rate() == pytest.approx(2.0)
    assert speed.left(7200) == "about 1 h 0 min left"
    assert speed.left(0) == ""


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal: no bar, a line a minute, with what is waited for."""
    now = [0.0]
    monkeypatch.setattr("mifeng.batch.report.time.monotonic", lambda: now[0])
    output = io.StringIO()
    reporter = Reporter(Console(file=output, width=100), model="ocr", total=1_000_000, quiet=False)
    with reporter:
        for number in range(1, 121):
            now[0] = number
            reporter.told(Summary(total=number, done=number * 100))
        now[0] = 180
        reporter.told(Summary(total=12_000, done=12_000, waiting="transport"))
    assert output.getvalue().splitlines() == [
        "ocr: 6,000 of 1,000,000 (0.6%), 100.0/s  about 2 h 45 min left",
        "ocr: 12,000 of 1,000,000 (1.2%), 100.0/s  about 2 h 44 min left",
        "ocr: 12,000 of 1,000,000 (1.2%), waiting: transport",
    ]
