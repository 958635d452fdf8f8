"""`mifeng attest list|show|verify`: the nodes a gateway offers, and whether we would trust them."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from attestation.errors import AttestationError
from mifeng.client import ClientConfig
from mifeng.errors import MifengError, NodeRejectedError
from mifeng.protocol.offer import Offer
from mifeng.protocol.session import TrustedNode, trust

from .appraisal import verify
from .options import client, config_option, json_option, print_json


@click.group("attest")
def command() -> None:
    """List the nodes a gateway offers, and appraise them against your own policy."""


@command.command("list")
@config_option
@json_option
@click.option("--model", "-m", help="Only nodes that serve this model.")
@click.pass_context
def list_(context: click.Context, config: Path, as_json: bool, model: str | None) -> None:
    """Challenge every offered node and say which pass, and why the others do not.

    Exit status 0 if at least one passes, 1 if none does.
    """
    rows = asyncio.run(_list(config, model))
    if as_json:
        print_json({"nodes": rows})
    else:
        table = Table(box=None)
        for column in ("node", "load", "verdict", "tier", "valid until", "why not"):
            table.add_column(column, overflow="fold")
        for row in rows:
            verdict = "[green]accepted[/green]" if row["accepted"] else "[red]refused[/red]"
            if row.get("simulated"):
                verdict += " [yellow]SIMULATED[/yellow]"
            table.add_row(
                row["node_id"],
                f"{row['active']}/{row['capacity']}",
                verdict,
                str(row.get("tier", "")),
                str(row.get("valid_until", "")),
                str(row.get("reason", "")),
            )
        Console().print(table)
    context.exit(0 if any(row["accepted"] for row in rows) else 1)


async def _list(config: Path, model: str | None) -> list[dict[str, Any]]:
    terms = ClientConfig.load(config).terms()
    async with client(config) as asking:
        offered, nonce32 = await asking.offers(model)
        now = int(datetime.now(UTC).timestamp())
        rows = []
        for each in offered:
            row: dict[str, Any] = {
                "node_id": each.node_id,
                "active": each.active,
                "capacity": each.capacity,
            }
            try:
                node = trust(each.offer, terms, nonce32s={nonce32}, now=now)
                await asking.require_released(node, [model] if model else list(node.keyset.models))
            except MifengError as exc:
                rows.append(row | _refusal(exc))
            else:
                rows.append(row | {"accepted": True} | describe(node))
    return rows


def _refusal(exc: MifengError) -> dict[str, Any]:
    return {"accepted": False, "code": exc.code, "reason": str(exc), "findings": _codes(exc)}


def _codes(error: MifengError) -> list[str]:
    cause = error.__cause__
    if isinstance(error, NodeRejectedError) and isinstance(cause, AttestationError):
        return [finding.code for finding in cause.findings]
    return []


def describe(node: TrustedNode) -> dict[str, Any]:
    """Return what a trusted node's keyset and claims say, as JSON."""
    keyset = node.keyset
    return {
        "tier": node.key.tier.label,
        "simulated": node.key.simulated,
        "policy": node.key.policy_name,
        "keyset": node.key.keyset_digest.hex(),
        "epoch": keyset.epoch,
        "valid_until": datetime.fromtimestamp(node.valid_until, UTC).isoformat(),
        "suites": [f"{suite:#06x}" for suite in keyset.suites],
        "models": {name: model.digest.hex() for name, model in keyset.models.items()},
        "software": {
            "image": keyset.software.image.hex(),
            "config": keyset.software.config.hex(),
        },
        "evidence": [claims.kind.value for claims in node.key.claims],
        "measurements": {
            f"{claims.kind.value}.{name}": value.hex()
            for claims in node.key.claims
            for name, value in claims.measurements.items()
        },
        "logged_under": node.logged.checkpoint.size,
    }


@command.command("show")
@config_option
@json_option
@click.option("--model", "-m", required=True, help="Model whose nodes to show.")
def show(config: Path, as_json: bool, model: str) -> None:
    """Show keyset, claims and log proof of every node that passes."""

    async def ask() -> list[dict[str, Any]]:
        async with client(config) as asking:
            return [
                {"node_id": node.keyset.node_id} | describe(node)
                for node in await asking.attest(model)
            ]

    nodes = asyncio.run(ask())
    if as_json:
        print_json({"nodes": nodes})
        return
    for node in nodes:
        table = Table(title=node["node_id"], title_justify="left", box=None, show_header=False)
        for key, value in node.items():
            table.add_row(key, str(value))
        Console().print(table)


@command.command("save")
@config_option
@click.option("--model", "-m", required=True, help="Model whose best node to save.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
def save(config: Path, model: str, out: Path) -> None:
    """Save the bundle of the best-ranked node, for `mifeng attest verify`."""

    async def ask() -> bytes:
        async with client(config) as asking:
            offered, _ = await asking.offers(model)
            return offered[0].offer

    out.write_bytes(Offer.decode(asyncio.run(ask())).bundle)
    click.echo(f"{out}: {out.stat().st_size} bytes", err=True)


command.add_command(verify)
