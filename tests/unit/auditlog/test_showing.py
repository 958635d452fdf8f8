"""A log with witnesses shows what they cosigned, waits for them so long, and hears their alarm."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.auditlog.config import create
from gateway.auditlog.errors import LogUnwitnessedError
from gateway.auditlog.log import AuditLog
from gateway.witnesses import REST_S, Standing, WitnessesConfig
from mifeng.errors import PeerError
from mifeng.protocol import checkpoint
from mifeng.protocol.freshness import cosigned_at
from tests.unit.auditlog.harness import KEYS, KEYSET, NOW, config, h
from tests.unit.auditlog.witnessing import Ring


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[Ring]:
    """Three witnesses."""
    async with Ring.of(config(tmp_path), tmp_path, 3) as made:
        yield made


async def start(tmp_path: Path, witnesses: WitnessesConfig, *, every_s: float = 3600) -> AuditLog:
    """Open the log, making it first if there is none."""
    settings = replace(config(tmp_path, twin=False), publish_every_s=every_s)
    if not settings.path.exists():
        create(settings)
    keys = replace(KEYS, twin=None)
    log = await AuditLog.open(settings, keys, clock=lambda: NOW, witnesses=witnesses)
    opened = log.size
    while log.size == opened:  # its first heartbeat
        await asyncio.sleep(0.001)
    await log.showing.once()
    return log


async def ask(log: AuditLog, number: int) -> int:
    """Log an INTENT and return its index."""
    made = await log.intent(h=h(number), keyset=KEYSET, tenant="t", deadline=NOW)
    return made.index


async def test_what_is_shown_has_its_quorum(ring: Ring, tmp_path: Path) -> None:
    """`publish` alone shows nothing new; a checkpoint with two of three cosignatures is shown."""
    ring.members[0].fail, ring.members[0].forever = False, True
    log = await start(tmp_path, ring.config(2))
    assert (len(log.pin.witnesses), log.pin.quorum) == (3, 2)
    shown = log.checkpoint()
    await ask(log, 1)
    assert log.publish() is shown
    await log.showing.once()
    assert log.checkpoint().tree.size == log.size
    signed = checkpoint.verify_witnessed(log.checkpoint().note, log.pin)
    assert {line.key.name for line in signed.cosigned} == {
        "witness.example/w1",
        "witness.example/w2",
    }
    strict = replace(log.pin, quorum=3)
    with pytest.raises(PeerError, match="2 witnesses"):
        checkpoint.verify_witnessed(log.checkpoint().note, strict)
    await log.close()


async def test_without_its_quorum_nothing_new_begins(ring: Ring, tmp_path: Path) -> None:
    """What is durable stays so, and is shown later; intents are refused once patience is over."""
    log = await start(tmp_path, ring.config(2))
    shown, now = log.checkpoint(), 0.0
    log.showing.monotonic = lambda: now
    for member in ring.members[:2]:
        member.fail, member.forever = False, True
    await ask(log, 1)
    await log.showing.once()
    assert log.checkpoint() is shown
    now = 29.0
    index = await ask(log, 2)
    await log.showing.once()
    assert log.showing.ready
    now = 31.0
    with pytest.raises(LogUnwitnessedError):
        await ask(log, 3)
    size = log.size
    await log.orphan(h=h(2), intent=index, reason="node.lost")
    assert log.size == size + 1
    for member in ring.members:
        member.fail = None
    await log.showing.once()
    assert log.checkpoint().tree.size == log.size
    assert log.showing.waiting_s == 0.0
    await ask(log, 3)
    await log.close()


async def test_a_log_that_never_had_its_quorum_shows_nothing(ring: Ring, tmp_path: Path) -> None:
    """A gateway that starts without witnesses opens the log, and says that it has nothing."""
    for member in ring.members:
        member.fail, member.forever = False, True
    log = await start(tmp_path, ring.config(2))
    for nothing in (log.checkpoint, log.publish, log.showing.check):
        with pytest.raises(LogUnwitnessedError):
            nothing()
    with pytest.raises(LogUnwitnessedError):
        await ask(log, 1)
    with pytest.raises(LogUnwitnessedError):
        await log.cosigned_note(max_age_s=60)
    await log.close()


async def test_an_admission_waits_for_its_checkpoint(ring: Ring, tmp_path: Path) -> None:
    """`covered` wakes the publishing task and returns under the quorum; or gives up in time."""
    log = await start(tmp_path, ring.config(3))
    index = await ask(log, 1)
    covered = await log.covered(index)
    assert covered.tree.size > index
    ring.members[0].fail, ring.members[0].forever = True, True
    index = await ask(log, 2)
    with pytest.raises(LogUnwitnessedError):
        await log.covered(index, timeout_s=0.3)
    ring.members[0].fail = None
    late = asyncio.create_task(log.covered(index))
    await asyncio.sleep(0)
    await log.showing.once()
    assert (await late).tree.size > index
    await log.close()


async def test_a_note_is_cosigned_anew_when_it_is_to_prove_an_age(
    ring: Ring, tmp_path: Path
) -> None:
    """The same tree under younger cosignatures; none younger is to be had, it says so."""
    log = await start(tmp_path, ring.config(2))
    pin = log.pin
    first = await log.cosigned_note(max_age_s=0)
    assert first == log.checkpoint().note
    log._clock = lambda: NOW + 100
    ring.now = NOW + 100
    second = await log.cosigned_note(max_age_s=5)
    assert (cosigned_at(first, pin), cosigned_at(second, pin)) == (NOW, NOW + 100)
    assert checkpoint.verify(first, pin).checkpoint == checkpoint.verify(second, pin).checkpoint
    log._clock = lambda: NOW + 200
    for member in ring.members:
        member.fail, member.forever = False, True
    with pytest.raises(LogUnwitnessedError):
        await log.cosigned_note(max_age_s=5)
    await log.close()


async def test_a_log_that_was_rolled_back_is_told_by_its_witness(
    ring: Ring, tmp_path: Path
) -> None:
    """Database and guard restored together: the guard cannot know, the witnesses do."""
    log = await start(tmp_path, ring.config(2))
    await ask(log, 1)
    await log.close()
    backup = {name: (tmp_path / name).read_bytes() for name in ("log.db", "guard")}
    log = await start(tmp_path, ring.config(2))
    for number in range(2, 5):
        await ask(log, number)
    await log.close()
    for name, data in backup.items():
        (tmp_path / name).write_bytes(data)
    log = await start(tmp_path, ring.config(2))
    assert log.tree.shown is None
    assert log.showing.alarms
    with pytest.raises(LogUnwitnessedError):
        await ask(log, 9)
    for number in range(40):
        await log.append(log_heartbeat(number))
    await log.showing.once()
    assert log.tree.shown is None
    assert {code for _, code in log.showing.alarms} >= {"witness.422"}
    await log.close()


async def test_one_witness_that_remembers_more_is_an_alarm_though_others_cosign(
    ring: Ring, tmp_path: Path
) -> None:
    """Two witnesses lost their memory with the log; the third one's word is not outvoted."""
    log = await start(tmp_path, ring.config(2))
    await log.close()
    backup = {name: (tmp_path / name).read_bytes() for name in ("log.db", "guard")}
    remembered = [dict(state._latest) for state in ring.states[:2]]
    log = await start(tmp_path, ring.config(3))
    for number in range(4):
        await ask(log, number)
    await log.close()
    for name, data in backup.items():
        (tmp_path / name).write_bytes(data)
    for state, latest in zip(ring.states, remembered, strict=False):
        state._latest = latest
    log = await start(tmp_path, ring.config(2))
    assert log.tree.shown is not None
    assert ("witness.example/w2", "witness.ahead") in log.showing.alarms
    await log.close()


def log_heartbeat(number: int) -> object:
    """Return an entry."""
    from mifeng.protocol import entries

    return entries.Heartbeat(at=NOW + number, instance="g", interval=60)


def test_a_witness_that_is_away_is_left_alone_longer_and_longer() -> None:
    """After each failure the rest grows to its limit; a cosignature ends it."""
    standing = Standing("w")
    rests = []
    for turn in range(6):
        standing.refused("transport", float(turn))
        rests.append(standing.resting_until - turn)
    assert tuple(rests) == (*REST_S, REST_S[-1], REST_S[-1])
    standing.refused("witness.422", 9.0)
    assert standing.resting_until < 12
    standing.cosigned(5, 10.0)
    assert (standing.size, standing.code, standing.resting_until) == (5, "", 0.0)


async def test_one_that_rests_is_asked_if_the_quorum_needs_it(ring: Ring, tmp_path: Path) -> None:
    """With one away, the others are enough and it is left alone; with two away it is asked."""
    log = await start(tmp_path, ring.config(2))
    one, two, _ = ring.members
    witnesses = log.showing.witnesses
    assert witnesses is not None
    now = 0.0
    witnesses._monotonic = lambda: now
    one.fail, one.forever = False, True
    await ask(log, 1)
    await log.showing.once()
    asked = one.asked
    await ask(log, 2)
    await log.showing.once()
    assert log.checkpoint().tree.size == log.size
    assert one.asked == asked
    one.fail, two.fail, two.forever = None, False, True
    await ask(log, 3)
    await log.showing.once()
    await ask(log, 4)
    await log.showing.once()
    assert log.checkpoint().tree.size == log.size
    assert one.asked > asked
    await log.close()


@pytest.mark.parametrize(
    "change",
    [{"quorum": 0}, {"members": []}, {"members": "twice"}, {"twin": "few"}, {"patience_s": 60}],
)
def test_witnesses_are_configured_so_that_they_mean_something(change: dict[str, object]) -> None:
    """A quorum of none, one witness listed twice, or patience beyond a promise, is refused."""
    from mifeng.witness.keys import WitnessKeys

    keys = [WitnessKeys.generate(f"w{n}") for n in range(2)]
    members = [{"url": "unix:/w", "key": each.public[0].encode()} for each in keys]
    good: dict[str, object] = {"members": members, "quorum": 2}
    assert WitnessesConfig.model_validate(good)
    if change == {"members": "twice"}:
        again = {"url": "unix:/v", "key": keys[0].public[1].encode()}
        change = {"members": [members[0], again]}
    elif change == {"twin": "few"}:
        change = {"members": [members[0] | {"twin_key": keys[0].public[1].encode()}, members[1]]}
    with pytest.raises(ValueError, match=r"quorum|members|twice|fewer|patience"):
        WitnessesConfig.model_validate(good | change)


async def test_the_twin_waits_for_its_own_witnesses(tmp_path: Path) -> None:
    """Public tools see the twin under Ed25519 cosignatures, or not at all."""
    async with Ring.of(config(tmp_path), tmp_path, 2, twin=True) as ring:
        settings = config(tmp_path)
        create(settings)
        log = await AuditLog.open(settings, KEYS, clock=lambda: NOW, witnesses=ring.config(2))
        twin = log.twin
        assert twin is not None
        keys = tuple(member.keys.public[1] for member in ring.members)
        pin = replace(twin.pin, witnesses=keys, quorum=2)
        before = checkpoint.verify_witnessed(twin.published.note, pin).checkpoint
        await ask(log, 1)
        await log.showing.once()
        after = checkpoint.verify_witnessed(twin.published.note, pin).checkpoint
        assert before.size < after.size
        shown = log.checkpoint()
        ring.members[0].fail, ring.members[0].forever = False, True
        await ask(log, 2)
        await log.showing.once()
        assert twin.published.checkpoint == after
        assert log.checkpoint() is shown
        await log.close()
