"""Unmodified programs against the proxy: `make drill-clients`.

Starts a gateway, two nodes and the proxy; then each client library, in an environment of its own
with the versions it wants, runs its ordinary programs with nothing changed but the base URL; then
a batch of documents is submitted, killed and resumed. Prints client × operation × result × receipts
verified; exit status 1 if anything failed.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from examples.sealed import EXAMPLES, free_port, proxied
from mifeng.demo.cluster import ROOT, Cluster
from tests.drills.programs import PROGRAMS, Program
from tests.e2e.conftest import models

CACHE = ROOT / ".cache" / "clients"
PACKAGES = {
    "python": ("openai==3.54.0", "tritonclient[http,grpc]==2.73.0", "httpx==0.28.1", "numpy"),
    "langchain": ("langchain-openai==1.7.3",),
    "node": ("openai@6.49.0",),
}
"""Each set in an environment of its own: they want different releases of the same libraries."""
INSTALL_S = 180
PROGRAM_S = 120
DOCUMENTS = 6
SERVED = ("chat", "embeddings", "ocr")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    client: str
    operation: str
    result: str
    receipts: int
    seconds: float


def environments() -> dict[str, str]:
    """Make the environments that are not there yet; return why one cannot be, by its name."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(len(PACKAGES)) as pool:
        reasons = dict(zip(PACKAGES, pool.map(_environment, PACKAGES), strict=True))
    return {name: reason for name, reason in reasons.items() if reason}


def _environment(name: str) -> str:
    """Make one environment; return why it cannot be made, or nothing."""
    folder, wanted = CACHE / name, " ".join(PACKAGES[name])
    stamp = folder / "ready"
    if stamp.exists() and stamp.read_text() == wanted:
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    if name == "node":
        if not (shutil.which("node") and (npm := shutil.which("npm"))):
            return "no node and npm"
        folder.mkdir()
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        install = [npm, "install", "--silent", "--no-fund", "--no-audit", *PACKAGES[name]]
    else:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
        install = [*pip, "install", "-q", "--disable-pip-version-check", *PACKAGES[name]]
    try:
        subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=INSTALL_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return f"{', '.join(PACKAGES[name])} cannot be installed here"
    stamp.write_text(wanted)
    return ""


def run_program(program: Program, missing: Mapping[str, str], env: Mapping[str, str]) -> str:
    """Run one program in a process of its own and return how it went."""
    if reason := missing.get(program.kind):
        return f"skipped: {reason}"
    folder = CACHE / program.kind
    match program.kind:
        case "shell":
            if not shutil.which("curl"):
                return "skipped: no curl"
            folder, command = CACHE, ["bash", "-euo", "pipefail", "-c", program.source]
        case "node":
            (folder / "program.mjs").write_text(program.source)
            command = ["node", "program.mjs"]
        case _:
            prelude = "import os\nHTTP, GRPC = os.environ['HTTP'], os.environ['GRPC']\n"
            command = [str(folder / "bin" / "python"), "-c", prelude + program.source]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=PROGRAM_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"FAILED: not done after {PROGRAM_S} s"
    return (
        "ok" if done.returncode == 0 else f"FAILED: {(done.stderr or done.stdout).strip()[-400:]}"
    )


def batch(directory: Path) -> tuple[str, int]:
    """Submit documents, kill the client, resume; return how it went and the receipts."""
    documents, out = directory / "documents", directory / "out"
    documents.mkdir()
    page = (ROOT / "examples" / "ocr" / "invoice.png").read_bytes()
    for number in range(DOCUMENTS):
        (documents / f"invoice-{number}.png").write_bytes(page)
    command = [sys.executable, "-m", "mifeng.cli", "batch", "submit", "--json", "-m", "ocr"]
    command += ["-c", str(directory / "client.yaml"), "-o", str(out), str(documents)]
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    manifest = out / "manifest.jsonl"
    while first.poll() is None and not (
        manifest.exists() and manifest.read_bytes().count(b"\n") > DOCUMENTS // 3
    ):
        time.sleep(0.02)
    if first.poll() is not None:
        return "FAILED: it was done before it could be killed", 0
    first.kill()
    first.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    report = json.loads(done.stdout or b"{}")
    receipts = len(list(out.glob("*/*.receipt.json")))
    results = [json.loads(path.read_bytes()) for path in out.glob("*/*[0-9].json")]
    read = [row for row in results if "91999912MA3K57TU8X" in str(row["outputs"]["text"]["data"])]
    whole = report.get("done", 0) + report.get("already_done", 0)
    if done.returncode or {len(read), receipts, whole} != {DOCUMENTS} or not report["already_done"]:
        return f"FAILED: {report}, {len(read)} read, {receipts} receipts", receipts
    return "ok", receipts


def verified(url: str) -> int:
    """Return how many receipts the proxy has verified."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return int(next(line for line in lines if line.startswith("mifeng_proxy_verified")).split()[1])


def drill(console: Console, directory: Path, missing: Mapping[str, str]) -> list[Row]:
    """Run every program against one cluster, then the batch."""
    for name in SERVED:
        EXAMPLES[name].write(directory / name)
    served = models(directory) + [EXAMPLES[name].entry(directory / name) for name in SERVED]
    limits = {"limits": {"max_body_bytes": 64 << 20}}
    grpc = f"127.0.0.1:{free_port()}"
    rows = []
    with (
        Cluster(served, nodes=2, directory=directory, node_settings=limits),
        proxied(directory, "--grpc", grpc) as url,
        console.status("…") as status,
    ):
        env = os.environ | {"HTTP": url.removeprefix("http://"), "GRPC": grpc, "NO_PROXY": "*"}
        for each in PROGRAMS:
            status.update(f"{each.client}: {each.operation}")
            began, before = time.monotonic(), verified(url)
            result = run_program(each, missing, env)
            seconds, receipts = time.monotonic() - began, verified(url) - before
            if result == "ok" and not receipts:
                result = "FAILED: the proxy verified nothing"
            rows.append(Row(each.client, each.operation, result, receipts, seconds))
        operation = f"{DOCUMENTS} pages through OCR, killed and resumed"
        status.update(f"mifeng batch: {operation}")
        began = time.monotonic()
        result, receipts = batch(directory)
        rows.append(Row("mifeng batch", operation, result, receipts, time.monotonic() - began))
    return rows


def main() -> int:
    """Run everything and print the table; 0 if nothing failed."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=120)
    began = time.monotonic()
    with console.status("making the clients' own environments, once …"):
        missing = environments()
    with tempfile.TemporaryDirectory(prefix="mf-") as name:
        rows = drill(console, Path(name), missing)
    table = Table(box=None, pad_edge=False)
    for column in ("client", "operation"):
        table.add_column(column, no_wrap=True)
    table.add_column("result", overflow="fold")
    for column in ("receipts", "seconds"):
        table.add_column(column, justify="right")
    for row in rows:
        colour = "green" if row.result == "ok" else "yellow" if "skipped" in row.result else "red"
        result = f"[{colour}]{row.result.replace('[', '(')}[/]"
        receipts = str(row.receipts) if row.receipts else ""
        table.add_row(
            row.client.replace("[", r"\["), row.operation, result, receipts, f"{row.seconds:.1f}"
        )
    console.print(table)
    failed = sum(row.result.startswith("FAILED") for row in rows)
    skipped = sum(row.result.startswith("skipped") for row in rows)
    console.print(
        f"{len(rows) - failed - skipped} ok, {failed} failed, {skipped} skipped; "
        f"{sum(row.receipts for row in rows)} receipts verified, {time.monotonic() - began:.0f} s. "
        "Both nodes' silicon is SIMULATED."
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
