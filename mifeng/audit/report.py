"""What a verification came to, as a value and as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mifeng.protocol.note import Signed

from .anchors.check import Anchored
from .evidence import Appraisals
from .findings import Finding, Severity
from .pack import Attribution, Scope
from .rules import Extent
from .wording import text


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A verified checkpoint."""

    world: str
    size: int
    root: bytes
    witnesses: tuple[Signed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything an auditor can say about one pack."""

    origin: str
    scope: Scope
    made_at: int
    signed_by: Attribution | None
    entries: int
    extent: Extent
    first_at: int
    types: Mapping[str, int]
    heads: tuple[Head, ...]
    heads_compared: int
    anchors: tuple[Anchored, ...]
    signatures: int
    receipts: int
    intents: int
    ends: Mapping[str, int]
    """Kind of closing → how many."""
    appraisals: Appraisals
    simulated: int
    """Receipts marked SIMULATED."""
    unwitnessed: int
    """Receipts marked UNWITNESSED."""
    findings: tuple[Finding, ...]

    @property
    def stands(self) -> bool:
        """Whether nothing was refuted."""
        return not any(f.severity is Severity.ERROR for f in self.findings)

    def count(self, severity: Severity) -> int:
        """Return how many different findings there are of a severity."""
        return sum(finding.severity is severity for finding in self.findings)

    def to_json(self, lang: str = "en") -> dict[str, Any]:
        """Return the report as plain JSON."""
        signed = self.signed_by
        return {
            "stands": self.stands,
            "origin": self.origin,
            "scope": {"kind": self.scope.kind, "subject": self.scope.subject},
            "made_at": self.made_at,
            "signed_by": {"key": signed.keyid, "trusted": signed.trusted} if signed else None,
            "entries": self.entries,
            "size": self.extent.size,
            "whole": self.extent.whole,
            "first_at": self.first_at,
            "last_at": self.extent.last_at,
            "types": dict(sorted(self.types.items())),
            "checkpoints": [
                {
                    "world": head.world,
                    "size": head.size,
                    "root": head.root.hex(),
                    "witnesses": [{"name": w.key.name, "time": w.time} for w in head.witnesses],
                }
                for head in self.heads
            ],
            "heads_compared": self.heads_compared,
            "anchors": [each.to_json() for each in self.anchors],
            "signatures": self.signatures,
            "receipts": self.receipts,
            "intents": self.intents,
            "ends": dict(self.ends),
            "evidence": {
                "passed": self.appraisals.passed,
                "refused": self.appraisals.refused,
                "undecided": self.appraisals.undecided,
                "simulated": self.appraisals.simulated,
            },
            "marks": {"SIMULATED": self.simulated, "UNWITNESSED": self.unwitnessed},
            "findings": [
                {
                    "code": finding.code,
                    "severity": finding.severity.value,
                    "indexes": list(finding.indexes),
                    "count": finding.count,
                    "subject": finding.subject,
                    "detail": dict(finding.detail),
                    "text": text(finding, lang),
                }
                for finding in self.findings
            ],
        }
