"""A monitor follows an honest log in silence and raises its voice at every lie."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from mifeng.audit.findings import Finding
from mifeng.audit.watch import Monitor
from mifeng.cli import audit_watch as cli
from mifeng.cli.audit import command
from mifeng.client import ClientConfig
from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import RefusedError, TransportError
from mifeng.protocol import dsse, entries, merkle
from mifeng.protocol.merkle import SM3
from mifeng.protocol.proof import ConsistencyProof, InclusionProof
from mifeng.protocol.receipt import RECEIPT_TYPE, TALLY_TYPE, Tally
from tests.unit.audit.made import Made


@dataclass
class Live:
    """A log as a monitor reaches it; tests change what it answers."""

    made: Made
    size: int | None = None
    """Of the checkpoint it shows; None for all entries."""
    down: bool = False

    @property
    def shown(self) -> int:
        """Entries under the checkpoint shown."""
        return self.made.source.size if self.size is None else self.size

    async def checkpoint(self) -> bytes:
        """See `watch.Log`."""
        if self.down:
            raise TransportError("down")
        return self.made.note(self.shown)

    async def proof(self, index: int) -> tuple[bytes, InclusionProof]:
        """See `watch.Log`."""
        if index >= self.shown:
            raise RefusedError("log.not_found", "")
        get = lambda level, at: self.made.source.node(SM3, level, at)  # noqa: E731
        path = merkle.inclusion_path(SM3, get, index=index, size=self.shown)
        proof = InclusionProof(index=index, path=tuple(path), note=self.made.note(self.shown))
        return self.made.source.log[index], proof

    async def consistency(self, old: int, new: int) -> ConsistencyProof:
        """See `watch.Log`."""
        if new > self.made.source.size:
            raise RefusedError("log.not_found", "")
        get = lambda level, at: self.made.source.node(SM3, level, at)  # noqa: E731
        path = merkle.consistency_path(SM3, get, old=old, new=new)
        return ConsistencyProof(old=old, new=new, path=tuple(path))

    async def close(self) -> None:
        """Nothing to release."""


def monitor(live: Live, memory: Path | None = None, **more: object) -> Monitor:
    """Return a monitor of a log."""
    return Monitor(log=live, pin=live.made.pin, memory=memory, stale_s=100, **more)  # type: ignore[arg-type]


def codes(found: tuple[Finding, ...]) -> list[str]:
    """Return the codes of findings."""
    return [finding.code for finding in found]


def made() -> Made:
    """Return a log with some work done."""
    log = Made()
    log.work(3)
    return log


def test_made_outside_of_a_loop() -> None:
    """The harness makes evidence with a loop of its own, so logs are made before tests run."""
    assert HONEST.source.size


HONEST = made()


async def test_an_honest_log_is_followed_in_silence(tmp_path: Path) -> None:
    """It grows, a request is under way, a tally is ahead for a while: nothing is said."""
    live = Live(COPIES.pop())
    log = live.made
    watching = monitor(live, tmp_path)
    assert await watching.round(log.now) == ()
    assert watching.read_to == log.source.size
    intent = log.intent()
    assert await watching.round(log.now + 1) == ()
    receipt = log.receipt(intent)
    log.tally()
    assert await watching.round(log.now + 2) == ()
    h = log.asked(intent).h
    log.add(entries.Completion(at=log.now, h=h, intent=intent, receipt=receipt))
    assert await watching.round(log.now + 3) == ()
    again = monitor(live, tmp_path)
    again.recall()
    assert again.read_to == log.source.size
    assert await again.round(log.now + 4) == ()


COPIES = [made() for _ in range(10)]


async def test_a_rolled_back_or_forked_log_is_convicted(tmp_path: Path) -> None:
    """Both notes are kept; each verifies under the log's own key."""
    live = Live(COPIES.pop())
    watching = monitor(live, tmp_path)
    await watching.round(1)
    live.size = 5
    assert codes(await watching.round(2)) == ["watch.rolled-back"]
    live.size = None
    last = live.made.source.log.pop()
    live.made.add(entries.Heartbeat(at=live.made.now, instance="g", interval=60))
    assert codes(await watching.round(3)) == ["watch.forked"]
    live.made.work(1)
    assert codes(await watching.round(4)) == [], "told once while it lasts"
    assert len(list(tmp_path.glob("evidence-*.note"))) >= 2
    assert last


async def test_a_log_under_another_key_is_not_followed() -> None:
    """A checkpoint by a key that is not pinned is no checkpoint."""
    live = Live(COPIES.pop())
    watching = monitor(live)
    live.made.key = SigningKey.generate("sm2")
    assert codes(await watching.round(1)) == ["watch.unsigned"]


async def test_silence_is_told_once_it_is_too_long() -> None:
    """A log that cannot be reached is a warning, one that stands still an error."""
    live = Live(COPIES.pop(), down=True)
    watching = monitor(live)
    assert codes(await watching.round(1000)) == ["watch.unreachable"]
    assert codes(await watching.round(1050)) == []
    assert codes(await watching.round(1200)) == ["watch.stale"]
    live.down = False
    assert codes(await watching.round(1210)) == []
    assert codes(await watching.round(1300)) == []
    assert codes(await watching.round(1400)) == ["watch.stale"]


async def test_what_never_comes_is_overdue() -> None:
    """An intent left open and a tally beyond the receipts are errors once the log has gone on."""
    live = Live(COPIES.pop())
    log = live.made
    watching = monitor(live)
    await watching.round(log.now)
    intent = log.intent()
    tally = log.tally(count=log.seq + 2, head=sm3(b"hidden"))
    assert await watching.round(log.now) == ()
    log.now += 1000
    log.add(entries.Heartbeat(at=log.now, instance="g", interval=60))
    found = await watching.round(log.now)
    assert {(f.code, f.indexes) for f in found} == {
        ("intent.unclosed", (intent,)),
        ("execution.unlogged", (tally,)),
    }


async def test_lies_between_entries_are_found_as_they_come() -> None:
    """Closed twice, forked chains, other requests, garbage."""
    live = Live(COPIES.pop())
    log = live.made
    watching = monitor(live)
    await watching.round(log.now)
    intent = log.intent()
    log.complete(intent)
    log.orphan(intent)
    log.seq -= 1
    log.complete(log.intent())
    log.complete(log.intent(), prev=sm3(b"another"))
    log.tally(head=sm3(b"another"))
    log.add(b"{}")
    lost = log.intent()
    h = sm3(b"other")
    orphan = log.add(entries.Orphaned(at=log.now, h=h, intent=lost, reason="x"))
    log.add(
        entries.Late(at=log.now, h=h, intent=intent, orphaned=orphan, receipt=log.receipt(lost))
    )
    found = set(codes(await watching.round(log.now)))
    assert found >= {
        "end.twice",
        "execution.forked",
        "watch.entry",
        "end.other-request",
        "late.unfounded",
        "intent.orphaned",
    }


async def test_statements_of_another_type_are_no_receipts_and_no_tallies() -> None:
    """What was signed as something else counts for the monitor as little as for the auditor."""
    live = Live(COPIES.pop())
    log = live.made
    watching = monitor(live)
    await watching.round(log.now)
    intent = log.intent()
    asked, made = log.asked(intent), dsse.parse(log.receipt(intent)).payload
    said = Tally(keyset=log.keyset, count=log.seq, head=log.prev, final=False, at=log.now)
    forged = dsse.sign(made, TALLY_TYPE, log.node_key)
    log.add(entries.Completion(at=log.now, h=asked.h, intent=intent, receipt=forged))
    forged = dsse.sign(said.encode(), RECEIPT_TYPE, log.node_key)
    log.add(entries.Tally(at=log.now, node="node-1", keyset=log.keyset, statement=forged))
    assert set(codes(await watching.round(log.now))) == {"receipt.type", "tally.statement"}


async def test_promises_are_kept_in_mind() -> None:
    """One that was kept is silent; one that names another entry, or none in time, convicts."""
    live = Live(COPIES.pop())
    log = live.made
    kept, other = log.promise(3), log.promise(4)
    log.add(entries.Heartbeat(at=log.now, instance="g", interval=60))
    missing = log.promise(log.source.size - 1)
    log.source.log.pop()
    log.source.log[4], log.source.log[5] = log.source.log[5], log.source.log[4]
    watching = monitor(live, promises=[kept, other, missing])
    first = [f for f in await watching.round(log.now) if f.code.startswith("promise")]
    assert [f.subject for f in first] == ["promise 2"]
    second = await watching.round(log.now + 1000)
    assert ("promise.broken", "promise 3") in {(f.code, f.subject) for f in second}


def test_the_command_says_what_it_sees_and_ends_with_its_status(tmp_path: Path) -> None:
    """`mifeng audit watch` is silent over an honest log and ends with 1 over a rolled-back one."""
    live = Live(COPIES.pop())
    patch = pytest.MonkeyPatch()
    (tmp_path / "api.key").write_text("k")
    key = live.made.signer.key.encode()
    pin = {"origin": live.made.pin.origin, "keys": [key], "witnesses": [], "quorum": 0}
    config = {
        "gateway": "http://gateway",
        "tenant": "bank-a",
        "api_key": "api.key",
        "policy": "unsafe-simulated",
        "log": pin,
        "suites": ["sm"],
    }
    path = tmp_path / "client.yaml"
    path.write_text(json.dumps(config))
    assert ClientConfig.load(path)
    with patch.context() as patched:
        patched.setattr(cli, "connect", lambda *_a, **_k: live)
        alert = tmp_path / "alert.json"
        arguments = ["watch", "-c", str(path), "--memory", str(tmp_path / "m"), "--every", "0.05"]
        runner = CliRunner()
        good = runner.invoke(command, [*arguments, "--rounds", "2", "--from-start", "--json"])
        assert good.exit_code == 0, (good.output, good.exception)
        live.size = 4
        more = ["--rounds", "1", "--json", "--alert", f"tee {alert}"]
        bad = runner.invoke(command, [*arguments, *more])
        assert bad.exit_code == 1
        assert json.loads(bad.output.splitlines()[0])["code"] == "watch.rolled-back"
        assert json.loads(alert.read_text())["code"] == "watch.rolled-back"
