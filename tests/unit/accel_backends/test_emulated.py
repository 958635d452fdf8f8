"""The contract suite on the OpenVINO plug-in, on machines without an Intel processor.

The plug-in offers devices on Intel hardware only. User-mode emulation gives it an Intel processor
to see, so that loading, selection, placement and results are exercised for real; speed is not.
It takes most of a minute: set MIFENG_EMULATED_INTEL=1, with `qemu-user` installed.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FILES = ("test_contract.py", "test_plugin.py", "test_ort.py")


def test_contract_holds_on_an_emulated_intel_processor() -> None:
    """Every OpenVINO case of the suite passes, and at least the contract's ran."""
    pytest.importorskip("onnxruntime_ep_openvino", reason="optional extra `openvino`")
    emulator = shutil.which("qemu-x86_64")
    if os.environ.get("MIFENG_EMULATED_INTEL") != "1" or emulator is None:
        pytest.skip("set MIFENG_EMULATED_INTEL=1 and install qemu-user")
    folder = Path(__file__).parent
    done = subprocess.run(
        [emulator, "-cpu", "max,vendor=GenuineIntel", sys.executable, "-m", "pytest", "-q"]
        + ["-p", "no:cacheprovider", "-k", "OpenVINO or plugin or meta"]
        + [str(folder / name) for name in FILES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 33
    assert "OpenVINOExecutionProvider offers no device" not in done.stdout
