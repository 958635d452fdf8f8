"""Anchor `fisco-bcos`: the same contract on a FISCO-BCOS 3 chain.

Chains without national cryptography take Ethereum transactions over their Web3 RPC: everything is
`EvmAnchor`'s but the proof, since their block headers are not Ethereum's. GM chains take
transactions of their own form, hashed by SM3 and signed by SM2, over their own JSON-RPC.

Source: docs/spec/anchor.md §5; FISCO-BCOS 3 JSON-RPC (getBlockNumber, call, sendTransaction,
getTransactionReceipt).
"""

from dataclasses import dataclass, field
from typing import Any, Final

from mifeng.audit.anchors import fisco as verifying
from mifeng.audit.anchors.calls import APPEND, LATEST, Entry
from mifeng.crypto import Sm2PrivateKey
from mifeng.crypto.randomness import random_bytes
from mifeng.protocol.jsonc import Json

from .evm import EvmAnchor
from .kinds import (
    AnchorPendingError,
    AnchorRefusedError,
    AnchorStuckError,
    AnchorUnavailableError,
    Note,
)
from .receipts import raw, scalar
from .rpc import Node, RpcError

LIFE_BLOCKS: Final = 500
"""How far ahead of the newest block a transaction's limit lies."""
_NONCE_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FiscoWeb3Anchor(EvmAnchor):
    """A chain without national cryptography."""

    group_id: str
    kind: str = "fisco-bcos"

    def _shown(self, found: dict[str, Any], transaction: bytes) -> dict[str, Json]:
        """Return the signed transaction: what the chain's own headers prove is not Ethereum's."""
        if not transaction:
            raise AnchorRefusedError("fisco.passed", "another transaction holds this note")
        block = self._block(found)
        return verifying.Proof(
            gm=False,
            chain_id=str(self.contract.chain_id),
            group_id=self.group_id,
            contract=self.contract.address,
            block=scalar(block["number"]),
            raw=transaction,
        ).document()


@dataclass(frozen=True, slots=True, kw_only=True)
class FiscoGmAnchor:
    """A chain with national cryptography; implements `kinds.Anchor`."""

    name: str
    node: Node
    chain_id: str
    group_id: str
    address: bytes
    sm3_selectors: bool
    """Whether the contract was compiled by a compiler for GM chains, which names functions by
    SM3; our own build names them by Keccak."""
    key: Sm2PrivateKey = field(repr=False)
    kind: str = "fisco-bcos"

    def close(self) -> None:
        """Release connections."""
        self.node.close()

    def prepare(self, note: Note, old: bytes) -> bytes:
        """Return a signed transaction; see `kinds.Anchor`."""
        del old
        entry = Entry.of(note.data, note.claim)
        data = verifying.TransactionData(
            chain_id=self.chain_id,
            group_id=self.group_id,
            block_limit=self._height() + LIFE_BLOCKS,
            nonce=str(int.from_bytes(random_bytes(_NONCE_BYTES), "big")),
            to="0x" + self.address.hex(),
            input=entry.call(verifying.APPEND_GM if self.sm3_selectors else APPEND),
        )
        return data.sign(self.key)

    def submit(self, note: Note, ticket: bytes) -> dict[str, Json]:
        """Look for the transaction, send it if it is nowhere; see `kinds.Anchor`."""
        made = verifying.parse(ticket)
        found = self._receipt(made.hash)
        if found is None:
            if self._height() > made.data.block_limit:
                raise AnchorStuckError("fisco.late", "its last block is over")
            self._ask("sendTransaction", "0x" + ticket.hex(), False)  # noqa: FBT003 - JSON
            raise AnchorPendingError("fisco.pending", "sent")
        if int(found.get("status", -1)) != 0:
            entry = Entry.of(note.data, note.claim)
            held = self._latest(entry)
            code = "fisco.passed" if held >= entry.size else "fisco.reverted"
            raise AnchorRefusedError(code, f"status {found.get('status')}")
        return verifying.Proof(
            gm=True,
            chain_id=self.chain_id,
            group_id=self.group_id,
            contract=self.address,
            block=int(found["blockNumber"]),
            raw=ticket,
        ).document()

    def _ask(self, method: str, *params: object) -> Any:  # noqa: ANN401 - whatever was asked
        try:
            return self.node.ask(method, self.group_id, "", *params)
        except RpcError as exc:
            raise AnchorUnavailableError("fisco.rpc", str(exc)) from exc

    def _height(self) -> int:
        height = self._ask("getBlockNumber")
        if not isinstance(height, int):
            raise AnchorUnavailableError("fisco.rpc", "not a block number")
        return height

    def _receipt(self, digest: bytes) -> dict[str, Any] | None:
        try:
            where = (self.group_id, "", "0x" + digest.hex())
            found = self.node.ask("getTransactionReceipt", *where, False)  # noqa: FBT003 - JSON
        except RpcError:  # that is how it says that there is none
            return None
        return found if isinstance(found, dict) else None

    def _latest(self, entry: Entry) -> int:
        selector = verifying.LATEST_GM if self.sm3_selectors else LATEST
        call = "0x" + (selector + entry.origin).hex()
        answer = self._ask("call", "0x" + self.address.hex(), call)
        return int.from_bytes(raw(answer.get("output", "0x")), "big")
