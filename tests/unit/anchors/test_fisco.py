"""GM transactions: against what the chain's own implementations compute, and bent byte by byte.

No live chain has seen what is made here (docs/anchoring.md §6).
"""

from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import yaml
from click.testing import CliRunner, Result

from gateway.anchors.config import AnchorsConfig
from gateway.anchors.fisco import FiscoGmAnchor
from gateway.anchors.kinds import (
    AnchorPendingError,
    AnchorRefusedError,
    AnchorStuckError,
    AnchorUnavailableError,
    Note,
)
from gateway.anchors.rpc import Node
from mifeng.audit.anchors import fisco, tars
from mifeng.audit.anchors.calls import APPEND, Entry
from mifeng.audit.anchors.keccak import keccak256
from mifeng.audit.anchors.record import AnchorRecord
from mifeng.cli import anchor as cli
from mifeng.crypto import SignatureError, Sm2PrivateKey, Sm2PublicKey, sm3
from mifeng.errors import MifengError, PeerError
from tests.unit.audit.made import Made

KEY = Sm2PrivateKey.generate()
CONTRACT = bytes.fromhex("6849f21d1e455e9f0712b1e99fa4fcd23758e8f1")


def argument(*texts: str) -> bytes:
    """Return call data of a function of three short strings, as the ABI lays it out."""
    heads = b"".join((0x60 + 0x40 * at).to_bytes(32, "big") for at in range(3))
    tails = b"".join(len(t).to_bytes(32, "big") + t.encode().ljust(32, b"\0") for t in texts)
    return bytes.fromhex("2fe99bdc") + heads + tails


def test_the_hash_covers_the_fields_in_the_chains_order() -> None:
    """The hash that FISCO-BCOS computes for a transaction of its own SDK's test.

    That chain hashes by Keccak; the bytes that are hashed are the same on GM chains. Source:
    FISCO-BCOS bcos-c-sdk, bindings/java/jni, Utility.java (hash 0x0359a5…).
    """
    data = fisco.TransactionData(
        chain_id="chain0",
        group_id="group0",
        block_limit=501,
        nonce="82456994196425209985513938878262806289094428076435270713862099506789849517246",
        to="0x6849f21d1e455e9f0712b1e99fa4fcd23758e8f1",
        input=argument("test1", "test2", "test3"),
    )
    digest = "0359a5588c5e9c9dcfd2f4ece850d6f4c41bc88e2c27cc051890f26ef0ef118f"
    assert keccak256(data.preimage()).hex() == digest


def test_a_small_transaction_as_another_implementation_encodes_it() -> None:
    """Preimage, SM3 hash and TARS bytes of fields c, g, 128, 1, 0x1234, without a recipient."""
    data = fisco.TransactionData(
        chain_id="c", group_id="g", block_limit=128, nonce="1", to="", input=bytes.fromhex("1234")
    )
    assert data.preimage().hex() == "0000000063670000000000000080311234"
    digest = "9a1d639ca3b07204a107276ea3869069393b89c7a6cf956b1b5ce39dd634b9b9"
    assert data.hash().hex() == digest
    # An empty recipient may be written or left out; both are read alike.
    written = bytes.fromhex("1c26016336016741008056013166007d0000021234")
    assert tars.encode(data.fields()).hex() == written.hex().replace("6600", "")
    assert tars.decode(written) == {**tars.decode(tars.encode(data.fields())), 6: ""}


def test_the_signature_that_a_gm_chain_took() -> None:
    """Hash and r ‖ s ‖ X ‖ Y of the GM example in FISCO-BCOS' RPC documentation (sendTransaction).

    The signature is SM2 with the default user id over the hash as a message.
    """
    digest = bytes.fromhex("867fc7059f04e9f172202b777673a8413c9e47990dcd09b11311a2f1f5b55a4f")
    signed = bytes.fromhex(
        "15e0c4a3a51b5b5b157502aae04f3905bae8daf1389bddf12b0eb7069ead63b7"
        "6d42383dcd38520df339d571d37ea85334dba126edcc323a98b91e51d32ec074"
        "b5f7430ea78c64ccc8d364bf4563dbffb33be503344b72f3384f987c38af98db"
        "3f0f00169f2a6545d0920a1a6cb7f338b8b717f03d05fded80ddbbb171a099c1"
    )
    key = Sm2PublicKey.from_bytes(b"\x04" + signed[64:])
    key.verify(signed[:64], digest)
    with pytest.raises(SignatureError):
        key.verify_digest(signed[:64], digest)
    assert sm3(signed[64:])[-20:].hex() == "f3293c3452b3b0479e64a4c612e8c1b0da5fe1af"


@pytest.fixture
def note() -> Note:
    """Return a note."""
    made = Made()
    made.work(2)
    return Note.of(made.note())


def data_for(note: Note, **changes: object) -> fisco.TransactionData:
    """Return a transaction that records a note."""
    entry = Entry.of(note.data, note.claim)
    data = fisco.TransactionData(
        chain_id="chain0",
        group_id="group0",
        block_limit=500,
        nonce="7",
        to="0x" + CONTRACT.hex(),
        input=entry.call(fisco.APPEND_GM),
    )
    return replace(data, **changes)  # type: ignore[arg-type]


def record_of(note: Note, raw: bytes, **changes: object) -> AnchorRecord:
    """Return a record that carries a transaction."""
    proof = fisco.Proof(
        gm=True, chain_id="chain0", group_id="group0", contract=CONTRACT, block=3, raw=raw
    )
    document = replace(proof, **changes).document()  # type: ignore[arg-type]
    return AnchorRecord(kind="fisco-bcos", name="gm", note=note.data, at=0, proof=document)


def test_a_signed_transaction_verifies_offline(note: Note) -> None:
    """The account asked the contract to record this note, with either naming of functions."""
    data = data_for(note)
    assert fisco.verify(record_of(note, data.sign(KEY))).transaction == data.hash()
    keccak = data_for(note, input=Entry.of(note.data, note.claim).call(APPEND))
    assert fisco.verify(record_of(note, keccak.sign(KEY))).contract == CONTRACT


def test_another_call_chain_or_contract_is_refused(note: Note) -> None:
    """Everything the record says of the transaction is held against it."""
    for changes in (
        {"chain_id": "chain1"},
        {"group_id": "group1"},
        {"to": "0x" + bytes(20).hex()},
        {"input": b"\0" * 132},
    ):
        with pytest.raises(PeerError):
            fisco.verify(record_of(note, data_for(note, **changes).sign(KEY)))
    with pytest.raises(PeerError):
        fisco.verify(record_of(note, data_for(note).sign(KEY), contract=bytes(20)))


def test_any_bent_byte_of_a_transaction_is_refused(note: Note) -> None:
    """But for the attribute behind the signed part, which nobody signs or hashes."""
    raw = data_for(note).sign(KEY)
    fisco.parse(raw)
    for at in range(len(raw)):
        bent = bytearray(raw)
        bent[at] ^= 1
        try:
            made = fisco.parse(bytes(bent))
        except PeerError:
            continue
        assert made.data == fisco.parse(raw).data
        assert at >= len(raw) - 2


class FakeGmNode:
    """Answers JSON-RPC as a GM node does, from its own reading of what it is sent. SIMULATED."""

    def __init__(self) -> None:
        self.height, self.latest, self.status = 5, 0, 0
        self.receipts: dict[str, dict[str, object]] = {}
        self.down = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Return an answer."""
        import json

        if self.down:
            raise httpx.ConnectError("down")
        call = json.loads(request.content)
        method, params = call["method"], call["params"]
        assert params[:2] == ["group0", ""]
        result: object = None
        if method == "getBlockNumber":
            result = self.height
        elif method == "call":
            result = {"blockNumber": self.height, "output": hex(self.latest), "status": 0}
            result["output"] = "0x" + self.latest.to_bytes(32, "big").hex()
        elif method == "sendTransaction":
            made = fisco.parse(bytes.fromhex(params[2][2:]))
            digest = "0x" + made.hash.hex()
            self.height += 1
            said = {"to": made.data.to, "input": "0x" + made.data.input.hex()}
            self.receipts[digest] = {"status": self.status, "blockNumber": self.height, **said}
            result = self.receipts[digest]
        elif params[2] in self.receipts:
            result = self.receipts[params[2]]
        else:
            error = {"code": -32000, "message": "transaction does not exist"}
            return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "error": error})
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "result": result})


@pytest.fixture
def fake() -> FakeGmNode:
    """Return a simulated node."""
    return FakeGmNode()


@pytest.fixture
def anchor(fake: FakeGmNode) -> FiscoGmAnchor:
    """Return an anchor that asks it."""
    node = Node("http://gm.example", timeout_s=1)
    node._provider._client = httpx.Client(transport=httpx.MockTransport(fake.answer))
    return FiscoGmAnchor(
        name="gm",
        node=node,
        chain_id="chain0",
        group_id="group0",
        address=CONTRACT,
        sm3_selectors=True,
        key=KEY,
    )


def test_a_gm_chain_is_sent_to_once(anchor: FiscoGmAnchor, note: Note, fake: FakeGmNode) -> None:
    """Sent, found, recorded; the record verifies."""
    ticket = anchor.prepare(note, b"")
    with pytest.raises(AnchorPendingError):
        anchor.submit(note, ticket)
    proof = anchor.submit(note, ticket)
    assert len(fake.receipts) == 1
    record = AnchorRecord(kind="fisco-bcos", name="gm", note=note.data, at=0, proof=proof)
    assert fisco.verify(record).block == fake.height


def test_what_a_gm_chain_can_say_no_with(
    anchor: FiscoGmAnchor, note: Note, fake: FakeGmNode
) -> None:
    """Over its limit: another ticket; reverted or passed: never; unreachable: later."""
    ticket = anchor.prepare(note, b"")
    fake.height = 10_000
    with pytest.raises(AnchorStuckError):
        anchor.submit(note, ticket)
    for latest, code in ((0, "anchor.fisco.reverted"), (10**6, "anchor.fisco.passed")):
        fake.status, fake.latest = 16, latest
        ticket = anchor.prepare(note, ticket)
        with pytest.raises(AnchorPendingError):
            anchor.submit(note, ticket)
        with pytest.raises(AnchorRefusedError) as caught:
            anchor.submit(note, ticket)
        assert caught.value.code == code
    fake.down = True
    with pytest.raises(AnchorUnavailableError):
        anchor.prepare(note, b"")


def test_gm_anchors_are_configured(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes from the environment and is in no text of the anchor."""
    secret = "11" * 32
    monkeypatch.setenv("GM_KEY", secret)
    member = {
        "name": "gm",
        "kind": "fisco-bcos",
        "gm": True,
        "url": "http://gm.example",
        "chain_id": "chain0",
        "contract": "0x" + CONTRACT.hex(),
        "key_env": "GM_KEY",
    }
    config = AnchorsConfig.model_validate({"directory": "unused", "members": [member]})
    (made,) = config.anchors()
    assert secret not in repr(made)
    made.close()


def looked_up(
    fake: FakeGmNode, note: Note, raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Result:
    """Return what `mifeng anchor lookup` says of a transaction, asking the node."""
    client = partial(httpx.Client, transport=httpx.MockTransport(fake.answer))
    monkeypatch.setattr(cli, "httpx", SimpleNamespace(Client=client, HTTPError=httpx.HTTPError))
    record = record_of(note, raw).encode()
    pack = SimpleNamespace(anchors=lambda: [SimpleNamespace(data=record, member="m")])
    monkeypatch.setattr(cli, "Pack", lambda _path: nullcontext(pack))
    path = tmp_path / "pack.zip"
    path.touch()
    arguments = ["lookup", str(path), "--name", "gm", "--rpc", "http://gm.example"]
    return CliRunner().invoke(cli.command, arguments)


def test_an_executed_call_is_looked_up(
    fake: FakeGmNode, note: Note, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the chain has executed it, its hash may be pinned; before, or if it failed, not."""
    data = data_for(note)
    digest = "0x" + data.hash().hex()
    ask = partial(looked_up, fake, note, data.sign(KEY), tmp_path, monkeypatch)
    assert isinstance(ask().exception, MifengError)
    said: dict[str, object] = {"to": data.to, "input": "0x" + data.input.hex()}
    fake.receipts[digest] = {"status": 16, "blockNumber": 6, **said}
    assert isinstance(ask().exception, PeerError)
    fake.receipts[digest] = {"status": 0, "blockNumber": 6, **said}
    (pins,) = yaml.safe_load(ask().output)
    assert pins["transactions"] == [digest]


def test_another_transaction_with_the_same_hash_is_not_pinned(
    fake: FakeGmNode, note: Note, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the chain executed was a deployment: the same bytes, signed, with other ends of texts.

    Its code begins with the digits of the contract's address; the chain ran that, and the contract
    never heard of the note.
    """
    data = data_for(note)
    deployed = replace(data, to="", input=data.to.encode() + data.input)
    assert deployed.hash() == data.hash()
    digest = "0x" + deployed.hash().hex()
    said = {"to": "", "input": "0x" + deployed.input.hex()}
    fake.receipts[digest] = {"status": 0, "blockNumber": 6, **said}
    result = looked_up(fake, note, data.sign(KEY), tmp_path, monkeypatch)
    assert isinstance(result.exception, PeerError)
