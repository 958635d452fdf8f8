"""An anchor record: the note that was handed to a third party, and what came back for it.

    {v: 1, kind, name, note, at, proof}

`note` is a whole signed checkpoint note, `at` when the gateway held the answer (its own word), and
`proof` what the kind defines. Canonical JSON; nothing in it is believed because it stands here.

Source: docs/spec/anchor.md §2.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeAlias, get_args

from mifeng.crypto import sm3
from mifeng.errors import MalformedError
from mifeng.protocol import jsonc, note
from mifeng.protocol.checkpoint import Checkpoint
from mifeng.protocol.jsonc import Fields, Json

VERSION: Final = 1
Kind: TypeAlias = Literal["evm", "fisco-bcos", "rfc3161", "file"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MAX_RECORD: Final = 1 << 20
NAME: Final = r"[a-z0-9][a-z0-9.-]{0,31}"
_NAME: Final = re.compile(NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRecord:
    """One record. `proof` is unchecked until the kind's verifier reads it."""

    kind: str
    """One of `KINDS`."""
    name: str
    """Of the anchor, as the operator configured it; a trust file names it too."""
    note: bytes
    at: int
    """Unix seconds, the gateway's word."""
    proof: dict[str, Json]

    @property
    def claim(self) -> Checkpoint:
        """Return the checkpoint that the note states; unverified. Raises `MalformedError`."""
        return Checkpoint.decode(note.parse(self.note).text)

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return jsonc.dumps(
            {
                "v": VERSION,
                "kind": self.kind,
                "name": self.name,
                "note": self.note.decode(),
                "at": self.at,
                "proof": self.proof,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the record that `data` encodes; raises `MalformedError`."""
        fields = Fields(jsonc.loads(data, limit=MAX_RECORD), "anchor")
        fields.integer("v", low=VERSION, high=VERSION)
        record = cls(
            kind=fields.choice("kind", KINDS),
            name=fields.text("name", limit=32),
            note=fields.text("note", limit=note.MAX_NOTE).encode(),
            at=fields.integer("at"),
            proof=fields.map("proof"),
        )
        fields.end()
        if not _NAME.fullmatch(record.name):
            raise MalformedError("anchor: name is not one")
        return record


def origin_id(origin: str) -> bytes:
    """Return how a contract names a log: SM3 of its origin line, 32 bytes."""
    return sm3(origin.encode())
