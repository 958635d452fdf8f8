"""One job, one process: a lock on the output directory that a killed process does not leave."""

import sys
from pathlib import Path
from typing import BinaryIO, Final, Self

from mifeng.errors import UsageError

FILE: Final = "lock"


class DirectoryLock:
    """An exclusive lock, held until `release` or the end of the process."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @classmethod
    def take(cls, directory: Path) -> Self:
        """Lock a directory.

        Raises:
            UsageError: another process works in it.
        """
        file = (directory / FILE).open("ab")
        try:
            _lock(file)
        except OSError as exc:
            file.close()
            raise UsageError(f"{directory}: another process is working on this job") from exc
        return cls(file)

    def release(self) -> None:
        """Give the directory free."""
        self._file.close()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
