"""What a client is offered: a bundle, and the log's proof that its keyset is public.

Evidence says what a node is; the log says that this keyset is the one everybody sees. Without
the second, keys extracted from one node could be shown to a single victim.

Source: docs/spec/keyset.md §4.
"""

from dataclasses import dataclass
from typing import Final, Self

from mifeng.errors import MalformedError

from .codec import Reader, blob, u8
from .proof import InclusionProof

VERSION: Final = 1
MAX_BUNDLE: Final = 32 << 20
MAX_PART: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """Untrusted until `session.trust` has gone through it."""

    bundle: bytes
    """`attestation.bundle.Bundle`, encoded."""
    entry: bytes
    """The KEYSET entry of the log, exact bytes."""
    proof: InclusionProof

    def encode(self) -> bytes:
        """Return version ‖ bundle ‖ entry ‖ proof, each behind its length."""
        return u8(VERSION) + blob(self.bundle) + blob(self.entry) + blob(self.proof.dumps())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the offer `data` encodes, or raise `MalformedError`."""
        reader = Reader(data, "offer")
        if reader.number(1) != VERSION:
            raise MalformedError("offer: version")
        bundle, entry = reader.blob(MAX_BUNDLE), reader.blob(MAX_PART)
        proof = InclusionProof.loads(reader.blob(MAX_PART))
        reader.end()
        return cls(bundle, entry, proof)
