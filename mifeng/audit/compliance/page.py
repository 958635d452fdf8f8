"""Write a compliance report: one HTML file without any reference to elsewhere, or JSON.

Everything that comes from a log is escaped. Charts are inline SVG with their numbers beside them.
Printed, the first page is the cover and no row is torn between pages.

Source: docs/compliance.md.
"""

from collections.abc import Iterable
from html import escape
from typing import Any, Final

from .charts import Chart
from .content import COLOURS, Content, Row, compose
from .drawing import WIDTH, Drawing, Line, Rect, Shape
from .items import Profile
from .signals import Signals

_STYLE: Final = """
:root{color-scheme:light}
*{box-sizing:border-box;-webkit-print-color-adjust:exact;print-color-adjust:exact}
body{font:15px/1.65 "Noto Sans CJK SC","Source Han Sans SC","PingFang SC","Microsoft YaHei",
system-ui,sans-serif;color:#1d2430;background:#fff;
max-width:64rem;margin:2.2rem auto;padding:0 1.4rem}
h1{font-size:1.75rem;line-height:1.35;margin:.2em 0 .8em;text-wrap:balance}
h2{font-size:1.15rem;margin:2.6em 0 .9em;padding-bottom:.3em;border-bottom:2px solid #1d2430}
.notice{border:2px solid #1d2430;padding:.9em 1.1em;font-weight:600;border-radius:4px;
margin:0 0 1em}
.mark{background:#fff3d6;border-left:4px solid #a86500;padding:.55em 1em;margin:.6em 0}
.bad{background:#fde8e6;border-left-color:#b3261e}
.good{background:#e4f4ea;border-left-color:#1a7f4b}
dl{display:grid;grid-template-columns:11rem 1fr;gap:.4em 1.2em;margin:1.6em 0}dt{color:#5f6b7a}
dd{margin:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
.counts{display:flex;flex-wrap:wrap;gap:.6em;margin:1.6em 0;padding:0;list-style:none}
.counts li{border-top:4px solid;padding:.4em 1em .5em 0;min-width:9rem;flex:1}
.counts b{display:block;font-size:1.7rem;line-height:1.2}
.sign{display:grid;grid-template-columns:1fr 1fr 1fr;gap:2rem;margin-top:3.5rem;color:#5f6b7a}
.sign div{border-top:1px solid #5f6b7a;padding-top:.4em}
table{border-collapse:collapse;width:100%;font-size:.92em;line-height:1.55}
thead{display:table-header-group}
th{text-align:left;border-bottom:1.5px solid #1d2430;padding:.45em .7em;white-space:nowrap}
td{vertical-align:top;border-bottom:1px solid #d5dbe3;padding:.6em .7em;overflow-wrap:anywhere}
th:first-child,td:first-child{padding-left:0}
.items td:first-child{width:7.5rem}.items td:nth-child(2){width:11rem}
.items td:nth-child(4){width:7rem}
td ul{margin:.1em 0 .5em;padding-left:1.1em}.held>ul,.held>div:last-child ul{margin-bottom:0}
.tag{color:#fff;border-radius:3px;padding:.12em .55em;white-space:nowrap;font-size:.88em}
.charts{display:grid;grid-template-columns:1fr 1fr;gap:2rem 2.6rem}
figure{margin:0}figcaption{font-weight:600;margin-bottom:.5em}
figure p{margin:.5em 0 0}svg{width:100%;height:auto;display:block}
svg text{font-size:12px}.small{color:#5f6b7a;font-size:.87em;font-weight:400}
.key{display:inline-block;width:.7em;height:.7em;margin:0 .3em 0 .8em}
.tight{white-space:nowrap}.number{text-align:right;font-variant-numeric:tabular-nums}
.lack{color:#8a2a22}.reach{color:#5f6b7a}.kinds{max-width:26rem}
@page{size:A4;margin:16mm 15mm 18mm;@bottom-right{content:counter(page) " / " counter(pages);
font-size:9pt;color:#5f6b7a}}
@media print{body{font-size:10.5pt;margin:0;max-width:none;padding:0}
tr,figure,li{break-inside:avoid}h2{break-after:avoid}.cover{break-after:page}
.charts{grid-template-columns:1fr 1fr}
dl{grid-template-columns:6.5rem 1fr}dd{font-size:.92em}table{font-size:.88em}
.items{table-layout:fixed}
.items th:first-child{width:5.4rem}.items th:nth-child(2){width:8rem}
.items th:nth-child(3){width:3rem}.items th:nth-child(4){width:6.2rem}
.items td:nth-child(n){width:auto}}
@media screen and (max-width:46rem){.charts{grid-template-columns:1fr}dl{grid-template-columns:1fr}
dd{margin-bottom:.5em}}
"""


def to_json(profile: Profile, signals: Signals, *, lang: str, now: int) -> dict[str, Any]:
    """Return the report as plain JSON."""
    content = compose(profile, signals, lang=lang, now=now)
    return {
        "notice": content.notice,
        "profile": profile.key,
        "title": content.title,
        "made_at": now,
        "stands": content.stands,
        "simulated": content.simulated,
        "log": signals.report.origin,
        "pack": signals.pack_digest.hex(),
        "configuration": signals.configuration.to_json() if signals.configuration else None,
        "period": [signals.report.first_at, signals.report.extent.last_at],
        "caveats": list(content.caveats),
        "items": [
            {
                "id": row.id,
                "title": row.title,
                "strength": row.strength,
                "support": row.support.value,
                "held": list(row.held),
                "missing": list(row.missing),
                "out_of_reach": row.reach or None,
                "footnote": content.footnotes[row.footnote - 1],
            }
            for row in content.rows
        ],
        "verification": signals.report.to_json(lang),
    }


def to_html(profile: Profile, signals: Signals, *, lang: str, now: int) -> str:
    """Return the report as one HTML document."""
    content = compose(profile, signals, lang=lang, now=now)
    language = "zh-CN" if lang == "zh" else "en"
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(content.title)}</title><style>{_STYLE}</style></head><body>"
        f"{_cover(content)}{_charts(content)}{_items(content)}{_findings(content)}"
        f"{_kinds(content)}{_notes(content)}</body></html>\n"
    )


def _cover(content: Content) -> str:
    state, kind = ("stands", "good") if content.stands else ("refuted", "bad")
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in content.facts
    )
    counts = "".join(
        f'<li style="border-color:{COLOURS[support]}"><b>{count}</b>{escape(name)}</li>'
        for support, name, count in content.counts
    )
    blanks = "".join(
        f"<div>{escape(content.word(key))}</div>" for key in ("prepared", "reviewed", "date")
    )
    simulated = f'<p class="mark">{escape(content.word("simulated"))}</p>'
    return (
        f'<section class="cover"><h1>{escape(content.title)}</h1>'
        f'<p class="notice">{escape(content.notice)}</p>'
        f'<p class="mark {kind}">{escape(content.word(state))}</p>'
        f"{simulated if content.simulated else ''}<dl>{facts}</dl>"
        f'<ul class="counts">{counts}</ul><div class="sign">{blanks}</div></section>'
    )


def _charts(content: Content) -> str:
    drawn = "".join(_figure(chart, content.at) for chart in content.charts)
    return f'<h2>{escape(content.word("charts"))}</h2><div class="charts">{drawn}</div>'


def _figure(chart: Chart, at: int) -> str:
    keys = "".join(
        f'<span class="key" style="background:{fill}"></span>{escape(words[at])}'
        for fill, words in chart.legend
    )
    legend = f'<span class="small">{keys}</span>' if keys else ""
    remark = f'<p class="small">{escape(chart.remark[at])}</p>' if chart.remark else ""
    title = escape(chart.title[at])
    return (
        f"<figure><figcaption>{title}{legend}</figcaption>"
        f"{_svg(chart.drawing, title)}{remark}</figure>"
    )


def _svg(drawing: Drawing, title: str) -> str:
    shapes = "".join(map(_shape, drawing.shapes))
    return (
        f'<svg viewBox="0 0 {WIDTH} {drawing.height:g}" role="img" aria-label="{title}">'
        f"{shapes}</svg>"
    )


def _shape(shape: Shape) -> str:
    if isinstance(shape, Rect):
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}"'
            f' height="{shape.height:.1f}" fill="{shape.fill}"/>'
        )
    if isinstance(shape, Line):
        return (
            f'<line x1="{shape.x1:.1f}" y1="{shape.y1:.1f}" x2="{shape.x2:.1f}"'
            f' y2="{shape.y2:.1f}" stroke="{shape.stroke}" stroke-width="{shape.width:g}"/>'
        )
    weight = ' font-weight="600"' if shape.bold else ""
    return (
        f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" text-anchor="{shape.anchor}"'
        f' fill="{shape.fill}"{weight}>{escape(shape.text)}</text>'
    )


def _items(content: Content) -> str:
    names = ("item", "title", "strength", "support", "held")
    head = "".join(f"<th>{escape(content.word(name))}</th>" for name in names)
    rows = "".join(_row(row, content) for row in content.rows)
    return (
        f'<h2>{escape(content.word("items"))}</h2><table class="items"><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _row(row: Row, content: Content) -> str:
    tag = f'<span class="tag" style="background:{COLOURS[row.support]}">{escape(row.support_name)}'
    held = _list(row.held)
    lack = _list(row.missing, content.word("missing"), "lack")
    reach = _list([row.reach] if row.reach else [], content.word("reach"), "reach")
    return (
        f"<tr><td>{escape(row.id)}<sup>{row.footnote}</sup></td><td>{escape(row.title)}</td>"
        f"<td>{escape(row.strength)}</td><td>{tag}</span></td>"
        f'<td class="held">{held}{lack}{reach}</td></tr>'
    )


def _findings(content: Content) -> str:
    rows = "".join(
        f'<tr><td class="tight">{escape(severity)}</td><td class="tight">{escape(code)}</td>'
        f"<td>{escape(words)}</td><td>{escape(where)}</td></tr>"
        for severity, code, words, where in content.findings
    )
    body = f"<table>{rows}</table>" if rows else f"<p>{escape(content.word('none'))}</p>"
    return f"<h2>{escape(content.word('findings'))}</h2>{body}"


def _kinds(content: Content) -> str:
    head = f'<th>{escape(content.word("kind"))}</th><th class="number">'
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{count:,}</td></tr>'
        for name, count in content.kinds
    )
    return (
        f'<h2>{escape(content.word("kinds"))}</h2><table class="kinds"><thead><tr>{head}'
        f"{escape(content.word('count'))}</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _notes(content: Content) -> str:
    parts = []
    if content.caveats:
        parts.append(f"<h2>{escape(content.word('caveats'))}</h2>{_list(content.caveats)}")
    lines = "".join(f"<li>{escape(line)}</li>" for line in content.footnotes)
    parts.append(f'<h2>{escape(content.word("footnotes"))}</h2><ol class="small">{lines}</ol>')
    return "".join(parts)


def _list(lines: Iterable[str], title: str = "", kind: str = "") -> str:
    shown = "".join(f"<li>{escape(line)}</li>" for line in lines)
    if not shown:
        return ""
    name = f"<b>{escape(title)}</b>" if title else ""
    return f'<div class="{kind}">{name}<ul>{shown}</ul></div>'
