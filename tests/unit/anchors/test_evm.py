"""What a chain's node says when asked for gas: what ends a note, and what is asked again."""

import json

import httpx
import pytest

from gateway.anchors.evm import Contract, EvmAnchor
from gateway.anchors.kinds import AnchorError, AnchorRefusedError, AnchorUnavailableError, Note
from gateway.anchors.rpc import Node
from tests.unit.audit.made import Made


def anchor_of(error: dict[str, object]) -> EvmAnchor:
    """Return an anchor whose node answers `eth_estimateGas` with an error. SIMULATED."""

    def answer(request: httpx.Request) -> httpx.Response:
        said: dict[str, object] = {"jsonrpc": "2.0", "id": 1}
        match json.loads(request.content)["method"]:
            case "eth_estimateGas":
                said["error"] = error
            case "eth_call":
                said["result"] = "0x" + "00" * 32
            case _:
                said["result"] = "0x1"
        return httpx.Response(200, json=said)

    node = Node("http://chain.example", timeout_s=1)
    node._provider._client = httpx.Client(transport=httpx.MockTransport(answer))
    contract = Contract(
        chain_id=1, address=bytes(20), confirmations=1, fees="legacy", max_fee_gwei=1
    )
    return EvmAnchor(name="c", node=node, contract=contract, key=bytes(31) + b"\x01")


@pytest.mark.parametrize(
    ("code", "message", "refused"),
    [
        (3, "execution reverted: NotOwner()", True),
        (3, "", True),
        (-32000, "Execution reverted", True),
        (-32603, "VM Exception while processing transaction: reverted with custom error", True),
        (-32000, "insufficient funds for gas * price + value: address 0x0 have 0 want 1", False),
        (-32000, "gas required exceeds allowance (0)", False),
        (-32005, "daily request count exceeded, request rate limited", False),
        (-32601, "the method eth_estimateGas does not exist/is not available", False),
        (0, "", False),
    ],
)
def test_only_a_revert_ends_a_note(code: int, message: str, *, refused: bool) -> None:
    """An empty account or a busy node is asked again later; a contract's no is for good."""
    log = Made()
    anchor = anchor_of({"code": code, "message": message})
    with pytest.raises(AnchorError) as caught:
        anchor.prepare(Note.of(log.note()), b"")
    assert type(caught.value) is (AnchorRefusedError if refused else AnchorUnavailableError)
    assert caught.value.code == ("anchor.evm.reverts" if refused else "anchor.evm.rpc")
    anchor.close()
