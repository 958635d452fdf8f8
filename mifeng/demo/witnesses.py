"""Witnesses of a cluster's log: each a process, a key and a memory of its own.

On one machine they only show how it works: a witness is worth something where somebody else runs
it.
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mifeng.witness.keys import WitnessKeys
from mifeng.witness.state import State


class WitnessFolder:
    """Where one witness keeps everything; the process is `mifeng witness serve`."""

    def __init__(self, directory: Path, number: int) -> None:
        """Make the keys and the empty memory of witness `number` below `directory`."""
        self.name = f"witness.example/w{number}"
        self.folder = directory / f"witness-{number}"
        self.folder.mkdir()
        passphrase = secrets.token_hex(16)
        (self.folder / "passphrase").write_text(passphrase)
        WitnessKeys.create(self.folder / "keys", passphrase.encode())
        State.create(self.folder / "state")
        keys = WitnessKeys.read(self.folder / "keys", self.name, passphrase.encode())
        self.key = keys.public[0].encode()
        """Its SM2 verifier key."""

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"unix:{self.folder / 'w.sock'}"

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.folder / "witness.yaml"

    def serve(self, origin: str, keys: Sequence[str]) -> None:
        """Write the configuration of a witness of one SM3 log."""
        document = {
            "name": self.name,
            "listen": self.address,
            "keys": "keys",
            "passphrase": "passphrase",
            "state": "state",
            "logs": [{"origin": origin, "world": "sm3", "keys": list(keys)}],
        }
        self.config.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")


def section(folders: Sequence[WitnessFolder], quorum: int) -> Mapping[str, Any]:
    """Return `log.witnesses` of a gateway's configuration."""
    members = [{"url": each.address, "key": each.key} for each in folders]
    return {"members": members, "quorum": quorum}
