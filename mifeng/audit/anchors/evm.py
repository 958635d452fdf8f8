"""Verify an anchor on an EVM chain offline: from a block's header to the contract's event.

    header  --hash-->  block hash           the one thing that must be believed: pinned
    header.receiptsRoot  --trie proof-->  receipt of the transaction
    receipt: succeeded, holds an event of the pinned contract with exactly our four words

Everything but one thing follows from the record: that this block is on the chain. A trust file
pins the hash of the block, or what was proven stays unpinned and is reported as such.

Source: docs/spec/anchor.md §4; Ethereum Yellow Paper §4.3, §4.4; EIP-2718, EIP-1559.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from mifeng.errors import MalformedError, PeerError
from mifeng.protocol.jsonc import Fields, Json, from_base64, to_base64

from . import rlp, trie
from .calls import EVENT, Entry
from .keccak import keccak256
from .record import AnchorRecord
from .rlp import Item

ADDRESS: Final = 20
_HASH: Final = 32
_MAX_HEADER: Final = 4096
_MAX_RECEIPT: Final = 256 << 10
_MAX_NODE: Final = 256 << 10
_HEADER_FIELDS: Final = 15
_RECEIPTS_ROOT: Final = 5
_NUMBER: Final = 8
_TIME: Final = 11
_TYPED: Final = 0x80
_SUCCEEDED: Final = b"\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """`proof` of kind `evm`."""

    chain_id: int
    contract: bytes
    transaction: bytes
    """Hash, for whoever looks it up; nothing here depends on it."""
    header: bytes
    index: int
    """Of the transaction in its block."""
    receipt: bytes
    nodes: tuple[bytes, ...]

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {
            "chain_id": self.chain_id,
            "contract": self.contract.hex(),
            "transaction": self.transaction.hex(),
            "header": to_base64(self.header),
            "index": self.index,
            "receipt": to_base64(self.receipt),
            "nodes": [to_base64(node) for node in self.nodes],
        }

    @classmethod
    def of(cls, record: AnchorRecord) -> Self:
        """Return the proof in a record; raises `MalformedError`."""
        fields = Fields(record.proof, "anchor.proof")
        proof = cls(
            chain_id=fields.integer("chain_id", low=1),
            contract=fields.hex("contract", ADDRESS),
            transaction=fields.hex("transaction", _HASH),
            header=fields.base64("header", limit=_MAX_HEADER),
            index=fields.integer("index", high=1 << 20),
            receipt=fields.base64("receipt", limit=_MAX_RECEIPT),
            nodes=tuple(_node(node) for node in fields.array("nodes", limit=trie.MAX_NODES)),
        )
        fields.end()
        return proof


def _node(value: object) -> bytes:
    raw = from_base64(value) if isinstance(value, str) else None
    if raw is None or len(raw) > _MAX_NODE:
        raise MalformedError("anchor.proof: nodes are not base64")
    return raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the record proves by itself."""

    block: int
    block_hash: bytes
    time: int
    """Unix seconds of the block."""
    chain_id: int
    contract: bytes


def verify(record: AnchorRecord) -> Shown:
    """Return the block in which the contract recorded this note.

    Does not show that the block is on any chain: compare its hash with one that is believed. Nor
    does a header name its chain: the chain id is the record's word until then.

    Raises:
        MalformedError: something does not parse.
        PeerError: the proof does not carry the claim.
    """
    proof = Proof.of(record)
    header = rlp.decode_list(proof.header, "block header")
    if len(header) < _HEADER_FIELDS:
        raise MalformedError("block header: too few fields")
    root = rlp.text(header[_RECEIPTS_ROOT], "receiptsRoot", size=_HASH)
    value = trie.included(root, rlp.encode(rlp.number(proof.index)), proof.nodes)
    if value != proof.receipt:
        raise PeerError("anchor: the trie holds another receipt")
    wanted = Entry.of(record.note, record.claim)
    if wanted not in _recorded(proof.receipt, proof.contract):
        raise PeerError("anchor: the receipt holds no event of the contract about this note")
    return Shown(
        block=rlp.integer(header[_NUMBER], "block number"),
        block_hash=keccak256(proof.header),
        time=rlp.integer(header[_TIME], "block time"),
        chain_id=proof.chain_id,
        contract=proof.contract,
    )


def _recorded(receipt: bytes, contract: bytes) -> list[Entry]:
    """Return what a contract recorded in a transaction that succeeded."""
    payload = receipt[1:] if receipt and receipt[0] < _TYPED else receipt
    fields = rlp.decode_list(payload, "receipt")
    if len(fields) != 4 or not isinstance(fields[3], list):  # noqa: PLR2004 - status … logs
        raise MalformedError("receipt: not four fields")
    if fields[0] != _SUCCEEDED:
        raise PeerError("anchor: the transaction did not succeed")
    return [entry for log in fields[3] for entry in _event(log, contract)]


def _event(log: Item, contract: bytes) -> list[Entry]:
    match log:
        case [bytes() as address, list() as topics, bytes() as data]:
            pass
        case _:
            raise MalformedError("receipt: a log is not address, topics, data")
    if address != contract or len(topics) != 3 or topics[0] != EVENT:  # noqa: PLR2004
        return []
    words = [rlp.text(topic, "topic", size=_HASH) for topic in topics[1:]]
    return [Entry.from_words(b"".join((*words, data)))]


def pinned(shown: Shown, blocks: Mapping[int, bytes]) -> bool:
    """Whether the block is one that is believed; raises `PeerError` if another is in its place."""
    known = blocks.get(shown.block)
    if known is not None and known != shown.block_hash:
        raise PeerError(f"anchor: block {shown.block} is another one on the chain")
    return known is not None
