"""Anchor records as members of a pack: every byte some check's business, whatever they hold."""

import asyncio
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.anchors.worm import WormAnchor
from mifeng.audit import export as exporting
from mifeng.audit import pack as packing
from mifeng.audit.anchors import evm, fisco
from mifeng.audit.anchors.pins import AnchorsDocument
from mifeng.audit.anchors.record import KINDS, AnchorRecord
from mifeng.audit.container import Container, PackMalformedError
from mifeng.audit.export import Choice
from mifeng.audit.pack import Pack
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.cli.release import _of_pack
from mifeng.errors import MalformedError, MifengError, PeerError, UsageError
from mifeng.protocol.release import Item, Statement
from tests.harness.anchoring import Carrier
from tests.unit.audit.made import Made, codes

WORM = {"name": "worm", "kind": "file", "directory": "worm"}


@pytest.fixture
def log() -> Made:
    """Return a log."""
    made = Made()
    made.work(3)
    return made


def packed(log: Made, tmp_path: Path) -> Path:
    """Return a pack with one record."""
    note = log.note()
    carrier = Carrier(tmp_path / "anchors", lambda: note)
    records = asyncio.run(carrier.carry(WormAnchor(name="worm", directory=tmp_path / "worm")))
    return log.pack(tmp_path / "pack.zip", anchors=records)


def test_every_flipped_byte_of_a_record_is_found(log: Made, tmp_path: Path) -> None:
    """In the member, at random places: the finding names the member, and nothing vouches for it."""
    path = packed(log, tmp_path)
    pins = AnchorsDocument.model_validate({"trusted": [WORM], "require": None}).pins(tmp_path)
    trust = Trust(log=log.pin, anchors=pins)
    assert verify(path, trust, now=log.now).anchors[0].vouches
    with Container(path) as container:
        (member,) = [m for name, m in container.members.items() if name.startswith("anchors/")]
    data, choose = path.read_bytes(), random.Random(5)
    bent = tmp_path / "bent.zip"
    for _ in range(40):
        at = member.offset + choose.randrange(member.size)
        bent.write_bytes(data[:at] + bytes([data[at] ^ 1 << choose.randrange(8)]) + data[at + 1 :])
        report = verify(bent, trust, now=log.now)
        assert not report.stands
        assert any(finding.subject == member.name for finding in report.findings)


def test_a_record_under_another_name_is_found(log: Made, tmp_path: Path) -> None:
    """The member's name says size and kind; both are held against the record."""
    note = log.note()
    record = AnchorRecord(kind="file", name="worm", note=note, at=1, proof={"file": "x"})
    path = log.pack(tmp_path / "a.zip", anchors=[record.encode()])
    with Pack(path) as pack:
        (file,) = pack.anchors()
    assert (file.size, file.kind) == (log.source.size, "file")
    assert file.member == f"anchors/{log.source.size:016d}-file-00"


def test_a_record_of_another_log_is_refused(log: Made, tmp_path: Path) -> None:
    """Its note is not signed by the pinned log."""
    foreign = Made(key=type(log.key).generate("sm2"))
    foreign.work(1)
    record = AnchorRecord(kind="file", name="worm", note=foreign.note(), at=1, proof={"file": "x"})
    path = log.pack(tmp_path / "a.zip", anchors=[record.encode()])
    found = codes(verify(path, log.trust, now=log.now))
    assert {"anchor.invalid", "checkpoint.signature"} <= set(found)


@settings(deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_a_record_or_an_error_of_ours(data: bytes) -> None:
    """And a record is the one encoding of what it holds."""
    try:
        record = AnchorRecord.decode(data)
    except MalformedError:
        return
    assert record.encode() == data


json = st.recursive(
    st.one_of(st.integers(-9, 9), st.booleans(), st.none(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.one_of(
    st.sampled_from(["chain_id", "contract", "transaction", "header", "index", "receipt"]),
    st.sampled_from(["nodes", "gm", "group_id", "block", "raw", "response", "file"]),
)


@settings(deadline=None, max_examples=200)
@given(kind=st.sampled_from(KINDS), proof=st.dictionaries(FIELDS, json, max_size=8))
def test_any_proof_is_refused_by_an_error_of_ours(kind: str, proof: dict[str, object]) -> None:
    """Hostile JSON where a proof should be."""
    record = AnchorRecord(kind=kind, name="a", note=NOTE, at=0, proof=proof)  # type: ignore[arg-type]
    for judge in (evm.verify, fisco.verify):
        with pytest.raises(PeerError):
            judge(record)


NOTE = Made().note()


def test_partial_packs_carry_the_releases(log: Made, tmp_path: Path) -> None:
    """What one request was judged by includes what was released, with its document."""
    item = Item(kind="model", name="echo", version="1", digest="sm3:" + "07" * 32)
    statement = Statement(at=1, withdrawn=False, items=(item,))
    document = statement.sign(log.key)
    log.put(document)
    (entry,) = statement.entries(document, at=log.now)
    index = log.add(entry)
    asked = log.intent()
    log.complete(asked)
    path = log.pack(tmp_path / "one.zip", choice=Choice(h=log.asked(asked).h))
    assert _of_pack(path) == [(index, entry)]
    with Pack(path) as pack:
        assert pack.blob(entry.blob[0]) == document


def test_an_exporter_takes_no_other_file(log: Made, tmp_path: Path) -> None:
    """A file that is no record is a usage error and leaves no pack behind."""
    with pytest.raises(MifengError):
        log.pack(tmp_path / "bad.zip", anchors=[b"no record"])
    assert not (tmp_path / "bad.zip").exists()


def test_many_records_of_one_anchor_are_thinned(
    log: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evenly, and the newest stays."""
    monkeypatch.setattr(exporting, "MAX_ANCHORS", 3)
    sizes = range(1, log.source.size + 1)
    records = [
        AnchorRecord(kind="file", name=name, note=log.note(size), at=1, proof={"file": "x"})
        for size in sizes
        for name in ("a", "b")
    ]
    path = log.pack(tmp_path / "many.zip", anchors=[record.encode() for record in records])
    with Pack(path) as pack:
        found = [AnchorRecord.decode(file.data) for file in pack.anchors()]
    for name in ("a", "b"):
        held = [record.claim.size for record in found if record.name == name]
        assert len(held) <= 3
        assert max(held) == log.source.size
    assert verify(path, log.trust, now=log.now).stands


@pytest.mark.parametrize(("limit", "value"), [("MAX_RECORDS", 3), ("MAX_RECORD_BYTES", 2000)])
def test_a_pack_holds_no_more_records_than_it_may(
    limit: str, value: int, log: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with more is refused before a record is read; the exporter makes none."""
    sizes = range(1, log.source.size + 1)
    records = [
        AnchorRecord(kind="file", name="a", note=log.note(size), at=1, proof={"file": "x"}).encode()
        for size in sizes
    ]
    path = log.pack(tmp_path / "many.zip", anchors=records)
    with Pack(path) as pack:
        assert len(list(pack.anchors())) == len(records)
    monkeypatch.setattr(packing, limit, value)
    with pytest.raises(PackMalformedError, match=rf"{len(records)} anchor records.*{value}"):
        verify(path, log.trust, now=log.now)
    monkeypatch.setattr(exporting, limit, value)
    with Pack(log.pack(tmp_path / "fewer.zip", anchors=records)) as pack:
        found = [file.size for file in pack.anchors()]
    assert 1 <= len(found) < len(records)
    assert max(found) == log.source.size
    monkeypatch.setattr(exporting, limit, 0)
    with pytest.raises(UsageError, match="fewer"):
        log.pack(tmp_path / "none.zip", anchors=records)
