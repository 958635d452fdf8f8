"""`mifeng demo`: the data path on one machine."""

import json

import click
from rich.console import Console


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Start a gateway and two nodes with SIMULATED silicon, and run real work through them.

    Reads an invoice, scores 10 000 rows, then attacks its own gateway. Needs a checkout: the
    package that partners install carries neither gateway nor node.
    """
    from mifeng.demo.show import Demo

    demo = Demo(Console(stderr=as_json))
    ok = demo.run()
    if as_json:
        click.echo(json.dumps(demo.report | {"ok": ok}, ensure_ascii=False, indent=2))
    context.exit(0 if ok else 1)
