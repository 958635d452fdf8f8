"""`mifeng audit export`: cut an audit pack out of a log's database or of what it publishes."""

import asyncio
import contextlib
import time
from pathlib import Path

import click

from mifeng.audit import export as exporting
from mifeng.audit.anchors import folder
from mifeng.audit.postgres_source import PostgresSource
from mifeng.audit.published import PublishedSource
from mifeng.audit.source import LogSource, SqliteSource
from mifeng.client import ClientConfig
from mifeng.client.transport import connect
from mifeng.crypto import CryptoError
from mifeng.crypto.keyfiles import read_signing_key
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import UsageError
from mifeng.protocol import checkpoint as checkpoints

from .audit_options import bar, file_type
from .options import json_option, print_json


@click.command("export")
@click.option("--database", type=file_type, help="The gateway's log database (SQLite).")
@click.option("--postgres", type=file_type, help="File with the log database's connection string.")
@click.option("--schema", default="mifeng", show_default=True, help="The log's schema in it.")
@click.option(
    "--published",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory that a gateway publishes to, or a copy of it.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Pack to make.")
@click.option(
    "--checkpoint",
    "notes",
    type=file_type,
    multiple=True,
    help="Checkpoint note of the log or its twin; may be given several times.",
)
@click.option(
    "--config", "-c", type=file_type, help="Client configuration: fetch the newest checkpoint."
)
@click.option(
    "--anchors",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The gateway's directory of anchors; --published brings its own.",
)
@click.option("--from", "low", type=click.IntRange(min=0), default=0, help="First entry.")
@click.option("--to", "high", type=click.IntRange(min=1), help="Entry after the last one.")
@click.option("--tenant", help="Only requests of this tenant, and what they are judged by.")
@click.option("--request", "h", help="Only this request: its digest H, 64 hex digits.")
@click.option("--sign", "key", type=file_type, help="SM2 key file that signs the pack.")
@click.option("--passphrase", type=file_type, help="File with the key's passphrase.")
@json_option
def export(
    database: Path | None,
    postgres: Path | None,
    schema: str,
    published: Path | None,
    out: Path,
    notes: tuple[Path, ...],
    config: Path | None,
    anchors: Path | None,
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
        if [database, postgres, published].count(None) != 2:  # noqa: PLR2004 - all but one
            raise UsageError("export: one of --database, --postgres, --published")
        if published is not None:
            source = PublishedSource(published)
            signed += source.notes
        elif postgres is not None:
            source = stack.enter_context(PostgresSource.of_file(postgres, schema))
        else:
            source = stack.enter_context(SqliteSource(database or Path()))
        held = [anchors / folder.RECORDS] if anchors else []
        if published is not None:
            held.append(published / "anchors")
        progress = stack.enter_context(bar("export", quiet=as_json))
        manifest = exporting.export(
            source,
            signed,
            out,
            choice=choice,
            now=int(time.time()),
            signer=_key(key, passphrase),
            anchors=[data for place in held for _, data in folder.records(place)],
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
