"""The client half on systems that are not Linux: nothing of it needs a module they lack."""

import subprocess
import sys

import pytest

WITHOUT = {
    "win32": ("fcntl", "grp", "pwd", "resource", "termios", "uvloop", "_curses", "syslog"),
    "darwin": ("uvloop", "msvcrt", "winreg"),
}
"""Modules of the standard library, and one of ours, that a system does not have."""
CLIENT = (
    "mifeng.client",
    "mifeng.cli.__main__",
    "mifeng.cli.infer",
    "mifeng.cli.proxy",
    "mifeng.cli.batch",
    "mifeng.cli.attest",
    "mifeng.cli.audit",
    "mifeng.cli.keys",
    "mifeng.cli.log",
    "mifeng.cli.policy",
    "mifeng.batch.report",
    "mifeng.proxy.http",
    "mifeng.proxy.oipgrpc",
    "mifeng.proxy.listening",
    "mifeng.proxy.check",
    "attestation",
    "policies",
)
PROBE = """
import importlib, importlib.abc, sys, types
system, absent, wanted = sys.argv[1], sys.argv[2].split(","), sys.argv[3].split(",")
OURS = ("mifeng", "attestation", "policies")
for name in wanted:
    importlib.import_module(name)
# Libraries of others stay loaded for the system we are on; ours load again and see the other.
for name in list(sys.modules):
    if name.split(".")[0] in (*OURS, *absent):
        del sys.modules[name]
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
if system == "win32":
    sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.platform = system
for name in wanted:
    importlib.import_module(name)
others = [n for n in sys.modules if n.split(".")[0] in ("enclave", "gateway", "accel_backends")]
assert not others, others
"""


@pytest.mark.parametrize("system", WITHOUT)
def test_the_client_half_loads_on_other_systems(system: str) -> None:
    """Imported with the platform's name and without the modules that are not there."""
    arguments = [system, ",".join(WITHOUT[system]), ",".join(CLIENT)]
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
