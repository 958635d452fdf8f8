"""Folding leaves and gaps gives the definition's root, whatever was left out."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auditlog.config import create
from gateway.auditlog.log import AuditLog
from mifeng.audit.export import Choice, export
from mifeng.audit.published import PublishedSource
from mifeng.audit.source import SqliteSource
from mifeng.audit.tree import Fold, gap_nodes, missing
from mifeng.audit.trust import Trust
from mifeng.audit.verify import verify
from mifeng.errors import MalformedError, UsageError
from mifeng.protocol import entries, merkle
from mifeng.protocol.merkle import SHA256, SM3, Digest
from tests.unit.auditlog import harness
from tests.unit.auditlog.harness import NOW, mth, start, stored

LEAVES = SM3.leaf_hashes(b"%d" % n for n in range(300))


def root(low: int, high: int) -> Digest:
    """Return the root over some leaves, by extending an empty tree."""
    return merkle.root(SM3, merkle.extend(SM3, (), 0, LEAVES[low:high])[0])


@given(data=st.data(), size=st.integers(1, 300))
@settings(max_examples=150, deadline=None)
def test_any_choice_of_entries_leads_to_every_checkpoint(data: st.DataObject, size: int) -> None:
    """Runs and gaps together are the tree, at each cut."""
    cuts = sorted(data.draw(st.sets(st.integers(1, size), max_size=4)) | {size})
    chosen = sorted(data.draw(st.sets(st.integers(0, size - 1), max_size=40)))
    runs = [(index, index + 1) for index in chosen]
    nodes = iter([root(i << level, (i + 1) << level) for level, i in gap_nodes(runs, cuts)])
    pieces = [(low, high, True) for low, high in missing(runs, cuts)]
    pieces += [(low, high, False) for low, high in runs]
    fold = Fold(SM3)
    for low, high, gap in sorted(pieces):
        assert fold.size == low
        if gap:
            for level, _ in merkle.cover(low, high):
                fold.subtree(level, next(nodes))
        else:
            fold.leaves(LEAVES[low:high])
        if high in cuts:
            assert fold.root() == root(0, high)
    assert fold.size == size
    assert next(nodes, None) is None


def test_a_subtree_stands_where_it_may() -> None:
    """A subtree that does not begin at a multiple of its size is malformed."""
    fold = Fold(SM3)
    fold.leaves(LEAVES[:3])
    with pytest.raises(MalformedError):
        fold.subtree(1, LEAVES[0])


async def test_the_database_gives_the_same_subtrees(tmp_path: Path) -> None:
    """Finished tiles and computed ones, in both hash worlds, at every level."""
    log = await start(tmp_path)
    beat = entries.Heartbeat(at=NOW, instance="g", interval=60)
    await asyncio.gather(*(log.append(beat) for _ in range(600)))
    await log.close()
    data = stored(tmp_path / "log.db")
    with SqliteSource(tmp_path / "log.db") as source:
        size = source.size
        assert source.entries(0, size) == data
        assert list(source.bundles()) == []
        assert source.of_type("KEY") == [0]
        for world in (SM3, SHA256):
            for level in range(size.bit_length()):
                for index in range(0, size >> level, max(1, (size >> level) // 7)):
                    part = data[index << level : (index + 1) << level]
                    expected = mth(part, twin=world is SHA256)
                    assert source.node(world, level, index) == expected
        with pytest.raises(UsageError):
            source.entries(size, size + 1)
        with pytest.raises(UsageError):
            source.entries(-5, 3)


async def test_what_is_published_makes_the_same_pack(tmp_path: Path) -> None:
    """The directory a gateway publishes to serves as well as its database, byte for byte."""
    create(config := replace(harness.config(tmp_path), publish=tmp_path / "out"))
    log = await AuditLog.open(config, harness.KEYS, clock=lambda: NOW)
    beat = entries.Heartbeat(at=NOW, instance="g", interval=60)
    await asyncio.gather(*(log.append(beat) for _ in range(600)))
    document = await log.put_blob(b"a document")
    await log.close()
    published = PublishedSource(tmp_path / "out")
    assert published.blob(document) == b"a document"
    assert published.of_type("KEY") == [0]
    assert published.of_request(bytes(32)) == []
    trust = Trust(log=log.pin)
    with SqliteSource(tmp_path / "log.db") as database:
        for choice in (Choice(), Choice(low=300, high=310)):
            packs: list[bytes] = []
            for source in (database, published):
                path = tmp_path / f"{len(packs)}{choice.low}.zip"
                export(source, published.notes, path, choice=choice, now=NOW)
                packs.append(path.read_bytes())
                report = verify(path, trust, now=NOW)
                assert report.stands, report.findings
                assert [head.world for head in report.heads] == ["sm3", "sha256"]
            assert packs[0] == packs[1]
    with pytest.raises(UsageError):
        PublishedSource(tmp_path)


def test_what_is_no_log_is_not_read(tmp_path: Path) -> None:
    """A file that is no database, or of another format, is named."""
    path = tmp_path / "x.db"
    path.write_bytes(b"nothing")
    with pytest.raises(UsageError):
        SqliteSource(path)
    with pytest.raises(UsageError):
        SqliteSource(tmp_path / "absent.db")
