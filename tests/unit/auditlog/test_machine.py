"""Full and read-only disks, and clocks that jump: refused or recovered, never silent."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.auditlog.config import create
from gateway.auditlog.log import AuditLog
from mifeng.errors import PromiseRejectedError
from mifeng.protocol import promise
from mifeng.protocol.merkle import SM3
from tests.unit.auditlog import smalldisk
from tests.unit.auditlog.harness import (
    KEYS,
    KEYSET,
    NOW,
    ORIGIN,
    RECEIPT,
    assert_each_intent_ends_once,
    config,
    h,
    mth,
    stored,
)

ROOT = Path(__file__).parents[3]
UNSHARE = ("unshare", "--map-root-user", "--mount")


def may_mount() -> bool:
    """Whether this machine lets us have a mount namespace."""
    if shutil.which("unshare") is None:
        return False
    probe = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def test_disks_that_are_full_or_read_only(tmp_path: Path) -> None:
    """Real file systems: nothing acknowledged is lost, and work goes on when there is room."""
    if not may_mount():
        pytest.skip("no mount namespaces here")
    command = [*UNSHARE, sys.executable, "-m", smalldisk.__name__, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    seen = json.loads(done.stdout.splitlines()[-1])
    full, read_only = seen["full"], seen["read-only"]
    # Without room for entries nothing is acknowledged; the guard is written in place; tiles wait.
    assert full["db"] == {"refused": 1, "unpublished": "NoneType", "recovered": True}
    assert full["guard"] == {"refused": 0, "unpublished": "NoneType", "recovered": True}
    assert full["out"] == {"refused": 0, "unpublished": "PublishError", "recovered": True}
    # A log that could not be written to is not opened.
    assert read_only["db"]["code"] == read_only["guard"]["code"] == "Read-only file system"
    assert read_only["out"]["code"] == "log.publish"
    assert (seen["lost"], seen["published"]) == (0, True)
    assert seen["told"] > 20


async def test_a_clock_that_jumps_changes_no_order(tmp_path: Path) -> None:
    """Back by a day, ahead by a year: index order, proofs and promises hold; times are told."""
    settings = replace(config(tmp_path, twin=False), publish=tmp_path / "out")
    create(settings)
    now = NOW
    log = await AuditLog.open(settings, replace(KEYS, twin=None), clock=lambda: now)
    indexes, promises = [], []
    for number, jump in enumerate((0, -86_400, 365 * 86_400, -NOW + 5, 0)):
        now = NOW + jump
        made = await log.intent(h=h(number), keyset=KEYSET, tenant="t", deadline=NOW)
        done = await log.completion(h=h(number), intent=made.index, receipt=RECEIPT)
        log.publish()
        await log._publish_to_target()
        indexes += [made.index, done.index]
        promises.append((now, done))
    assert indexes == sorted(indexes)
    keys = [KEYS.signer.verify_key()]
    for at, done in promises:
        leaf = SM3.leaf_hash(done.entry)
        held = promise.verify(done.promise, origin=ORIGIN, leaf=leaf, keys=keys, now=at)
        assert (held.index, held.issued, held.merge_by - held.issued) == (done.index, at, 60)
        if at > NOW + 300:
            # A client whose clock stayed right refuses the record of a gateway that is ahead.
            with pytest.raises(PromiseRejectedError):
                promise.verify(done.promise, origin=ORIGIN, leaf=leaf, keys=keys, now=NOW)
    now = NOW - 7
    await log.close()
    again = await AuditLog.open(
        replace(settings, instance="g2"), replace(KEYS, twin=None), clock=lambda: NOW
    )
    await again.close()
    held_entries = stored(tmp_path / "log.db")
    assert_each_intent_ends_once(held_entries)
    assert again.checkpoint().checkpoint.root == mth(held_entries)
