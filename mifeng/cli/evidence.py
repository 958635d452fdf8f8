"""`mifeng evidence verify` and `mifeng evidence show`: one file of evidence, offline.

The output of `verify --json` and its exit statuses are a stable interface (docs/attestation.md).
Reading files and printing is all that happens here; `attestation.verdict` decides.
"""

import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from rich.console import Console
from rich.table import Table

from attestation import (
    AttestationError,
    Claims,
    Collateral,
    Evidence,
    EvidenceKind,
    EvidenceMalformedError,
    EvidenceUnsupportedError,
    EvidenceUntrustedError,
    EvidenceUnverifiedError,
    Finding,
    Policy,
    PolicyViolatedError,
    Role,
    ear,
)
from attestation.containers import MAX_EVIDENCE_BYTES
from attestation.report import plain
from attestation.verdict import Decision, Expected, Freshness, Verdict, examine
from policies import SHIPPED, PolicyError, parse
from policies.load import shipped_bytes

from .ear import KEY, print_ear
from .reading import describe, printable
from .reading_table import Part

EXIT_STATUS: Final = {
    Decision.ACCEPTED: 0,
    Decision.REJECTED: 10,
    Decision.UNTRUSTED: 20,
    Decision.UNVERIFIED: 20,
    Decision.MALFORMED: 30,
    Decision.UNSUPPORTED: 40,
}
ERRORS: Final[Mapping[Decision, type[AttestationError]]] = {
    Decision.REJECTED: PolicyViolatedError,
    Decision.UNTRUSTED: EvidenceUntrustedError,
    Decision.UNVERIFIED: EvidenceUnverifiedError,
    Decision.MALFORMED: EvidenceMalformedError,
    Decision.UNSUPPORTED: EvidenceUnsupportedError,
}
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_COLOURS: Final = {0: "green", 10: "red", 20: "yellow", 30: "red", 40: "yellow"}


class _Instant(click.ParamType[int]):
    """RFC 3339 text, with an offset, as Unix seconds."""

    name = "RFC3339"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        text = str(value).upper()
        try:
            if not _RFC3339.fullmatch(text):
                raise ValueError(text)
            instant = datetime.fromisoformat(text)
        except ValueError:
            like = "a time with an offset, like 2026-01-31T12:00:00Z"
            self.fail(f"{value!r} is not {like}", param, ctx)
        return int(instant.timestamp())


class _Hex(click.ParamType[bytes]):
    """Bytes as hex digits."""

    name = "HEX"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        try:
            return bytes.fromhex(str(value).removeprefix("0x"))
        except ValueError:
            self.fail(f"{value!r} is not hex", param, ctx)


class _Item(click.ParamType[tuple[Role, bytes]]):
    """ROLE=PATH, read."""

    name = "ROLE=PATH"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Role, bytes]:
        role, equals, path = str(value).partition("=")
        if not equals or role not in {each.value for each in Role}:
            roles = ", ".join(each.value for each in Role)
            self.fail(f"{value!r}: need ROLE=PATH with a role of {roles}", param, ctx)
        return Role(role), read_file(path)


INSTANT: Final = _Instant()
HEX: Final = _Hex()
_KINDS: Final = click.Choice([kind.value for kind in EvidenceKind])
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


def read_file(path: Path | str, *, limit: int = MAX_EVIDENCE_BYTES) -> bytes:
    """Return a file's bytes, at most one more than `limit`, which its parser then refuses.

    Raises:
        click.UsageError: it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return file.read(limit + 1)
    except OSError as exc:
        raise click.UsageError(f"{path}: {exc.strerror}") from exc


def read_policy(name: str) -> Policy:
    """Return a shipped profile by name, or the policy in a file.

    Raises:
        click.UsageError: it cannot be read or is not a policy.
    """
    try:
        return parse(shipped_bytes(name) if name in SHIPPED else read_file(name))
    except PolicyError as exc:
        raise click.UsageError(f"{name}: {exc}") from exc


@click.group("evidence")
def command() -> None:
    """Verify or read a file of attestation evidence, offline."""


@command.command()
@click.argument("file", metavar="EVIDENCE", type=_FILE)
@click.option("--kind", required=True, type=_KINDS, help="What the evidence is.")
@click.option("--at", required=True, type=INSTANT, help="The instant the verdict is for.")
@click.option("--nonce", type=HEX, help="The nonce the evidence must carry, in full.")
@click.option("--report-data", type=HEX, help="The report data it must carry, in full.")
@click.option(
    "--collateral", "items", multiple=True, type=_Item(), help="What its vendor says about it."
)
@click.option("--policy", help="File or shipped profile; without it, only built-in refusals.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--ear", "as_ear", is_flag=True, help="Print EAT attestation result claims.")
@click.option("--ear-key", type=KEY, help="Print them as a JWT signed with this P-256 key (PEM).")
def verify(
    *,
    file: Path,
    kind: str,
    at: int,
    nonce: bytes | None,
    report_data: bytes | None,
    items: tuple[tuple[Role, bytes], ...],
    policy: str | None,
    as_json: bool,
    as_ear: bool,
    ear_key: EllipticCurvePrivateKey | None,
) -> None:
    """Say whether EVIDENCE is authentic, and whether it is accepted.

    Exit status: 0 accepted, 10 rejected, 20 unverified or untrusted, 30 malformed,
    40 unsupported, 2 usage.
    """
    rules = None if policy is None else read_policy(policy)
    verdict = examine(
        Evidence(EvidenceKind(kind), read_file(file)),
        Collateral(items),
        expected=Expected(nonce=nonce, report_data=report_data),
        policy=rules,
        now=at,
    )
    if as_ear or ear_key is not None:
        matched = nonce or report_data if verdict.freshness is Freshness.MATCH else None
        issue = ear.Issue(now=at, build=build(), policy=rules, nonce=matched)
        print_ear(verdict_ear(verdict, issue), ear_key)
    elif as_json:
        print_json(verdict.to_json())
    else:
        _print_verdict(verdict)
    sys.exit(EXIT_STATUS[verdict.decision])


@command.command()
@click.argument("file", metavar="EVIDENCE", type=_FILE)
@click.option("--kind", type=_KINDS, help="What the evidence is; guessed if not given.")
def show(file: Path, kind: str | None) -> None:
    """Print what EVIDENCE says, without judging it."""
    reading = describe(read_file(file), None if kind is None else EvidenceKind(kind))
    console = Console()
    console.print(printable(reading.title), style="bold")
    console.print("NOT VERIFIED: anyone can write these bytes")
    for part in reading.parts:
        console.print(_part_table(part))
    sys.exit(0 if reading.known else EXIT_STATUS[Decision.MALFORMED])


def _part_table(part: Part) -> Table:
    """Return one part of a reading: columns of its own, or names and values."""
    table = Table(
        title=printable(part.title), title_justify="left", show_header=bool(part.headings)
    )
    for number, heading in enumerate(part.headings or ("", "")):
        table.add_column(heading, style="" if number else "cyan", overflow="fold")
    for row in part.rows:
        table.add_row(*map(printable, row))
    return table


def verdict_ear(verdict: Verdict, issue: ear.Issue) -> dict[str, object]:
    """Return a verdict on one file as an attestation result."""
    if verdict.appraised:
        return ear.accepted(verdict.appraised, issue)
    return ear.failed(ERRORS[verdict.decision], verdict.findings, issue)


def build() -> str:
    """Return the version of this installation."""
    try:
        return version("mifeng")
    except PackageNotFoundError:
        return "checkout"


def print_json(value: object) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def findings_table(findings: tuple[Finding, ...]) -> Table:
    """Return findings as people read them."""
    table = Table(title="Findings", title_justify="left")
    for heading in ("code", "claim", "required", "found"):
        table.add_column(heading, overflow="fold")
    for each in findings:
        table.add_row(*map(printable, (each.code, each.claim, each.required, each.found)))
    return table


def claims_table(claims: Claims) -> Table:
    """Return claims as people read them."""
    table = Table(title="Claims", title_justify="left", show_header=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("hardware", printable(str(claims.hardware_id)))
    table.add_row("report data", claims.report_data.hex())
    for name, value in claims.measurements.items():
        table.add_row(printable(name), value.hex())
    for name, detail in claims.details.items():
        table.add_row(printable(name), printable(json.dumps(plain(detail), ensure_ascii=False)))
    return table


def _print_verdict(verdict: Verdict) -> None:
    console = Console()
    colour = _COLOURS[EXIT_STATUS[verdict.decision]]
    tier = "" if verdict.tier is None else f"  tier {verdict.tier.label}"
    console.print(f"[bold {colour}]{verdict.decision.value}[/]  {verdict.kind.value}{tier}")
    console.print(f"authentic: {verdict.authentic}   freshness: {verdict.freshness.value}")
    if verdict.kind is EvidenceKind.SIMULATED:
        console.print("[bold red]SIMULATED: anyone can make this evidence[/]")
    if verdict.findings:
        console.print(findings_table(verdict.findings))
    for each in verdict.claims:
        status = ", ".join(
            f"{name} {word}"
            for name, word in (
                ("tcb", each.status.tcb),
                ("platform", each.status.platform),
                ("module", each.status.module),
                ("qe", each.status.qe),
            )
            if word is not None
        )
        if status:
            console.print(printable(f"status: {status}"))
        console.print(claims_table(each))
