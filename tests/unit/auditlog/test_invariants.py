"""The log's invariants under any order of calls, faults and restarts (docs/spec/log.md §8.3, §8.4).

I1 what may be released has its COMPLETION durable; I2 a COMPLETION has an earlier INTENT of the
same request; I3 each INTENT ends once; I4 index order is the order of acknowledgement; I5 while the
log is down nothing is acknowledged. `MIFENG_INVARIANT_STEPS` sets the steps taken (default 400).
"""

import asyncio
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    precondition,
    rule,
)

from gateway.auditlog import failpoints
from gateway.auditlog.config import create
from gateway.auditlog.errors import AuditLogError, IntentClosedError, LogUnavailableError
from gateway.auditlog.log import AuditLog
from tests.unit.auditlog.harness import (
    KEYS,
    KEYSET,
    NOT_CLAIMED,
    NOW,
    RECEIPT,
    Hook,
    assert_each_intent_ends_once,
    config,
    h,
    mth,
    stored,
)

STEPS = int(os.environ.get("MIFENG_INVARIANT_STEPS", "400"))
FAULTS = [failpoints.PLANNED, failpoints.WRITTEN, failpoints.COMMITTED, failpoints.GUARD_WRITTEN]
FAULTS += [failpoints.GUARDED]


class LogMachine(RuleBasedStateMachine):
    """A gateway that logs, fails and starts again; what it was told is kept beside it."""

    intents = Bundle("intents")
    orphans = Bundle("orphans")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="mifeng-inv-"))
        self.runner = asyncio.Runner()
        self.hook = Hook()
        self.instance = self.number = 0
        self.told: dict[int, bytes] = {}
        self.last = -1
        self.closed: set[int] = set()
        self.notes: list[tuple[int, bytes]] = []

    @initialize()
    def begin(self) -> None:
        """Make the log and open it."""
        create(config(self.folder))
        self.open()

    def open(self) -> None:
        """Open the log as a new process would; what was open is orphaned (I3)."""
        self.instance += 1
        settings_ = replace(config(self.folder), instance=f"g{self.instance}")
        self.hook.raise_at.clear()
        self.log: AuditLog = self.runner.run(
            AuditLog.open(settings_, KEYS, clock=lambda: NOW, points=self.hook)
        )
        self.runner.run(self.log.probe())
        self.closed.update(self.told)

    def acknowledged(self, index: int, entry: bytes) -> None:
        """Note what was acknowledged, in which order (I4)."""
        assert index > self.last
        assert index not in self.told
        self.last = index
        self.told[index] = entry

    def call(self, made: Any) -> Any:
        """Return what came back, or None if the log was down (I5)."""
        armed = bool(self.hook.raise_at)
        try:
            found = self.runner.run(made)
        except LogUnavailableError:
            assert armed
            self.runner.run(self.log.probe())
            return None
        assert not armed
        self.acknowledged(found.index, getattr(found, "entry", getattr(found, "statement", b"")))
        return found

    @rule(target=intents, attempt=st.integers(1, 3))
    def intent(self, attempt: int) -> tuple[int, int] | None:
        """Log an INTENT."""
        self.number += 1
        made = self.log.intent(
            h=h(self.number), keyset=KEYSET, tenant="t", deadline=NOW, attempt=attempt
        )
        found = self.call(made)
        return (self.number, found.index) if found else (0, -1)

    @rule(target=orphans, which=consumes(intents), how=st.sampled_from(["done", "no", "lost"]))
    def close_intent(self, which: tuple[int, int], how: str) -> tuple[int, int, int] | None:
        """End an INTENT; a second end is refused whoever asks (I3)."""
        number, index = which
        if index < 0:
            return (0, -1, -1)
        match how:
            case "done":
                made = self.log.completion(h=h(number), intent=index, receipt=RECEIPT)
            case "no":
                made = self.log.refusal(
                    h=h(number), intent=index, reason="node.full", statement=NOT_CLAIMED
                )
            case _:
                made = self.log.orphan(h=h(number), intent=index, reason="node.lost")
        if index in self.closed:
            self.hook.raise_at.clear()
            try:
                self.runner.run(made)
            except IntentClosedError:
                return (0, -1, -1)
            raise AssertionError("an intent ended twice")
        found = self.call(made)
        self.closed.add(index)
        return (number, index, found.index if found and how == "lost" else -1)

    @rule(which=consumes(orphans))
    def late(self, which: tuple[int, int, int]) -> None:
        """Correct an ORPHANED; once."""
        number, intent, orphaned = which
        if orphaned >= 0:
            made = self.log.late(h=h(number), intent=intent, orphaned=orphaned, receipt=RECEIPT)
            self.call(made)

    @rule(intent=st.integers(0, 500))
    def nonsense(self, intent: int) -> None:
        """End what is not there, or is another request's."""
        self.hook.raise_at.clear()
        try:
            self.runner.run(self.log.completion(h=bytes(32), intent=intent, receipt=RECEIPT))
        except AuditLogError:
            return
        raise AssertionError("a COMPLETION without its INTENT")

    @precondition(lambda self: not self.hook.raise_at)
    @rule(point=st.sampled_from(FAULTS))
    def arm(self, point: str) -> None:
        """Let the next write fail, at some point before or after it persists."""
        self.hook.raise_at[point] = OSError(5, "Input/output error")

    @rule()
    def publish(self) -> None:
        """Sign a checkpoint."""
        shown = self.log.publish()
        self.notes.append((shown.tree.size, shown.checkpoint.root))

    @rule()
    def restart(self) -> None:
        """Close, and open as another process."""
        self.hook.raise_at.clear()
        self.runner.run(self.log.close())
        self.open()

    def teardown(self) -> None:
        """Read the file with nothing of ours and compare it with what was told."""
        self.hook.raise_at.clear()
        self.restart()
        self.runner.run(self.log.close())
        self.runner.close()
        held = stored(self.folder / "log.db")
        assert all(held[index] == entry for index, entry in self.told.items())
        assert all(mth(held[:size]) == root for size, root in self.notes)
        assert_each_intent_ends_once(held)
        shutil.rmtree(self.folder)


LogMachine.TestCase.settings = settings(
    max_examples=max(1, STEPS // 50),
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestInvariants = LogMachine.TestCase
TestInvariants.__doc__ = "Runs the machine."
