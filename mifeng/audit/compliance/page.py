"""Write a compliance report: one HTML file without any reference to elsewhere, or JSON.

Everything that comes from a log is escaped. Charts are inline SVG with their numbers beside them.

Source: docs/auditing.md.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from mifeng.audit.story import moment
from mifeng.audit.wording import place, text

from .items import SUPPORT_WORDS, Judged, Profile, Support, Words, judge
from .signals import Signals

_NOTICE: Final = (
    (
        "本报告是证据汇总，不是测评结论。密码应用安全性评估与网络安全等级测评只能由具备资质的机构实施；"
        "本工具不作出任何“符合”判断。"
    ),
    (
        "This report gathers evidence; it is not an assessment. Assessments of cryptography"
        " applications and of classified protection are done by licensed bodies only;"
        " this tool states"
        " no conformity."
    ),
)
_FOOTNOTE: Final[dict[str, Words]] = {
    "S2": (
        "条款编号与表述来自二手资料，请对照标准原文核实。",
        "Numbering and wording come from a secondary source: verify against the standard's text.",
    ),
    "K": (
        "条款编号与表述来自一般知识，请对照标准原文核实。",
        "Numbering and wording come from general knowledge: verify against the standard's text.",
    ),
}
_LABELS: Final[dict[str, Words]] = {
    "items": ("逐项证据", "Evidence, item by item"),
    "item": ("条款", "Item"),
    "title": ("要求（简述）", "Asks for (in short)"),
    "strength": ("强度", "Strength"),
    "support": ("证据情况", "Evidence"),
    "held": ("本日志所持证据", "What this log holds"),
    "missing": ("缺少", "What is missing"),
    "reach": ("工具无法触及", "Out of reach"),
    "findings": ("核验结果", "Findings of the verification"),
    "none": ("没有发现", "None"),
    "charts": ("概览", "At a glance"),
    "verdicts": ("远程证明结论（按日）", "Attestation verdicts by day"),
    "algorithms": ("回执签名算法", "Signature algorithms of receipts"),
    "suites": ("密钥集提供的密码套件", "Crypto suites offered by keysets"),
    "requests": ("请求数（按日）", "Requests by day"),
    "retention": ("日志跨度", "Span of the log"),
    "days": ("天", "days"),
    "floor": ("法定下限 180 天", "floor: 180 days"),
    "admitted": ("准入", "admitted"),
    "rejected": ("拒绝", "rejected"),
    "stands": ("核验通过：证据成立", "Verified: the evidence stands"),
    "refuted": ("核验未通过：证据不成立", "Refuted: the evidence does not stand"),
    "log": ("日志", "Log"),
    "period": ("时段", "Period"),
    "entries": ("条目", "Entries"),
    "witnesses": ("见证者", "Witnesses"),
    "nobody": ("无 (UNWITNESSED)", "none (UNWITNESSED)"),
    "simulated": (
        "SIMULATED：本日志含模拟证明，不证明任何硬件",
        "SIMULATED: this log holds simulated evidence, which proves no hardware",
    ),
    "caveats": ("说明", "Remarks"),
    "footnotes": ("脚注", "Footnotes"),
    "error": ("错误", "error"),
    "warning": ("警告", "warning"),
    "note": ("提示", "note"),
}
_COLOURS: Final = {
    Support.HELD: "#1a7f4b",
    Support.PARTLY: "#a86500",
    Support.MISSING: "#b3261e",
    Support.OUT_OF_REACH: "#5f6b7a",
}
_STYLE: Final = """
:root{color-scheme:light}body{font:15px/1.6 "Noto Sans CJK SC","Source Han Sans SC","PingFang SC",
"Microsoft YaHei",system-ui,sans-serif;color:#1d2430;max-width:62rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.6rem;line-height:1.3;margin:.2em 0 .6em}h2{font-size:1.15rem;margin:2.2em 0 .6em;
border-bottom:1px solid #d5dbe3;padding-bottom:.2em}
.notice{border:2px solid #1d2430;padding:.8em 1em;
font-weight:600;border-radius:6px}.mark{background:#fff3d6;border-left:4px solid #a86500;
padding:.5em .9em;margin:1em 0}.bad{background:#fde8e6;border-left-color:#b3261e}
dl{display:grid;grid-template-columns:9rem 1fr;gap:.25em 1em}dt{color:#5f6b7a}dd{margin:0;
overflow-wrap:anywhere}table{border-collapse:collapse;width:100%;font-size:.93em}
th{text-align:left;border-bottom:2px solid #1d2430;padding:.4em .6em}
td{vertical-align:top;border-bottom:1px solid #d5dbe3;padding:.5em .6em;overflow-wrap:anywhere}
td ul{margin:0;padding-left:1.1em}.tag{color:#fff;border-radius:4px;padding:.1em .5em;
white-space:nowrap;font-size:.9em}.charts{display:grid;grid-template-columns:1fr 1fr;gap:1.5rem}
figure{margin:0}figcaption{font-weight:600;margin-bottom:.4em}svg{max-width:100%;height:auto}
svg text{font-size:12px;fill:#1d2430}.small{color:#5f6b7a;font-size:.88em}
.tight{white-space:nowrap}.good{background:#e4f4ea;border-left-color:#1a7f4b}
.lack{color:#8a2a22}.reach{color:#5f6b7a}
@media print{body{margin:0;max-width:none}tr,figure{break-inside:avoid}.cover{break-after:page}}
@media(max-width:44rem){.charts{grid-template-columns:1fr}}
"""


def to_json(profile: Profile, signals: Signals, *, lang: str, now: int) -> dict[str, Any]:
    """Return the report as plain JSON."""
    at = 0 if lang == "zh" else 1
    return {
        "notice": _NOTICE[at],
        "profile": profile.key,
        "title": profile.title[at],
        "made_at": now,
        "stands": signals.report.stands,
        "log": signals.report.origin,
        "period": [signals.report.first_at, signals.report.extent.last_at],
        "caveats": [words[at] for words in profile.caveats],
        "items": [
            {
                "id": each.item.id[at],
                "title": each.item.title[at],
                "strength": each.item.strength,
                "support": each.support.value,
                "held": [words[at] for words in each.held],
                "missing": [words[at] for words in each.missing],
                "out_of_reach": each.item.reach[at] if each.item.reach else None,
                "footnote": _FOOTNOTE[each.item.mark][at],
            }
            for each in judge(profile, signals)
        ],
        "verification": signals.report.to_json(lang),
    }


def to_html(profile: Profile, signals: Signals, *, lang: str, now: int) -> str:
    """Return the report as one HTML document."""
    page = _Page(0 if lang == "zh" else 1, lang, profile, signals, now)
    return page.document()


class _Page:
    def __init__(self, at: int, lang: str, profile: Profile, signals: Signals, now: int) -> None:
        self.at, self.lang = at, lang
        self.profile, self.signals, self.now = profile, signals, now
        self.judged = judge(profile, signals)

    def word(self, key: str) -> str:
        return escape(_LABELS[key][self.at])

    def document(self) -> str:
        language = "zh-CN" if self.lang == "zh" else "en"
        title = escape(self.profile.title[self.at])
        return (
            f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
            '<meta http-equiv="Content-Security-Policy"'
            " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{title}</title><style>{_STYLE}</style></head><body>"
            f"{self.cover(title)}{self.charts()}{self.items()}{self.findings()}{self.notes()}"
            "</body></html>\n"
        )

    def cover(self, title: str) -> str:
        report = self.signals.report
        period = f"{moment(report.first_at)} – {moment(report.extent.last_at)}"
        witnesses = ", ".join(sorted(self.signals.witnesses))
        rows = (
            ("log", escape(report.origin)),
            ("period", escape(period)),
            ("entries", f"{report.entries} / {report.extent.size}"),
            ("witnesses", escape(witnesses) or self.word("nobody")),
        )
        facts = "".join(f"<dt>{self.word(key)}</dt><dd>{value}</dd>" for key, value in rows)
        state = "stands" if report.stands else "refuted"
        kind = "mark good" if report.stands else "mark bad"
        parts = [
            f'<section class="cover"><h1>{title}</h1>',
            f'<p class="notice">{escape(_NOTICE[self.at])}</p>',
            f'<p class="{kind}">{self.word(state)}</p>',
        ]
        if self.signals.report.appraisals.simulated:
            parts.append(f'<p class="mark">{self.word("simulated")}</p>')
        parts.append(f"<dl>{facts}</dl>{self.summary()}")
        parts.append(f'<p class="small">{escape(moment(self.now))}</p></section>')
        return "".join(parts)

    def summary(self) -> str:
        counts = {s: sum(each.support is s for each in self.judged) for s in Support}
        cells = "".join(
            f'<span class="tag" style="background:{_COLOURS[s]}">'
            f"{escape(SUPPORT_WORDS[s][self.at])} {count}</span> "
            for s, count in counts.items()
        )
        return f"<p>{cells}</p>"

    def charts(self) -> str:
        signals = self.signals
        verdicts = dict(sorted(signals.verdicts.items())[-31:])
        requests = {day: (n,) for day, n in sorted(signals.requests.items())[-31:]}
        figures = (
            ("verdicts", _columns(verdicts, ("#1a7f4b", "#b3261e")), self.legend()),
            ("requests", _columns(requests, ("#2456a6",)), ""),
            ("algorithms", _bars(signals.signatures), ""),
            ("suites", _bars(signals.suites), ""),
            ("retention", self.span(), ""),
        )
        drawn = "".join(
            f"<figure><figcaption>{self.word(key)}{extra}</figcaption>{svg}</figure>"
            for key, svg, extra in figures
        )
        return f'<h2>{self.word("charts")}</h2><div class="charts">{drawn}</div>'

    def legend(self) -> str:
        return (
            f' <span class="small"><span style="color:#1a7f4b">■</span> {self.word("admitted")}'
            f' <span style="color:#b3261e">■</span> {self.word("rejected")}</span>'
        )

    def span(self) -> str:
        days = self.signals.span_days
        scale = 380 / max(days, 365)
        width = max(2, round(days * scale))
        floor = round(180 * scale)
        return (
            '<svg viewBox="0 0 400 62" role="img">'
            f'<rect x="0" y="8" width="{width}" height="20" fill="#2456a6"/>'
            f'<line x1="{floor}" x2="{floor}" y1="2" y2="34" stroke="#b3261e" stroke-width="2"/>'
            f'<text x="0" y="46">{days} {self.word("days")}</text>'
            f'<text x="{floor}" y="46">{self.word("floor")}</text></svg>'
        )

    def items(self) -> str:
        names = ("item", "title", "strength", "support", "held")
        head = "".join(f"<th>{self.word(name)}</th>" for name in names)
        rows = "".join(self.row(each) for each in self.judged)
        title = self.word("items")
        return f"<h2>{title}</h2><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

    def row(self, each: Judged) -> str:
        item = each.item
        number = "1" if item.mark == "S2" else "2"
        tag = (
            f'<span class="tag" style="background:{_COLOURS[each.support]}">'
            f"{escape(SUPPORT_WORDS[each.support][self.at])}</span>"
        )
        held = _list(words[self.at] for words in each.held)
        lack = _list((words[self.at] for words in each.missing), self.word("missing"), "lack")
        reach = _list([item.reach[self.at]] if item.reach else [], self.word("reach"), "reach")
        return (
            f"<tr><td>{escape(item.id[self.at])}<sup>{number}</sup></td>"
            f"<td>{escape(item.title[self.at])}</td><td>{escape(item.strength)}</td>"
            f"<td>{tag}</td><td>{held}{lack}{reach}</td></tr>"
        )

    def findings(self) -> str:
        found = self.signals.report.findings
        rows = "".join(
            f'<tr><td class="tight">{self.word(each.severity.value)}</td>'
            f'<td class="tight">{escape(each.code)}</td>'
            f"<td>{escape(text(each, self.lang))}</td>"
            f"<td>{escape(place(each, self.lang))}</td></tr>"
            for each in found
        )
        body = f"<table>{rows}</table>" if found else f"<p>{self.word('none')}</p>"
        return f"<h2>{self.word('findings')}</h2>{body}"

    def notes(self) -> str:
        caveats = _list(words[self.at] for words in self.profile.caveats)
        parts = [f"<h2>{self.word('caveats')}</h2>{caveats}"] if caveats else []
        lines = (f"<li>{escape(_FOOTNOTE[mark][self.at])}</li>" for mark in ("S2", "K"))
        parts.append(f'<h2>{self.word("footnotes")}</h2><ol class="small">{"".join(lines)}</ol>')
        return "".join(parts)


def _list(lines: Any, title: str = "", kind: str = "") -> str:  # noqa: ANN401 - any iterable of text
    shown = "".join(f"<li>{escape(line)}</li>" for line in lines)
    if not shown:
        return ""
    name = f"<b>{title}</b>" if title else ""
    return f'<div class="{kind}">{name}<ul>{shown}</ul></div>'


def _bars(values: Mapping[str, int]) -> str:
    """Draw one horizontal bar for each value, the number beside it."""
    rows = sorted(values.items(), key=lambda each: (-each[1], each[0]))[:8]
    most = max((n for _, n in rows), default=1)
    drawn = "".join(
        f'<text x="0" y="{17 + 26 * i}">{escape(name[:18])}</text>'
        f'<rect x="110" y="{4 + 26 * i}" width="{max(2, round(220 * n / most))}" height="18"'
        f' fill="#2456a6"/><text x="{116 + max(2, round(220 * n / most))}" y="{17 + 26 * i}">{n}'
        "</text>"
        for i, (name, n) in enumerate(rows)
    )
    return f'<svg viewBox="0 0 400 {max(26, 26 * len(rows))}" role="img">{drawn}</svg>'


def _columns(days: Mapping[str, Sequence[int]], colours: Sequence[str]) -> str:
    """Draw stacked columns, one for each day, with the first and last day named."""
    most = max((sum(counts) for counts in days.values()), default=0) or 1
    width = 360 / max(len(days), 6)
    drawn = [f'<text x="0" y="14">{most}</text><line x1="30" x2="395" y1="100" y2="100"']
    drawn.append(' stroke="#5f6b7a"/>')
    for i, counts in enumerate(days.values()):
        top = 100.0
        for count, colour in zip(counts, colours, strict=True):
            high = 90 * count / most
            top -= high
            drawn.append(
                f'<rect x="{32 + i * width:.1f}" y="{top:.1f}" width="{width * 0.8:.1f}"'
                f' height="{high:.1f}" fill="{colour}"/>'
            )
    names = list(days)
    if names:
        drawn.append(f'<text x="32" y="116">{escape(names[0])}</text>')
    if len(names) > 1:
        drawn.append(f'<text x="395" y="116" text-anchor="end">{escape(names[-1])}</text>')
    return f'<svg viewBox="0 0 400 122" role="img">{"".join(drawn)}</svg>'
