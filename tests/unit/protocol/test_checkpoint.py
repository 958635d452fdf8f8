"""Checkpoints: canonical, signed, witnessed, and consistent or convicting."""

import dataclasses

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto.signatures import SigningKey
from mifeng.errors import LogInconsistentError, MalformedError, PeerError
from mifeng.protocol import checkpoint, merkle, note
from mifeng.protocol.checkpoint import Checkpoint, LogPin, SignedCheckpoint
from mifeng.protocol.merkle import SM3, Digest
from mifeng.protocol.note import Cosigner, Sm2NoteSigner
from tests.unit.protocol.bend import bent

ORIGIN = "log.example/2026"
LOG = Sm2NoteSigner(ORIGIN, SigningKey.generate("sm2"))
WITNESSES = [Cosigner(f"w{i}.example", Ed25519PrivateKey.generate(), 1000 + i) for i in range(3)]
PIN = LogPin(
    origin=ORIGIN,
    world=SM3,
    keys=(LOG.key,),
    witnesses=tuple(w.key for w in WITNESSES),
    quorum=2,
)
LEAVES = SM3.leaf_hashes([b"%d" % i for i in range(13)])


def at(size: int, *, leaves: list[Digest] = LEAVES) -> Checkpoint:
    """Return the checkpoint of the first `size` leaves."""
    frontier, _ = merkle.extend(SM3, (), 0, leaves[:size])
    return Checkpoint(origin=ORIGIN, size=size, root=merkle.root(SM3, frontier))


def signed(claim: Checkpoint) -> SignedCheckpoint:
    """Return `claim` signed by the log, as its verifier holds it."""
    return checkpoint.verify(checkpoint.sign(claim, [LOG]), PIN)


def path(old: int, new: int) -> list[Digest]:
    """Return a consistency proof in the tree of `LEAVES`."""
    _, nodes = merkle.extend(SM3, (), 0, LEAVES)
    by_place = {(0, i): leaf for i, leaf in enumerate(LEAVES)}
    by_place |= {(node.level, node.index): node.digest for node in nodes}
    return merkle.consistency_path(SM3, lambda *where: by_place[where], old=old, new=new)


def test_the_specifications_example_parses() -> None:
    """The body printed in tlog-checkpoint decodes to its three fields and back."""
    body = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    claim = Checkpoint.decode(body)
    assert (claim.origin, claim.size) == ("example.com/behind-the-sofa", 20852163)
    assert claim.root.hex().startswith("0ac5186a91863e8e1d90c808014aa89b")
    assert claim.encode() == body


ROOT = b"A" * 43 + b"=\n"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"o\n",
        b"o\n1\n",
        b"o\n1\n" + ROOT[:-1],
        b"\n1\n" + ROOT,
        b"o\n-1\n" + ROOT,
        b"o\n+1\n" + ROOT,
        b"o\n01\n" + ROOT,
        b"o\n1_0\n" + ROOT,
        b"o\n 1\n" + ROOT,
        "o\n١\n".encode() + ROOT,
        b"o\n9007199254740993\n" + ROOT,
        b"o\n" + b"9" * 5000 + b"\n" + ROOT,
        b"o\n1\nAAAA\n",
        b"o\n1\n" + b"A" * 42 + b"B=\n",
        b"o\r\n1\r\n" + ROOT,
        b"o\n1\n" + ROOT + b"\n",
        b"o\n1\n" + ROOT + b"x\n" * 17,
        b"x" * 256 + b"\n1\n" + ROOT,
        b"\xff\n1\n" + ROOT,
    ],
)
def test_other_spellings_are_malformed(text: bytes) -> None:
    """Signs, zeros, underscores, slack base64, CRLF and odd lines are refused."""
    with pytest.raises(MalformedError):
        Checkpoint.decode(text)


def test_extension_lines_are_kept() -> None:
    """Other logs may sign further lines, and a witness cosigns them verbatim."""
    text = b"o\n1\n" + ROOT + b"x\ny\n"
    assert Checkpoint.decode(text).extensions == ("x", "y")
    assert Checkpoint.decode(text).encode() == text


@given(data=st.binary(max_size=80))
def test_decode_is_total_and_canonical(data: bytes) -> None:
    """Any bytes are malformed, or the one encoding of what they decode to."""
    for candidate in (data, b"o\n1\n" + data, b"o\n" + data + b"\n" + ROOT):
        try:
            assert Checkpoint.decode(candidate).encode() == candidate
        except MalformedError:
            continue


def test_every_bent_byte_is_refused() -> None:
    """Nothing in a log's note can change."""
    for wrong in bent(checkpoint.sign(at(5), [LOG])):
        with pytest.raises(PeerError):
            checkpoint.verify(wrong, PIN)


def test_quorum_counts_pinned_witnesses_only() -> None:
    """Two pinned cosignatures suffice; one, or strangers, do not."""
    stranger = Cosigner("s.example", Ed25519PrivateKey.generate(), 5)
    for signers, count in (
        ([LOG], 0),
        ([LOG, WITNESSES[0], stranger], 1),
        ([LOG, WITNESSES[0], WITNESSES[2]], 2),
        ([WITNESSES[1], LOG, *WITNESSES[2:]], 2),
    ):
        data = checkpoint.sign(at(5), signers)
        assert len(checkpoint.verify(data, PIN).cosigned) == count
        if count < PIN.quorum:
            with pytest.raises(PeerError):
                checkpoint.verify_witnessed(data, PIN)
        else:
            times = [line.time for line in checkpoint.verify_witnessed(data, PIN).cosigned]
            assert all(time in (1000, 1001, 1002) for time in times)


def test_witnesses_do_not_stand_in_for_the_log() -> None:
    """A note by every witness and not the log is refused."""
    with pytest.raises(PeerError):
        checkpoint.verify(checkpoint.sign(at(5), WITNESSES), PIN)


def test_another_logs_checkpoint_is_refused() -> None:
    """A pinned key signing for a foreign origin proves nothing about this log."""
    with pytest.raises(PeerError):
        checkpoint.verify(
            checkpoint.sign(dataclasses.replace(at(5), origin="log.example/2027"), [LOG]), PIN
        )


def test_growth_is_consistent() -> None:
    """From nothing, from any size to any later one, and from a size to itself."""
    for old in range(len(LEAVES) + 1):
        for new in range(old, len(LEAVES) + 1):
            later = signed(at(new))
            earlier = signed(at(old))
            assert checkpoint.check_consistent(SM3, earlier, later, path(old, new)) is later


def test_a_rewritten_log_is_convicted() -> None:
    """A changed, dropped or forked history raises, with both notes as evidence."""
    forked = [SM3.leaf_hash(b"other"), *LEAVES[1:]]
    for old, new in ((5, 9), (4, 8), (7, 7)):
        earlier, later = signed(at(old)), signed(at(new, leaves=forked))
        with pytest.raises(LogInconsistentError) as caught:
            checkpoint.check_consistent(SM3, earlier, later, path(old, new))
        assert caught.value.evidence[:2] == (earlier.note, later.note)
        assert caught.value.code == "peer.log"
    wrong_empty = signed(dataclasses.replace(at(0), root=LEAVES[0]))
    with pytest.raises(LogInconsistentError):
        checkpoint.check_consistent(SM3, wrong_empty, signed(at(3)), [])


def test_a_forged_past_is_convicted_though_the_present_is_proved() -> None:
    """A path that leads to the new root but not to the old one shows that the old was a lie."""
    for old in (3, 5, 6, 7):
        lied = signed(dataclasses.replace(at(old), root=LEAVES[0]))
        with pytest.raises(LogInconsistentError):
            checkpoint.check_consistent(SM3, lied, signed(at(9)), path(old, 9))


def test_an_older_or_foreign_checkpoint_is_refused() -> None:
    """A log does not shrink, and another log does not continue it."""
    with pytest.raises(PeerError):
        checkpoint.check_consistent(SM3, signed(at(5)), signed(at(4)), [])
    other = dataclasses.replace(at(5), origin="log.example/2027")
    foreign = SignedCheckpoint(checkpoint=other, note=b"", cosigned=())
    with pytest.raises(PeerError):
        checkpoint.check_consistent(SM3, signed(at(5)), foreign, [])


def test_needless_digests_are_refused() -> None:
    """Between equal sizes, and from size 0, there is nothing to prove."""
    for old in (0, 5):
        with pytest.raises(MalformedError):
            checkpoint.check_consistent(SM3, signed(at(old)), signed(at(5)), [LEAVES[0]])


def test_a_pin_accepts_either_key_during_rotation() -> None:
    """While a key rotates, a note by the old or the new key is the log's."""
    new = Sm2NoteSigner(ORIGIN, SigningKey.generate("sm2"))
    pin = dataclasses.replace(PIN, keys=(LOG.key, new.key))
    for signers in ([LOG], [new], [LOG, new]):
        assert checkpoint.verify(checkpoint.sign(at(3), signers), pin).checkpoint == at(3)
    assert note.parse(checkpoint.sign(at(3), [LOG, new])).signatures[1].name == ORIGIN
