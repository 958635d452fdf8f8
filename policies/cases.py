"""Run the test cases a policy document carries: a reviewer sees what it refuses."""

from dataclasses import dataclass

from attestation import Claims, Status
from attestation.judge import judge

from .document import CaseClaims, CaseDocument, unix
from .load import parse, parse_document

_REPORT_DATA = bytes(64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one case expected and what the policy answered: codes, sorted."""

    name: str
    expected: tuple[str, ...]
    found: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether they are the same."""
        return self.expected == self.found


def run_cases(raw: bytes) -> tuple[Outcome, ...]:
    """Judge every case of a policy document by the policy it states.

    Binding and composition need real evidence and are not part of such a case.

    Raises:
        PolicyError: the document is not a policy.
    """
    policy = parse(raw)
    outcomes = []
    for case in parse_document(raw).tests:
        found = judge(_claims(case.claims, case), policy, now=unix(case.at))
        codes = {finding.code for finding in found}
        outcomes.append(
            Outcome(
                name=case.name,
                expected=tuple(sorted(set(case.expect))),
                found=tuple(sorted(codes)),
            )
        )
    return tuple(outcomes)


def _claims(stated: CaseClaims, case: CaseDocument) -> Claims:
    return Claims(
        kind=stated.kind,
        report_data=_REPORT_DATA,
        hardware_id=stated.hardware_id,
        measurements=stated.measurements,
        debug=stated.debug,
        tier=stated.tier,
        valid_until=unix(case.at) + 1,
        status=Status(tcb=stated.tcb_status),
        details=stated.details,
    )
