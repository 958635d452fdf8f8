"""`mifeng audit …`: export a pack, verify it offline, tell one request, compare, watch, report.

Exit status: 0 it stands · 1 something was refuted (or, with --strict, not shown) · 2 usage ·
4 not a pack · 5 the log cannot be reached.
"""

import json
import os
import sys
import time
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mifeng.audit import compare as comparing
from mifeng.audit import story as stories
from mifeng.audit import subjects, tables
from mifeng.audit.compliance import page, pdf
from mifeng.audit.compliance.configuration import Configuration
from mifeng.audit.compliance.profiles import PROFILES
from mifeng.audit.compliance.signals import gather
from mifeng.audit.findings import Severity
from mifeng.audit.report import Report
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify as verify_pack
from mifeng.audit.wording import moment, place, printable, text
from mifeng.errors import UsageError

from .audit_export import export
from .audit_options import EXIT_REFUTED, bar, file_type, lang_option
from .audit_watch import watch
from .options import json_option, print_json

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}

trust_option = click.option(
    "--trust",
    "trust_path",
    type=file_type,
    required=True,
    envvar="MIFENG_TRUST",
    help="What you trust beforehand: log pin, policies, exporters (YAML).",
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Processes; one per core if left out."
)
pack_argument = click.argument("pack", type=file_type)


@click.group("audit")
def command() -> None:
    """Establish offline what a gateway's log proves; trusts nobody but the trust file."""


command.add_command(export)
command.add_command(watch)


def _verified(
    pack: Path,
    trust: Path,
    *,
    at: int | None = None,
    promises: tuple[Path, ...] = (),
    jobs: int | None = None,
    quiet: bool = False,
) -> Report:
    with bar("verify", quiet=quiet) as progress:
        return verify_pack(
            pack,
            Trust.load(trust),
            now=int(time.time()),
            at=at,
            promises=[path.read_bytes() for path in promises],
            jobs=jobs or os.cpu_count() or 1,
            progress=progress,
        )


@command.command("verify")
@pack_argument
@trust_option
@click.option("--at", type=int, help="Judge evidence at this Unix time, not at its own instant.")
@click.option(
    "--promise", "promises", type=file_type, multiple=True, help="A promise that a client received."
)
@click.option("--strict", is_flag=True, help="Warnings count as refutations.")
@jobs_option
@lang_option
@json_option
def verify(
    pack: Path,
    trust_path: Path,
    at: int | None,
    promises: tuple[Path, ...],
    strict: bool,
    jobs: int | None,
    lang: str,
    as_json: bool,
) -> None:
    """Verify a pack offline and say everything that is wrong with it."""
    report = _verified(pack, trust_path, at=at, promises=promises, jobs=jobs, quiet=as_json)
    if as_json:
        print_json(report.to_json(lang))
    else:
        _show(report, lang)
    if not report.stands or (strict and report.count(Severity.WARNING)):
        sys.exit(EXIT_REFUTED)


def _show_anchors(table: Table, report: Report, *, zh: bool) -> None:
    words = ("未采信", "已核验") if zh else ("not pinned", "vouches")
    for each in report.anchors:
        name = "锚定" if zh else "anchor"
        when = f" · {moment(each.at)}" if each.at is not None else ""
        line = f"{each.size} · {words[each.vouches]}{when} · {printable(each.place)}"
        table.add_row(f"{name} ({each.kind} {each.name})", escape(line))


def _show(report: Report, lang: str) -> None:
    zh = lang == "zh"
    console = Console()
    console.print(report.origin, style="bold", highlight=False, markup=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    for head in report.heads:
        name = f"checkpoint ({head.world})" if not zh else f"检查点 ({head.world})"
        seen = f"{len(head.witnesses)} 个见证者" if zh else f"{len(head.witnesses)} witnesses"
        table.add_row(name, f"{head.size} · {head.root.hex()[:16]}… · {seen}")
    _show_anchors(table, report, zh=zh)
    rows = (
        ("条目", "entries", f"{report.entries} / {report.extent.size}"),
        (
            "时间",
            "time",
            f"{moment(report.first_at)} – {moment(report.extent.last_at)}",
        ),
        ("签名", "signatures checked", str(report.signatures)),
        ("回执", "receipts", str(report.receipts)),
        ("许可 / 结束", "intents / ends", f"{report.intents} / {sum(report.ends.values())}"),
        ("节点所见日志头", "heads compared", str(report.heads_compared)),
        (
            "远程证明重新评估",
            "evidence appraised again",
            (
                f"{report.appraisals.passed} ✓ {report.appraisals.refused} ✗"
                f" {report.appraisals.undecided} ?"
            ),
        ),
    )
    for name_zh, name_en, value in rows:
        table.add_row(name_zh if zh else name_en, value)
    console.print(table)
    for finding in report.findings:
        colour = _COLOURS[finding.severity]
        console.print(f"[{colour}]{finding.severity.value:7}[/] {finding.code:26}", end=" ")
        where = place(finding, lang)
        words = text(finding, lang)
        console.print(f"{words} {where}", highlight=False, markup=False, soft_wrap=True)
    if report.stands:
        console.print("[green]证据成立[/]" if zh else "[green]it stands[/]")
    else:
        console.print("[red]证据不成立[/]" if zh else "[red]REFUTED[/]")


@command.command("explain")
@pack_argument
@click.argument("request")
@trust_option
@jobs_option
@lang_option
@json_option
def explain(
    pack: Path, request: str, trust_path: Path, jobs: int | None, lang: str, as_json: bool
) -> None:
    """Tell the whole story of one REQUEST: its digest H (or its first digits), or an index."""
    report = _verified(pack, trust_path, jobs=jobs, quiet=as_json)
    story = stories.tell(pack, report, request, lang=lang)
    if as_json:
        print_json(story.facts | {"story": list(story.sentences)})
    else:
        for number, sentence in enumerate(story.sentences, 1):
            click.echo(f"{number:2}. {sentence}")
    if any(
        f.severity is Severity.ERROR and f.code in story.facts["findings"] for f in report.findings
    ):
        sys.exit(EXIT_REFUTED)


@command.command("diff")
@click.argument("left", type=file_type)
@click.argument("right", type=file_type)
@lang_option
@json_option
def diff(left: Path, right: Path, lang: str, as_json: bool) -> None:
    """Compare two packs of one log; exit 1 if they contradict each other."""
    found = comparing.compare(left, right)
    if as_json:
        print_json(found.to_json())
    else:
        _show_difference(found, lang)
    if found.contradictory:
        sys.exit(EXIT_REFUTED)


def _show_difference(found: comparing.Difference, lang: str) -> None:
    zh = lang == "zh"
    only = found.documents
    rows = [
        ("相同的条目", "entries in both", str(found.common)),
        ("仅左包有", "only in the left pack", str(found.only_left)),
        ("仅右包有", "only in the right pack", str(found.only_right)),
        ("同一位置内容不同", "at one index, but different", str(found.differing)),
        ("仅一方有的文件", "documents that only one has", f"{only[0]} / {only[1]}"),
    ]
    if found.first_differing:
        rows.append(("位置", "where", ", ".join(map(str, found.first_differing))))
    rows += [
        ("检查点冲突", "checkpoints at odds", f"{size} ({world})") for size, world in found.heads
    ]
    table = Table(show_header=False, box=None, pad_edge=False)
    for name_zh, name_en, value in rows:
        table.add_row(name_zh if zh else name_en, value)
    console = Console()
    console.print(table)
    if not found.same_log:
        console.print("[red]不是同一个日志[/]" if zh else "[red]they are of two logs[/]")
    elif found.contradictory:
        console.print("[red]两包相互矛盾[/]" if zh else "[red]they CONTRADICT each other[/]")
    else:
        console.print("[green]两包一致[/]" if zh else "[green]they agree[/]")


@command.command("table")
@pack_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    required=True,
    help="JSON lines, or CSV.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to make.")
def table(pack: Path, form: str, out: Path) -> None:
    """Write the entries of a pack as JSON lines, or as CSV for spreadsheets."""
    lines = tables.json_lines(pack) if form == "jsonl" else tables.csv_lines(pack)
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except OSError as exc:
        raise UsageError(f"{out}: {exc.strerror}") from exc


@command.command("person")
@pack_argument
@trust_option
@click.option("--key", "key_path", type=file_type, help="Key from `mifeng admin open`.")
@click.option("--subject", help="Commitment, to list without opening: 64 hex digits.")
@jobs_option
@lang_option
@json_option
def person(
    pack: Path,
    trust_path: Path,
    key_path: Path | None,
    subject: str | None,
    jobs: int | None,
    lang: str,
    as_json: bool,
) -> None:
    """Verify a pack and show what it holds about one person, opened with the person's key."""
    if (key_path is None) == (subject is None):
        raise UsageError("person: one of --key, --subject")
    key = subjects.SubjectKey.load(key_path) if key_path else None
    try:
        named = key.subject if key else bytes.fromhex(subject or "")
    except ValueError as exc:
        raise UsageError("--subject: need 64 hex digits") from exc
    report = _verified(pack, trust_path, jobs=jobs, quiet=as_json)
    found = subjects.person(pack, named, key.key if key else None)
    if as_json:
        print_json({"subject": named.hex(), "stands": report.stands} | found.to_json())
    else:
        for line in subjects.tell(named, found, lang):
            click.echo(line)
    if not report.stands:
        sys.exit(EXIT_REFUTED)


@command.command("report")
@pack_argument
@trust_option
@click.option(
    "--profile", type=click.Choice(list(PROFILES)), required=True, help="Standard to answer."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "pdf", "json"]),
    required=True,
    help="To read, to print and keep, or to process.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to make.")
@click.option(
    "--config",
    "config_path",
    type=file_type,
    help="The gateway's configuration, for what it states beside the log.",
)
@click.option(
    "--font",
    type=file_type,
    envvar="MIFENG_CJK_FONT",
    help="PDF: a font file with Chinese; looked for where fonts usually are if left out.",
)
@jobs_option
@click.option("--lang", type=click.Choice(["zh", "en"]), default="zh", help="Language.")
def report(
    pack: Path,
    trust_path: Path,
    profile: str,
    form: str,
    out: Path,
    config_path: Path | None,
    font: Path | None,
    jobs: int | None,
    lang: str,
) -> None:
    """Verify a pack and write which evidence it holds for each item of a standard."""
    stated = Configuration.read(config_path) if config_path else None
    verified = _verified(pack, trust_path, jobs=jobs)
    signals = gather(pack, verified, configuration=stated)
    now = int(time.time())
    standard = PROFILES[profile]
    if form == "pdf":
        written = pdf.to_pdf(standard, signals, lang=lang, now=now, font=font)
    elif form == "html":
        written = page.to_html(standard, signals, lang=lang, now=now).encode()
    else:
        document = page.to_json(standard, signals, lang=lang, now=now)
        written = (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()
    try:
        with out.open("xb") as file:
            file.write(written)
    except OSError as exc:
        raise UsageError(f"{out}: {exc.strerror}") from exc
    click.echo(f"{out}: evidence, not an assessment")
    if not verified.stands:
        sys.exit(EXIT_REFUTED)
