"""What a report says, in one language, apart from how it is written.

The HTML, the PDF and the JSON say the same because all three are made from this. Text from a log
is printable but otherwise as it came: each writer escapes for its own format.

Source: docs/compliance.md.
"""

from dataclasses import dataclass
from typing import Final

from mifeng.audit.wording import moment, place, printable, text
from mifeng.version import VERSION

from .charts import Chart, charts
from .drawing import AMBER, GREEN, PALE, RED
from .items import SUPPORT_WORDS, Judged, Profile, Support, judge
from .signals import Signals
from .words import FOOTNOTES, NOTICE, label

MARKS: Final = ("S2", "K")
COLOURS: Final = {
    Support.HELD: GREEN,
    Support.PARTLY: AMBER,
    Support.MISSING: RED,
    Support.OUT_OF_REACH: PALE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One control item, ready to be written."""

    id: str
    footnote: int
    """1-based."""
    title: str
    strength: str
    support: Support
    support_name: str
    held: tuple[str, ...]
    missing: tuple[str, ...]
    reach: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A whole report."""

    lang: str
    at: int
    title: str
    notice: str
    stands: bool
    simulated: bool
    facts: tuple[tuple[str, str], ...]
    """Name and value, for the first page."""
    counts: tuple[tuple[Support, str, int], ...]
    """How many items have how much evidence."""
    charts: tuple[Chart, ...]
    rows: tuple[Row, ...]
    findings: tuple[tuple[str, str, str, str], ...]
    """Severity, code, words, entries."""
    kinds: tuple[tuple[str, int], ...]
    caveats: tuple[str, ...]
    footnotes: tuple[str, ...]

    def word(self, key: str) -> str:
        """Return a fixed word."""
        return label(key, self.at)


def compose(profile: Profile, signals: Signals, *, lang: str, now: int) -> Content:
    """Return what the report on `signals` says.

    Args:
        profile: see `profiles.PROFILES`.
        signals: see `signals.gather`.
        lang: `zh` or `en`.
        now: Unix seconds, when the report is made.
    """
    at = 0 if lang == "zh" else 1
    report = signals.report
    judged = judge(profile, signals)
    counts = tuple(
        (kind, SUPPORT_WORDS[kind][at], sum(each.support is kind for each in judged))
        for kind in Support
    )
    findings = tuple(
        (label(f.severity.value, at), printable(f.code), text(f, lang), place(f, lang))
        for f in report.findings
    )
    return Content(
        lang=lang,
        at=at,
        title=profile.title[at],
        notice=NOTICE[at],
        stands=report.stands,
        simulated=bool(report.appraisals.simulated or report.simulated),
        facts=tuple(_facts(signals, at, now)),
        counts=counts,
        charts=tuple(charts(signals, at)),
        rows=tuple(_row(each, at) for each in judged),
        findings=findings,
        kinds=tuple(sorted(report.types.items(), key=lambda kind: (-kind[1], kind[0]))),
        caveats=tuple(words[at] for words in profile.caveats),
        footnotes=tuple(FOOTNOTES[mark][at] for mark in MARKS),
    )


def _facts(signals: Signals, at: int, now: int) -> list[tuple[str, str]]:
    report = signals.report
    facts = [
        ("log", printable(report.origin)),
        ("period", f"{moment(report.first_at)} – {moment(report.extent.last_at)}"),
        (
            "entries",
            label("entries-of", at).format(
                count=f"{report.entries:,}", size=f"{report.extent.size:,}"
            ),
        ),
    ]
    if report.heads:
        head = max(report.heads, key=lambda each: (each.size, each.world == "sm3"))
        facts.append(("head", f"{head.world} · {head.size:,} · {head.root.hex()}"))
    witnesses = ", ".join(sorted(signals.witnesses))
    facts.append(("witnesses", printable(witnesses) or label("nobody", at)))
    facts.append(("pack", signals.pack_digest.hex()))
    stated = signals.configuration
    shown = stated.digest.hex() if stated else label("no-configuration", at)
    facts.append(("configuration", shown))
    made_by = label("tool", at).format(version=VERSION)
    facts.append(("made-at", f"{moment(now)}{'，' if at == 0 else ', '}{made_by}"))
    return [(label(key, at), value) for key, value in facts]


def _row(each: Judged, at: int) -> Row:
    item = each.item
    return Row(
        id=item.id[at],
        footnote=MARKS.index(item.mark) + 1,
        title=item.title[at],
        strength=item.strength,
        support=each.support,
        support_name=SUPPORT_WORDS[each.support][at],
        held=tuple(printable(words[at]) for words in each.held),
        missing=tuple(printable(words[at]) for words in each.missing),
        reach=item.reach[at] if item.reach else "",
    )
