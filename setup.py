"""Build of the optional native core; everything else is in pyproject.toml.

Without a C compiler the installation still succeeds and `mifeng.crypto` takes another provider.
No processor flags are given here: every file names the instructions it uses and is entered only
after CPUID said they are there, so one wheel serves every machine of its architecture.
`MIFENG_BUILD_NATIVE=0` leaves the extension out.
"""

import os
from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("mifeng/crypto/_native")
HAS_SM2 = (NATIVE / "sm2_py.c").exists()
SOURCES = sorted(
    path.as_posix() for path in NATIVE.glob("*.c") if HAS_SM2 or not path.name.startswith("sm2")
)

CORE = Extension(
    "mifeng.crypto._native._core",
    sources=SOURCES,
    depends=sorted(path.as_posix() for path in NATIVE.glob("*.h")),
    define_macros=[
        ("Py_LIMITED_API", "0x030B0000"),
        *([("MIFENG_HAVE_SM2", "1")] if HAS_SM2 else []),
    ],
    extra_compile_args=["-std=gnu11", "-O3", "-g0", "-Wall", "-Wextra", "-fvisibility=hidden"],
    py_limited_api=True,
    optional=True,
)

setup(
    ext_modules=[] if os.environ.get("MIFENG_BUILD_NATIVE") == "0" else [CORE],
    exclude_package_data={"mifeng.crypto._native": ["*.c", "*.h"]},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
