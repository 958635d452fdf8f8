"""Where a log lives, and how one is made.

Source: docs/spec/log.md §9–§11.
"""

from dataclasses import dataclass
from pathlib import Path

from mifeng.protocol import promise
from mifeng.protocol.merkle import SM3

from .errors import LogRefusedError
from .failpoints import UNARMED, Failpoints
from .guard import FileGuard, Guard, Mark
from .places import PostgresGuardPlace, PostgresPlace, S3Place
from .sqlite import SqliteStore
from .store import LogStore
from .target import DirectoryTarget, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """Where a log lives and how often it speaks."""

    path: Path | PostgresPlace
    """The SQLite file, for one gateway, on a local file system: locks must be real. Or the
    database, for several."""
    guard: Path | PostgresGuardPlace | S3Place
    """The guard. On another volume, server or store, and never in the same backup."""
    origin: str
    instance: str
    """Name of this gateway process, new at each start: the lease on its open intents."""
    twin: bool
    """Whether the log has a SHA-256 twin; decided when it is made."""
    publish: Path | S3Place | None = None
    """Where tiles, blobs and checkpoints are published."""
    publish_every_s: float = 1.0
    heartbeat_every_s: int = 60
    merge_within_s: int = promise.MAX_MERGE_S
    lease_s: int = 15
    """After so long without a sign of life, another gateway declares our intents orphaned."""

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
    try:
        guard = create_guard(config, empty)
    except LogRefusedError:
        guard = open_guard(config)
    try:
        if guard.read() != empty:
            raise LogRefusedError("the guard has seen entries")
    finally:
        guard.close()
    create_store(config)


def create_store(config: LogConfig) -> None:
    """Make an empty store.

    Raises:
        LogRefusedError: there is one already.
    """
    if isinstance(config.path, PostgresPlace):
        from .postgres import PostgresStore

        PostgresStore.create(config.path, config.origin, twin_origin=config.twin_origin)
    else:
        SqliteStore.create(config.path, config.origin, twin_origin=config.twin_origin)


def open_store(config: LogConfig, *, points: Failpoints = UNARMED) -> LogStore:
    """Open and, if it is for one gateway, lock the store.

    Raises:
        LogRefusedError: there is none.
        LogLockedError: another process has it.
    """
    if isinstance(config.path, PostgresPlace):
        from .postgres import PostgresStore

        return PostgresStore(config.path, config.origin, points=points)
    return SqliteStore(config.path, config.origin, points=points)


def create_guard(config: LogConfig, first: Mark) -> Guard:
    """Make the guard, with its first mark, and open it.

    Raises:
        LogRefusedError: there is one already.
    """
    if isinstance(config.guard, S3Place):
        from .s3guard import S3Guard

        return S3Guard.create(config.guard, config.origin, first)
    if isinstance(config.guard, PostgresGuardPlace):
        from .postgres_guard import PostgresGuard

        return PostgresGuard.create(config.guard, config.origin, first)
    return FileGuard.create(config.guard, config.origin, first)


def open_guard(config: LogConfig, *, points: Failpoints = UNARMED) -> Guard:
    """Open the guard. A file is locked unless the gateways of one host share it.

    Raises:
        LogRefusedError: there is none.
        LogLockedError: another process has it.
    """
    if isinstance(config.guard, S3Place):
        from .s3guard import S3Guard

        return S3Guard(config.guard, config.origin)
    if isinstance(config.guard, PostgresGuardPlace):
        from .postgres_guard import PostgresGuard

        return PostgresGuard(config.guard, config.origin)
    shared = isinstance(config.path, PostgresPlace)
    return FileGuard(config.guard, config.origin, shared=shared, points=points)


def open_target(config: LogConfig) -> Target | None:
    """Return the place the log is published to, if it is.

    Raises:
        PublishError: it cannot be made or reached.
    """
    if isinstance(config.publish, S3Place):
        from .s3 import S3Target

        return S3Target(config.publish)
    return DirectoryTarget(config.publish) if config.publish else None
