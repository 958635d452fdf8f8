"""Where a log lives, and how one is made.

Source: docs/spec/log.md §9, §10.
"""

from dataclasses import dataclass
from pathlib import Path

from mifeng.protocol import promise
from mifeng.protocol.merkle import SM3

from .errors import LogRefusedError
from .guard import FileGuard, Mark
from .sqlite import SqliteStore


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Where a log lives and how often it speaks."""

    path: Path
    """The database file. On a local file system: locks must be real."""
    guard: Path
    """The guard's file. On another volume, and never in the same backup."""
    origin: str
    instance: str
    """Name of this gateway process, new at each start: the lease on its open intents."""
    twin: bool
    """Whether the log has a SHA-256 twin; decided when it is made."""
    publish_every_s: float = 1.0
    heartbeat_every_s: int = 60
    merge_within_s: int = promise.MAX_MERGE_S

    @property
    def twin_origin(self) -> str | None:
        """Origin line of the twin, if there is one."""
        return f"{self.origin}/sha256" if self.twin else None


def create(config: LogConfig) -> None:
    """Make an empty log: database and guard. An operator's act; `AuditLog.open` never does it.

    Safe to repeat if it was interrupted before anything was logged.

    Raises:
        LogRefusedError: there is a log already, or a guard that has seen entries.
    """
    empty = Mark(size=0, root=SM3.empty_root)
    if config.guard.exists():
        guard = FileGuard(config.guard, config.origin)
        try:
            if guard.read() != empty:
                raise LogRefusedError(f"guard {config.guard} has seen entries")
        finally:
            guard.close()
    else:
        FileGuard.create(config.guard, config.origin, empty).close()
    SqliteStore.create(config.path, config.origin, twin_origin=config.twin_origin)
