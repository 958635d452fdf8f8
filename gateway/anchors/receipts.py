"""From what a node says about a block to bytes that prove a receipt by themselves.

Header and receipts come as JSON; here they are encoded again as the chain hashes them, the trie of
receipts is rebuilt, and the nodes on the way to one of them are kept. What does not hash to what
the node says is refused, so a record that cannot be verified is never made.

Source: Ethereum Yellow Paper §4.3, §4.4, appendices B to D; EIP-2718, 1559, 4895, 4844, 4788, 7685.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mifeng.audit.anchors import rlp
from mifeng.audit.anchors.rlp import ItemInput

from .ethereum import keccak
from .kinds import AnchorUnavailableError

_HEADER: Final = [
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
]
"""In the order in which they are hashed; what a block does not have is left out."""
_SCALARS: Final = frozenset(
    [
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "baseFeePerGas",
        "blobGasUsed",
        "excessBlobGas",
    ]
)
_HASH: Final = 32
Node = list[ItemInput]


def raw(text: Any) -> bytes:  # noqa: ANN401 - a node's word
    """Return the bytes of a `0x…` string; raises `AnchorUnavailableError`."""
    try:
        return bytes.fromhex(str(text).removeprefix("0x"))
    except ValueError as exc:
        raise AnchorUnavailableError("rpc", "not hexadecimal") from exc


def scalar(text: Any) -> int:  # noqa: ANN401 - a node's word
    """Return the number of a `0x…` string; raises `AnchorUnavailableError`."""
    try:
        return int(str(text), 16)
    except ValueError as exc:
        raise AnchorUnavailableError("rpc", "not a number") from exc


def header(block: Mapping[str, Any]) -> bytes:
    """Return a block's header as it is hashed.

    Raises:
        AnchorUnavailableError: it does not have the block's hash: a form that is not known here.
    """
    fields: list[ItemInput] = []
    for name in _HEADER:
        if block.get(name) is not None:
            value = block[name]
            fields.append(rlp.number(scalar(value)) if name in _SCALARS else raw(value))
    encoded = rlp.encode(fields)
    if keccak(encoded) != raw(block["hash"]):
        raise AnchorUnavailableError("evm.header", "the header does not have the block's hash")
    return encoded


def receipt(document: Mapping[str, Any]) -> bytes:
    """Return a receipt as the trie holds it."""
    logs: list[ItemInput] = [
        [raw(log["address"]), [raw(topic) for topic in log["topics"]], raw(log["data"])]
        for log in document["logs"]
    ]
    body = rlp.encode(
        [
            rlp.number(scalar(document["status"])),
            rlp.number(scalar(document["cumulativeGasUsed"])),
            raw(document["logsBloom"]),
            logs,
        ]
    )
    kind = scalar(document.get("type") or "0x0")
    return bytes([kind]) + body if kind else body


def prove(receipts: Sequence[bytes], index: int) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the root over a block's receipts, and the nodes that lead to one of them."""
    items = sorted(
        (_nibbles(rlp.encode(rlp.number(number))), value) for number, value in enumerate(receipts)
    )
    path = _nibbles(rlp.encode(rlp.number(index)))
    nodes: list[bytes] = []
    root = _build(items, 0, path, nodes)
    encoded = rlp.encode(root)
    return keccak(encoded), (encoded, *reversed(nodes))


def _nibbles(key: bytes) -> tuple[int, ...]:
    return tuple(part for byte in key for part in (byte >> 4, byte & 15))


def _prefix(nibbles: Sequence[int], *, leaf: bool) -> bytes:
    """Return the hex-prefix form."""
    odd = len(nibbles) % 2
    padded = ((2 if leaf else 0) + odd, *(() if odd else (0,)), *nibbles)
    return bytes(a << 4 | b for a, b in zip(padded[::2], padded[1::2], strict=True))


def _build(
    items: Sequence[tuple[tuple[int, ...], bytes]],
    depth: int,
    path: tuple[int, ...] | None,
    nodes: list[bytes],
) -> Node:
    """Return a node; hashed nodes below it on `path`, if it is on it, go to `nodes`, deepest first.

    Args:
        items: key and value of everything below, ascending.
        depth: nibbles above.
        path: key that is proven, None off its way.
        nodes: collects.
    """
    first, last = items[0][0], items[-1][0]
    if len(items) == 1:
        return [_prefix(first[depth:], leaf=True), items[0][1]]
    shared = depth
    while shared < len(first) and first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        below = _reference(items, shared, path, nodes)
        return [_prefix(first[depth:shared], leaf=False), below]
    branch: Node = [b""] * 17
    for nibble in range(16):
        group = [item for item in items if len(item[0]) > depth and item[0][depth] == nibble]
        if group:
            on = path if path is not None and path[depth] == nibble else None
            branch[nibble] = _reference(group, depth + 1, on, nodes)
    branch[16] = next((value for key, value in items if len(key) == depth), b"")
    return branch


def _reference(
    items: Sequence[tuple[tuple[int, ...], bytes]],
    depth: int,
    path: tuple[int, ...] | None,
    nodes: list[bytes],
) -> ItemInput:
    node = _build(items, depth, path, nodes)
    encoded = rlp.encode(node)
    if len(encoded) < _HASH:
        return node
    if path is not None:
        nodes.append(encoded)
    return keccak(encoded)
