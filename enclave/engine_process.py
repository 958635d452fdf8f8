"""An engine as a child of the node: started, watched, started again, ended with the node.

The child inherits nothing but PATH, gets a home of its own in memory-backed storage where there
is one, has its usage reports switched off, and its output goes nowhere: engines print prompts.
It leads a process group, so that its workers end with it, and the kernel kills it should the
node die without a word.
"""

import contextlib
import ctypes
import logging
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

log = logging.getLogger("mifeng.node")

SILENT: Final[Mapping[str, str]] = {
    "DO_NOT_TRACK": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Switches with which engines and their libraries report to nobody and download nothing."""
FIRST_WAIT_S: Final = 0.5
MOST_WAIT_S: Final = 30.0
STEADY_S: Final = 60.0
"""After running this long, the next failure counts as the first."""
_POLL_S: Final = 0.1
_CHECK_S: Final = 2.0
_STRIKES: Final = 5
"""So many health checks may fail in a row before a child that runs is started anew."""
_END_S: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - in memory, and the folder made there is private


class Supervisor:
    """Keeps one child running until `close`."""

    def __init__(
        self, command: Sequence[str], *, env: Mapping[str, str], healthy: Callable[[], bool]
    ) -> None:
        """Start the watching thread, which starts the child.

        Args:
            command: program and arguments; no shell.
            env: environment besides PATH, HOME and `SILENT`.
            healthy: asks the engine; must not block for long.
        """
        self._command, self._healthy = list(command), healthy
        base = str(_MEMORY) if _MEMORY.is_dir() else None
        self._home = tempfile.mkdtemp(prefix="mifeng-engine-", dir=base)
        path = os.environ.get("PATH", os.defpath)
        self._env = dict(SILENT) | {"PATH": path, "HOME": self._home} | dict(env)
        self._libc = ctypes.CDLL(None)
        self._closing = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self.ready = threading.Event()
        """The engine answers its health check."""
        self.starts = 0
        self._thread = threading.Thread(target=self._watch, name="engine-watch", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Process id of the child, if there is one."""
        return self._child.pid if self._child is not None else None

    def close(self) -> None:
        """End the child with its group and remove its home. Idempotent."""
        self._closing.set()
        self._thread.join()
        shutil.rmtree(self._home, ignore_errors=True)

    def _watch(self) -> None:
        wait = FIRST_WAIT_S
        while not self._closing.is_set():
            begin = time.monotonic()
            try:
                self._run()
            except OSError:
                log.warning("engine.start_failed")
            if time.monotonic() - begin > STEADY_S:
                wait = FIRST_WAIT_S
            self._closing.wait(wait)
            wait = min(wait * 2, MOST_WAIT_S)

    def _run(self) -> None:
        """Start the child, watch it, and end what is left of it."""
        # The thread that starts a child must live as long as the child may: the kernel's signal
        # is tied to it. This thread does.
        self._child = child = subprocess.Popen(  # noqa: S603 - the measured configuration's command
            self._command,
            cwd=self._home,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=self._die_with_us,  # noqa: PLW1509 - one system call, no lock, no memory
        )
        self.starts += 1
        strikes = 0
        try:
            while child.poll() is None and not self._closing.is_set():
                if self._healthy():
                    self.ready.set()
                    strikes = 0
                elif self.ready.is_set():
                    strikes += 1
                    if strikes >= _STRIKES:
                        log.warning("engine.unhealthy")
                        return
                self._closing.wait(_CHECK_S if self.ready.is_set() and not strikes else _POLL_S)
        finally:
            self.ready.clear()
            _end(child)
            if not self._closing.is_set():
                log.warning("engine.ended", extra={"code": child.returncode})

    def _die_with_us(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a process and its group: asked first, then killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_END_S)
    # Workers may outlive their leader.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
