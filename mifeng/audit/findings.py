"""What an auditor found: a stable code, how bad it is, and which entries it is about.

Codes and severities are for programs and never change their meaning; the words are for people, in
Chinese and English (`wording`).

Source: docs/spec/audit-pack.md §5.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

MAX_INDEXES: Final = 16
"""Indexes that one finding lists; `count` has no limit."""


class Severity(Enum):
    """How much a finding matters."""

    ERROR = "error"
    """Something is forged, missing or contradictory: the log does not stand as it is."""
    WARNING = "warning"
    """Nothing is refuted, but something that should be shown is not."""
    NOTE = "note"
    """Worth knowing: marks, limits of this pack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing found."""

    code: str
    severity: Severity
    indexes: tuple[int, ...] = ()
    """The first `MAX_INDEXES` entries it is about, ascending; empty if it is about no entry."""
    count: int = 1
    """How many times it was found."""
    subject: str = ""
    """Member, node, keyset or origin it is about; shown after the words."""
    detail: Mapping[str, str | int] = field(default_factory=dict)


class Findings:
    """Collects findings; equal ones (code and subject) become one that counts."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Finding] = {}

    def _add(
        self,
        code: str,
        severity: Severity,
        indexes: tuple[int, ...],
        subject: str,
        detail: Mapping[str, str | int],
    ) -> None:
        found = Finding(
            code=code, severity=severity, indexes=indexes, subject=subject, detail=detail
        )
        self.extend([found])

    def error(self, code: str, *indexes: int, subject: str = "", **detail: str | int) -> None:
        """Add an error."""
        self._add(code, Severity.ERROR, indexes, subject, detail)

    def warning(self, code: str, *indexes: int, subject: str = "", **detail: str | int) -> None:
        """Add a warning."""
        self._add(code, Severity.WARNING, indexes, subject, detail)

    def note(self, code: str, *indexes: int, subject: str = "", **detail: str | int) -> None:
        """Add a note."""
        self._add(code, Severity.NOTE, indexes, subject, detail)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add findings made elsewhere."""
        for new in findings:
            key = (new.code, new.subject)
            old = self._found.get(key)
            indexes = sorted({*new.indexes, *(old.indexes if old else ())})
            self._found[key] = Finding(
                code=new.code,
                severity=new.severity,
                indexes=tuple(indexes[:MAX_INDEXES]),
                count=new.count + (old.count if old else 0),
                subject=new.subject,
                detail=old.detail if old else new.detail,
            )

    def all(self) -> tuple[Finding, ...]:
        """Return what was found, worst first."""
        order = list(Severity)
        return tuple(
            sorted(
                self._found.values(),
                key=lambda f: (order.index(f.severity), f.indexes[:1] or (-1,), f.code, f.subject),
            )
        )
