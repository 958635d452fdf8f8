"""ONNX Runtime must not report home. Each case is a process of its own with its own home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from accel_backends import telemetry
from accel_backends.errors import TelemetryError
from accel_backends.ort import OrtBackend

ROOT = Path(__file__).parents[3]
RUN = """
import glob, os
from onnx import helper
{prelude}
graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g",
    [helper.make_tensor_value_info("x", 1, ["n"])], [helper.make_tensor_value_info("y", 1, ["n"])])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
{body}
links = []
for fd in os.listdir("/proc/self/fd"):
    try:
        links.append(os.readlink("/proc/self/fd/" + fd))
    except OSError:
        pass
print("sockets", sum(link.startswith("socket:") for link in links))
"""
OURS = """
import numpy
from accel_backends import DeviceRequest, LoadOptions, load
session = load("onnxruntime", allowed={"onnxruntime"}).load(model.SerializeToString(),
    options=LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),)))
session.run({"x": numpy.ones(3, numpy.float32)})
"""


def child(
    home: Path, *, prelude: str = "", body: str = OURS, offline: bool = False, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the program in a fresh home; `offline` puts it into an empty network namespace.

    Little of our environment goes along: the library is quiet by itself where `CI` or the like is
    set, and the controls would control nothing.
    """
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG"}}
    return subprocess.run(
        [
            *(["unshare", "-n"] if offline else []),
            sys.executable,
            "-c",
            RUN.format(prelude=prelude, body=body),
        ],
        cwd=ROOT,
        env={**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def files(home: Path) -> list[str]:
    """Return every file below `home`."""
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_backend_writes_nothing_and_opens_no_socket(tmp_path: Path) -> None:
    """With no variable set by anyone, a session made by us leaves no file and no socket."""
    done = child(tmp_path)
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == []
    assert "sockets 0" in done.stdout


def test_control_the_library_alone_writes_its_database(tmp_path: Path) -> None:
    """Control: imported without us, the library makes its database (no network is reachable)."""
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace to be had; the control would reach the vendor")
    done = child(tmp_path, body="import onnxruntime", offline=True)
    assert done.returncode == 0, done.stderr
    assert any("onnxruntime.db" in name for name in files(tmp_path))


def test_library_imported_first_is_refused(tmp_path: Path) -> None:
    """If somebody imported the library before us without the opt-out, we do not start."""
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace to be had; the library would reach the vendor")
    done = child(tmp_path, prelude="import onnxruntime", offline=True)
    assert done.returncode != 0
    assert "TelemetryError: ORT_DISABLE_TELEMETRY=1 was not set" in done.stderr


def test_opt_out_set_too_late_is_refused(tmp_path: Path) -> None:
    """Setting the variable after the import does not help: the database is held open."""
    if subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace to be had; the library would reach the vendor")
    prelude = f"import onnxruntime\nos.environ['{telemetry.VARIABLE}'] = '1'"
    done = child(tmp_path, prelude=prelude, offline=True)
    assert done.returncode != 0
    assert "TelemetryError: telemetry files" in done.stderr


def test_library_imported_first_with_the_opt_out_is_fine(tmp_path: Path) -> None:
    """Imported earlier, but with the opt-out in the environment from the start: accepted."""
    done = child(tmp_path, prelude="import onnxruntime", **{telemetry.VARIABLE: "1"})
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == []


def test_opt_out_overrides_a_contrary_environment(tmp_path: Path) -> None:
    """An environment that asks for telemetry does not get it."""
    done = child(tmp_path, **{telemetry.VARIABLE: "0"})
    assert done.returncode == 0, done.stderr
    assert files(tmp_path) == []


def test_file_that_appears_stops_us_where_open_files_cannot_be_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program's database is ignored where we can tell; elsewhere a new one stops us."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(telemetry, "_BEFORE", telemetry.databases())
    folder = tmp_path / "Microsoft" / "DeveloperTools" / ".onnxruntime"
    folder.mkdir(parents=True)
    (folder / "onnxruntime.db").write_bytes(b"")
    telemetry.check()
    monkeypatch.setattr(telemetry, "_OPEN_FILES", tmp_path / "none")
    with pytest.raises(TelemetryError, match=r"onnxruntime\.db"):
        telemetry.check()
    with pytest.raises(TelemetryError):
        OrtBackend()


def test_database_held_open_elsewhere_stops_us(tmp_path: Path) -> None:
    """A database that this process holds open is found wherever it lies."""
    with (tmp_path / "onnxruntime.db").open("wb"), pytest.raises(TelemetryError):
        telemetry.check()
    telemetry.check()


def test_opt_out_must_still_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variable in the environment nothing starts."""
    monkeypatch.delenv(telemetry.VARIABLE)
    with pytest.raises(TelemetryError, match="was not set"):
        telemetry.check()
