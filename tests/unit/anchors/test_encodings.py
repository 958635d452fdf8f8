"""Keccak, RLP, trie proofs and TARS against other implementations, and on hostile bytes."""

import eth_hash.auto
import pytest
import rlp as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.anchors import receipts
from mifeng.audit.anchors import rlp, tars, trie
from mifeng.audit.anchors.keccak import keccak256
from mifeng.errors import MalformedError, PeerError

items = st.recursive(
    st.binary(max_size=80), lambda inner: st.lists(inner, max_size=6), max_leaves=12
)


@settings(deadline=None, max_examples=60)
@given(data=st.binary(max_size=600))
def test_keccak_is_what_another_implementation_computes(data: bytes) -> None:
    """Any length, across several blocks."""
    assert keccak256(data) == eth_hash.auto.keccak(data)


@settings(deadline=None)
@given(item=items)
def test_rlp_is_what_another_implementation_writes(item: rlp.Item) -> None:
    """Both ways."""
    encoded = rlp.encode(item)
    assert encoded == reference.encode(item)
    assert rlp.decode(encoded) == item


@settings(deadline=None)
@given(data=st.binary(max_size=120))
def test_rlp_has_one_spelling(data: bytes) -> None:
    """Any bytes are refused, or are the encoding of what they decode to."""
    try:
        item = rlp.decode(data)
    except MalformedError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 40, 127, 129, 300])
def test_every_receipt_of_a_block_is_proven(count: int) -> None:
    """The proof leads to this receipt, to no other, and not without any of its nodes."""
    bodies = [rlp.encode([b"%d" % number, bytes(number % 90)]) for number in range(count)]
    for index in {0, 1 % count, count // 2, count - 1}:
        root, nodes = receipts.prove(bodies, index)
        key = rlp.encode(rlp.number(index))
        assert trie.included(root, key, nodes) == bodies[index]
        for at in range(len(nodes)):
            with pytest.raises(PeerError):
                trie.included(root, key, (*nodes[:at], *nodes[at + 1 :]))
        with pytest.raises(PeerError):
            trie.included(root, key, (*nodes, nodes[0]))
        with pytest.raises(PeerError):
            trie.included(root, rlp.encode(rlp.number(count)), nodes)


def test_the_root_of_no_block_of_ours() -> None:
    """A published vector: the trie of doe → reindeer, dog → puppy, dogglesworth → cat.

    Source: ethereum/tests TrieTests/trieanyorder.json, "singleItem" and "dogs".
    """
    single = [b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
    node = rlp.encode([receipts._prefix(receipts._nibbles(b"A"), leaf=True), single[0]])
    root = "d23786fb4a010da3ce639d66d5e904a11dbc02746d1ce25029e53290cabf28ab"
    assert keccak256(node).hex() == root
    assert trie.included(bytes.fromhex(root), b"A", [node]) == single[0]


@settings(deadline=None)
@given(data=st.binary(max_size=200), key=st.binary(max_size=8))
def test_a_hostile_node_is_an_error_of_ours(data: bytes, key: bytes) -> None:
    """Whatever a node holds, even under the right hash."""
    with pytest.raises(PeerError):
        trie.included(keccak256(data), key, [data])
        raise PeerError("a leaf by chance")


fields = st.dictionaries(
    st.integers(0, 40),
    st.one_of(
        st.integers(-(2**63), 2**63 - 1),
        st.text(min_size=1, max_size=300),
        st.binary(min_size=1, max_size=300),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(record=st.dictionaries(st.integers(0, 40), st.one_of(fields, st.just("x")), max_size=4))
def test_tars_reads_what_it_writes(record: dict[int, tars.Value]) -> None:
    """Records of records, integers of every width, long strings."""
    assert tars.decode(tars.encode(record)) == record


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_tars_is_total(data: bytes) -> None:
    """Any bytes are a record or an error of ours."""
    try:
        tars.decode(data)
    except MalformedError:
        return
