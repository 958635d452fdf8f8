"""Which charts a report shows, and their numbers.

Periods are days up to a month, weeks up to a year, else months; one without anything is drawn
as a gap, for a gap is what an auditor looks for.

Source: docs/compliance.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from .drawing import AMBER, BLUE, GREEN, PALE, RED, Drawing, bars, columns, share, timeline
from .items import RETENTION_FLOOR_DAYS, Words
from .signals import Signals

MONTH_DAYS: Final = 31
YEAR_DAYS: Final = 366
THREE_YEARS: Final = 3 * 365
_NATIONAL: Final = frozenset({"sm", "sm-pq", "sm2"})
_NONE: Final[Words] = ("本证据包中没有", "none in this pack")
_ENDS: Final[tuple[tuple[str, Words, str], ...]] = (
    ("COMPLETION", ("完成，有节点签名回执", "completed, with the node's receipt"), GREEN),
    ("REFUSAL", ("拒绝，未执行", "refused, not executed"), AMBER),
    ("ORPHANED", ("结局不明 (ORPHANED)", "end unknown (ORPHANED)"), RED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A titled drawing, what it means, and a legend of (colour, name)."""

    title: Words
    drawing: Drawing
    remark: Words | None = None
    legend: tuple[tuple[str, Words], ...] = ()


def charts(signals: Signals, at: int) -> list[Chart]:
    """Return the charts of a report; `at` is 0 for Chinese, 1 for English."""
    none = _NONE[at]
    report = signals.report
    verdicts = {day: tuple(counts) for day, counts in signals.verdicts.items()}
    requests = {day: (number,) for day, number in signals.requests.items()}
    intents = report.intents
    ends = [(words[at], report.ends.get(kind, 0), fill) for kind, words, fill in _ENDS]
    still_open = intents - sum(number for _, number, _ in ends)
    if still_open > 0:
        name = ("本证据包中尚未结束", "not ended in this pack")[at]
        ends.append((name, still_open, PALE))
    days = signals.span_days
    return [
        Chart(
            title=("远程证明结论", "Attestation verdicts"),
            drawing=columns(periods(verdicts, 2), (GREEN, RED), none=none),
            legend=((GREEN, ("准入", "admitted")), (RED, ("拒绝", "rejected"))),
        ),
        Chart(
            title=("请求数", "Requests"), drawing=columns(periods(requests, 1), (BLUE,), none=none)
        ),
        Chart(
            title=("密封请求：占比与结局", "Sealed requests: share and ends"),
            drawing=share(ends, none=none),
            remark=(
                f"{intents:,} 个请求全部密封（100 %）：网关没有明文接口" if intents else "没有请求",
                (
                    f"All {intents:,} requests were sealed (100 %): the gateway takes no plaintext"
                    if intents
                    else "No requests"
                ),
            ),
        ),
        Chart(
            title=("密钥集提供的密码套件", "Crypto suites offered by keysets"),
            drawing=bars(list(signals.suites.items()), _colours(signals.suites), none=none),
            legend=((BLUE, ("国密", "SM series")), (PALE, ("国际", "international"))),
        ),
        Chart(
            title=("回执签名算法", "Signature algorithms of receipts"),
            drawing=bars(list(signals.signatures.items()), _colours(signals.signatures), none=none),
            legend=((BLUE, ("国密", "SM series")), (PALE, ("国际", "international"))),
        ),
        Chart(
            title=("远程证明类型", "Kinds of attestation evidence"),
            drawing=bars(list(signals.kinds.items()), {"simulated": AMBER}, none=none),
            remark=(
                ("SIMULATED 的证明不证明任何硬件", "SIMULATED evidence proves no hardware")
                if report.appraisals.simulated
                else None
            ),
        ),
        Chart(
            title=("日志留存", "Retention"),
            drawing=timeline(
                days,
                (
                    (RETENTION_FLOOR_DAYS, ("180 天（六个月）", "180 days (six months)")[at]),
                    (THREE_YEARS, ("三年", "three years")[at]),
                ),
                text=(f"本证据包跨 {days} 天", f"this pack spans {days} days")[at],
            ),
        ),
    ]


def _colours(names: Mapping[str, int]) -> dict[str, str]:
    return {name: BLUE if name in _NATIONAL else PALE for name in names}


def periods(days: Mapping[str, Sequence[int]], width: int) -> list[tuple[str, tuple[int, ...]]]:
    """Return the numbers of days (ISO dates) summed up by period, periods without any included.

    Args:
        days: each with `width` numbers.
        width: how many numbers there are for each.
    """
    if not days:
        return []
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    span = (last - first).days + 1
    if span <= YEAR_DAYS:
        step = 1 if span <= MONTH_DAYS else 7
        names = [(first + timedelta(i)).isoformat() for i in range(0, span, step)]
    else:
        step = 0
        names = _months(first, last)
    sums: dict[str, list[int]] = {name: [0] * width for name in names}
    for day, numbers in days.items():
        at = date.fromisoformat(day)
        name = names[(at - first).days // step] if step else day[:7]
        for place, number in enumerate(numbers):
            sums[name][place] += number
    return [(name, tuple(numbers)) for name, numbers in sums.items()]


def _months(first: date, last: date) -> list[str]:
    names = []
    year, month = first.year, first.month
    while (year, month) <= (last.year, last.month):
        names.append(f"{year:04}-{month:02}")
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004
    return names
