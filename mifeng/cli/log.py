"""`mifeng log checkpoint|proof`: the audit log of a gateway, verified under the pinned key."""

import asyncio
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from mifeng.client import ClientConfig
from mifeng.client.transport import Transport, connect
from mifeng.protocol import checkpoint as checkpoints
from mifeng.protocol import entries
from mifeng.protocol.proof import verify_included

from .options import config_option, json_option, print_json


@click.group("log")
def command() -> None:
    """Look at a gateway's audit log; everything shown is verified under the pinned key."""


@command.command("erase")
@click.option("--gateway", required=True, envvar="MIFENG_ADMIN", help="unix:PATH or https://…")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    envvar="MIFENG_ADMIN_TOKEN_FILE",
    help="Token of a security administrator.",
)
@click.option("--subject", help="Commitment, as entries carry it: 64 hex digits.")
@click.option("--tenant", help="Whose reference it is, with --reference.")
@click.option("--reference", help="The tenant's reference: 64 hex digits.")
@click.option("--reason", default="data-subject", show_default=True, help="Why.")
def erase(
    gateway: str,
    token_file: Path,
    subject: str | None,
    tenant: str | None,
    reference: str | None,
    reason: str,
) -> None:
    """Destroy a person's key for good; every proof stays as it is."""
    from .admin import Office, erased

    print_json(erased(Office(gateway, token_file), subject, tenant, reference, reason))


def _connect(config: ClientConfig) -> Transport:
    return connect(
        config.gateway, api_key=config.read_api_key(), ca=config.ca, timeout_s=config.timeout_s
    )


@command.command("checkpoint")
@config_option
@json_option
@click.option("--out", type=click.Path(path_type=Path), help="Write the signed note here.")
def checkpoint(config: Path, as_json: bool, out: Path | None) -> None:
    """Fetch and verify the newest checkpoint."""
    settings = ClientConfig.load(config)
    pin = settings.terms().log

    async def ask() -> bytes:
        transport = _connect(settings)
        try:
            return await transport.checkpoint()
        finally:
            await transport.close()

    signed = checkpoints.verify(asyncio.run(ask()), pin)
    if out is not None:
        out.write_bytes(signed.note)
    head = signed.checkpoint
    document: dict[str, Any] = {
        "origin": head.origin,
        "size": head.size,
        "root": head.root.hex(),
        "witnesses": len(signed.cosigned),
        "quorum": pin.quorum,
    }
    if as_json:
        print_json(document)
        return
    Console().print(signed.note.decode(), end="", highlight=False, markup=False)
    if not pin.quorum:
        Console(stderr=True).print("[yellow]UNWITNESSED[/yellow]: no witness is configured")


@command.command("proof")
@config_option
@json_option
@click.argument("index", type=click.IntRange(min=0))
@click.option("--out", type=click.Path(path_type=Path), help="Write a proof file (text) here.")
def proof(config: Path, as_json: bool, index: int, out: Path | None) -> None:
    """Fetch entry INDEX with its inclusion proof, verify it, and show the entry."""
    settings = ClientConfig.load(config)
    pin = settings.terms().log

    async def ask() -> Any:  # noqa: ANN401 - entry and proof
        transport = _connect(settings)
        try:
            return await transport.proof(index)
        finally:
            await transport.close()

    entry, found = asyncio.run(ask())
    signed = verify_included(found, pin.world.leaf_hash(entry), pin)
    if out is not None:
        from dataclasses import replace

        out.write_bytes(replace(found, extra=entry).encode(pin.world))
    kind = entries.entry_type(entries.decode(entry))
    if as_json:
        print_json(
            {
                "index": index,
                "type": kind,
                "entry": entry.decode(),
                "verified_under": signed.checkpoint.size,
            }
        )
        return
    console = Console()
    console.print(f"[bold]{kind}[/bold] at {index}, under {signed.checkpoint.size} entries")
    console.print_json(entry.decode())
