"""What a gateway's configuration file states that bears on control items.

A log proves what happened; the file only says what the operator meant to run. The report prints
the file's digest and marks each sentence as stated by the configuration.

Source: docs/compliance.md; docs/operating.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

from mifeng.crypto import sm3
from mifeng.errors import UsageError

DEFAULT_RETENTION_DAYS: Final = 3 * 365
MAX_BYTES: Final = 1 << 20
ROLES: Final = ("system", "security", "audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What one file states."""

    digest: bytes
    """SM3 of the file."""
    retention_days: int | None
    """None if nothing is published: then only the database holds the log."""
    storage: str
    twin: bool
    constant_time: bool
    roles: Mapping[str, int]
    """Administrator role → how many persons hold it."""
    forwarding: tuple[str, ...]
    """Transport and format of each security centre, e.g. `tls/syslog`."""
    vendors: bool
    """Whether collateral is asked for from vendors."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what a gateway's YAML file states; raises `UsageError`."""
        try:
            data = path.read_bytes()
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        if len(data) > MAX_BYTES:
            raise UsageError(f"{path}: too long for a configuration")
        try:
            document: Any = yaml.safe_load(data)
        except (yaml.YAMLError, ValueError, RecursionError) as exc:
            raise UsageError(f"{path}: not YAML") from exc
        log = _section(document, "log")
        if "origin" not in log:
            raise UsageError(f"{path}: not a gateway's configuration (log.origin is missing)")
        publish = _section(log, "publish")
        days = publish.get("retention_days", DEFAULT_RETENTION_DAYS) if publish else None
        office = _section(document, "administration")
        roles = [str(_section(each).get("role")) for each in _list(office, "administrators")]
        return cls(
            digest=sm3(data),
            retention_days=days if isinstance(days, int) else None,
            storage=str(log.get("storage", "sqlite")),
            twin=log.get("twin") is True,
            constant_time=document.get("require_constant_time_crypto") is True,
            roles={role: roles.count(role) for role in ROLES},
            forwarding=tuple(
                f"{_section(each).get('transport', '?')}/{_section(each).get('format', '?')}"
                for each in _list(_section(document, "forwarding"), "centres")
            ),
            vendors=bool(_section(document, "collateral")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "sm3": self.digest.hex(),
            "retention_days": self.retention_days,
            "storage": self.storage,
            "twin": self.twin,
            "constant_time": self.constant_time,
            "roles": dict(self.roles),
            "forwarding": list(self.forwarding),
            "vendors": self.vendors,
        }


def _section(document: object, name: str | None = None) -> Mapping[str, Any]:
    found = document.get(name) if name and isinstance(document, dict) else document
    return found if isinstance(found, dict) else {}


def _list(document: object, name: str) -> list[Any]:
    found = _section(document).get(name)
    return found if isinstance(found, list) else []
