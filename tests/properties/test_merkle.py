"""Laws of the Merkle tree, against RFC 9162's own recursive definition."""

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.errors import MalformedError
from mifeng.protocol import merkle
from mifeng.protocol.merkle import SHA256, SM3, Digest, HashWorld

EXHAUSTIVE = 64
WORLDS = pytest.mark.parametrize("world", [SM3, SHA256], ids=lambda world: world.name)


@functools.cache
def leaves(world: HashWorld, size: int) -> tuple[Digest, ...]:
    """Return the leaf hashes of the entries numbered from 0."""
    return tuple(world.leaf_hash(b"entry %d" % i) for i in range(size))


@functools.cache
def mth(world: HashWorld, low: int, high: int) -> Digest:
    """Return MTH(D[low:high]) by the definition in RFC 9162 §2.1.1."""
    if high - low == 0:
        return Digest(world.digest(b""))
    if high - low == 1:
        return leaves(world, EXHAUSTIVE)[low]
    k = 1
    while k * 2 < high - low:
        k *= 2
    return Digest(world.digest(b"\1" + mth(world, low, low + k) + mth(world, low + k, high)))


def path(world: HashWorld, m: int, low: int, high: int) -> list[Digest]:
    """Return PATH(m, D[low:high]) by the definition in RFC 9162 §2.1.3.1."""
    if high - low <= 1:
        return []
    k = 1
    while k * 2 < high - low:
        k *= 2
    if m < k:
        return [*path(world, m, low, low + k), mth(world, low + k, high)]
    return [*path(world, m - k, low + k, high), mth(world, low, low + k)]


def subproof(world: HashWorld, m: int, low: int, high: int, *, whole: bool) -> list[Digest]:
    """Return SUBPROOF(m, D[low:high], b) by the definition in RFC 9162 §2.1.4.1."""
    if m == high - low:
        return [] if whole else [mth(world, low, high)]
    k = 1
    while k * 2 < high - low:
        k *= 2
    if m <= k:
        left = subproof(world, m, low, low + k, whole=whole)
        return [*left, mth(world, low + k, high)]
    right = subproof(world, m - k, low + k, high, whole=False)
    return [*right, mth(world, low, low + k)]


def reader(world: HashWorld) -> merkle.GetHash:
    """Return a hash reader that knows perfect subtrees only."""
    return lambda level, index: mth(world, index << level, (index + 1) << level)


@WORLDS
def test_roots_are_those_of_the_definition(world: HashWorld) -> None:
    """Pushing leaves one at a time gives MTH at every size up to 64."""
    frontier: merkle.Frontier = ()
    for size in range(EXHAUSTIVE):
        assert merkle.root(world, frontier) == mth(world, 0, size)
        assert merkle.root_at(world, reader(world), size) == mth(world, 0, size)
        frontier = merkle.push(world, frontier, size, leaves(world, EXHAUSTIVE)[size])
    assert merkle.root(world, frontier) == mth(world, 0, EXHAUSTIVE)


@WORLDS
def test_batches_extend_as_single_pushes_do(world: HashWorld) -> None:
    """Any split into two batches gives the same frontier, and completes the same subtrees."""
    everything = leaves(world, EXHAUSTIVE)
    for cut in range(EXHAUSTIVE + 1):
        first, done = merkle.extend(world, (), 0, everything[:cut])
        whole, more = merkle.extend(world, first, cut, everything[cut:])
        assert merkle.root(world, whole) == mth(world, 0, EXHAUSTIVE)
        assert merkle.root(world, first) == mth(world, 0, cut)
        nodes = {(n.level, n.index): n.digest for n in (*done, *more)}
        assert len(nodes) == len(done) + len(more) == EXHAUSTIVE - 1
        assert all(digest == reader(world)(*at) for at, digest in nodes.items())


@WORLDS
def test_every_inclusion_proof_is_the_definitions(world: HashWorld) -> None:
    """All (index, size) up to 64: the path is PATH and implies MTH."""
    for size in range(1, EXHAUSTIVE + 1):
        for index in range(size):
            proof = merkle.inclusion_path(world, reader(world), index=index, size=size)
            assert proof == path(world, index, 0, size)
            leaf = leaves(world, EXHAUSTIVE)[index]
            implied = merkle.root_from_inclusion(world, leaf, index=index, size=size, path=proof)
            assert implied == mth(world, 0, size)


@WORLDS
def test_every_consistency_proof_is_the_definitions(world: HashWorld) -> None:
    """All (old, new) up to 64: the path is PROOF and implies both roots."""
    for new in range(1, EXHAUSTIVE + 1):
        assert merkle.consistency_path(world, reader(world), old=0, new=new) == []
        assert merkle.consistency_path(world, reader(world), old=new, new=new) == []
        for old in range(1, new):
            proof = merkle.consistency_path(world, reader(world), old=old, new=new)
            assert proof == subproof(world, old, 0, new, whole=True)
            old_root = mth(world, 0, old)
            roots = merkle.roots_from_consistency(
                world, old=old, new=new, old_root=old_root, path=proof
            )
            assert roots == (old_root, mth(world, 0, new))


def test_every_range_proof_implies_the_root() -> None:
    """All 0 ≤ low < high ≤ size ≤ 33: the leaves and the subtrees beside them make the root."""
    everything = leaves(SHA256, EXHAUSTIVE)
    for size in range(1, 34):
        for low in range(size):
            for high in range(low + 1, size + 1):
                proof = merkle.range_path(reader(SHA256), low=low, high=high, size=size)
                implied = merkle.root_from_range(
                    SHA256, everything[low:high], low=low, size=size, path=proof
                )
                assert implied == mth(SHA256, 0, size)


@given(size=st.integers(1, EXHAUSTIVE), data=st.data())
def test_a_bent_inclusion_proof_implies_another_root(size: int, data: st.DataObject) -> None:
    """A wrong leaf, index, length or digest never implies the root it was made for."""
    index = data.draw(st.integers(0, size - 1))
    proof = path(SHA256, index, 0, size)
    leaf = leaves(SHA256, EXHAUSTIVE)[index]
    wrong_index = data.draw(st.integers(0, size - 1).filter(lambda i: i != index) | st.none())
    bent: list[tuple[Digest, int, list[Digest]]] = [
        (SHA256.leaf_hash(b"other"), index, proof),
        (leaf, index, [*proof, leaf]),
        (leaf, index, [leaf, *proof]),
    ]
    if wrong_index is not None:
        bent.append((leaf, wrong_index, proof))
    for at in range(len(proof)):
        bent.append((leaf, index, proof[:at] + proof[at + 1 :]))
        flipped = Digest(bytes([proof[at][0] ^ 1]) + proof[at][1:])
        bent.append((leaf, index, [*proof[:at], flipped, *proof[at + 1 :]]))
    for case_leaf, case_index, case_path in bent:
        try:
            implied = merkle.root_from_inclusion(
                SHA256, case_leaf, index=case_index, size=size, path=case_path
            )
        except MalformedError:
            continue
        assert implied != mth(SHA256, 0, size)


@given(new=st.integers(2, EXHAUSTIVE), data=st.data())
def test_a_bent_consistency_proof_does_not_imply_both_roots(new: int, data: st.DataObject) -> None:
    """Every dropped, flipped, added or swapped digest changes at least one implied root."""
    old = data.draw(st.integers(1, new - 1))
    proof = subproof(SHA256, old, 0, new, whole=True)
    extra = SHA256.leaf_hash(b"extra")
    bent = [[*proof, extra], [extra, *proof], []]
    for at in range(len(proof)):
        bent.append(proof[:at] + proof[at + 1 :])
        bent.append(
            [*proof[:at], Digest(proof[at][:-1] + bytes([proof[at][-1] ^ 0x80])), *proof[at + 1 :]]
        )
    expected = (mth(SHA256, 0, old), mth(SHA256, 0, new))
    for case in bent:
        try:
            roots = merkle.roots_from_consistency(
                SHA256, old=old, new=new, old_root=expected[0], path=case
            )
        except MalformedError:
            continue
        assert roots != expected


@given(
    index=st.integers(-2, 2**64),
    size=st.integers(-2, 2**64),
    count=st.integers(0, 70),
)
def test_checks_are_total(index: int, size: int, count: int) -> None:
    """Any sizes and any number of digests either imply a root or are malformed."""
    digest = Digest(bytes(32))
    proof = [digest] * count
    for check in (
        lambda: merkle.root_from_inclusion(SHA256, digest, index=index, size=size, path=proof),
        lambda: merkle.roots_from_consistency(
            SHA256, old=index, new=size, old_root=digest, path=proof
        ),
        lambda: merkle.root_from_range(SHA256, [digest] * 3, low=index, size=size, path=proof),
    ):
        try:
            check()
        except MalformedError:
            continue
