"""`mifeng anchor …`: how a gateway's anchors stand, and what an auditor must look up online.

Everything an auditor believes offline stands in the trust file. `lookup` is the one command that
goes online for it: it asks a node of the auditor's own choice about the blocks and transactions
that a pack's records name, and prints what may then be pinned.
"""

import sys
import time
from pathlib import Path
from typing import Any

import click
import httpx
import yaml

from mifeng.audit.anchors import evm, fisco, folder
from mifeng.audit.anchors.record import AnchorRecord
from mifeng.audit.pack import Pack
from mifeng.errors import MalformedError, PeerError, TransportError

from .audit_options import file_type
from .options import json_option, print_json

_TIMEOUT_S = 30.0


@click.group("anchor")
def command() -> None:
    """See how anchors stand, and look up what a pack says was anchored."""


@command.command("list")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
def show(directory: Path, as_json: bool) -> None:
    """List the anchors in a gateway's DIRECTORY: newest record, what waits, what was refused."""
    found = folder.states(directory)
    now = int(time.time())
    if as_json:
        print_json(
            {
                "anchors": [
                    {
                        "name": each.name,
                        "kind": each.kind or None,
                        "records": each.records,
                        "newest": each.newest,
                        "at": each.at or None,
                        "waiting": each.waiting,
                        "waiting_s": now - each.oldest if each.oldest else 0,
                        "refused": list(each.stopped),
                    }
                    for each in found
                ]
            }
        )
    for each in () if as_json else found:
        line = f"{each.name:16} {each.kind:10} {each.records} records, newest of {each.newest}"
        if each.waiting:
            line += f", {each.waiting} waiting for {now - each.oldest} s"
        if each.stopped:
            line += f", refused: {', '.join(each.stopped)}"
        click.echo(line)
    if any(each.stopped for each in found):
        sys.exit(1)


@command.command("lookup")
@click.argument("pack", type=file_type)
@click.option("--name", required=True, help="Anchor whose records to look up.")
@click.option("--rpc", required=True, help="URL of a chain node that you trust.")
@json_option
def lookup(pack: Path, name: str, rpc: str, as_json: bool) -> None:
    """Ask a chain's node about one anchor's records in PACK; prints what a trust file may pin."""
    with Pack(pack) as opened:
        records = [_record(file.data, file.member) for file in opened.anchors()]
    records = [record for record in records if record.name == name]
    if not records:
        raise MalformedError(f"{pack}: no record of an anchor {name}")
    ask = _Node(rpc)
    pins: dict[str, Any] = {"name": name, "kind": records[0].kind}
    for record in records:
        if record.kind == "evm":
            _block(ask, record, pins)
        elif record.kind == "fisco-bcos":
            _transaction(ask, record, pins)
        else:
            raise MalformedError(f"anchors of kind {record.kind} are verified offline")
    if as_json:
        print_json(pins)
    else:
        click.echo(yaml.safe_dump([pins], sort_keys=False), nl=False)


def _record(data: bytes, member: str) -> AnchorRecord:
    try:
        return AnchorRecord.decode(data)
    except MalformedError as exc:
        raise MalformedError(f"{member}: {exc}") from exc


class _Node:
    """JSON-RPC, bounded by a timeout."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, method: str, *params: object) -> Any:  # noqa: ANN401 - whatever was asked
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            with httpx.Client(trust_env=False, timeout=_TIMEOUT_S) as client:
                answer = client.post(self._url, json=body).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as exc:
            raise TransportError(f"{method}: {type(exc).__name__}") from exc
        if not isinstance(answer, dict) or "result" not in answer:
            raise TransportError(f"{method}: the node refuses")
        return answer["result"]


def _block(ask: _Node, record: AnchorRecord, pins: dict[str, Any]) -> None:
    shown = evm.verify(record)
    chain = int(str(ask("eth_chainId")), 16)
    block = ask("eth_getBlockByNumber", hex(shown.block), False)  # noqa: FBT003 - JSON
    digest = "0x" + shown.block_hash.hex()
    if chain != shown.chain_id or not isinstance(block, dict) or block.get("hash") != digest:
        raise PeerError(f"block {shown.block} {digest} is not on chain {chain}")
    pins["chain_id"] = chain
    pins["contract"] = "0x" + shown.contract.hex()
    pins.setdefault("blocks", {})[shown.block] = digest


def _transaction(ask: _Node, record: AnchorRecord, pins: dict[str, Any]) -> None:
    shown, gm = fisco.verify(record), fisco.Proof.of(record).gm
    digest = "0x" + shown.transaction.hex()
    if gm:
        found = ask("getTransactionReceipt", shown.group_id, "", digest, False)  # noqa: FBT003
        done = isinstance(found, dict) and found.get("status") == 0 and _called(found, record)
    else:
        found = ask("eth_getTransactionReceipt", digest)
        done = isinstance(found, dict) and found.get("status") == "0x1"
    if not done:
        raise PeerError(f"transaction {digest} was not executed on that chain")
    pins |= {"gm": gm, "chain_id": shown.chain_id, "group_id": shown.group_id}
    pins["contract"] = "0x" + shown.contract.hex()
    pins.setdefault("transactions", []).append(digest)


def _called(receipt: dict[str, Any], record: AnchorRecord) -> bool:
    """Whether a GM transaction that was executed is the call that a record shows.

    Its hash is over texts without lengths, so one hash may stand for several transactions
    (docs/spec/anchor.md §5): recipient and call data are compared as the chain states them.
    """
    made = fisco.parse(fisco.Proof.of(record).raw).data
    said = (str(receipt.get("to")).lower(), str(receipt.get("input")).lower())
    return said == (made.to.lower(), f"0x{made.input.hex()}")
