"""`mifeng release …`: make a signed release document, bring it to a log, list what is released.

mifeng release make --key release.pem --out r.json --item measurement:node:1.4:sha384:… …
mifeng release append r.json -c client.yaml
mifeng release list -c client.yaml
"""

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from mifeng.audit.pack import Pack
from mifeng.client import ClientConfig
from mifeng.client.transport import HttpTransport, ReleaseList
from mifeng.crypto import CryptoError
from mifeng.crypto.keyfiles import read_signing_key
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, UsageError
from mifeng.protocol import entries
from mifeng.protocol.entries import Release
from mifeng.protocol.proof import verify_included
from mifeng.protocol.release import KINDS, Item, Statement

from .audit_options import file_type
from .options import config_option, json_option, print_json

_PARTS = 5


@click.group("release")
def command() -> None:
    """Publish images, measurements, models, policies and verdict rules in the log."""


@command.command("make")
@click.option("--key", type=file_type, required=True, help="SM2 key file that signs releases.")
@click.option("--passphrase", type=file_type, help="File with the key's passphrase.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Document to make.")
@click.option(
    "--item",
    "items",
    multiple=True,
    required=True,
    help=f"KIND:NAME:VERSION:ALGORITHM:HEX, once for each; kinds: {', '.join(KINDS)}.",
)
@click.option("--withdraw", is_flag=True, help="Take these items back instead.")
@json_option
def make(
    key: Path,
    passphrase: Path | None,
    out: Path,
    items: tuple[str, ...],
    withdraw: bool,
    as_json: bool,
) -> None:
    """Sign a document that releases items, or takes them back."""
    statement = Statement(at=int(time.time()), withdrawn=withdraw, items=tuple(map(_item, items)))
    try:
        Statement.decode(statement.encode())
    except MalformedError as exc:
        raise UsageError(str(exc)) from exc
    document = statement.sign(_key(key, passphrase))
    try:
        with out.open("xb") as file:
            file.write(document)
    except OSError as exc:
        raise UsageError(f"{out}: {exc.strerror}") from exc
    if as_json:
        print_json({"document": str(out), "items": len(statement.items), "withdrawn": withdraw})
    else:
        click.echo(f"{out}: {len(statement.items)} items")


def _item(text: str) -> Item:
    parts = text.split(":")
    if len(parts) != _PARTS or parts[0] not in KINDS:
        raise UsageError(f"--item {text}: need KIND:NAME:VERSION:ALGORITHM:HEX")
    kind, name, version, algorithm, digest = parts
    return Item(kind=kind, name=name, version=version, digest=f"{algorithm}:{digest}")


def _key(path: Path, passphrase: Path | None) -> SigningKey:
    try:
        secret = passphrase.read_bytes().strip() if passphrase else None
        key = read_signing_key(path.read_bytes(), secret)
    except (OSError, CryptoError) as exc:
        raise UsageError(f"--key: {exc}") from exc
    if key.alg != "sm2":
        raise UsageError("--key: need an SM2 key")
    return key


@command.command("append")
@click.argument("document", type=file_type)
@config_option
@json_option
def append(document: Path, config: Path, as_json: bool) -> None:
    """Bring a signed DOCUMENT to the gateway, which appends what it releases."""
    settings, data = ClientConfig.load(config), document.read_bytes()

    async def bring() -> list[int]:
        transport = _connect(settings)
        try:
            return await transport.release(data)
        finally:
            await transport.close()

    indexes = asyncio.run(bring())
    if as_json:
        print_json({"indexes": indexes})
    else:
        click.echo(f"entries {', '.join(map(str, indexes))}")


@command.command("list")
@click.option("--pack", type=file_type, help="List what an audit pack holds instead; offline.")
@click.option(
    "--config", "-c", type=file_type, envvar="MIFENG_CONFIG", help="Client configuration."
)
@json_option
def show(pack: Path | None, config: Path | None, as_json: bool) -> None:
    """List RELEASE entries: of a gateway, each proven under the pinned log, or of a pack."""
    if pack is not None:
        found = _of_pack(pack)
    elif config is not None:
        found = asyncio.run(_of_gateway(ClientConfig.load(config)))
    else:
        raise UsageError("release list: --pack or --config")
    if as_json:
        print_json({"releases": [_json(index, entry) for index, entry in found]})
        return
    for index, entry in found:
        state = "withdrawn" if entry.withdrawn else "released"
        click.echo(
            f"{index:8} {state:9} {entry.kind:11} {entry.name} {entry.version} {entry.digest}"
        )


def _json(index: int, entry: Release) -> dict[str, Any]:
    return {
        "index": index,
        "at": entry.at,
        "kind": entry.kind,
        "name": entry.name,
        "version": entry.version,
        "digest": entry.digest,
        "withdrawn": entry.withdrawn,
        "documents": [digest.hex() for digest in entry.blob],
    }


def _of_pack(path: Path) -> list[tuple[int, Release]]:
    """Return a pack's RELEASE entries; `mifeng audit verify` says whether it stands."""
    found = []
    with Pack(path) as pack:
        for number in pack.chunks:
            for index, data in pack.entries(number):
                if b'"RELEASE"' not in data:
                    continue
                entry = entries.decode(data)
                if isinstance(entry, Release):
                    found.append((index, entry))
    return found


async def _of_gateway(settings: ClientConfig) -> list[tuple[int, Release]]:
    pin = settings.terms().log
    transport = _connect(settings)
    try:
        listed: ReleaseList = await transport.releases()
        found = []
        for index, data in listed.entries:
            entry = entries.decode(data)
            proven, proof = await transport.proof(index)
            if not isinstance(entry, Release) or proven != data:
                raise MalformedError(f"gateway: entry {index} is not the release it listed")
            verify_included(proof, pin.world.leaf_hash(data), pin)
            found.append((index, entry))
        return found
    finally:
        await transport.close()


def _connect(settings: ClientConfig) -> HttpTransport:
    if settings.gateway.startswith("grpc:"):
        raise UsageError("releases: use an http or unix gateway address")
    return HttpTransport(
        settings.gateway,
        api_key=settings.read_api_key(),
        ca=settings.ca,
        timeout_s=settings.timeout_s,
    )
