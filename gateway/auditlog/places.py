"""How servers that hold parts of a log are reached; credentials by file.

Source: docs/spec/log.md §9–§11.
"""

from dataclasses import dataclass
from pathlib import Path

from .errors import LogRefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresPlace:
    """A PostgreSQL database, and the schema in it that holds one log."""

    dsn: Path
    """File with the connection string (libpq's `key=value` form or URI)."""
    schema: str = "mifeng"

    def conninfo(self) -> str:
        """Return the connection string; raises `LogRefusedError`."""
        return _read(self.dsn)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresGuardPlace:
    """A second PostgreSQL server, that is neither a replica nor in the backup of the first."""

    dsn: Path

    def conninfo(self) -> str:
        """Return the connection string; raises `LogRefusedError`."""
        return _read(self.dsn)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """A bucket, and how it is reached. Without `credentials` the environment's are used."""

    bucket: str
    prefix: str = ""
    """Below which everything stands; no slash at either end."""
    endpoint: str | None = None
    """URL of a store other than Amazon's; `http://` is accepted and means what it says."""
    region: str = "us-east-1"
    credentials: Path | None = None
    """File with two lines: access key id, secret access key."""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError) as exc:
        raise LogRefusedError(f"connection string {path}: {exc}") from exc
