"""`mifeng witness serve|keygen|show`: run a witness for other people's logs."""

import asyncio
import contextlib
import signal
from pathlib import Path

import click

from mifeng.errors import UsageError
from mifeng.witness.config import WitnessConfig
from mifeng.witness.keys import WitnessKeys
from mifeng.witness.server import Server, Witness
from mifeng.witness.state import State

from .options import json_option, print_json

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The witness's configuration (YAML).",
)


@click.group("witness")
def command() -> None:
    """Remember logs and cosign what extends them (C2SP tlog-witness)."""


@command.command("keygen")
@config_option
def keygen(config: Path) -> None:
    """Make the keys and the empty memory that CONFIG names, and print the verifier keys."""
    settings = WitnessConfig.load(config)
    WitnessKeys.create(settings.keys, settings.secret())
    State.create(settings.state)
    _print(settings, as_json=False)


@command.command("show")
@config_option
@json_option
def show(config: Path, as_json: bool) -> None:
    """Print the verifier keys: what logs, clients and auditors pin."""
    _print(WitnessConfig.load(config), as_json=as_json)


def _print(settings: WitnessConfig, *, as_json: bool) -> None:
    keys = WitnessKeys.read(settings.keys, settings.name, settings.secret())
    public = [key.encode() for key in keys.public]
    if as_json:
        print_json({"name": settings.name, "keys": public})
        return
    for line in public:
        click.echo(line)


@command.command("serve")
@config_option
def serve(config: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = WitnessConfig.load(config)
    logs = settings.pins()
    keys = WitnessKeys.read(settings.keys, settings.name, settings.secret())
    with State(settings.state, logs) as state:
        asyncio.run(_serve(Witness(keys, logs, state), settings.listen))


async def _serve(witness: Witness, listen: str) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    server = Server(witness)
    try:
        await server.start(listen)
    except OSError as exc:
        raise UsageError(f"{listen}: {exc.strerror}") from exc
    click.echo(f"witness {witness.keys.name} at {listen}, {len(witness.logs)} logs", err=True)
    try:
        await stop.wait()
    finally:
        await server.close()
