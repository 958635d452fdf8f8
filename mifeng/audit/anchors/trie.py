"""Proofs of inclusion in a Merkle-Patricia trie, as block headers commit to receipts.

Source: Ethereum Yellow Paper, appendices C and D.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from mifeng.errors import MalformedError, PeerError

from . import rlp
from .keccak import keccak256
from .rlp import Item

MAX_NODES: Final = 64
_HASH: Final = 32
_BRANCH: Final = 17
_PAIR: Final = 2


def included(root: bytes, key: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the value that the trie under `root` has at `key`, as the proof shows.

    Args:
        root: 32 bytes, believed.
        key: where.
        proof: untrusted; the hashed nodes from the root down.

    Raises:
        MalformedError: a node is none.
        PeerError: the proof does not lead from the root to a value at this key, and nowhere else.
    """
    nibbles = [part for byte in key for part in (byte >> 4, byte & 15)]
    nodes = iter(proof[:MAX_NODES])
    node = _hashed(root, nodes)
    while True:
        if len(node) == _BRANCH:
            if not nibbles:
                return _end(node[16], nodes)
            following = node[nibbles.pop(0)]
        elif len(node) == _PAIR:
            path, leaf = _path(node[0])
            if nibbles[: len(path)] != path or (leaf and len(nibbles) != len(path)):
                raise PeerError("trie: the proof is of another key")
            del nibbles[: len(path)]
            if leaf:
                return _end(node[1], nodes)
            following = node[1]
        else:
            raise MalformedError("trie: not a node")
        node = following if isinstance(following, list) else _hashed(following, nodes)


def _hashed(digest: bytes, nodes: Iterator[bytes]) -> list[Item]:
    if len(digest) != _HASH:
        raise PeerError("trie: nothing at this key")
    raw = next(nodes, None)
    if raw is None or keccak256(raw) != digest:
        raise PeerError("trie: a node is not the one above it names")
    return rlp.decode_list(raw, "trie node")


def _end(value: Item, nodes: Iterator[bytes]) -> bytes:
    if not isinstance(value, bytes) or not value:
        raise PeerError("trie: no value at this key")
    if next(nodes, None) is not None:
        raise PeerError("trie: more nodes than the path has")
    return value


def _path(item: Item) -> tuple[list[int], bool]:
    """Return nibbles and whether they end in a leaf, from a hex-prefix string."""
    raw = rlp.text(item, "trie path")
    if not raw or raw[0] >> 4 > 3 or (not raw[0] & 0x10 and raw[0] & 15):  # noqa: PLR2004 - flags
        raise MalformedError("trie path: not in hex-prefix form")
    nibbles = [part for byte in raw for part in (byte >> 4, byte & 15)]
    return nibbles[1 if raw[0] & 0x10 else 2 :], bool(raw[0] & 0x20)
