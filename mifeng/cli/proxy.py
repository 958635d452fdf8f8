"""`mifeng proxy`: a local endpoint for programs that know nothing of sealing."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from mifeng.client import ClientConfig
from mifeng.errors import UsageError

from .options import config_option, json_option, print_json


@click.command("proxy")
@config_option
@json_option
@click.option("--listen", default="127.0.0.1:8765", show_default=True, help="Or unix:PATH.")
@click.option("--grpc", help="Also serve OIP over gRPC here, e.g. 127.0.0.1:8766.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Require this token of local programs (as API key).",
)
@click.option("--strict", is_flag=True, help="Withhold streamed output until its receipt verifies.")
@click.option("--check", "only_check", is_flag=True, help="Say what is trusted and why, and exit.")
@click.pass_context
def command(
    context: click.Context,
    *,
    config: Path,
    as_json: bool,
    listen: str,
    grpc: str | None,
    token_file: Path | None,
    strict: bool,
    only_check: bool,
) -> None:
    """Serve the OpenAI API and the Open Inference Protocol on this machine, sealed upstream.

    Point a program's base URL here; nothing else changes. Nodes are appraised before the first
    byte leaves, trust is renewed in the background, every receipt is verified.
    """
    settings = ClientConfig.load(config)
    if only_check:
        context.exit(_check(settings, as_json=as_json))
    try:
        from mifeng.proxy.serve import ProxyOptions, serve
    except ImportError as exc:
        raise UsageError(f"the proxy needs the extra `proxy` ({exc.name} is missing)") from exc
    token = _token(token_file)
    options = ProxyOptions(listen=listen, grpc=grpc, token=token, strict=strict)

    def ready() -> None:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        base = listen if listen.startswith("unix:") else f"http://{listen}"
        console.print(f"mifeng proxy, sealed to {settings.gateway}")
        console.print(f"  OpenAI API               {base}/v1")
        console.print(f"  Open Inference Protocol  {base}" + (f", gRPC {grpc}" if grpc else ""))
        console.print(
            "  streams                  "
            + ("withheld until verified" if strict else "provisional until verified at the end")
        )
        if token is None and not listen.startswith("unix:"):
            console.print("  no local token: every program on this machine may ask")

    asyncio.run(serve(settings, options, ready=ready))


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    token = path.read_text("utf-8").strip()
    if not token:
        raise UsageError(f"--token-file {path}: is empty")
    return token


def _check(settings: ClientConfig, *, as_json: bool) -> int:
    """Print what is trusted and why; return the exit status."""
    from mifeng.proxy.check import check

    findings = asyncio.run(check(settings))
    good = all(each.good for each in findings)
    if as_json:
        print_json({"ok": good, "findings": [asdict(each) for each in findings]})
        return int(not good)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for each in findings:
        table.add_row(each.subject, each.words if each.good else f"[red]{each.words}[/]")
    Console(highlight=False).print(table)
    return int(not good)
