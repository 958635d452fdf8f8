"""The front door of `mifeng`. Each verb lives in a file of its own and loads when it is used.

Exit status (docs/cli.md): 0 done · 1 a check failed · 2 usage · 3 refused · 4 the other side sent
something unacceptable · 5 the network · 6 interrupted, outcome unknown.
"""

import json
import sys
from importlib import import_module
from typing import Any, Final

import click

import mifeng
from mifeng.errors import (
    InterruptedRequestError,
    MifengError,
    PeerError,
    RefusedError,
    TransportError,
    UsageError,
)

VERBS: Final = {
    "infer": "Send one sealed request and print the verified answer.",
    "proxy": "Serve OpenAI and OIP programs on this machine, sealed upstream.",
    "batch": "Run many stored documents through a model, resumable.",
    "attest": "List the nodes a gateway offers, and appraise them.",
    "evidence": "Verify or read one file of evidence, offline.",
    "policy": "Test and show policies.",
    "log": "Look at the audit log: checkpoint, proofs.",
    "admin": "Act as a system, security or audit administrator, on record.",
    "audit": "Export, verify, explain and watch what a log proves, offline.",
    "anchor": "See how anchors stand, and look up what a pack says was anchored.",
    "release": "Publish measurements, models and policies in the log, signed.",
    "witness": "Remember logs and cosign what extends them.",
    "keys": "Make and show key files and API keys.",
    "doctor": "Say which cryptography is active, and test it.",
    "demo": "Run the nine steps on this machine, on real input.",
}


class _Verbs(click.Group):
    """Loads a verb's module when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs, in the order in which a newcomer needs them."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, or None if there is none of that name."""
        del ctx
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"mifeng.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs without loading them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_Verbs,
    help="mifeng 密封: ask a model something without showing it to whoever runs the model.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(mifeng.__version__, prog_name="mifeng")
def cli() -> None:
    """Hold the verbs together."""


def exit_status(error: MifengError) -> int:
    """Return the process's exit status for an error."""
    match error:
        case UsageError():
            return 2
        case RefusedError():
            return 3
        case PeerError():
            return 4
        case TransportError():
            return 5
        case InterruptedRequestError():
            return 6
        case _:
            return 1


def describe(error: MifengError) -> dict[str, Any]:
    """Return an error as JSON: code, message, and what helps to act on it."""
    document: dict[str, Any] = {"error": {"code": error.code, "message": str(error)}}
    if isinstance(error, RefusedError) and error.retry_after_s is not None:
        document["error"]["retry_after_s"] = error.retry_after_s
    return document


def main() -> None:
    """Run the command line; every error of ours becomes one line and an exit status."""
    try:
        cli(prog_name="mifeng")
    except MifengError as exc:
        if "--json" in sys.argv:
            click.echo(json.dumps(describe(exc), ensure_ascii=False))
        click.echo(f"mifeng: {exc.code}: {exc}", err=True)
        sys.exit(exit_status(exc))


if __name__ == "__main__":
    main()
