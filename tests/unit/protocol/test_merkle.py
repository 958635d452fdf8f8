"""Merkle hashing and proofs, against roots and implementations that are not ours."""

import pymerkle
import pytest

from mifeng.errors import MalformedError
from mifeng.protocol import merkle
from mifeng.protocol.merkle import SHA256, SM3, Digest, HashWorld

# Eight entries and the roots of their first n, as typed in the test suites of the RFC 6962
# implementations (certificate-transparency-go, transparency-dev/merkle testonly).
ENTRIES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def tree(world: HashWorld, entries: list[bytes]) -> tuple[merkle.Frontier, merkle.GetHash]:
    """Return the frontier of a tree and a reader of its subtrees."""
    hashes = world.leaf_hashes(entries)
    frontier, done = merkle.extend(world, (), 0, hashes)
    nodes = {(0, i): digest for i, digest in enumerate(hashes)}
    nodes |= {(node.level, node.index): node.digest for node in done}
    return frontier, lambda level, index: nodes[level, index]


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size: int) -> None:
    """Roots are those that other RFC 6962 implementations publish."""
    frontier, _ = tree(SHA256, [bytes.fromhex(entry) for entry in ENTRIES[:size]])
    assert merkle.root(SHA256, frontier).hex() == ROOTS[size]


def test_known_proofs_of_the_rfc_9162_example() -> None:
    """Paths over seven leaves name the nodes that RFC 9162 §2.1.5 draws."""
    entries = [b"d%d" % i for i in range(7)]
    _, get = tree(SHA256, entries)
    a, b, c, d, e, f, j = (get(0, i) for i in range(7))
    g, h, i = get(1, 0), get(1, 1), get(1, 2)
    k, l = get(2, 0), SHA256.node_hash(i, j)  # noqa: E741 -- the letters are the RFC's
    assert [a, d, e, f] == [get(0, 0), get(0, 3), get(0, 4), get(0, 5)]

    def inclusion(index: int) -> list[Digest]:
        return merkle.inclusion_path(SHA256, get, index=index, size=7)

    def consistency(old: int) -> list[Digest]:
        return merkle.consistency_path(SHA256, get, old=old, new=7)

    assert inclusion(0) == [b, h, l]
    assert inclusion(3) == [c, g, l]
    assert inclusion(4) == [f, j, k]
    assert inclusion(6) == [i, k]
    assert consistency(3) == [c, d, g, l]
    assert consistency(4) == [l]
    assert consistency(6) == [i, j, k]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 40, 100])
def test_pymerkle_makes_the_same_tree(size: int) -> None:
    """An independent RFC 9162 implementation computes our roots and makes our proofs."""
    entries = [b"entry %d" % i for i in range(size)]
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in entries:
        theirs.append_entry(entry)
    frontier, get = tree(SHA256, entries)
    assert merkle.root(SHA256, frontier) == theirs.get_root()
    for index in range(size):
        ours = merkle.inclusion_path(SHA256, get, index=index, size=size)
        proof = theirs.prove_inclusion(index + 1)
        assert proof.path[1:] == ours
        proof.path[1:] = ours
        pymerkle.verify_inclusion(SHA256.leaf_hash(entries[index]), theirs.get_root(), proof)
    for old in range(1, size):
        ours = merkle.consistency_path(SHA256, get, old=old, new=size)
        old_root = theirs.get_root(old)
        roots = merkle.roots_from_consistency(
            SHA256, old=old, new=size, old_root=Digest(old_root), path=ours
        )
        assert roots == (old_root, theirs.get_root())


def test_worlds_differ_only_in_their_hash() -> None:
    """The SM3 tree over the standard's example entry has the root SM3 of 0x00 ‖ "abc" gives."""
    frontier, _ = tree(SM3, [b"abc"])
    assert merkle.root(SM3, frontier) == SM3.digest(b"\0abc")
    # GB/T 32905-2016, example 1.
    expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert SM3.digest(b"abc").hex() == expected
    assert SM3.empty_root != SHA256.empty_root
    assert {"sm3", "sha256"} == set(merkle.WORLDS)


def test_sizes_out_of_range_are_refused() -> None:
    """Leaves outside the tree and trees larger than we name are malformed."""
    digest = Digest(bytes(32))
    for index, size in ((0, 0), (1, 1), (-1, 1), (0, merkle.MAX_SIZE + 1)):
        with pytest.raises(MalformedError):
            merkle.root_from_inclusion(SHA256, digest, index=index, size=size, path=[])
    for old, new in ((0, 1), (2, 1), (1, 1), (-1, 4), (1, merkle.MAX_SIZE + 1)):
        with pytest.raises(MalformedError):
            merkle.roots_from_consistency(SHA256, old=old, new=new, old_root=digest, path=[digest])
    for low, count, size in ((0, 0, 1), (0, 2, 1), (-1, 1, 1)):
        with pytest.raises(MalformedError):
            merkle.root_from_range(SHA256, [digest] * count, low=low, size=size, path=[])


def test_a_range_with_a_wrong_path_is_refused_or_implies_another_root() -> None:
    """A missing or foreign digest beside a range never implies the root."""
    entries = [b"%d" % i for i in range(13)]
    frontier, get = tree(SHA256, entries)
    good = merkle.range_path(get, low=3, high=9, size=13)
    leaves = SHA256.leaf_hashes(entries[3:9])
    for at in range(len(good)):
        with pytest.raises(MalformedError):
            merkle.root_from_range(SHA256, leaves, low=3, size=13, path=good[:at] + good[at + 1 :])
        bent = [*good[:at], Digest(bytes(32)), *good[at + 1 :]]
        implied = merkle.root_from_range(SHA256, leaves, low=3, size=13, path=bent)
        assert implied != merkle.root(SHA256, frontier)
