"""Run examples sealed: `python -m examples.sealed NAME …`, or `all`.

Starts a gateway, a node that serves the examples' models and a proxy, all on this machine with
SIMULATED silicon, then runs each example's client program as it is: the only thing that says
"confidential" in it is the URL it is given. With `--serve` nothing is run; point programs of
your own at the URL printed.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any, Final

import httpx

from mifeng.demo.cluster import ROOT, Cluster

__all__ = ["EXAMPLES", "main", "proxied"]

READY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One folder of this package."""

    write: Callable[[Path], object]
    """Puts the model's files into a folder."""
    entry: Callable[[Path], dict[str, Any]]
    """Describes them to a node."""
    client: str
    """The ordinary program, a module; called with the URL."""
    table: str | None = None
    """A file of the model's folder that the client gets too."""


def _load() -> dict[str, Example]:
    from examples.chat import folder as chat
    from examples.embeddings import folder as embeddings
    from examples.fraud import folder as fraud
    from examples.ocr import folder as ocr
    from examples.speech import folder as speech

    modules = {"ocr": ocr, "fraud": fraud, "chat": chat, "embeddings": embeddings, "speech": speech}
    return {
        name: Example(
            write=module.write,
            entry=module.entry,
            client=f"examples.{name}.client",
            table="rows.npz" if name == "fraud" else None,
        )
        for name, module in modules.items()
    }


EXAMPLES: Final = _load()


def free_port() -> int:
    """Return a TCP port nobody listens on."""
    with closing(socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def proxied(directory: Path, *arguments: str) -> Iterator[str]:
    """Run a proxy for the cluster in `directory` and yield its URL.

    Raises:
        RuntimeError: it ended, or took too long.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mifeng.cli", "proxy", "-c", str(directory / "client.yaml")]
    command += ["--listen", f"127.0.0.1:{port}", *arguments]
    with (directory / "proxy.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)  # noqa: S603 - ours
    try:
        give_up = time.monotonic() + READY_S
        while process.poll() is None and time.monotonic() < give_up:
            with suppress(httpx.HTTPError):
                httpx.get(f"{url}/healthz")
                break
            time.sleep(0.05)
        else:
            raise RuntimeError((directory / "proxy.log").read_text()[-1000:])
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def main(names: Sequence[str], *, serve: bool) -> int:
    """Run examples and return how many went wrong."""
    with tempfile.TemporaryDirectory(prefix="mifeng-") as name:
        directory = Path(name)
        print(f"preparing {', '.join(names)}: models are drawn or trained on the spot …")
        for each in names:
            EXAMPLES[each].write(directory / each)
        models = [EXAMPLES[each].entry(directory / each) for each in names]
        print("starting a gateway, a node and a proxy; the node's silicon is SIMULATED …")
        with Cluster(models, nodes=1, directory=directory), proxied(directory) as url:
            if serve:
                print(f"OpenAI API: {url}/v1   Open Inference Protocol: {url}   Ctrl-C ends")
                with suppress(KeyboardInterrupt):
                    signal.pause()
                return 0
            failed = [each for each in names if _run(EXAMPLES[each], each, directory, url)]
    if failed:
        print(f"\nwent wrong: {', '.join(failed)}")
    return len(failed)


def _run(example: Example, name: str, directory: Path, url: str) -> int:
    print(f"\n== {name}: python -m {example.client} {url}", flush=True)
    more = [str(directory / name / example.table)] if example.table else []
    command = [sys.executable, "-m", example.client, url, *more]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603 - ours


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.sealed", description=__doc__)
    parser.add_argument("name", nargs="+", choices=[*EXAMPLES, "all"])
    parser.add_argument("--serve", action="store_true", help="run nothing; keep the proxy up")
    given = parser.parse_args()
    chosen = list(EXAMPLES) if "all" in given.name else given.name
    sys.exit(main(chosen, serve=given.serve))
