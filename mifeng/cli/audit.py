"""`mifeng audit …`: export a pack, verify it offline, tell one request, compare, watch, report.

Exit status: 0 it stands · 1 something was refuted (or, with --strict, not shown) · 2 usage ·
4 not a pack · 5 the log cannot be reached.
"""

import asyncio
import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mifeng.audit import compare as comparing
from mifeng.audit import export as exporting
from mifeng.audit import story as stories
from mifeng.audit import tables
from mifeng.audit.compliance import page
from mifeng.audit.compliance.profiles import PROFILES
from mifeng.audit.compliance.signals import gather
from mifeng.audit.findings import Finding, Severity
from mifeng.audit.published import PublishedSource
from mifeng.audit.report import Report
from mifeng.audit.source import LogSource, SqliteSource
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify as verify_pack
from mifeng.audit.watch import Monitor
from mifeng.audit.wording import place, text
from mifeng.client import ClientConfig
from mifeng.client.transport import connect
from mifeng.crypto import CryptoError
from mifeng.crypto.keyfiles import read_signing_key
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import TransportError, UsageError
from mifeng.protocol import checkpoint as checkpoints

from .options import json_option, print_json

EXIT_REFUTED = 1
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_file = click.Path(exists=True, dir_okay=False, path_type=Path)

trust_option = click.option(
    "--trust",
    "trust_path",
    type=_file,
    required=True,
    envvar="MIFENG_TRUST",
    help="What you trust beforehand: log pin, policies, exporters (YAML).",
)
lang_option = click.option(
    "--lang", type=click.Choice(["zh", "en"]), default="en", help="Language of the words."
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), default=None, help="Processes; one per core if left out."
)
pack_argument = click.argument("pack", type=_file)


@click.group("audit")
def command() -> None:
    """Establish offline what a gateway's log proves; trusts nobody but the trust file."""


@contextmanager
def _bar(what: str, *, quiet: bool) -> Iterator[exporting.Progress]:
    """Show a bar on a terminal; nothing in a pipe."""
    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@command.command("export")
@click.option("--database", type=_file, help="The gateway's log database (SQLite).")
@click.option(
    "--published",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory that a gateway publishes to, or a copy of it.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Pack to make.")
@click.option(
    "--checkpoint",
    "notes",
    type=_file,
    multiple=True,
    help="Checkpoint note of the log or its twin; may be given several times.",
)
@click.option("--config", type=_file, help="Client configuration: fetch the newest checkpoint.")
@click.option("--from", "low", type=click.IntRange(min=0), default=0, help="First entry.")
@click.option("--to", "high", type=click.IntRange(min=1), help="Entry after the last one.")
@click.option("--tenant", help="Only requests of this tenant, and what they are judged by.")
@click.option("--request", "h", help="Only this request: its digest H, 64 hex digits.")
@click.option("--sign", "key", type=_file, help="SM2 key file that signs the pack.")
@click.option("--passphrase", type=_file, help="File with the key's passphrase.")
@json_option
def export(
    database: Path | None,
    published: Path | None,
    out: Path,
    notes: tuple[Path, ...],
    config: Path | None,
    low: int,
    high: int | None,
    tenant: str | None,
    h: str | None,
    key: Path | None,
    passphrase: Path | None,
    as_json: bool,
) -> None:
    """Cut an audit pack out of a log's database or of what it publishes."""
    if sum((bool(low or high), tenant is not None, h is not None)) > 1:
        raise UsageError("export: a range, a tenant or a request, not several")
    signed = [path.read_bytes() for path in notes]
    if config is not None:
        signed.append(asyncio.run(_fetch(config)))
    choice = exporting.Choice(low=low, high=high, tenant=tenant, h=_digest(h))
    with contextlib.ExitStack() as stack:
        source: LogSource
        if published is not None and database is None:
            source = PublishedSource(published)
            signed += source.notes
        elif database is not None and published is None:
            source = stack.enter_context(SqliteSource(database))
        else:
            raise UsageError("export: --database or --published")
        progress = stack.enter_context(_bar("export", quiet=as_json))
        manifest = exporting.export(
            source,
            signed,
            out,
            choice=choice,
            now=int(time.time()),
            signer=_key(key, passphrase),
            progress=progress,
        )
    if as_json:
        print_json({"pack": str(out), "entries": manifest.count, "size": manifest.size})
        return
    click.echo(f"{out}: {manifest.count} of {manifest.size} entries of {manifest.origin}")


async def _fetch(config: Path) -> bytes:
    settings = ClientConfig.load(config)
    transport = connect(
        settings.gateway,
        api_key=settings.read_api_key(),
        ca=settings.ca,
        timeout_s=settings.timeout_s,
    )
    try:
        return checkpoints.verify(await transport.checkpoint(), settings.terms().log).note
    finally:
        await transport.close()


def _digest(h: str | None) -> bytes | None:
    if h is None:
        return None
    try:
        raw = bytes.fromhex(h)
    except ValueError:
        raw = b""
    if len(raw) != 32:  # noqa: PLR2004 - an SM3 digest
        raise UsageError("--request: need 64 hex digits")
    return raw


def _key(path: Path | None, passphrase: Path | None) -> SigningKey | None:
    if path is None:
        return None
    try:
        secret = passphrase.read_bytes().strip() if passphrase else None
        key = read_signing_key(path.read_bytes(), secret)
    except (OSError, CryptoError) as exc:
        raise UsageError(f"--sign: {exc}") from exc
    if key.alg != "sm2":
        raise UsageError("--sign: need an SM2 key")
    return key


def _verified(
    pack: Path,
    trust: Path,
    *,
    at: int | None = None,
    promises: tuple[Path, ...] = (),
    jobs: int | None = None,
    quiet: bool = False,
) -> Report:
    with _bar("verify", quiet=quiet) as progress:
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
    "--promise", "promises", type=_file, multiple=True, help="A promise that a client received."
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


def _show(report: Report, lang: str) -> None:
    zh = lang == "zh"
    console = Console()
    console.print(f"[bold]{report.origin}[/bold]", highlight=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    for head in report.heads:
        name = f"checkpoint ({head.world})" if not zh else f"检查点 ({head.world})"
        table.add_row(name, f"{head.size} · {head.root.hex()[:16]}… · {len(head.witnesses)} W")
    rows = (
        ("条目", "entries", f"{report.entries} / {report.extent.size}"),
        (
            "时间",
            "time",
            f"{stories.moment(report.first_at)} – {stories.moment(report.extent.last_at)}",
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
@click.argument("left", type=_file)
@click.argument("right", type=_file)
@json_option
def diff(left: Path, right: Path, as_json: bool) -> None:
    """Compare two packs of one log; exit 1 if they contradict each other."""
    found = comparing.compare(left, right)
    if as_json:
        print_json(found.to_json())
    else:
        for name, value in found.to_json().items():
            click.echo(f"{name:22} {value}")
    if found.contradictory:
        sys.exit(EXIT_REFUTED)


@command.command("table")
@pack_argument
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to make.")
def table(pack: Path, form: str, out: Path) -> None:
    """Write the entries of a pack as JSON lines, or as CSV for spreadsheets."""
    lines = tables.json_lines(pack) if form == "jsonl" else tables.csv_lines(pack)
    try:
        with out.open("x", encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except OSError as exc:
        raise UsageError(f"{out}: {exc.strerror}") from exc


@command.command("watch")
@click.option("--config", "-c", type=_file, required=True, help="Client configuration.")
@click.option("--memory", type=click.Path(path_type=Path), help="Folder to remember the log in.")
@click.option("--every", type=click.FloatRange(min=0.05), default=5.0, help="Seconds to a round.")
@click.option("--rounds", type=click.IntRange(min=1), help="Stop after so many rounds.")
@click.option("--stale", type=click.IntRange(min=1), default=180, help="Seconds without news.")
@click.option("--from-start", is_flag=True, help="Read all entries, not only new ones.")
@click.option("--keep-going", is_flag=True, help="Go on after an error instead of ending with 1.")
@click.option(
    "--promise", "promises", type=_file, multiple=True, help="A promise that a client received."
)
@click.option("--alert", help="Command to run for each finding; gets it as JSON on its input.")
@lang_option
@json_option
def watch(
    config: Path,
    memory: Path | None,
    every: float,
    rounds: int | None,
    stale: int,
    from_start: bool,
    keep_going: bool,
    promises: tuple[Path, ...],
    alert: str | None,
    lang: str,
    as_json: bool,
) -> None:
    """Follow a live log; ends with 1 when it contradicts itself, breaks a promise or goes stale."""
    settings = ClientConfig.load(config)
    if memory is not None:
        memory.mkdir(parents=True, exist_ok=True)
    transport = connect(
        settings.gateway,
        api_key=settings.read_api_key(),
        ca=settings.ca,
        timeout_s=settings.timeout_s,
    )
    monitor = Monitor(
        log=transport,
        pin=settings.terms().log,
        memory=memory,
        stale_s=stale,
        promises=[path.read_bytes() for path in promises],
    )
    monitor.recall()
    tell = _Teller(lang=lang, as_json=as_json, alert=alert)

    async def follow() -> bool:
        bad = False
        try:
            done = 0
            while rounds is None or done < rounds:
                if done:
                    await asyncio.sleep(every)
                if monitor.latest is None and not from_start:
                    await monitor.begin_here()
                found = await monitor.round(int(time.time()))
                tell(found)
                bad |= any(finding.severity is Severity.ERROR for finding in found)
                if bad and not keep_going:
                    break
                done += 1
        finally:
            await transport.close()
        return bad

    bad = False
    with contextlib.suppress(KeyboardInterrupt):
        bad = asyncio.run(follow())
    if monitor.latest is not None and not as_json:
        click.echo(f"{monitor.pin.origin}: {monitor.latest.checkpoint.size} entries", err=True)
    if bad:
        sys.exit(EXIT_REFUTED)
    if monitor.latest is None:
        raise TransportError("the log could not be reached")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Teller:
    """Says findings as they come: a line each, and a command for whoever is on duty."""

    lang: str
    as_json: bool
    alert: str | None

    def __call__(self, found: tuple[Finding, ...]) -> None:
        for finding in found:
            document = {
                "at": int(time.time()),
                "code": finding.code,
                "severity": finding.severity.value,
                "indexes": list(finding.indexes),
                "subject": finding.subject,
                "text": text(finding, self.lang),
            }
            line = json.dumps(document, ensure_ascii=False)
            words = f"{finding.severity.value:7} {finding.code}: {text(finding, self.lang)}"
            click.echo(line if self.as_json else f"{words} {place(finding, self.lang)}")
            if self.alert:
                subprocess.run(  # noqa: S603 - the operator's own command
                    shlex.split(self.alert), input=line.encode(), check=False, timeout=30
                )


@command.command("report")
@pack_argument
@trust_option
@click.option("--profile", type=click.Choice(list(PROFILES)), required=True)
@click.option("--format", "form", type=click.Choice(["html", "json"]), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to make.")
@jobs_option
@click.option("--lang", type=click.Choice(["zh", "en"]), default="zh", help="Language.")
def report(
    pack: Path,
    trust_path: Path,
    profile: str,
    form: str,
    out: Path,
    jobs: int | None,
    lang: str,
) -> None:
    """Verify a pack and write which evidence it holds for each item of a standard."""
    verified = _verified(pack, trust_path, jobs=jobs)
    signals = gather(pack, verified)
    now = int(time.time())
    if form == "html":
        written = page.to_html(PROFILES[profile], signals, lang=lang, now=now)
    else:
        document = page.to_json(PROFILES[profile], signals, lang=lang, now=now)
        written = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(written)
    except OSError as exc:
        raise UsageError(f"{out}: {exc.strerror}") from exc
    click.echo(f"{out}: evidence, not an assessment")
    if not verified.stands:
        sys.exit(EXIT_REFUTED)
