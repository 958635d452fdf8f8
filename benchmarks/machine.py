"""What a result must say about the machine that gave it. No host names, no paths."""

import ctypes
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

_LIBRARIES: Final = (
    "cryptography",
    "fastapi",
    "grpcio",
    "httptools",
    "httpx",
    "numpy",
    "onnxruntime",
    "pydantic",
    "uvicorn",
    "uvloop",
)
_INSTRUCTIONS: Final = (
    *("aes", "pclmulqdq", "avx2", "adx", "vaes", "vpclmulqdq", "gfni"),
    *("avx512f", "avx512ifma", "avx512vbmi", "sm3", "sm4"),
)
CHAIN_LENGTH: Final = 1_000_000
"""Dependent additions per call of `clock_chain`; one cycle each on every core in use today."""

_CHAIN_C: Final = """
#include <stdint.h>
void chain(uint64_t n)
{
    uint64_t x = 1;
    for (uint64_t i = 0; i < n; i += 20) {
#define STEP x += x; __asm__ volatile("" : "+r"(x));
        STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP
        STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP
    }
}
"""


def processor() -> str:
    """Return the processor's name as it gives it."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        text = ""
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _instructions() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return []
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = set(found[1].split()) if found else set()
    return [name for name in _INSTRUCTIONS if name in flags]


def _libraries() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe() -> dict[str, Any]:
    """Return the machine as JSON, with its load at this moment."""
    from cryptography.hazmat.backends.openssl import backend

    cores = os.cpu_count() or 1
    return {
        "processor": processor(),
        "cores": cores,
        "instructions": _instructions(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": _libraries() | {"openssl": backend.openssl_version_text()},
        "load_average_1_min": round(os.getloadavg()[0], 1),
        "measured": datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
    }


def slug() -> str:
    """Return the name of this kind of machine, for a file."""
    text = f"{processor()} {os.cpu_count()} cores".lower()
    return re.sub(r"[^a-z0-9]+", "-", text).strip("-")


@cache
def clock_chain() -> Callable[[], None] | None:
    """Return a call that takes `CHAIN_LENGTH` cycles, or None where there is no C compiler.

    Turned into a frequency by measuring it beside everything else: cycle counters of the
    processor tick at another rate than the core runs, and virtual machines hide the core's.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "chain.c"), Path(folder, "chain.so")
        source.write_text(_CHAIN_C)
        made = subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(source)],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            return None
        chain = ctypes.CDLL(str(library)).chain
    chain.argtypes, chain.restype = (ctypes.c_uint64,), None
    return lambda: chain(CHAIN_LENGTH)
