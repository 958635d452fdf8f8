"""The body of an add-checkpoint request: old size, consistency proof, checkpoint note.

Source: c2sp.org/tlog-witness; docs/spec/witness.md §2.
"""

from dataclasses import dataclass
from typing import Final, Self

from mifeng.errors import MalformedError
from mifeng.protocol.jsonc import from_base64, to_base64
from mifeng.protocol.merkle import DIGEST_BYTES, MAX_SIZE, Digest
from mifeng.protocol.note import MAX_NOTE

MAX_PATH: Final = 63
MAX_REQUEST: Final = MAX_NOTE + (MAX_PATH + 2) * 64
SIZE_TYPE: Final = "text/x.tlog.size"
"""Content type of a 409 that says how far the witness is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCheckpoint:
    """A request to cosign. Unverified."""

    old: int
    """Size that the proof starts at: what the sender thinks the witness has."""
    path: tuple[Digest, ...]
    note: bytes

    def encode(self) -> bytes:
        """Return the request's body."""
        lines = [f"old {self.old}", *map(to_base64, self.path), "", ""]
        return "\n".join(lines).encode() + self.note

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the request that a body encodes.

        Args:
            data: untrusted; any bytes.

        Raises:
            MalformedError: not the canonical body of a request.
        """
        if len(data) > MAX_REQUEST:
            raise MalformedError(f"add-checkpoint: {len(data)} bytes, limit {MAX_REQUEST}")
        head, gap, note = data.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as exc:
            raise MalformedError("add-checkpoint: the proof is not ASCII") from exc
        if not gap or len(lines) > MAX_PATH:
            raise MalformedError("add-checkpoint: no empty line, or more than 63 hashes")
        old = parse_size(first.removeprefix("old ")) if first.startswith("old ") else None
        if old is None:
            raise MalformedError("add-checkpoint: does not begin with the old size")
        path: list[Digest] = []
        for line in lines:
            raw = from_base64(line)
            if raw is None or len(raw) != DIGEST_BYTES:
                raise MalformedError("add-checkpoint: not a hash in base64")
            path.append(Digest(raw))
        return cls(old=old, path=tuple(path), note=note)


def parse_size(text: str) -> int | None:
    """Return the tree size that `text` spells in its one way, or None."""
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_SIZE))):
        return None
    size = int(text)
    return size if str(size) == text and size <= MAX_SIZE else None
