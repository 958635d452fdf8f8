"""The pack as a file: one spelling, total parsers, every byte some check's business."""

import random
import zipfile
from pathlib import Path

import pytest

from mifeng.audit.container import Container, ContainerWriter, PackMalformedError
from mifeng.audit.export import Choice
from mifeng.audit.pack import Manifest, Pack
from mifeng.audit.verify import verify
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MifengError, UsageError
from mifeng.protocol import checkpoint, entries, merkle
from mifeng.protocol.checkpoint import Checkpoint
from mifeng.protocol.entries import KeyChange
from mifeng.protocol.merkle import SHA256
from mifeng.protocol.note import Ed25519NoteSigner
from mifeng.protocol.receipt import first_prev
from tests.unit.audit.flip_bytes import flip, sample
from tests.unit.audit.made import ORIGIN, Made, codes


def test_any_zip_program_opens_a_pack(tmp_path: Path) -> None:
    """Python's own reader finds the same members with the same contents."""
    _, path = sample(tmp_path)
    with zipfile.ZipFile(path) as theirs, Container(path) as ours:
        assert theirs.testzip() is None
        assert theirs.namelist() == list(ours.members)
        assert all(theirs.read(name) == ours.read(name) for name in ours.members)


def test_equal_contents_make_equal_files(tmp_path: Path) -> None:
    """Two exports of one state differ in nothing."""
    made = Made()
    made.work(3)
    note = made.note()
    first, second = made.pack(tmp_path / "a.zip", note), made.pack(tmp_path / "b.zip", note)
    assert first.read_bytes() == second.read_bytes()


def test_a_zip_of_another_spelling_is_refused(tmp_path: Path) -> None:
    """The same members written by another program are not a pack."""
    _, path = sample(tmp_path)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as copy:
        for name in source.namelist():
            copy.writestr(name, source.read(name))
    with pytest.raises(PackMalformedError):
        Pack(other)


def test_flipped_bytes_are_caught_and_located() -> None:
    """A hundred places at random; the script beside this file does thousands."""
    caught, faults = flip(100, seed=7)
    assert not faults
    assert caught == 100


def test_no_bytes_crash_the_reader(tmp_path: Path) -> None:
    """Cut, doubled, filled and shuffled files are findings or errors of ours, never a crash."""
    made, path = sample(tmp_path)
    data, choose = path.read_bytes(), random.Random(3)
    bent = tmp_path / "bent.zip"
    for number in range(120):
        at, length = choose.randrange(len(data)), choose.randrange(1, 400)
        piece = choose.randbytes(length)
        kinds = (
            data[:at],
            data[:at] + data[at + length :],
            data[:at] + piece + data[at + length :],
            data[:at] + data[at : at + length] + data[at:],
            choose.randbytes(length),
        )
        bent.write_bytes(kinds[number % len(kinds)])
        try:
            report = verify(bent, made.trust, now=made.now)
        except MifengError:
            continue
        assert not report.stands


def rewritten(path: Path, out: Path, changes: dict[str, bytes | None]) -> Path:
    """Write a pack anew with some members replaced or left out, manifest and all."""
    from mifeng.crypto import sm3

    with Container(path) as old, ContainerWriter(out) as new:
        contents = {name: old.read(name) for name in old.members if name != "signature.json"}
        manifest = Manifest.decode(contents.pop("manifest.json"))
        for name, data in changes.items():
            contents.pop(name, None)
            if data is not None:
                contents[name] = data
        members = {name: sm3(data) for name, data in contents.items()}
        made = Manifest(
            origin=manifest.origin,
            scope=manifest.scope,
            made_at=manifest.made_at,
            size=manifest.size,
            count=manifest.count,
            members=members,
        )
        contents["manifest.json"] = made.encode()
        for name in sorted(contents):
            new.add(name, [contents[name]])
    return out


def test_a_forger_who_mends_the_manifest_is_caught_by_the_tree(tmp_path: Path) -> None:
    """Dropping the last entry with its leaf, digests made to fit, does not fit the checkpoint."""
    made = Made()
    made.work(2)
    path = made.pack(tmp_path / "a.zip")
    with Pack(path) as pack:
        records = pack.entries(0)[:-1]
        leaves = b"".join(pack.leaves(0)[:-1])
    body = b"".join(i.to_bytes(8, "big") + len(e).to_bytes(4, "big") + e for i, e in records)
    changes = {"entries/000000000000": body, "leaves/000000000000": leaves}
    forged = rewritten(path, tmp_path / "b.zip", changes)  # type: ignore[arg-type]
    report = verify(forged, made.trust, now=made.now)
    assert {"tree.incomplete", "pack.count"} <= codes(report)


def test_documents_left_out_are_missed(tmp_path: Path) -> None:
    """Without the keyset no receipt can be believed, and each says so."""
    made = Made()
    made.work(2)
    path = made.pack(tmp_path / "a.zip")
    forged = rewritten(path, tmp_path / "b.zip", {f"blobs/{made.keyset.hex()}": None})
    report = verify(forged, made.trust, now=made.now)
    assert {"document.missing", "statement.unverifiable"} <= codes(report)
    assert not report.stands


@pytest.mark.parametrize(
    "name", ["blobs/UP", "notes", "entries/1", "../evil", "checkpoints/1-sm3-00.note"]
)
def test_members_of_no_known_kind_are_refused(name: str, tmp_path: Path) -> None:
    """A pack has no room for what nobody checks."""
    made = Made()
    path = made.pack(tmp_path / "a.zip")
    with pytest.raises(MifengError):
        Pack(rewritten(path, tmp_path / "b.zip", {name: b"x"}))


def test_a_range_proves_itself_under_the_newest_checkpoint(tmp_path: Path) -> None:
    """What is left out is stood for by subtree roots; nothing is held against the gaps."""
    made = Made()
    made.work(20)
    middle = made.note()
    made.work(20)
    path = made.pack(tmp_path / "a.zip", middle, made.note(), choice=Choice(low=30, high=50))
    report = verify(path, made.trust, now=made.now)
    assert report.stands, report.findings
    assert "pack.partial" in codes(report)
    assert report.scope.subject == "30-50"
    assert report.entries == 23, "the range, the key and the node's two entries"
    assert report.heads_compared >= 2


def test_one_tenant_and_one_request(tmp_path: Path) -> None:
    """A tenant gets its own requests and what they are judged by, and nothing of others."""
    made = Made()
    for number in range(6):
        made.complete(made.intent(tenant=f"bank-{number % 2}"))
    made.tally()
    path = made.pack(tmp_path / "a.zip", choice=Choice(tenant="bank-1"))
    report = verify(path, made.trust, now=made.now)
    assert report.stands, report.findings
    assert (report.intents, report.receipts) == (3, 3)
    assert b"bank-0" not in path.read_bytes()
    h = made.asked(3).h
    one = made.pack(tmp_path / "b.zip", choice=Choice(h=h))
    report = verify(one, made.trust, now=made.now)
    assert report.stands, report.findings
    assert (report.intents, report.entries) == (1, 5)


def test_a_bent_entry_in_a_range_is_caught(tmp_path: Path) -> None:
    """A partial pack is as hard to forge as a whole one."""
    made = Made()
    made.work(20)
    path = made.pack(tmp_path / "a.zip", choice=Choice(low=10, high=12))
    with Pack(path) as pack:
        records = pack.entries(0)
        leaves = pack.leaves(0)
    index, data = records[-1]
    records[-1] = (index, data.replace(b"completed", b"completee"))
    body = b"".join(i.to_bytes(8, "big") + len(e).to_bytes(4, "big") + e for i, e in records)
    leaves[-1] = merkle.SM3.leaf_hash(records[-1][1])
    changes = {"entries/000000000000": body, "leaves/000000000000": b"".join(leaves)}
    forged = rewritten(path, tmp_path / "b.zip", changes)  # type: ignore[arg-type]
    if records[-1][1] != data:
        assert "tree.root" in codes(verify(forged, made.trust, now=made.now))


def test_the_twin_is_checked_too(tmp_path: Path) -> None:
    """A SHA-256 checkpoint counts under the key that the log's KEY entry names."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    twin = Ed25519NoteSigner(f"{ORIGIN}/sha256", Ed25519PrivateKey.generate())
    made = Made()
    change = KeyChange(
        origin=ORIGIN, key=made.signer.key.encode(), twin=twin.key.encode(), previous=""
    )
    statement = entries.sign_key_change(change, made.key)
    made.source.log[0] = entries.Key(at=made.now, statement=statement).encode()
    made.work(2)
    leaves = SHA256.leaf_hashes(made.source.log)
    root = merkle.root(SHA256, merkle.extend(SHA256, (), 0, leaves)[0])
    head = Checkpoint(origin=f"{ORIGIN}/sha256", size=made.source.size, root=root)
    good = checkpoint.sign(head, [twin])
    report = made.verified(tmp_path / "a.zip", made.note(), good)
    assert report.stands
    assert [each.world for each in report.heads] == ["sm3", "sha256"]
    wrong = Checkpoint(origin=head.origin, size=head.size, root=SHA256.empty_root)
    report = made.verified(tmp_path / "b.zip", made.note(), checkpoint.sign(wrong, [twin]))
    assert "tree.root" in codes(report)
    some = made.pack(tmp_path / "c.zip", made.note(), good, choice=Choice(low=4, high=6))
    assert verify(some, made.trust, now=made.now).stands


def test_what_cannot_be_exported_is_a_usage_error(tmp_path: Path) -> None:
    """No checkpoint, a foreign one, one ahead of the database, or nothing to export."""
    made, other = Made(), Made()
    made.work(1)
    other.work(2)
    foreign = checkpoint.sign(
        Checkpoint(origin="log.example/x", size=1, root=made.head().root), [made.signer]
    )
    nothing = sm3_of_nothing()
    for notes, choice in (
        ([foreign], Choice()),
        ([other.note()], Choice()),
        ([made.note()], Choice(tenant="nobody")),
        ([made.note()], Choice(h=nothing)),
        ([made.note()], Choice(low=5, high=5)),
    ):
        with pytest.raises(UsageError):
            made.pack(tmp_path / "a.zip", *notes, choice=choice)
        assert not (tmp_path / "a.zip").exists()


def sm3_of_nothing() -> bytes:
    """Return a digest that nothing has."""
    return first_prev(SigningKey.generate("sm2").public_bytes)
