"""Keep ONNX Runtime from reporting to its vendor, and notice if it does anyway.

Wheels from 1.29 on create a database below the user's cache directory and look up an upload
host unless `ORT_DISABLE_TELEMETRY=1` is in the environment *before the first import*; the
library latches the value for the life of the process. `disable_telemetry_events()` is not
enough: database and uploader are made all the same.

`silence` runs when `accel_backends` is imported. `check` runs before and after every
session is made.
"""

import os
import sys
from pathlib import Path
from typing import Final

from .errors import TelemetryError

__all__ = ["VARIABLE", "check", "databases", "silence"]

VARIABLE: Final = "ORT_DISABLE_TELEMETRY"
_LIBRARY: Final = "onnxruntime.capi.onnxruntime_pybind11_state"
_DATABASE: Final = "onnxruntime.db"
_OPEN_FILES: Final = Path("/proc/self/fd")
_DIRECTORY: Final = Path("Microsoft", "DeveloperTools", ".onnxruntime")


def databases() -> frozenset[Path]:
    """Return the files that the library's telemetry has left on this machine, if any."""
    roots = {Path.home() / ".cache"}
    if cache := os.environ.get("XDG_CACHE_HOME"):
        roots.add(Path(cache))
    return frozenset(p for root in roots for p in (root / _DIRECTORY).glob("*") if p.is_file())


def silence() -> None:
    """Opt out for the life of this process, if the library is not loaded yet.

    When it is already loaded the environment is left alone, so that `check` can tell.
    """
    if _LIBRARY not in sys.modules:
        os.environ[VARIABLE] = "1"


def check() -> None:
    """Refuse to go on if the library was loaded without the opt-out, or has opened its files.

    Where the system tells which files a process holds, only those count: another program on
    this machine may be writing its own. Elsewhere any file that appeared since we were imported
    does.

    Raises:
        TelemetryError: one of the two.
    """
    if os.environ.get(VARIABLE) != "1":
        raise TelemetryError(f"{VARIABLE}=1 was not set before onnxruntime was imported")
    if found := _held_open() if _OPEN_FILES.is_dir() else databases() - _BEFORE:
        raise TelemetryError(f"telemetry files: {', '.join(map(str, sorted(found)))}")


def _held_open() -> frozenset[Path]:
    """Return telemetry databases this process has open, wherever they are."""
    held = set()
    for descriptor in _OPEN_FILES.glob("*"):
        try:
            target = descriptor.readlink()
        except OSError:  # closed since it was listed
            continue
        if target.name == _DATABASE:
            held.add(target)
    return frozenset(held)


silence()
_BEFORE: Final = databases()
