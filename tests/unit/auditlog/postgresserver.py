"""A real PostgreSQL server for tests: in a folder of its own, over a unix socket, as nobody's root.

The binaries are the Debian package `postgresql`; without them the tests skip and say so.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

_OPTIONS = (
    "-c listen_addresses='' -c max_connections=60 -c shared_buffers=32MB -c max_wal_size=256MB"
)


def binaries() -> Path | None:
    """Return the folder of the newest server installed, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return Path(path).resolve().parent if path else None


class Server:
    """One server. Started by `run`, ended at will."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self.folder, self._programs, self._user = folder, programs, user
        self._data = folder / "data"

    @classmethod
    @contextmanager
    def run(cls) -> Iterator[Self]:
        """Start a new, empty server; skip the test if PostgreSQL is not installed."""
        programs = binaries()
        if programs is None:
            pytest.skip("PostgreSQL is not installed (Debian package postgresql)")
        user = None
        folder = Path(tempfile.mkdtemp(prefix="mifeng-pg-"))
        if os.getuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(folder, user)
            folder.chmod(0o755)
        server = cls(folder, programs, user)
        server._call("initdb", "-A", "trust", "-U", "mifeng", "-E", "UTF8", "--no-sync")
        server.start()
        try:
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def dsn(self) -> str:
        """Return how it is reached."""
        return f"host={self.folder} dbname=postgres user=mifeng"

    def dsn_file(self, folder: Path) -> Path:
        """Write the connection string into a file and return that."""
        path = folder / "dsn"
        path.write_text(self.dsn)
        return path

    def start(self, more: str = "") -> None:
        """Start it and wait until it answers, recovering first if it was ended at once."""
        options = f"-k {self.folder} {_OPTIONS} {more}"
        log = str(self.folder / "log")
        self._call("pg_ctl", "start", "-w", "-t", "60", "-l", log, "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """End it; `immediate` is what a power cut is to PostgreSQL."""
        self._call("pg_ctl", "stop", "-w", "-m", mode, check=False)

    def _call(self, program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(
            [str(self._programs / program), "-D", str(self._data), *arguments],
            cwd=self.folder,
            user=self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            check=False,
        )
        if check and done.returncode:
            said = (done.stderr or b"").decode("utf-8", "replace")
            log = self.folder / "log"
            raise RuntimeError(said + (log.read_text() if log.exists() else ""))
