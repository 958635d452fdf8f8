"""Anchor `evm`: a contract on an EVM chain that only appends.

    prepare: sign a transaction            kept before it is sent; the same one is sent again
    submit:  mined? → confirmed? → header, receipt and trie nodes;  else send, and look again

The contract takes each size once, so sending again records nothing twice. One transaction is under
way at a time. If somebody else with the same key has recorded this very note, that is our record
too; if the contract holds a larger tree but not this one, the note is refused for good.

Source: docs/spec/anchor.md §4; EIP-1559; EIP-155.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from mifeng.audit.anchors import evm as verifying
from mifeng.audit.anchors.calls import EVENT, LATEST, Entry, word
from mifeng.protocol.jsonc import Json

from . import receipts
from .ethereum import Account, keccak
from .kinds import (
    AnchorPendingError,
    AnchorRefusedError,
    AnchorStuckError,
    AnchorUnavailableError,
    Note,
)
from .receipts import raw, scalar
from .rpc import Node, RpcError

Fees: TypeAlias = Literal["eip1559", "legacy"]
_GWEI: Final = 10**9
_BUMP: Final = (9, 8)
"""A replacement must pay an eighth more than what it replaces."""
_GAS_SPARE: Final = (6, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """Where notes are recorded."""

    chain_id: int
    address: bytes
    confirmations: int
    """Blocks above the one that holds the transaction, before it counts."""
    fees: Fees
    max_fee_gwei: int
    """Per unit of gas; above it, the note waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvmAnchor:
    """See the module; implements `kinds.Anchor`."""

    name: str
    node: Node
    contract: Contract
    key: bytes = field(repr=False)
    """Private key of the contract's owner, 32 bytes."""
    kind: str = "evm"

    def close(self) -> None:
        """Release connections."""
        self.node.close()

    def prepare(self, note: Note, old: bytes) -> bytes:
        """Return a signed transaction, with those it replaces; see `kinds.Anchor`."""
        if scalar(self._ask("eth_chainId")) != self.contract.chain_id:
            raise AnchorUnavailableError("evm.chain", "the node is of another chain")
        entry = Entry.of(note.data, note.claim)
        if self._latest(entry) >= entry.size:
            return json.dumps({"raws": []}).encode()
        earlier = json.loads(old)["raws"] if old else []
        account = Account.from_key(self.key)
        count = scalar(self._ask("eth_getTransactionCount", account.address, "latest"))
        call = {
            "from": account.address,
            "to": _hex(self.contract.address),
            "data": _hex(entry.call()),
        }
        gas = scalar(self._ask("eth_estimateGas", call, "latest")) * _GAS_SPARE[0] // _GAS_SPARE[1]
        transaction: dict[str, Any] = {
            "chainId": self.contract.chain_id,
            "nonce": count,
            "to": self.contract.address,
            "data": call["data"],
            "value": 0,
            "gas": gas,
            **self._fees(len(earlier)),
        }
        signed = account.sign_transaction(transaction)
        return json.dumps({"raws": [signed.raw_transaction.hex(), *earlier][:8]}).encode()

    def submit(self, note: Note, ticket: bytes) -> dict[str, Json]:
        """Look for the transaction, send it if it is nowhere; see `kinds.Anchor`."""
        raws = [bytes.fromhex(each) for each in json.loads(ticket)["raws"]]
        for each in raws:
            found = self._ask("eth_getTransactionReceipt", _hex(keccak(each)))
            if found is not None and scalar(found["status"]) == 1:
                return self._shown(found, each)
        entry = Entry.of(note.data, note.claim)
        if self._latest(entry) >= entry.size:
            return self._recorded(entry)
        if not raws:
            raise AnchorStuckError("evm.gone", "the chain does not have it any more")
        self._send(raws[0])
        raise AnchorPendingError("evm.pending", "sent")

    def _ask(self, method: str, *params: object) -> Any:  # noqa: ANN401 - whatever was asked
        try:
            return self.node.ask(method, *params)
        except RpcError as exc:
            if method == "eth_estimateGas" and exc.reverted:
                raise AnchorRefusedError("evm.reverts", str(exc)) from exc
            raise AnchorUnavailableError("evm.rpc", str(exc)) from exc

    def _latest(self, entry: Entry) -> int:
        call = {"to": _hex(self.contract.address), "data": _hex(LATEST + entry.origin)}
        answer = raw(self._ask("eth_call", call, "latest"))
        if len(answer) != 32:  # noqa: PLR2004 - a word
            raise AnchorRefusedError("evm.contract", "there is no such contract")
        return int.from_bytes(answer, "big")

    def _fees(self, replaced: int) -> dict[str, int]:
        bump, per = _BUMP[0] ** replaced, _BUMP[1] ** replaced
        if self.contract.fees == "legacy":
            fees = {"gasPrice": scalar(self._ask("eth_gasPrice")) * bump // per + bool(replaced)}
        else:
            block = self._ask("eth_getBlockByNumber", "latest", False)  # noqa: FBT003 - JSON
            base = scalar(block.get("baseFeePerGas") or "0x0")
            tip = self._tip() * bump // per + bool(replaced)
            fees = {"maxFeePerGas": 2 * base + tip, "maxPriorityFeePerGas": tip}
        if max(fees.values()) > self.contract.max_fee_gwei * _GWEI:
            raise AnchorUnavailableError("evm.fees", "gas costs more than max_fee_gwei")
        return fees

    def _tip(self) -> int:
        try:
            return scalar(self.node.ask("eth_maxPriorityFeePerGas"))
        except RpcError:  # not every chain has it
            return _GWEI

    def _send(self, transaction: bytes) -> None:
        try:
            self.node.ask("eth_sendRawTransaction", _hex(transaction))
        except RpcError as exc:
            text = str(exc).lower()
            if "already known" in text or "already imported" in text:
                return
            if "nonce" in text or "underpriced" in text:
                raise AnchorStuckError("evm.nonce", str(exc)) from exc
            raise AnchorUnavailableError("evm.send", str(exc)) from exc

    def _recorded(self, entry: Entry) -> dict[str, Json]:
        """Return the proof of a transaction that another process of ours sent."""
        query = {
            "address": _hex(self.contract.address),
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": [_hex(EVENT), _hex(entry.origin), _hex(word(entry.size))],
        }
        for log in self._ask("eth_getLogs", query):
            if raw(log["data"]) == entry.root + entry.note:
                found = self._ask("eth_getTransactionReceipt", log["transactionHash"])
                if found is not None:
                    return self._shown(found, b"")
        raise AnchorRefusedError("evm.passed", "the contract holds another note, or a larger tree")

    def _block(self, found: dict[str, Any]) -> dict[str, Any]:
        """Return the block of a receipt once it has its confirmations."""
        number = scalar(found["blockNumber"])
        if scalar(self._ask("eth_blockNumber")) < number + self.contract.confirmations:
            raise AnchorPendingError("evm.confirming", "mined, not deep enough yet")
        block: dict[str, Any] = self._ask("eth_getBlockByNumber", hex(number), False) or {}  # noqa: FBT003
        if block.get("hash") != found["blockHash"]:
            raise AnchorPendingError("evm.reorganised", "its block is not on the chain any more")
        return block

    def _shown(self, found: dict[str, Any], transaction: bytes) -> dict[str, Json]:
        """Return the proof for a transaction that succeeded."""
        del transaction
        block = self._block(found)
        encoded = receipts.header(block)
        try:
            every = self.node.ask("eth_getBlockReceipts", block["number"])
        except RpcError:  # older nodes: one by one
            every = [self._ask("eth_getTransactionReceipt", each) for each in block["transactions"]]
        bodies = [receipts.receipt(each) for each in every]
        index = scalar(found["transactionIndex"])
        root, nodes = receipts.prove(bodies, index)
        if root != raw(block["receiptsRoot"]):
            raise AnchorUnavailableError("evm.receipts", "receipts do not have the block's root")
        return verifying.Proof(
            chain_id=self.contract.chain_id,
            contract=self.contract.address,
            transaction=raw(found["transactionHash"]),
            header=encoded,
            index=index,
            receipt=bodies[index],
            nodes=nodes,
        ).document()


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
