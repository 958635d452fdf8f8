"""Run programs with no network: in an empty network namespace, or with sockets refused.

`unshare -n` gives a process a network of its own without any interface that is up. Where the
system does not allow it, an audit hook in each Python process refuses to connect, bind or look
up names instead. The folder they run in holds what was put there and nothing else.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HOOK = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"):
        raise OSError("no network here")
sys.addaudithook(refuse)
"""
_PROBE = """
import socket, sys
for place in (("127.0.0.1", int(sys.argv[1])), ("192.0.2.1", 53)):
    try:
        socket.create_connection(place, timeout=2)
    except OSError:
        continue
    sys.exit(1)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """How programs are kept from the network here."""

    how: str
    """In words, for the report."""
    folder: Path
    prefix: Sequence[str]
    env: dict[str, str]

    def run(self, *arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        """Run this Python with arguments, in the folder, without network."""
        return subprocess.run(
            [*self.prefix, sys.executable, *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def unreachable(self, port: int) -> bool:
        """Whether a port of this machine, open outside, cannot be reached from inside."""
        return self.run("-c", _PROBE, str(port)).returncode == 0


def offline(folder: Path, root: Path) -> Offline:
    """Find a way to run programs in `folder` without network; `root` is where our code is."""
    env = {
        name: os.environ[name] for name in ("PATH", "LANG", "MIFENG_NATIVE") if name in os.environ
    }
    env |= {"HOME": str(folder), "PYTHONPATH": str(root), "PYTHONUTF8": "1", "COLUMNS": "100"}
    unshare = shutil.which("unshare")
    if unshare:
        for options in (["-n"], ["-r", "-n"]):
            prefix = [unshare, *options]
            if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
                how = f"network namespace of its own ({' '.join(['unshare', *options])})"
                return Offline(how=how, folder=folder, prefix=prefix, env=env)
    hooks = folder / "hook"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(_HOOK)
    env["PYTHONPATH"] = f"{hooks}{os.pathsep}{root}"
    how = "sockets refused by an audit hook (no right to make a network namespace)"
    return Offline(how=how, folder=folder, prefix=(), env=env)
