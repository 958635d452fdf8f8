"""How much memory a process has used at most.

Source: proc(5), `VmHWM`.
"""

from pathlib import Path


def peak_mib(pid: int) -> float:
    """Return the largest resident set of a running process so far, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    line = next(each for each in lines if each.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
