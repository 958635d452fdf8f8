"""SM2's secrets under valgrind: no branch and no address depends on one.

By default the path of this processor and the lanes (in plain C) are run; with MIFENG_CTGRIND=1
every operation on every path.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess

import pytest

from tests.native.sm2_program import NATIVE, ROOT, compile_program

EVERYTHING = [
    (path, operation)
    for path in ("portable", "adx", "ifma")
    for operation in ("key", "sign", "decrypt", "encrypt", "ecdh", "batch")
]
QUICK = [("portable", "decrypt"), ("adx", "sign"), ("adx", "decrypt"), ("ifma", "batch")]
FLAGS = "-gdwarf-4 -O3 -DMIFENG_CTGRIND -DMIFENG_EMULATE_LANES"


def memcheck(path: str, operation: str) -> subprocess.CompletedProcess[str]:
    """Run one operation with its secrets poisoned."""
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    program = compile_program("sm2_ctgrind.c", FLAGS)
    if program is None:
        pytest.skip("no C compiler")
    done = subprocess.run(
        ["valgrind", "-q", "--error-exitcode=9", str(program), path, operation],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if done.returncode == 2:
        pytest.skip(f"no {path} path on this architecture")
    return done


@pytest.mark.parametrize(
    ("path", "operation"), EVERYTHING if os.environ.get("MIFENG_CTGRIND") else QUICK
)
def test_no_branch_or_address_depends_on_a_secret(path: str, operation: str) -> None:
    """Memcheck finds no use of a poisoned value in a condition or an address."""
    done = memcheck(path, operation)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_method_sees_a_leak() -> None:
    """A table indexed by one bit of the private key is reported."""
    done = memcheck("portable", "leak")
    assert done.returncode == 9
    assert "uninitialised value" in done.stderr


def test_lane_kernels_turn_no_vector_into_a_branch_or_address() -> None:
    """The AVX-512 kernels' machine code has no gather, no mask test and no extraction."""
    if shutil.which("objdump") is None or shutil.which("cc") is None:
        pytest.skip("no compiler or no objdump")
    built = compile_program("sm2_cli.c")
    assert built is not None
    target = built.with_name("lanes.o")
    source = str(NATIVE / "sm2_lanes_curve.c")
    subprocess.run(
        ["cc", "-std=gnu11", "-O3", "-I", str(ROOT), "-c", source, "-o", str(target)], check=True
    )
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", str(target)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "vpmadd52" not in listing:
        pytest.skip("not built for x86-64")
    seen = 0
    for function in listing.split("\n\n"):
        name = re.search(r"<(\w+)[.\w]*>:", function)
        if name is None or name[1] not in KERNELS:
            continue
        seen += 1
        assert not re.search(FORBIDDEN, function), name[1]
    assert seen >= 4


KERNELS = {"fe8_mul", "fe8_sqr", "add_products", "add8", "add_affine8", "double_times8", "scan8"}
"""What runs on secrets in lanes, apart from the two loops that call it, which valgrind covers."""

FORBIDDEN = (
    r"gather|scatter|kortest|ktest|kmov[bwdq]\s+%k\d,%[re]|vpextr|vmov[dq]\s+%xmm\d+,%[re]|ptest"
)
"""Instructions by which a vector or a mask reaches flags, general registers or an address."""
