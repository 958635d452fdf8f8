"""Unmodified programs against the proxy: `make drill-clients`.

Starts a gateway, two nodes and the proxy; then each client library, in an environment of its own
with the versions it wants, runs its ordinary program with nothing changed but the base URL; then a
batch of documents is submitted, killed and resumed. Prints client × operation × result.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

from mifeng.demo.cluster import ROOT, Cluster
from tests.e2e.conftest import models
from tests.e2e.test_proxy_and_batch import free_port

CACHE = ROOT / ".cache" / "clients"
PACKAGES = {
    "python": ("openai", "tritonclient[http,grpc]", "httpx", "numpy"),
    "langchain": ("langchain-openai",),
}
"""Each set in an environment of its own: they want different releases of the same libraries."""
INSTALL_S = 240
PROGRAMS: dict[str, tuple[str, str, str]] = {
    "tritonclient http": (
        "python",
        "infer, binary and JSON",
        """
import numpy as np, tritonclient.http as t
c = t.InferenceServerClient(HTTP)
assert c.is_server_live() and c.is_server_ready() and c.is_model_ready("neg")
assert c.get_model_metadata("neg")["inputs"][0]["name"] == "x"
x = np.arange(100_000, dtype=np.float32)
for binary in (True, False):
    i = t.InferInput("x", [len(x)], "FP32"); i.set_data_from_numpy(x, binary_data=binary)
    r = c.infer("neg", [i], outputs=[t.InferRequestedOutput("y", binary_data=binary)])
    assert (r.as_numpy("y") == -x).all()
""",
    ),
    "tritonclient grpc": (
        "python",
        "infer, raw contents",
        """
import numpy as np, tritonclient.grpc as t
c = t.InferenceServerClient(GRPC)
assert c.is_server_live() and c.is_server_ready() and c.is_model_ready("neg")
assert c.get_model_metadata("neg").inputs[0].name == "x"
x = np.arange(100_000, dtype=np.float32)
i = t.InferInput("x", [len(x)], "FP32"); i.set_data_from_numpy(x)
r = c.infer("neg", [i], request_id="7")
assert (r.as_numpy("y") == -x).all() and r.get_response().id == "7"
""",
    ),
    "httpx": (
        "python",
        "infer, JSON",
        """
import httpx
body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}
r = httpx.post(f"http://{HTTP}/v2/models/neg/infer", json=body, timeout=60)
assert r.json()["outputs"][0]["data"] == [-1.0, -2.0] and r.headers["mifeng-verified"] == "receipt"
""",
    ),
    "openai": (
        "python",
        "chat, stream, cancel, completions, models",
        """
import openai
c = openai.OpenAI(base_url=f"http://{HTTP}/v1", api_key="local", max_retries=0, timeout=120)
assert "chat" in [m.id for m in c.models.list()]
ask = dict(model="chat", messages=[{"role": "user", "content": "What is the capital of Peru?"}],
           max_tokens=24, temperature=0)
whole = c.chat.completions.create(**ask)
text = whole.choices[0].message.content
assert text and whole.usage.completion_tokens > 0
pieces = [e.choices[0].delta.content or "" for e in c.chat.completions.create(stream=True, **ask)
          if e.choices]
assert "".join(pieces) == text, (pieces, text)
stream = c.chat.completions.create(stream=True, **ask)
next(iter(stream)); stream.close()
assert c.chat.completions.create(**ask).choices[0].message.content == text
plain = c.completions.create(model="chat", prompt="hello", max_tokens=4, temperature=0)
assert plain.choices[0].finish_reason in ("stop", "length")
try:
    c.chat.completions.create(model="none", messages=[])
except openai.NotFoundError as e:
    assert e.code == "model.unknown"
else:
    raise SystemExit("an unknown model was accepted")
""",
    ),
    "langchain": (
        "langchain",
        "ChatOpenAI invoke, stream",
        """
from langchain_openai import ChatOpenAI
m = ChatOpenAI(base_url=f"http://{HTTP}/v1", api_key="local", model="chat", max_tokens=16,
               temperature=0, max_retries=0)
text = m.invoke("What is the capital of Peru?").content
assert text and "".join(c.content for c in m.stream("What is the capital of Peru?")) == text
""",
    ),
    "openai npm": (
        "node",
        "chat, stream",
        """
import OpenAI from "openai";
const c = new OpenAI({baseURL: `http://${process.env.HTTP}/v1`, apiKey: "local", maxRetries: 0});
const ask = {model: "chat", messages: [{role: "user", content: "What is the capital of Peru?"}],
             max_tokens: 24, temperature: 0};
const whole = await c.chat.completions.create(ask);
const text = whole.choices[0].message.content;
let streamed = "";
for await (const e of await c.chat.completions.create({...ask, stream: true}))
  streamed += e.choices[0]?.delta?.content ?? "";
if (!text || streamed !== text) throw new Error(`${streamed} !== ${text}`);
""",
    ),
    "curl": (
        "shell",
        "infer, chat stream",
        """
curl -sf "http://$HTTP/v2/models/neg/infer" \
  -d '{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[5]}]}' |
  grep -e '-5.0' >/dev/null
curl -sfN "http://$HTTP/v1/chat/completions" -d '{"model":"chat","stream":true,"max_tokens":4,
  "messages":[{"role":"user","content":"hi"}]}' | grep 'DONE' >/dev/null
""",
    ),
}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    client: str
    operation: str
    result: str
    seconds: float


def environments() -> dict[str, Path]:
    """Return the Python of each set of packages that could be installed; made once."""
    found = {}
    for name, packages in PACKAGES.items():
        folder = CACHE / name
        python = folder / "bin" / "python"
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            try:
                for wanted in (("-U", "pip"), packages):
                    subprocess.run(
                        [*pip, *wanted], check=True, capture_output=True, timeout=INSTALL_S
                    )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
                continue
            (folder / "ready").touch()
        found[name] = python
    npm = shutil.which("npm")
    if npm and not (CACHE / "node_modules" / "openai").is_dir():
        install = [npm, "install", "--silent", "--no-fund", "--no-audit", "openai"]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(install, cwd=CACHE, capture_output=True, check=False, timeout=INSTALL_S)
    return found


def run_program(name: str, pythons: dict[str, Path], env: dict[str, str]) -> Row:
    """Run one client's program in a process of its own."""
    kind, operation, source = PROGRAMS[name]
    if kind == "node" and not (shutil.which("node") and (CACHE / "node_modules/openai").is_dir()):
        return Row(name, operation, "skipped: no node with the openai package", 0)
    if kind == "shell" and not shutil.which("curl"):
        return Row(name, operation, "skipped: no curl", 0)
    if kind in PACKAGES:
        if kind not in pythons:
            return Row(name, operation, "skipped: its packages cannot be installed here", 0)
        prelude = "import os\nHTTP, GRPC = os.environ['HTTP'], os.environ['GRPC']\n"
        command = [str(pythons[kind]), "-c", prelude + source]
    elif kind == "node":
        (CACHE / "program.mjs").write_text(source)
        command = ["node", "program.mjs"]
    else:
        command = ["bash", "-euo", "pipefail", "-c", source]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=CACHE, env=env, capture_output=True, text=True, timeout=180, check=False
    )
    result = "ok" if done.returncode == 0 else f"FAILED: {(done.stderr or done.stdout)[-400:]}"
    return Row(name, operation, result, time.monotonic() - began)


def batch(cluster: Cluster, directory: Path) -> Row:
    """Submit a batch, kill the client, resume, and look at the results."""
    lines = [json.dumps({"inputs": {"x": [float(n)]}}) for n in range(60)]
    (directory / "in.jsonl").write_text("\n".join(lines) + "\n")
    out, began = directory / "out", time.monotonic()
    command = [sys.executable, "-m", "mifeng.cli", "batch", "submit", "--json"]
    command += ["-c", str(cluster.directory / "client.yaml"), "-m", "neg", "-o", str(out)]
    command.append(str(directory / "in.jsonl"))
    first = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    manifest = out / "manifest.jsonl"
    while first.poll() is None and (
        not manifest.exists() or manifest.read_bytes().count(b"\n") < 15
    ):
        time.sleep(0.02)
    first.kill()
    first.wait()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    report = json.loads(done.stdout or b"{}")
    right = report.get("failed") == 0 and len(list(out.glob("*.receipt.json"))) == len(lines)
    result = "ok" if right else f"FAILED: {report}"
    return Row("mifeng batch", "60 items, killed and resumed", result, time.monotonic() - began)


def main() -> int:
    """Run everything and print the table; 0 if nothing failed."""
    console = Console()
    with console.status("setting up the clients' own environment, once …"):
        CACHE.mkdir(parents=True, exist_ok=True)
        pythons = environments()
    from examples.chat.folder import entry, write

    with tempfile.TemporaryDirectory(prefix="mf-") as name:
        directory = Path(name)
        (directory / "chat").mkdir()
        write(directory / "chat", say=lambda *_: None)
        served = [*models(directory), entry(directory / "chat")]
        with Cluster(served, nodes=2, directory=directory) as cluster:
            rows, receipts = _against(cluster, directory, pythons)
    table = Table(box=None)
    for column in ("client", "operation", "result", "seconds"):
        table.add_column(column, overflow="fold")
    for row in rows:
        colour = "green" if row.result == "ok" else "yellow" if "skipped" in row.result else "red"
        table.add_row(row.client, row.operation, f"[{colour}]{row.result}[/]", f"{row.seconds:.1f}")
    console.print(table)
    console.print(f"the proxy verified {receipts} receipts; every node is SIMULATED")
    return int(any(row.result.startswith("FAILED") for row in rows))


def _against(cluster: Cluster, directory: Path, pythons: dict[str, Path]) -> tuple[list[Row], int]:
    http, grpc = free_port(), free_port()
    arguments = ["--listen", f"127.0.0.1:{http}", "--grpc", f"127.0.0.1:{grpc}"]
    config = str(cluster.directory / "client.yaml")
    proxy = subprocess.Popen(
        [sys.executable, "-m", "mifeng.cli", "proxy", "-c", config, *arguments], cwd=ROOT
    )
    env = os.environ | {"HTTP": f"127.0.0.1:{http}", "GRPC": f"127.0.0.1:{grpc}"}
    try:
        for _ in range(300):
            with suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{http}/healthz")
                break
            time.sleep(0.1)
        rows = [run_program(each, pythons, env) for each in PROGRAMS]
        rows.append(batch(cluster, directory))
        text = httpx.get(f"http://127.0.0.1:{http}/metrics").text
    finally:
        proxy.send_signal(signal.SIGTERM)
        proxy.wait(20)
    verified = next(line for line in text.splitlines() if line.startswith("mifeng_proxy_verified"))
    return rows, int(verified.split()[-1])


if __name__ == "__main__":
    sys.exit(main())
