"""What every store must do, on SQLite and on PostgreSQL alike."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from gateway.auditlog import failpoints
from gateway.auditlog.config import LogConfig, create, create_store, open_guard, open_store
from gateway.auditlog.errors import (
    AuditLogError,
    IntentClosedError,
    LogRefusedError,
    LogUnavailableError,
)
from gateway.auditlog.guard import Mark
from gateway.auditlog.intents import row_of
from gateway.auditlog.log import AuditLog
from gateway.auditlog.sequencer import LogState, plan_append
from gateway.auditlog.store import Closed, LogStore, OpenIntent, Row, StoreError
from mifeng.crypto import sm3
from mifeng.protocol import entries
from mifeng.protocol.merkle import Digest
from tests.unit.auditlog.harness import (
    KEYS,
    KEYSET,
    NOW,
    ORIGIN,
    RECEIPT,
    Hook,
    assert_each_intent_ends_once,
    h,
    mth,
)

Place = Callable[..., LogConfig]


@pytest.fixture
def store(place: Place) -> Iterator[LogStore]:
    """Return an open, empty store with a twin."""
    settings = place()
    create_store(settings)
    opened = open_store(settings)
    yield opened
    opened.close()


def add(store: LogStore, state: LogState, *made: entries.Entry, instance: str = "g1") -> LogState:
    """Append entries as the writer does."""
    plan = plan_append(state, [entry.encode() for entry in made])
    rows = [row_of(entry, i, instance) for i, entry in enumerate(made, state.size)]
    with store.turn():
        store.commit(plan, rows, {})
    return plan.after


def loaded(store: LogStore) -> LogState:
    """Return what is stored."""
    with store.turn():
        return store.load()


def intent(index: int, number: int, attempt: int = 1) -> entries.SignedIntent:
    """Return a signed INTENT for an index."""
    made = entries.Intent(
        origin=ORIGIN,
        index=index,
        h=h(number),
        keyset=KEYSET,
        attempt=attempt,
        tenant="t",
        issued=NOW,
        deadline=NOW,
    )
    return entries.SignedIntent(intent=made, statement=made.sign(KEYS.signer))


def beat(at: int) -> entries.Heartbeat:
    """Return an entry about nothing."""
    return entries.Heartbeat(at=at, instance="g1", interval=60)


def test_what_is_committed_is_loaded(store: LogStore) -> None:
    """Sizes across tiles: state, entries and tiles are what was planned."""
    state, held = loaded(store), []
    assert state.size == 0
    for count in (1, 254, 1, 1, 300, 0, 700):
        made = [beat(NOW + len(held) + i) for i in range(count)]
        state = add(store, state, *made)
        held += [entry.encode() for entry in made]
        again = loaded(store)
        assert again == state
        assert again.tree.checkpoint.root == mth(held)
    assert again.twin is not None
    assert again.twin.checkpoint.root == mth(held, twin=True)
    assert store.entries(0, 10_000) == held
    assert store.entries(255, 258) == held[255:258]
    assert (store.entry(3), store.entry(len(held))) == (held[3], None)
    tile = store.tile("sm3", 0, 1)
    assert tile is not None
    assert tile[:32] == sm3(b"\0" + held[256])
    assert store.tile("sm3", 0, 9) is None
    assert store.tile("sha256", 1, 0) is None


def test_intents_are_open_until_closed(store: LogStore) -> None:
    """Opening, closing, correcting: what is asked about them is answered."""
    state = add(store, loaded(store), beat(NOW), intent(1, 1), intent(2, 2), instance="g1")
    with store.turn():
        assert store.open_intents() == {
            n: OpenIntent(index=n, h=h(n), instance="g1") for n in (1, 2)
        }
        assert store.dispatched([(h(1), 1), (h(1), 2), (h(3), 1)]) == {(h(1), 1)}
        assert store.dispatched([]) == set()
        assert store.closed(1) is None
    state = add(
        store,
        state,
        entries.Orphaned(at=NOW, h=h(1), intent=1, reason="x"),
        entries.Completion(at=NOW, h=h(2), intent=2, receipt=RECEIPT),
        intent(5, 3),
    )
    with store.turn():
        assert store.closed(1) == Closed(index=3, orphaned=True, late=None)
        assert store.closed(2) == Closed(index=4, orphaned=False, late=None)
        assert store.moves(3) == ([OpenIntent(index=5, h=h(3), instance="g1")], [1, 2])
        assert store.moves(5) == ([OpenIntent(index=5, h=h(3), instance="g1")], [])
    late = entries.Late(at=NOW, h=h(1), intent=1, orphaned=3, receipt=RECEIPT)
    add(store, state, late)
    with store.turn():
        assert store.closed(1) == Closed(index=3, orphaned=True, late=6)
    trace = store.trace(h(1))
    assert (trace.intents, trace.closings, trace.corrections) == ((1,), (3,), (6,))
    assert store.latest("HEARTBEAT") == 0
    assert store.latest("KEY") is None


def rejected(store: LogStore, state: LogState, *made: entries.Entry) -> None:
    """Require that the store itself refuses, and is as it was."""
    with pytest.raises(StoreError):
        add(store, state, *made)
    assert loaded(store) == state


def test_the_database_holds_the_rules_too(store: LogStore) -> None:
    """Unique keys refuse what a faulty writer would send: second intent, second closing."""
    state = add(store, loaded(store), beat(NOW), intent(1, 1))
    rejected(store, state, intent(2, 1))
    orphaned = entries.Orphaned(at=NOW, h=h(1), intent=1, reason="x")
    rejected(store, state, orphaned, orphaned)
    rejected(store, state, entries.Orphaned(at=NOW, h=h(7), intent=0, reason="x"))
    state = add(store, state, orphaned)
    rejected(store, state, orphaned)


def test_a_plan_for_another_head_is_refused(store: LogStore) -> None:
    """A writer with an outdated view writes nothing."""
    first = loaded(store)
    state = add(store, first, beat(NOW))
    with pytest.raises(StoreError):
        add(store, first, beat(NOW + 1))
    assert loaded(store) == state


def test_blobs_are_numbered_and_kept_once(store: LogStore) -> None:
    """The same bytes are one blob; numbers rise with time."""
    state = loaded(store)
    for data in (b"one", b"two", b"one"):
        with store.turn():
            store.commit(plan_append(state, []), [], {sm3(data): data})
    numbered = store.blobs(0)
    assert [digest for _, digest in numbered] == [sm3(b"one"), sm3(b"two")]
    assert store.blobs(numbered[0][0]) == numbered[1:]
    assert store.blob(sm3(b"two")) == b"two"
    assert store.blob(bytes(32)) is None


def test_a_store_is_made_once_and_knows_its_log(place: Place) -> None:
    """Making it again, opening none, and opening it as another log are refused."""
    settings = place()
    with pytest.raises(LogRefusedError):
        open_store(settings)
    create_store(settings)
    with pytest.raises(LogRefusedError):
        create_store(settings)
    with pytest.raises(LogRefusedError):
        store = open_store(replace(settings, origin="log.example/other"))
        try:
            loaded(store)
        finally:
            store.close()


# -- the log on either storage ----------------------------------------------------------------


async def start(settings: LogConfig, hook: Hook | None = None) -> AuditLog:
    """Open a log."""
    return await AuditLog.open(settings, KEYS, clock=lambda: NOW, points=hook or Hook())


async def exchange(log: AuditLog, number: int) -> None:
    """Log one request and its answer."""
    made = await log.intent(h=h(number), keyset=KEYSET, tenant="t", deadline=NOW)
    await log.completion(h=h(number), intent=made.index, receipt=RECEIPT)


async def test_a_log_works_and_restarts(place: Place) -> None:
    """Many exchanges, one tree; what a process left open, the next one orphans."""
    settings = place()
    create(settings)
    log = await start(settings)
    await asyncio.gather(*(exchange(log, number) for number in range(200)))
    left = await log.intent(h=h(999), keyset=KEYSET, tenant="t", deadline=NOW)
    with pytest.raises(AuditLogError):
        await log.intent(h=h(5), keyset=KEYSET, tenant="t", deadline=NOW)
    await log.close()
    again = await start(replace(settings, instance="g2"))
    with pytest.raises(IntentClosedError):
        await again.completion(h=h(999), intent=left.index, receipt=RECEIPT)
    published = again.publish()
    held = await again.entries(0, again.size)
    assert published.checkpoint.root == mth(held[: published.tree.size])
    assert_each_intent_ends_once(held)
    await again.close()


@pytest.mark.parametrize("point", [failpoints.WRITTEN, failpoints.COMMITTED, failpoints.GUARDED])
@pytest.mark.parametrize("kind", ["intent", "completion"])
async def test_a_fault_persisted_or_not(place: Place, point: str, kind: str) -> None:
    """INTENT, COMPLETION and guard, failing before and after they persist: refused, recovered."""
    settings, hook = place(), Hook()
    create(settings)
    log = await start(settings, hook)
    made = await log.intent(h=h(1), keyset=KEYSET, tenant="t", deadline=NOW)
    await log.probe()
    hook.raise_at[point] = OSError(5, "Input/output error")
    with pytest.raises(LogUnavailableError):
        if kind == "intent":
            await log.intent(h=h(2), keyset=KEYSET, tenant="t", deadline=NOW)
        else:
            await log.completion(h=h(1), intent=made.index, receipt=RECEIPT)
    await log.probe()
    assert log.healthy
    persisted = point != failpoints.WRITTEN
    if kind == "completion" and persisted:
        with pytest.raises(IntentClosedError):
            await log.completion(h=h(1), intent=made.index, receipt=RECEIPT)
    else:
        await log.completion(h=h(1), intent=made.index, receipt=RECEIPT)
        assert len((await log.trace(h(2))).closings) == int(kind == "intent" and persisted)
    held = await log.entries(0, log.size)
    assert_each_intent_ends_once(held)
    assert log.publish().checkpoint.root == mth(held)
    await log.close()
    await (await start(replace(settings, instance="g2"))).close()


@pytest.mark.parametrize(
    "mark",
    [Mark(size=10_000, root=Digest(bytes(32))), Mark(size=1, root=Digest(bytes(32)))],
    ids=["rolled back", "another history"],
)
async def test_a_guard_that_knows_better_refuses(place: Place, mark: Mark) -> None:
    """A database older than the guard, or with another past, is not opened."""
    settings = place()
    create(settings)
    log = await start(settings)
    await exchange(log, 1)
    await log.close()
    guard = open_guard(settings)
    guard.swap(guard.read(), mark)
    guard.close()
    with pytest.raises(LogRefusedError):
        await start(replace(settings, instance="g2"))


def test_rows_of_every_kind_have_their_place() -> None:
    """`Row` is what a store writes; a rare entry has no request."""
    assert row_of(beat(NOW), 0, "g1") == Row(type="HEARTBEAT", at=NOW)
