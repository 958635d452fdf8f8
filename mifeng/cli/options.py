"""Options and output that several verbs share."""

import json
from pathlib import Path
from typing import Any

import click

from mifeng.client import AsyncClient, ClientConfig

config_option = click.option(
    "--config",
    "-c",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="MIFENG_CONFIG",
    required=True,
    help="Client configuration (YAML); or the environment variable MIFENG_CONFIG.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def client(config: Path) -> AsyncClient:
    """Return the client a configuration file describes."""
    return AsyncClient.from_config(ClientConfig.load(config))


def print_json(document: Any) -> None:  # noqa: ANN401 - whatever the verb prints
    """Print one JSON object."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))
