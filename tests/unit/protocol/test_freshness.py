"""The age that a cosigned note proves, and that nothing else proves one."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mifeng.crypto.signatures import SigningKey
from mifeng.errors import PeerError
from mifeng.protocol import checkpoint, note
from mifeng.protocol.checkpoint import Checkpoint, LogPin
from mifeng.protocol.freshness import check_note, cosigned_at
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import Cosigner, Sm2NoteSigner
from tests.harness.bend import bent

NOW = 1_800_000_000
LOG = Sm2NoteSigner("log.example/a", SigningKey.generate("sm2"))
KEYS = [SigningKey.generate("sm2") for _ in range(3)]
SECOND = Ed25519PrivateKey.generate()


def cosigner(number: int, time: int) -> Cosigner:
    """Return one of three witnesses at a time."""
    return Cosigner(f"w{number}", KEYS[number], time)


def pin(quorum: int) -> LogPin:
    """Return a verifier's pin of the three."""
    witnesses = (*(cosigner(n, 0).key for n in range(3)), Cosigner("w0", SECOND, 0).key)
    return LogPin(origin=LOG.name, world=SM3, keys=(LOG.key,), witnesses=witnesses, quorum=quorum)


def noted(*cosigners: Cosigner) -> bytes:
    """Return a note with their lines."""
    body = Checkpoint(origin=LOG.name, size=7, root=SM3.leaf_hash(b"x"))
    signed = note.parse(checkpoint.sign(body, [LOG]))
    return note.add(signed, cosigners).encode()


def test_as_many_witnesses_as_the_quorum_say_it_is_that_young() -> None:
    """One liar cannot make a note younger where two must agree, nor can it make it older."""
    times = (NOW, NOW - 100, NOW + 10_000)
    made = noted(*(cosigner(n, time) for n, time in enumerate(times)))
    assert cosigned_at(made, pin(1)) == NOW + 10_000
    assert cosigned_at(made, pin(2)) == NOW
    assert cosigned_at(made, pin(3)) == NOW - 100
    assert cosigned_at(made, pin(0)) == NOW + 10_000


def test_one_witness_with_two_keys_is_one_witness() -> None:
    """SM2 and Ed25519 lines of one name do not make a quorum of two."""
    both = noted(cosigner(0, NOW), Cosigner("w0", SECOND, NOW + 1))
    assert cosigned_at(both, pin(1)) == NOW
    with pytest.raises(PeerError, match="1 witnesses"):
        cosigned_at(both, pin(2))


@pytest.mark.parametrize("quorum", [0, 1, 2])
def test_a_note_without_pinned_cosignatures_proves_nothing(quorum: int) -> None:
    """Neither the log's own signature nor a stranger's cosignature is a time."""
    stranger = Cosigner("w9", SigningKey.generate("sm2"), NOW)
    for made in (noted(), noted(stranger)):
        with pytest.raises(PeerError, match="witnesses"):
            cosigned_at(made, pin(quorum))


@pytest.mark.parametrize(
    ("at", "not_after", "fault"),
    [
        (NOW, NOW + 3600, None),
        (NOW - 600, NOW + 3000, None),
        (NOW - 601, NOW + 100, "ago"),
        (NOW + 61, NOW + 3600, "ago"),
        (NOW - 600, NOW + 3061, "outlives"),
    ],
)
def test_what_counts(at: int, not_after: int, fault: str | None) -> None:
    """Not older than the policy allows, not from the future, and no keyset that outlives it."""
    made = noted(cosigner(0, at))

    def check() -> int:
        return check_note(
            made, pin(1), not_after=not_after, max_age_s=600, max_life_s=3600, now=NOW
        )

    if fault is None:
        assert check() == at
    else:
        with pytest.raises(PeerError, match=fault):
            check()


def test_bent_notes_prove_no_other_time() -> None:
    """A changed byte is refused, or leaves the time that was signed."""
    good = noted(cosigner(0, NOW))
    for spoilt in bent(good):
        try:
            assert cosigned_at(spoilt, pin(1)) == NOW
        except PeerError:
            continue
