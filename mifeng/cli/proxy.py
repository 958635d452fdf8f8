"""`mifeng proxy`: a local endpoint for programs that know nothing of sealing."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

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
def command(
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
    byte leaves, keysets renewed in the background, every receipt verified.
    """
    try:
        from mifeng.proxy.serve import ProxyOptions, check, local, serve
    except ImportError as exc:
        raise UsageError(f"the proxy needs the extra `proxy` ({exc.name} is missing)") from exc
    settings = ClientConfig.load(config)
    if only_check:
        lines = asyncio.run(check(settings))
        if as_json:
            print_json({"trust": lines})
        else:
            for line in lines:
                Console().print(f"· {line}", highlight=False)
        return
    token = token_file.read_text().strip() if token_file else None
    options = ProxyOptions(listen=listen, grpc=grpc, token=token, strict=strict)
    local(listen)
    Console(stderr=True).print(
        f"mifeng proxy on {listen}" + (f", OIP gRPC on {grpc}" if grpc else ""), highlight=False
    )
    asyncio.run(serve(settings, options))
