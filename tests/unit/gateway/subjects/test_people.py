"""SUBJECT and ERASURE: in the right order, never lost; packs verify before and after."""

import asyncio
import errno
from pathlib import Path

import pytest

from gateway.auditlog.errors import LogUnavailableError
from gateway.problems import ProblemError
from gateway.subjects.errors import SubjectsError, SubjectUnknownError
from gateway.subjects.keyfile import KeyFile
from gateway.subjects.people import People, parse_reference
from gateway.subjects.store import SubjectStore
from mifeng.audit.story import tell
from mifeng.audit.subjects import SubjectKey, person
from mifeng.audit.subjects import tell as tell_person
from mifeng.audit.verify import verify
from mifeng.errors import UsageError
from mifeng.protocol import entries
from tests.unit.audit.made import ORIGIN, Made, codes

REFERENCE = "5a" * 32
ACTOR = bytes([9]) * 32


class MadeLog:
    """The log of `Made` as the gateway appends to it; fails while `down`."""

    def __init__(self, made: Made) -> None:
        self.made, self.down = made, False

    async def append(self, entry: entries.Entry) -> None:
        """See `AuditLog.append`."""
        if self.down:
            raise LogUnavailableError("down")
        await asyncio.sleep(0)
        self.made.add(entry)


@pytest.fixture
def made() -> Made:
    """An honest log with a request of which the person is to be named."""
    return Made()


def people(folder: Path, made: Made) -> tuple[People, MadeLog]:
    """Return the persons of a log."""
    store = SubjectStore.open(folder / "s.db", folder / "kek", b"passphrase")
    log = MadeLog(made)
    return People(store, log, origin=ORIGIN, clock=lambda: made.now), log  # type: ignore[arg-type]


async def asked(found: People, made: Made) -> int:
    """Serve one request about the person."""
    intent = made.intent()
    await found.name(tenant="bank-a", reference=REFERENCE, h=made.asked(intent).h, intent=intent)
    made.complete(intent)
    return intent


async def test_packs_verify_before_and_after_erasure(tmp_path: Path, made: Made) -> None:
    """The person's key opens its entries; erased, no proof changes, and nobody has a key."""
    found, _ = people(tmp_path, made)
    first = await asked(found, made)
    await asked(found, made)
    subject = await found.find("bank-a", REFERENCE)
    key = (await found.open(subject)).key
    made.tally()
    before = made.pack(tmp_path / "before.zip")
    report = verify(before, made.trust, now=made.now)
    assert report.stands
    assert report.types["SUBJECT"] == 2
    shown = person(before, subject, key)
    assert [one.fields.reference for one in shown.opened] == [REFERENCE] * 2
    assert shown.opened[0].intent == first
    assert shown.erased is None
    assert not person(before, subject, bytes(16)).opened
    assert len(person(before, subject, None).unopened) == 2

    root = made.head().root
    size = made.source.size
    assert await found.erase(subject, reason="data-subject", actor=ACTOR)
    assert made.head(size).root == root
    with pytest.raises(SubjectUnknownError):
        await found.open(subject)
    with pytest.raises(SubjectUnknownError):
        await found.find("bank-a", REFERENCE)
    after = made.pack(tmp_path / "after.zip")
    report = verify(after, made.trust, now=made.now)
    assert report.stands
    assert report.types["ERASURE"] == 1
    for lang, words in (("zh", "销毁"), ("en", "was destroyed")):
        for pack, erased in ((before, False), (after, True)):
            told = tell(pack, verify(pack, made.trust, now=made.now), str(first), lang=lang)
            assert told.facts["subject"] == subject.hex()
            assert any(words in sentence for sentence in told.sentences) is erased
        assert any(
            words in line for line in tell_person(subject, person(after, subject, None), lang)
        )
    shown = person(after, subject, None)
    assert len(shown.unopened) == 2
    assert shown.erased == made.source.size - 1
    assert verify(before, made.trust, now=made.now).stands
    await found.close()


async def test_nothing_of_a_person_is_in_the_log_in_clear(tmp_path: Path, made: Made) -> None:
    """No entry holds the reference; the commitment cannot be guessed without the salt."""
    found, _ = people(tmp_path, made)
    await asked(found, made)
    held = b"".join(made.source.log)
    assert REFERENCE.encode() not in held
    assert bytes.fromhex(REFERENCE) not in held
    await found.close()


async def test_no_subject_follows_its_erasure(tmp_path: Path, made: Made) -> None:
    """Requests and erasures at the same time: whatever the order, the log never convicts itself."""
    found, _ = people(tmp_path, made)
    await asked(found, made)

    async def erased() -> None:
        for _ in range(5):
            try:
                subject = await found.find("bank-a", REFERENCE)
                await found.erase(subject, reason="data-subject", actor=ACTOR)
            except SubjectUnknownError:
                await asyncio.sleep(0)

    async def naming() -> None:
        for _ in range(10):
            intent = made.intent()
            h = made.asked(intent).h
            await found.name(tenant="bank-a", reference=REFERENCE, h=h, intent=intent)

    await asyncio.gather(naming(), erased(), naming())
    report = verify(made.pack(tmp_path / "a.zip"), made.trust, now=made.now)
    assert not codes(report) & {"subject.after-erasure", "subject.no-intent", "erasure.twice"}
    assert report.types["ERASURE"] >= 1
    await found.close()


async def test_gateways_that_share_a_store_never_convict_each_other(
    tmp_path: Path, made: Made
) -> None:
    """Two gateways name and erase the same person at the same time, through one log."""
    one, _ = people(tmp_path, made)
    two, _ = people(tmp_path, made)
    stop = asyncio.Event()

    async def naming(found: People) -> None:
        while not stop.is_set():
            await asked(found, made)

    async def erasing(found: People) -> None:
        for _ in range(4):
            try:
                subject = await found.find("bank-a", REFERENCE)
                await found.erase(subject, reason="data-subject", actor=ACTOR)
            except SubjectUnknownError:
                await asyncio.sleep(0.01)

    busy = [asyncio.create_task(naming(each)) for each in (one, two)]
    await asyncio.gather(erasing(one), erasing(two))
    stop.set()
    await asyncio.gather(*busy)
    made.tally()
    report = verify(made.pack(tmp_path / "a.zip"), made.trust, now=made.now)
    assert not codes(report) & {"subject.after-erasure", "subject.no-intent", "erasure.twice"}
    assert report.types["ERASURE"] >= 2
    assert report.types["SUBJECT"] >= 4
    await one.close()
    await two.close()


async def test_a_naming_that_is_cancelled_lets_go(tmp_path: Path, made: Made) -> None:
    """A request that goes away while its person is looked up does not hold up erasures."""
    found, _ = people(tmp_path, made)
    await asked(found, made)
    subject = await found.find("bank-a", REFERENCE)
    gone = [asyncio.create_task(asked(found, made)) for _ in range(8)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    async with asyncio.timeout(10):
        assert await found.erase(subject, reason="data-subject", actor=ACTOR)
    await found.close()


async def test_an_erasure_while_the_log_is_down_is_recorded_later(
    tmp_path: Path, made: Made
) -> None:
    """The key is destroyed at once, ERASURE follows when it can, also after a restart."""
    found, log = people(tmp_path, made)
    await asked(found, made)
    subject = await found.find("bank-a", REFERENCE)
    log.down = True
    assert not await found.erase(subject, reason="data-subject", actor=ACTOR)
    with pytest.raises(LogUnavailableError):
        await asked(found, made)
    await found.close()
    found, log = people(tmp_path, made)
    assert await found.flush()
    assert await found.flush()
    kinds = [entries.entry_type(entries.decode(data)) for data in made.source.log]
    assert kinds.count("ERASURE") == 1
    await found.close()


async def test_an_erasure_whose_old_key_stays_is_not_in_the_log(
    tmp_path: Path, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ERASURE says that a key is gone before it is; it follows as soon as that is true."""

    def told() -> int:
        kinds = [entries.entry_type(entries.decode(data)) for data in made.source.log]
        return kinds.count("ERASURE")

    def failing(_self: KeyFile, _place: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    found, _ = people(tmp_path, made)
    await asked(found, made)
    subject = await found.find("bank-a", REFERENCE)
    with monkeypatch.context() as broken:
        broken.setattr(KeyFile, "_erase", failing)
        with pytest.raises(SubjectsError):
            await found.erase(subject, reason="data-subject", actor=ACTOR)
        assert not await found.flush()
        assert told() == 0
    await asked(found, made)
    assert await found.flush()
    assert told() == 1
    assert made.verified(tmp_path / "pack.zip").stands
    await found.close()


async def test_a_key_that_was_kept_convicts(tmp_path: Path, made: Made) -> None:
    """A SUBJECT after its ERASURE, or of no such INTENT, is an error of the log."""
    found, _ = people(tmp_path, made)
    intent = await asked(found, made)
    subject = await found.find("bank-a", REFERENCE)
    await found.erase(subject, reason="data-subject", actor=ACTOR)
    h = made.asked(intent).h
    made.add(entries.Subject(at=made.now, h=h, intent=intent, subject=subject, sealed="00"))
    made.add(entries.Subject(at=made.now, h=bytes(32), intent=intent, subject=ACTOR, sealed="00"))
    made.add(entries.Erasure(at=made.now, subject=subject, reason="x", actor=ACTOR))
    report = verify(made.pack(tmp_path / "a.zip"), made.trust, now=made.now)
    assert {"subject.after-erasure", "subject.no-intent", "erasure.twice"} <= codes(report)
    assert not report.stands
    await found.close()


async def test_a_pack_of_one_request_holds_its_person(tmp_path: Path, made: Made) -> None:
    """Exports of a range carry SUBJECT and ERASURE of what they hold."""
    from mifeng.audit.export import Choice

    found, _ = people(tmp_path, made)
    intent = await asked(found, made)
    await asked(found, made)
    made.tally()
    h = made.asked(intent).h
    pack = made.pack(tmp_path / "a.zip", choice=Choice(h=h))
    report = verify(pack, made.trust, now=made.now)
    assert report.types["SUBJECT"] == 1
    assert "subject.no-intent" not in codes(report)
    await found.close()


@pytest.mark.parametrize(
    "value", ["", "张三", "110101199003070000", "5A" * 32, "5a" * 31, "5a" * 33, " " + "5a" * 32]
)
def test_a_reference_has_one_form(value: str) -> None:
    """Names, identity numbers and anything but 64 lower-case hex digits are refused."""
    with pytest.raises(ProblemError, match=r"subject\.malformed"):
        parse_reference(value)


def test_a_reference_may_be_left_out() -> None:
    """Most requests name nobody."""
    assert parse_reference(None) is None
    assert parse_reference(REFERENCE) == REFERENCE


def test_key_files_round_trip_and_are_strict(tmp_path: Path) -> None:
    """What `subject.open` gives out is read back; anything else is an error of usage."""
    made = SubjectKey(subject=bytes(32), key=bytes(16))
    path = tmp_path / "key.json"
    path.write_bytes(made.encode() + b"\n")
    assert SubjectKey.load(path) == made
    for bad in (b"", b"{}", made.encode()[:-1], made.encode().replace(b"subject-key", b"x")):
        path.write_bytes(bad)
        with pytest.raises(UsageError):
            SubjectKey.load(path)
    with pytest.raises(UsageError):
        SubjectKey.load(tmp_path / "none")
