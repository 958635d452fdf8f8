"""Anchors on a real EVM chain (anvil), verified offline; the contract, compiled again."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gateway.anchors.config import AnchorsConfig
from gateway.anchors.evm import EvmAnchor
from gateway.anchors.kinds import (
    Anchor,
    AnchorPendingError,
    AnchorRefusedError,
    AnchorStuckError,
    Note,
)
from gateway.anchors.points import SENDING, SENT
from mifeng.audit.anchors import evm as verifying
from mifeng.audit.anchors import fisco
from mifeng.audit.anchors.calls import Entry
from mifeng.audit.anchors.pins import AnchorsDocument
from mifeng.audit.anchors.record import AnchorRecord
from mifeng.audit.report import Report
from mifeng.audit.verify import verify
from mifeng.cli.anchor import command
from mifeng.errors import PeerError, TransportError
from tests.harness import evm
from tests.harness.anchoring import Carrier
from tests.unit.audit.made import Made
from tests.unit.auditlog.harness import Hook

pytestmark = pytest.mark.xdist_group("evm")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[evm.Chain]:
    """Return a running chain, or skip."""
    try:
        with evm.run(tmp_path_factory.mktemp("chain")) as running:
            yield running
    except evm.Unavailable as exc:
        pytest.skip(str(exc))


Make = Callable[..., EvmAnchor]


@pytest.fixture
def make(chain: evm.Chain) -> Iterator[Make]:
    """Return what makes an anchor with a contract of its own, from its configuration."""
    made: list[EvmAnchor] = []

    def build(**settings: object) -> EvmAnchor:
        member = {
            "name": "chain",
            "kind": "evm",
            "url": chain.url,
            "chain_id": chain.chain_id,
            "contract": settings.get("contract") or chain.deploy(),
            "key": str(chain.key_file),
            "confirmations": 0,
            **settings,
        }
        config = AnchorsConfig.model_validate({"directory": "unused", "members": [member]})
        (anchor,) = config.anchors()
        assert isinstance(anchor, EvmAnchor)
        made.append(anchor)
        return anchor

    yield build
    for anchor in made:
        anchor.close()


@pytest.fixture
def log() -> Made:
    """Return a log of now: blocks carry the time of this machine."""
    made = Made(now=int(time.time()) - 60)
    made.work(3)
    return made


def note_of(log: Made, size: int | None = None) -> Note:
    """Return a note of the log."""
    return Note.of(log.note(size))


def pinned(record: AnchorRecord, *, blocks: bool = True, require: object = None) -> AnchorsDocument:
    """Return what an auditor pins who looked the block up."""
    shown = verifying.verify(record)
    trusted = {
        "name": record.name,
        "kind": "evm",
        "chain_id": shown.chain_id,
        "contract": "0x" + shown.contract.hex(),
        "blocks": {shown.block: "0x" + shown.block_hash.hex()} if blocks else {},
    }
    return AnchorsDocument.model_validate({"trusted": [trusted], "require": require})


def judged(log: Made, tmp_path: Path, records: list[bytes], document: AnchorsDocument) -> Report:
    """Export a pack with the records and verify it."""
    path = log.pack(tmp_path / f"{len(list(tmp_path.iterdir()))}.zip", anchors=records)
    trust = replace(log.trust, anchors=document.pins(tmp_path))
    return verify(path, trust, now=log.now + 120)


@pytest.mark.parametrize("fees", ["eip1559", "legacy"])
async def test_a_checkpoint_is_recorded_and_verified_offline(
    fees: str, make: Make, log: Made, tmp_path: Path
) -> None:
    """From the gateway's task to an auditor who knows the block's hash and nothing else."""
    carrier = Carrier(tmp_path / "anchors", log.note)
    (data,) = await carrier.carry(make(fees=fees))
    record = AnchorRecord.decode(data)
    report = judged(log, tmp_path, [data], pinned(record, require={"count": 1, "within_s": 1}))
    assert report.stands
    (anchored,) = report.anchors
    assert anchored.vouches
    assert anchored.size == log.source.size
    assert anchored.at == verifying.verify(record).time
    assert list(carrier.published.values()) == [data]


async def test_an_unpinned_block_vouches_for_nothing(make: Make, log: Made, tmp_path: Path) -> None:
    """What remains to be looked up is said, and does not satisfy a requirement."""
    (data,) = await Carrier(tmp_path / "anchors", log.note).carry(make())
    record = AnchorRecord.decode(data)
    unpinned = pinned(record, blocks=False, require={"count": 1, "within_s": 1})
    found = {f.code for f in judged(log, tmp_path, [data], unpinned).findings}
    assert {"anchor.unpinned", "anchor.required"} <= found
    nothing = AnchorsDocument(trusted=[], require=None)
    report = judged(log, tmp_path, [data], nothing)
    assert report.stands
    assert "anchor.untrusted" in {f.code for f in report.findings}


async def test_another_block_or_contract_convicts(make: Make, log: Made, tmp_path: Path) -> None:
    """A block that the auditor knows to be another, or a contract of somebody else, is an error."""
    (data,) = await Carrier(tmp_path / "anchors", log.note).carry(make())
    document = pinned(AnchorRecord.decode(data)).model_dump()
    for change in (
        {"blocks": dict.fromkeys(document["trusted"][0]["blocks"], "0x" + "00" * 32)},
        {"contract": "0x" + "11" * 20},
        {"chain_id": 5},
    ):
        trusted = {**document["trusted"][0], **change}
        bad = AnchorsDocument.model_validate({"trusted": [trusted], "require": None})
        report = judged(log, tmp_path, [data], bad)
        assert "anchor.invalid" in {f.code for f in report.findings}, change
        assert not report.stands


async def test_any_bent_byte_of_the_proof_is_refused(make: Make, log: Made, tmp_path: Path) -> None:
    """Header, receipt, trie nodes, index, contract: each byte counts, or gives another block."""
    anchor = make()
    crowd = [note_of(log, size) for size in range(1, 4)]
    for note in crowd:
        with pytest.raises(AnchorPendingError):
            anchor.submit(note, anchor.prepare(note, b""))
    (data,) = await Carrier(tmp_path / "anchors", log.note).carry(anchor)
    record = AnchorRecord.decode(data)
    whole = verifying.verify(record)
    proof = verifying.Proof.of(record)
    for name in ("header", "receipt", "contract"):
        good: bytes = getattr(proof, name)
        for at in range(0, len(good), 7):
            bent = bytearray(good)
            bent[at] ^= 1
            changed = replace(proof, **{name: bytes(bent)}).document()
            try:
                shown = verifying.verify(replace(record, proof=changed))
            except PeerError:
                continue
            assert name == "header"
            assert shown.block_hash != whole.block_hash
    for at in range(0, sum(map(len, proof.nodes)), 11):
        nodes = [bytearray(node) for node in proof.nodes]
        where, left = 0, at
        while left >= len(nodes[where]):
            where, left = where + 1, left - len(nodes[where])
        nodes[where][left] ^= 1
        changed = replace(proof, nodes=tuple(map(bytes, nodes))).document()
        with pytest.raises(PeerError):
            verifying.verify(replace(record, proof=changed))
    with pytest.raises(PeerError):
        changed = replace(proof, index=proof.index + 1).document()
        verifying.verify(replace(record, proof=changed))
    with pytest.raises(PeerError):
        verifying.verify(replace(record, note=log.note(2)))


async def test_many_receipts_in_one_block(
    chain: evm.Chain, make: Make, log: Made, tmp_path: Path
) -> None:
    """The trie is rebuilt right with branches and extensions: 40 transactions in a block."""
    anchor = make()
    note = note_of(log)
    ticket = anchor.prepare(note, b"")
    chain.automine(on=False)
    try:
        with pytest.raises(AnchorPendingError):
            anchor.submit(note, ticket)
        other = chain.call("eth_accounts")[1]
        for _ in range(39):
            chain.call("eth_sendTransaction", {"from": other, "to": other, "gas": hex(21_000)})
    finally:
        chain.call("evm_mine")
        chain.automine(on=True)
    proof = mined(anchor, note, ticket)
    block = chain.newest()
    assert len(block["transactions"]) == 40
    record = AnchorRecord(kind="evm", name="c", note=note.data, at=0, proof=proof)
    assert verifying.verify(record).block_hash.hex() == block["hash"][2:]


@pytest.mark.parametrize("point", [SENDING, SENT])
async def test_a_failed_write_is_done_once(
    point: str, make: Make, log: Made, tmp_path: Path, chain: evm.Chain
) -> None:
    """Failing before or after the chain has it, then a restart: one transaction, one record."""
    anchor, hook = make(), Hook()
    hook.raise_at[point] = OSError("injected")
    carrier = Carrier(tmp_path / "anchors", log.note, points=hook)
    before = chain.call("eth_getTransactionCount", evm.ACCOUNT, "latest")
    await carrier.until(lambda: not hook.raise_at, anchor)
    again = make(contract="0x" + anchor.contract.address.hex())
    (data,) = await Carrier(tmp_path / "anchors", log.note).carry(again)
    verifying.verify(AnchorRecord.decode(data))
    after = chain.call("eth_getTransactionCount", evm.ACCOUNT, "latest")
    assert int(after, 16) == int(before, 16) + 1


def test_confirmations_are_waited_for(make: Make, log: Made, chain: evm.Chain) -> None:
    """A transaction that is not deep enough yields no proof yet."""
    anchor = make(confirmations=3)
    note = note_of(log)
    ticket = anchor.prepare(note, b"")
    for _ in range(2):
        with pytest.raises(AnchorPendingError):
            anchor.submit(note, ticket)
    chain.mine(3)
    assert mined(anchor, note, ticket)


def test_a_lost_ticket_finds_its_transaction(make: Make, log: Made) -> None:
    """If the contract holds this very note already, its transaction is found and not sent twice."""
    anchor = make()
    note = note_of(log)
    with pytest.raises(AnchorPendingError):
        anchor.submit(note, anchor.prepare(note, b""))
    until = time.monotonic() + 20
    while json.loads(ticket := anchor.prepare(note, b""))["raws"]:  # not mined yet
        assert time.monotonic() < until
        time.sleep(0.05)
    record = AnchorRecord(
        kind="evm", name="c", note=note.data, at=0, proof=mined(anchor, note, ticket)
    )
    verifying.verify(record)


def test_the_contract_only_grows_and_only_for_its_owner(
    make: Make, log: Made, chain: evm.Chain
) -> None:
    """A smaller or equal size, or another sender, is reverted by the contract itself."""
    anchor = make()
    note = note_of(log)
    mined(anchor, note, anchor.prepare(note, b""))
    contract = "0x" + anchor.contract.address.hex()
    other = chain.call("eth_accounts")[1]
    entry = Entry.of(note.data, note.claim)
    smaller, larger = replace(entry, size=entry.size - 1), replace(entry, size=entry.size + 1)
    for sender, each in ((evm.ACCOUNT, entry), (evm.ACCOUNT, smaller), (other, larger)):
        call = {"from": sender, "to": contract, "data": "0x" + each.call().hex()}
        with pytest.raises(RuntimeError, match="revert"):
            chain.call("eth_call", call, "latest")
    call = {"from": evm.ACCOUNT, "to": contract, "data": "0x" + larger.call().hex()}
    assert chain.call("eth_call", call, "latest") == "0x"


def test_a_larger_tree_on_the_chain_refuses_a_smaller_note(make: Make, log: Made) -> None:
    """A rolled-back log cannot be anchored where its longer past is."""
    anchor = make()
    newest, older = note_of(log), note_of(log, 3)
    mined(anchor, newest, anchor.prepare(newest, b""))
    with pytest.raises(AnchorRefusedError) as caught:
        anchor.submit(older, anchor.prepare(older, b""))
    assert caught.value.code == "anchor.evm.passed"


def test_a_stuck_transaction_is_replaced_by_a_dearer_one(
    make: Make, log: Made, chain: evm.Chain
) -> None:
    """Same nonce, an eighth more: the chain takes the replacement, and one of them counts."""
    anchor = make()
    note = note_of(log)
    chain.automine(on=False)
    try:
        first = anchor.prepare(note, b"")
        with pytest.raises(AnchorPendingError):
            anchor.submit(note, first)
        second = anchor.prepare(note, first)
        with pytest.raises(AnchorPendingError):
            anchor.submit(note, second)
    finally:
        chain.call("evm_mine")
        chain.automine(on=True)
    assert len(json.loads(second)["raws"]) == 2
    record = AnchorRecord(
        kind="evm", name="c", note=note.data, at=0, proof=mined(anchor, note, second)
    )
    verifying.verify(record)


def test_the_key_is_never_shown(make: Make) -> None:
    """Neither the anchor's nor the configuration's text holds the private key."""
    anchor = make()
    for text in (repr(anchor), str(anchor.key)[:0], yaml.safe_dump({"x": repr(anchor.contract)})):
        assert evm.KEY[2:] not in text
        assert repr(bytes.fromhex(evm.KEY[2:])) not in text


def test_the_compiled_contract_is_what_the_source_compiles_to() -> None:
    """Solc from npm gives the committed ABI and bytecode, byte for byte."""
    try:
        modules = evm.install()
    except evm.Unavailable as exc:
        pytest.skip(str(exc))
    done = subprocess.run(
        ["node", "build.mjs", "--check"],
        cwd=evm.SOURCE,
        env=os.environ | {"NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


async def test_lookup_prints_what_may_be_pinned(
    make: Make, log: Made, tmp_path: Path, chain: evm.Chain
) -> None:
    """The one online command asks a node of the auditor's choice and prints what to pin."""
    (data,) = await Carrier(tmp_path / "anchors", log.note).carry(make())
    pack = log.pack(tmp_path / "pack.zip", anchors=[data])
    arguments = ["lookup", str(pack), "--name", "chain", "--rpc", chain.url]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    printed = yaml.safe_load(result.output)
    document = AnchorsDocument.model_validate({"trusted": printed, "require": None})
    assert document == pinned(AnchorRecord.decode(data))
    elsewhere = CliRunner().invoke(command, [*arguments[:-1], "http://127.0.0.1:1"])
    assert isinstance(elsewhere.exception, TransportError)


async def test_web3_transactions_of_a_consortium_chain(
    chain: evm.Chain, log: Made, tmp_path: Path
) -> None:
    """Kind fisco-bcos without GM, over the same RPC: the signed transaction, looked up and pinned.

    The node is anvil, not FISCO-BCOS: it takes the same transactions by the same calls.
    """
    member = {
        "name": "consortium",
        "kind": "fisco-bcos",
        "gm": False,
        "url": chain.url,
        "chain_id": str(chain.chain_id),
        "contract": chain.deploy(),
        "key": str(chain.key_file),
    }
    config = AnchorsConfig.model_validate({"directory": "unused", "members": [member]})
    (data,) = await Carrier(tmp_path / "anchors", log.note).carry(*config.anchors())
    pack = log.pack(tmp_path / "pack.zip", anchors=[data])
    arguments = ["lookup", str(pack), "--name", "consortium", "--rpc", chain.url, "--json"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.output)
    require = {"count": 1, "within_s": 1}
    for transactions, stands in ((printed["transactions"], True), ([], False)):
        document = AnchorsDocument.model_validate(
            {"trusted": [{**printed, "transactions": transactions}], "require": require}
        )
        report = judged(log, tmp_path, [data], document)
        assert report.stands is stands
        assert [each.vouches for each in report.anchors] == [stands]
    record = AnchorRecord.decode(data)
    raw = bytearray.fromhex(str(record.proof["raw"]))
    raw[len(raw) // 2] ^= 1
    with pytest.raises(PeerError):
        fisco.verify(replace(record, proof={**record.proof, "raw": raw.hex()}))
    with pytest.raises(PeerError):
        fisco.verify(replace(record, note=log.note(2)))


def mined(anchor: Anchor, note: Note, ticket: bytes) -> dict[str, Any]:
    """Ask until the chain shows a receipt: it may have mined the transaction a moment before."""
    until = time.monotonic() + 20
    while True:
        try:
            return anchor.submit(note, ticket)
        except (AnchorPendingError, AnchorStuckError):
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.parametrize("fork", ["berlin", "london", "paris", "shanghai", "cancun", "prague"])
def test_header_forms_of_earlier_forks(fork: str, log: Made, tmp_path: Path) -> None:
    """Each fork's header hashes to its block's hash, and its receipts prove the event."""
    try:
        with evm.run(tmp_path, "--hardfork", fork) as old:
            member = {
                "name": "chain",
                "kind": "evm",
                "url": old.url,
                "chain_id": old.chain_id,
                "contract": old.contract,
                "key": str(old.key_file),
                "confirmations": 0,
                "fees": "legacy",
            }
            config = AnchorsConfig.model_validate({"directory": "unused", "members": [member]})
            (anchor,) = config.anchors()
            note = note_of(log)
            ticket = anchor.prepare(note, b"")
            with pytest.raises(AnchorPendingError):
                anchor.submit(note, ticket)
            proof = mined(anchor, note, ticket)
            anchor.close()
            newest = old.newest()
    except evm.Unavailable as exc:
        pytest.skip(str(exc))
    record = AnchorRecord(kind="evm", name="chain", note=note.data, at=0, proof=proof)
    assert verifying.verify(record).block_hash.hex() == newest["hash"][2:]
