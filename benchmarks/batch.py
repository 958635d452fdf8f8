"""`batch`: pages an hour through OCR, sealed, against the same pipeline alone; and who gives way.

`pages` runs the batch command over copies of the example's invoice, on a gateway and one node. The
pipeline alone reads the same pages in one process with as many threads. `rows` is a job of small
items, where the cost of an item is everything but the model. `interactive` asks a small model all
the time, without and with the page job beside it.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from accel_backends import DeviceRequest, LoadOptions, load, ocr
from examples.ocr.folder import entry, write
from examples.ocr.models import read_models
from mifeng.demo.cluster import ROOT, Cluster

from .hop import echo
from .load import Client, cpu_seconds
from .memory import peak_mib
from .systems import NODE_LIMITS, model_entry
from .timing import percentile

COLUMNS: Final = (
    "items",
    "per s",
    "per hour",
    "processor s each",
    "per hour and core",
    "client MiB",
)
PAGE: Final = ROOT / "examples" / "ocr" / "invoice.png"


def _alone(pages: int) -> dict[str, float]:
    """Return the seconds, of the clock and of processors, the pipeline takes for so many pages."""
    options = LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),))
    backend = load("onnxruntime", allowed={"onnxruntime"})
    pipeline = ocr.load(backend, read_models(), options=options)
    image = np.array([PAGE.read_bytes()], dtype=object)
    began, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda _: pipeline.infer({"image": image}, {}), range(pages)))
    found = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    pipeline.close()
    return found


class _Job:
    """One run of the batch command."""

    def __init__(self, cluster: Cluster, model: str, source: Path, out: Path) -> None:
        command = [sys.executable, "-m", "mifeng.cli", "batch", "submit", "--json", "--jobs", "4"]
        command += ["-c", str(cluster.directory / "client.yaml"), "-m", model, "-o", str(out)]
        self._process = subprocess.Popen([*command, str(source)], cwd=ROOT, stdout=subprocess.PIPE)
        self._began, self._cluster = time.perf_counter(), cluster
        self._before = self._cpu()
        self.peak_mib = 0.0

    def _cpu(self) -> float:
        """Return what everybody has used: node, gateway, and clients that have ended."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        running = sum(cpu_seconds(each.pid) for each in self._cluster.processes())
        return running + ended.ru_utime + ended.ru_stime

    @property
    def running(self) -> bool:
        """Whether it still works; looks at its memory."""
        if self._process.poll() is not None:
            return False
        try:
            self.peak_mib = max(self.peak_mib, peak_mib(self._process.pid))
        except (OSError, StopIteration):
            return False
        return True

    def report(self) -> dict[str, Any]:
        """Wait for the end and return its own report with wall time and memory."""
        while self.running:
            time.sleep(0.1)
        output, _ = self._process.communicate()
        report: dict[str, Any] = json.loads(output)
        if report["failed"] or self._process.returncode:
            raise RuntimeError(f"the batch failed: {report}")
        wall = time.perf_counter() - self._began
        used = self._cpu() - self._before
        return report | {"wall_s": wall, "cpu_s": used, "client_peak_mib": self.peak_mib}


def _latencies(asking: Client, seconds: float) -> list[float]:
    return [float(each) for each in asking.drive(c=1, seconds=seconds)["ms"]]


def _spread(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    found = {"p50_ms": percentile(values, 0.5), "p99_ms": percentile(values, 0.99)}
    return found | {"requests": len(values)}


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure pages, rows and interactive latency beside the pages."""
    pages, items = (4, 200) if quick else (24, 1000)
    with tempfile.TemporaryDirectory(prefix="mifeng-") as name:
        folder = Path(name)
        write(folder / "ocr")
        (folder / "echo.onnx").write_bytes(echo())
        (folder / "pages").mkdir()
        for number in range(pages):
            shutil.copy(PAGE, folder / "pages" / f"{number:06d}.png")
        line = json.dumps({"inputs": {"x": [0.5] * 30}}) + "\n"
        (folder / "rows.jsonl").write_text(line * items)
        models = [entry(folder / "ocr"), model_entry("echo", folder / "echo.onnx")]
        say("the pipeline alone")
        alone = _alone(pages)
        limits = {"limits": NODE_LIMITS}
        with Cluster(models, nodes=1, directory=folder, node_settings=limits) as cluster:
            say("rows")
            rows = _Job(cluster, "echo", folder / "rows.jsonl", folder / "out-rows").report()
            config = str(cluster.directory / "client.yaml")
            order = {"model": "echo", "input": "x", "shape": [256]}
            say("pages")
            job = _Job(cluster, "ocr", folder / "pages", folder / "out-pages")
            sealed = job.report()
            with Client(kind="sealed", config=config, **order) as asking:
                say("interactive alone")
                quiet = _latencies(asking, 2 if quick else 10)
                say("interactive beside pages")
                job = _Job(cluster, "ocr", folder / "pages", folder / "out-beside")
                time.sleep(2)
                busy: list[float] = []
                while job.running and len(busy) < 5000:
                    busy += _latencies(asking, 1)
            job.report()
            node = peak_mib(cluster.nodes[0].pid)
    return {
        "pages": pages,
        "alone": alone,
        "sealed": sealed,
        "rows": rows,
        "interactive": {"alone": _spread(quiet), "beside pages": _spread(busy)},
        "node_peak_mib": node,
    }


def through(result: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what went through, a row for each job: its name, then `COLUMNS`."""
    made = []
    for name, items, found in (
        ("OCR pages, the pipeline alone", result["pages"], result["alone"]),
        ("OCR pages, sealed batch", result["pages"], result["sealed"]),
        ("rows of 30 numbers, sealed batch", result["rows"]["total"], result["rows"]),
    ):
        rate, cpu = items / found["wall_s"], found["cpu_s"] / items
        memory = f"{found['client_peak_mib']:.0f}" if "client_peak_mib" in found else ""
        hourly = f"{rate * 3600:,.0f}", f"{cpu:.3f}", f"{3600 / cpu:,.0f}"
        made.append((name, str(items), f"{rate:.2f}", *hourly, memory))
    return made


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print throughput, memory, and what interactive requests notice."""
    made = Table(title="through")
    for column in ("", *COLUMNS):
        made.add_column(column, justify="right" if column else "left", no_wrap=not column)
    for row in through(result):
        made.add_row(*row)
    console.print(made)
    told = Table(title="an interactive request of 1 KiB")
    for column in ("", "p50 ms", "p99 ms", "requests"):
        told.add_column(column, justify="right" if column else "left")
    for name, row in result["interactive"].items():
        told.add_row(name, f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", str(row["requests"]))
    console.print(told)
    console.print(f"the node's memory at its peak: {result['node_peak_mib']:.0f} MiB")
