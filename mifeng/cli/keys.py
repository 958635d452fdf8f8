"""`mifeng keys new` and `mifeng keys show`: make key files and look at their public part.

A private key is always encrypted on disk, readable by its owner only, and never overwritten. Its
public half goes beside it as FILE.pub.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mifeng.crypto import CryptoError, DecryptionError, hmac_sm3
from mifeng.crypto.keyfiles import (
    KEY_ALGS,
    PublicKey,
    generate,
    parse_alg,
    public_part,
    read_private,
    read_public,
)
from mifeng.crypto.randomness import random_bytes

_PASSPHRASE_FILE = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File whose contents, less one final newline, are the passphrase. Asked for otherwise.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("keys")
def command() -> None:
    """Make key files and show their public part."""


@command.command("new")
@click.option("--alg", type=click.Choice(KEY_ALGS), required=True, help="Algorithm of the key.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Private key file to create; the public key goes to FILE.pub.",
)
@_PASSPHRASE_FILE
@_JSON
def new(alg: str, out: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Create an encrypted private key and its public half."""
    beside = out.with_name(out.name + ".pub")
    for path in (out, beside):
        if path.exists():
            raise click.ClickException(f"{path} exists; nothing was written")
    passphrase = _passphrase(passphrase_file, confirm=True)
    if not passphrase:
        raise click.ClickException("the passphrase is empty; nothing was written")
    private, public = generate(parse_alg(alg), passphrase)
    _create(out, private, mode=0o600)
    _create(beside, public.pem(), mode=0o644)
    _print(public, as_json=as_json, files={"private_file": str(out), "public_file": str(beside)})


@command.command("show")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_PASSPHRASE_FILE
@_JSON
def show(file: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Show algorithm, public key and SM3 fingerprint of a public or private key FILE."""
    pem = file.read_bytes()
    try:
        if b"-----BEGIN PUBLIC KEY-----" in pem:
            public = read_public(pem)
        elif b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in pem:
            public = public_part(read_private(pem, _passphrase(passphrase_file, confirm=False)))
        else:
            public = public_part(read_private(pem, None))
    except DecryptionError:
        raise click.ClickException("wrong passphrase, or a spoilt file") from None
    except CryptoError as exc:
        raise click.ClickException(f"{file}: {exc} [{exc.code}]") from exc
    _print(public, as_json=as_json, files={})


def _passphrase(path: Path | None, *, confirm: bool) -> bytes:
    if path is not None:
        return path.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    text: str = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm)
    return text.encode()


def _create(path: Path, contents: bytes, *, mode: int) -> None:
    """Write a new file with these permissions from its first byte on."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as exc:
        raise click.ClickException(f"{path}: {exc.strerror}") from exc
    with os.fdopen(descriptor, "wb") as file:
        file.write(contents)


def _print(public: PublicKey, *, as_json: bool, files: dict[str, str]) -> None:
    facts = {
        "alg": public.alg,
        "public": public.raw.hex(),
        "fingerprint_sm3": public.fingerprint().hex(),
        **files,
    }
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    table = Table(show_header=False)
    for name, text in facts.items():
        table.add_row(name.replace("_", " "), escape(text))
    Console().print(table)


@command.command("admin")
@_JSON
def admin(as_json: bool) -> None:
    """Make an administrator's token: print it once, and the digest the gateway's file holds."""
    token = "mfa_" + random_bytes(24).hex()
    salt = random_bytes(16)
    stored = f"{salt.hex()}:{hmac_sm3(salt, token.encode()).hex()}"
    if as_json:
        click.echo(json.dumps({"token": token, "stored": stored}))
        return
    click.echo(f"token, for one administrator in one role, shown once: {token}")
    click.echo(f"for administration.administrators[].tokens in the configuration: {stored}")


@command.command("api")
@_JSON
def api(as_json: bool) -> None:
    """Make an API key for a tenant: print it once, and the digest the gateway's file holds."""
    key = "mfk_" + random_bytes(24).hex()
    salt = random_bytes(16)
    stored = f"{salt.hex()}:{hmac_sm3(salt, key.encode()).hex()}"
    if as_json:
        click.echo(json.dumps({"api_key": key, "stored": stored}))
        return
    click.echo(f"api key, for the tenant, shown once: {key}")
    click.echo(f"for tenants[].keys in the gateway's configuration: {stored}")
