"""Compiles and drives tests/native/sm2_cli.c, once per compiler and flags."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT: Final = Path(__file__).resolve().parents[2]
NATIVE: Final = ROOT / "mifeng" / "crypto" / "_native"


def sources(program: str) -> list[Path]:
    """Return the C files that a test program is linked with: no Python and no SM4 among them."""
    if program == "sm2_lanes_test.c":  # includes the file it tests
        return [*sorted(NATIVE.glob("sm2_curve*.c")), NATIVE / "sm3.c"]
    own = [path for path in sorted(NATIVE.glob("sm2*.c")) if not path.name.startswith("sm2_py")]
    return [*own, NATIVE / "sm3.c", NATIVE / "sm3_kdf.c"]


@functools.cache
def compile_program(program: str = "sm2_cli.c", extra: str = "") -> Path | None:
    """Return the compiled test program, or None where there is no C compiler.

    `CC` and `MIFENG_TEST_CFLAGS` choose the compiler and add flags, such as sanitizers.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="mifeng-sm2-"))
    output = folder / Path(program).stem
    flags = shlex.split(f"-std=gnu11 -O1 -Wall -Wextra -Werror {extra}")
    flags += shlex.split(os.environ.get("MIFENG_TEST_CFLAGS", ""))
    files = map(str, [ROOT / "tests" / "native" / program, *sources(program)])
    subprocess.run(
        [*compiler, *flags, "-I", str(NATIVE), "-o", str(output), *files], check=True, timeout=240
    )
    return output


def run(program: Path, path: str, commands: Iterable[str]) -> list[str] | None:
    """Return one answer for each command, or None if this processor lacks the path.

    `MIFENG_TEST_RUNNER` names an emulator to run the program under.
    """
    runner = shlex.split(os.environ.get("MIFENG_TEST_RUNNER", ""))
    lines = [*commands]
    done = subprocess.run(
        [*runner, str(program), path],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if done.returncode == 2:
        return None
    answers = done.stdout.split()
    if done.returncode or done.stderr or len(answers) != len(lines):
        raise AssertionError(f"exit {done.returncode}: {done.stderr}")
    return answers
