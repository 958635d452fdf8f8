"""Whatever an honest gateway and node do, in whatever order, the log stands."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from attestation.bundle import Freshness
from mifeng.audit.findings import Severity
from mifeng.protocol import entries
from tests.unit.audit.made import Made

ACTS = ("ask", "complete", "refuse", "retry", "orphan", "late", "tally", "beat", "wait", "rotate")


def act(made: Made, what: str, open_: list[int], refused: list[int], lost: dict[int, int]) -> None:
    """Do one thing, if it can be done now."""
    match what:
        case "ask":
            open_.append(made.intent())
        case "complete" if open_:
            made.complete(open_.pop())
        case "refuse" if open_:
            made.refuse(open_[0])
            refused.append(open_.pop(0))
        case "retry" if refused:
            said = made.asked(refused.pop())
            open_.append(made.intent(said.h, attempt=said.attempt + 1))
        case "orphan" if open_:
            intent = open_.pop()
            lost[intent] = made.orphan(intent)
        case "late" if lost:
            intent, orphaned = lost.popitem()
            h = made.asked(intent).h
            receipt = made.receipt(intent)
            made.add(
                entries.Late(at=made.now, h=h, intent=intent, orphaned=orphaned, receipt=receipt)
            )
        case "tally":
            made.tally()
        case "beat":
            made.add(entries.Heartbeat(at=made.now, instance="g", interval=60))
        case "wait":
            made.now += 1
        case "rotate" if not open_ and not lost and not refused:
            made.tally(final=True)
            made.admit()
        case _:
            return


@given(acts=st.lists(st.sampled_from(ACTS), max_size=40))
@settings(max_examples=40, deadline=None)
def test_an_honest_log_always_stands(acts: list[str]) -> None:
    """No error is ever found, and what is still open is only noted."""
    made = Made()
    open_: list[int] = []
    refused: list[int] = []
    lost: dict[int, int] = {}
    for what in acts:
        act(made, what, open_, refused, lost)
    with tempfile.TemporaryDirectory() as folder:
        report = made.verified(Path(folder) / "pack.zip")
    assert not [f for f in report.findings if f.severity is Severity.ERROR]
    noted = [f for f in report.findings if f.code == "intent.under-way"]
    assert sum(f.count for f in noted) == len(open_)


def test_two_gateways_may_each_admit_one_node(tmp_path: Path) -> None:
    """Each challenges the keyset with a nonce of its own; the evidence of both passes again."""
    made = Made()
    made.appraise(Freshness(kind=1, x=bytes(32)))
    made.work(3)
    report = made.verified(tmp_path / "p.zip")
    assert not [each for each in report.findings if each.severity is Severity.ERROR]
    assert report.appraisals.passed == 2
