"""Proofs that travel: text and JSON forms, verified under a witnessed checkpoint."""

import dataclasses
import functools

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto.signatures import SigningKey
from mifeng.errors import LogInconsistentError, MalformedError, PeerError
from mifeng.protocol import checkpoint, merkle, proof
from mifeng.protocol.checkpoint import Checkpoint, LogPin
from mifeng.protocol.jsonc import dumps
from mifeng.protocol.merkle import SHA256, SM3, HashWorld
from mifeng.protocol.note import Cosigner, Ed25519NoteSigner, NoteSigner, Sm2NoteSigner
from mifeng.protocol.proof import ConsistencyProof, InclusionProof
from tests.unit.protocol.bend import bent

ORIGIN = "log.example/2026"
WITNESS = Cosigner("w.example", Ed25519PrivateKey.generate(), 1000)
ENTRIES = [b"entry %d" % i for i in range(11)]
SIGNERS: dict[str, NoteSigner] = {
    "sm3": Sm2NoteSigner(ORIGIN, SigningKey.generate("sm2")),
    "sha256": Ed25519NoteSigner(ORIGIN, Ed25519PrivateKey.generate()),
}
WORLDS = pytest.mark.parametrize("world", [SM3, SHA256], ids=lambda world: world.name)


def pin(world: HashWorld) -> LogPin:
    """Return what a verifier of the log pins."""
    keys = (SIGNERS[world.name].key,)
    return LogPin(origin=ORIGIN, world=world, keys=keys, witnesses=(WITNESS.key,), quorum=1)


def make(world: HashWorld, index: int = 6) -> InclusionProof:
    """Return a valid proof for an entry."""
    leaves = world.leaf_hashes(ENTRIES)
    frontier, nodes = merkle.extend(world, (), 0, leaves)
    by_place = {(0, i): leaf for i, leaf in enumerate(leaves)}
    by_place |= {(node.level, node.index): node.digest for node in nodes}
    path = merkle.inclusion_path(
        world, lambda *where: by_place[where], index=index, size=len(ENTRIES)
    )
    claim = Checkpoint(origin=ORIGIN, size=len(ENTRIES), root=merkle.root(world, frontier))
    signed = checkpoint.sign(claim, [SIGNERS[world.name], WITNESS])
    return InclusionProof(index=index, path=tuple(path), note=signed)


@WORLDS
def test_every_entry_is_proved_and_only_that_entry(world: HashWorld) -> None:
    """A proof made for one entry convinces for it, and convicts or fails for any other."""
    for index in range(len(ENTRIES)):
        made = make(world, index)
        signed = proof.verify_included(made, world.leaf_hash(ENTRIES[index]), pin(world))
        assert signed.checkpoint.size == len(ENTRIES)
        assert [line.time for line in signed.cosigned] == [1000]
        with pytest.raises(LogInconsistentError) as caught:
            proof.verify_included(made, world.leaf_hash(b"another"), pin(world))
        assert caught.value.evidence[0] == made.note


@WORLDS
def test_forms_round_trip(world: HashWorld) -> None:
    """Text, JSON value and JSON bytes all give the proof back."""
    made = make(world)
    assert InclusionProof.decode(made.encode(world), world) == made
    assert InclusionProof.from_json(made.to_json()) == made
    assert InclusionProof.loads(made.dumps()) == made
    extra = dataclasses.replace(made, extra=ENTRIES[6])
    assert InclusionProof.decode(extra.encode(world), world) == extra


def test_text_is_that_of_the_specification() -> None:
    """Header, extra, index, path, empty line, checkpoint verbatim."""
    made = dataclasses.replace(make(SHA256), extra=b"x")
    lines = made.encode(SHA256).decode().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", "extra eA==", "index 6"]
    assert lines[3 + len(made.path)] == ""
    assert "\n".join(lines[4 + len(made.path) :]).encode() == made.note


def test_worlds_are_not_confused() -> None:
    """A proof of the SM3 log does not parse as a public SHA-256 one, nor the other way round."""
    with pytest.raises(MalformedError):
        InclusionProof.decode(make(SM3).encode(SM3), SHA256)
    with pytest.raises(MalformedError):
        InclusionProof.decode(make(SHA256).encode(SHA256), SM3)


@pytest.mark.parametrize("form", ["text", "json"])
def test_every_bent_byte_is_refused(form: str) -> None:
    """Index, path, checkpoint, cosignature and punctuation: nothing can change."""
    made = make(SHA256)
    leaf, trusted = SHA256.leaf_hash(ENTRIES[6]), pin(SHA256)
    data = made.encode(SHA256) if form == "text" else made.dumps()

    def accept(wrong: bytes) -> None:
        parse = InclusionProof.loads if form == "json" else functools.partial(_decode, SHA256)
        proof.verify_included(parse(wrong), leaf, trusted)

    accept(data)
    for wrong in bent(data):
        with pytest.raises(PeerError):
            accept(wrong)


def _decode(world: HashWorld, data: bytes) -> InclusionProof:
    return InclusionProof.decode(data, world)


def test_an_unwitnessed_proof_is_refused() -> None:
    """The pin's quorum applies to the checkpoint inside a proof."""
    made = make(SM3)
    lone = checkpoint.sign(
        Checkpoint.decode(made.note.partition(b"\n\n")[0] + b"\n"), [SIGNERS["sm3"]]
    )
    with pytest.raises(PeerError):
        proof.verify_included(
            dataclasses.replace(made, note=lone), SM3.leaf_hash(ENTRIES[6]), pin(SM3)
        )


@pytest.mark.parametrize(
    "head",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 0",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v1\nindex",
        "c2sp.org/tlog-proof@v1\nindex -1",
        "c2sp.org/tlog-proof@v1\nindex 00",
        "c2sp.org/tlog-proof@v1\nindex 1 ",
        "c2sp.org/tlog-proof@v1\nindex " + "9" * 5000,
        "c2sp.org/tlog-proof@v1\nindex ١",
        "c2sp.org/tlog-proof@v1\nextra A\nindex 0",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra eA==",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA",
        "c2sp.org/tlog-proof@v1\nindex 0" + ("\n" + "A" * 43 + "=") * 65,
        "\ud8ff".encode("utf-16", "surrogatepass").decode("latin-1"),
    ],
)
def test_other_spellings_are_malformed(head: str) -> None:
    """Wrong headers, indexes, order and lengths are refused."""
    with pytest.raises(MalformedError):
        InclusionProof.decode(head.encode() + b"\n\nnote", SHA256)


def test_a_proof_over_the_size_limit_is_malformed() -> None:
    """A huge body is refused before it is parsed, and so is broken UTF-8."""
    for data in (b"c2sp.org/tlog-proof@v1\n" + bytes(1 << 20), b"\xff\n\n"):
        with pytest.raises(MalformedError):
            InclusionProof.decode(data, SHA256)


def test_consistency_proofs_have_a_json_form() -> None:
    """Old and new size and the path round trip; a shrinking or malformed one is refused."""
    made = ConsistencyProof(old=3, new=7, path=make(SM3).path)
    assert ConsistencyProof.from_json(made.to_json()) == made
    for change in ({"old": 8}, {"path": ["x"]}, {"path": [1]}, {"new": -1}, {"x": 1}):
        with pytest.raises(MalformedError):
            ConsistencyProof.from_json({**made.to_json(), **change})


@given(value=st.dictionaries(st.sampled_from(["checkpoint", "index", "path", "x"]), st.text()))
def test_json_is_total(value: dict[str, str]) -> None:
    """Any object is a proof or malformed."""
    with pytest.raises(MalformedError):
        InclusionProof.loads(dumps(value))
