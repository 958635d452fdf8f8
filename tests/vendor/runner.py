"""Run rows of real evidence through `mifeng evidence verify`, exactly as a partner's script does.

A row names files below `MIFENG_EVIDENCE_DIR`; nothing of that collection is copied here. A kind
has its own test file with its own rows, and calls `check` for each.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from attestation.verdict import Decision
from mifeng.cli.evidence import EXIT_STATUS
from mifeng.cli.evidence import command as evidence

DIRECTORY = os.environ.get("MIFENG_EVIDENCE_DIR")
needs_evidence = [
    pytest.mark.vendor,
    pytest.mark.skipif(DIRECTORY is None, reason="MIFENG_EVIDENCE_DIR is not set"),
]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One judged sample."""

    kind: str
    evidence: str
    at: str
    verdict: str
    code: str
    """Code of the first finding, or `accepted`."""

    collateral: tuple[tuple[str, str], ...] = ()
    nonce: str | None = None
    report_data: str | None = None
    status: Mapping[str, str | None] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the name of the row in test output."""
        return f"{self.evidence}@{self.at[:10]}"


def check(row: Row) -> dict[str, object]:
    """Verify one row, require its verdict, code and exit status, and return the whole answer."""
    home = Path(DIRECTORY or ".")
    arguments = ["verify", "--json", "--kind", row.kind, "--at", row.at]
    if row.nonce is not None:
        arguments += ["--nonce", row.nonce]
    if row.report_data is not None:
        arguments += ["--report-data", row.report_data]
    for role, path in row.collateral:
        arguments += ["--collateral", f"{role}={home / path}"]
    result = CliRunner().invoke(evidence, [*arguments, str(home / row.evidence)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    answer: dict[str, object] = json.loads(result.output)
    assert (answer["verdict"], answer["code"]) == (row.verdict, row.code), result.output
    assert result.exit_code == EXIT_STATUS[Decision(row.verdict)]
    status = answer["status"]
    assert isinstance(status, dict)
    assert {name: status[name] for name in row.status} == dict(row.status)
    return answer
