"""How the anchor contract is called, and what it emits: a few fixed words of the EVM's ABI.

Source: Solidity ABI specification v2; deploy/anchors/evm/MifengAnchor.sol.
"""

from dataclasses import dataclass
from typing import Final, Self

from mifeng.crypto import sm3
from mifeng.errors import MalformedError
from mifeng.protocol.checkpoint import Checkpoint

from .keccak import keccak256
from .record import origin_id

APPEND: Final = keccak256(b"append(bytes32,uint64,bytes32,bytes32)")[:4]
LATEST: Final = keccak256(b"latest(bytes32)")[:4]
OWNER: Final = keccak256(b"owner()")[:4]
EVENT: Final = keccak256(b"Anchored(bytes32,uint64,bytes32,bytes32)")
WORD: Final = 32
_MAX_SIZE: Final = 1 << 63


def word(value: int) -> bytes:
    """Return an unsigned integer as a word."""
    return value.to_bytes(WORD, "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the contract records of one checkpoint."""

    origin: bytes
    """SM3 of the origin line."""
    size: int
    root: bytes
    note: bytes
    """SM3 of the whole note."""

    @classmethod
    def of(cls, note: bytes, claim: Checkpoint) -> Self:
        """Return what should be recorded of a note."""
        return cls(origin=origin_id(claim.origin), size=claim.size, root=claim.root, note=sm3(note))

    @property
    def words(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Return the four words, in the order of the ABI."""
        return self.origin, word(self.size), self.root, self.note

    def call(self, selector: bytes = APPEND) -> bytes:
        """Return the call data of `append`."""
        return selector + b"".join(self.words)

    @classmethod
    def from_words(cls, data: bytes) -> Self:
        """Return the entry in four words; raises `MalformedError`."""
        if len(data) != 4 * WORD:
            raise MalformedError("anchor call: not four words")
        origin, size, root, note = (data[i : i + WORD] for i in range(0, 4 * WORD, WORD))
        if (count := int.from_bytes(size, "big")) >= _MAX_SIZE:
            raise MalformedError("anchor call: size out of range")
        return cls(origin=origin, size=count, root=root, note=note)
