"""`mifeng audit watch`: follow a live log as a monitor."""

import asyncio
import contextlib
import json
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from mifeng.audit.findings import Finding, Severity
from mifeng.audit.watch import Monitor
from mifeng.audit.wording import place, text
from mifeng.client import ClientConfig
from mifeng.client.transport import connect
from mifeng.errors import TransportError

from .audit_options import EXIT_REFUTED, file_type, lang_option
from .options import json_option


@click.command("watch")
@click.option("--config", "-c", type=file_type, required=True, help="Client configuration.")
@click.option("--memory", type=click.Path(path_type=Path), help="Folder to remember the log in.")
@click.option("--every", type=click.FloatRange(min=0.05), default=5.0, help="Seconds to a round.")
@click.option("--rounds", type=click.IntRange(min=1), help="Stop after so many rounds.")
@click.option("--stale", type=click.IntRange(min=1), default=180, help="Seconds without news.")
@click.option("--from-start", is_flag=True, help="Read all entries, not only new ones.")
@click.option("--keep-going", is_flag=True, help="Go on after an error instead of ending with 1.")
@click.option(
    "--promise", "promises", type=file_type, multiple=True, help="A promise that a client received."
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
