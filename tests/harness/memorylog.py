"""A whole audit log in a list: entries, proofs, promises. Honest; override a method to lie."""

from dataclasses import dataclass, field

from mifeng.crypto.signatures import SigningKey
from mifeng.protocol import checkpoint, merkle, promise
from mifeng.protocol.checkpoint import Checkpoint, LogPin
from mifeng.protocol.entries import Completion, Intent, KeysetLogged
from mifeng.protocol.merkle import SM3, Digest
from mifeng.protocol.note import Sm2NoteSigner
from mifeng.protocol.proof import InclusionProof

ORIGIN = "log.example/test"


@dataclass
class MemoryLog:
    """One log, one key, no witnesses."""

    key: SigningKey = field(default_factory=lambda: SigningKey.generate("sm2"))
    entries: list[bytes] = field(default_factory=list)
    origin: str = ORIGIN

    @property
    def pin(self) -> LogPin:
        """What everybody else knows of this log."""
        signer = Sm2NoteSigner(self.origin, self.key)
        return LogPin(origin=self.origin, world=SM3, keys=(signer.key,), witnesses=(), quorum=0)

    def append(self, entry: bytes) -> int:
        """Keep an entry and return its index."""
        self.entries.append(entry)
        return len(self.entries) - 1

    def _hashes(self) -> list[Digest]:
        return [SM3.leaf_hash(entry) for entry in self.entries]

    def root(self, size: int) -> Digest:
        """Return the root of the first `size` entries, by the recursive definition."""
        return _tree(self._hashes()[:size])

    def note(self) -> bytes:
        """Return the current signed checkpoint."""
        size = len(self.entries)
        head = Checkpoint(origin=self.origin, size=size, root=self.root(size))
        return checkpoint.sign(head, [Sm2NoteSigner(self.origin, self.key)])

    def _get(self, size: int) -> merkle.GetHash:
        leaves = self._hashes()[:size]

        def get(level: int, index: int) -> Digest:
            width = 1 << level
            return _tree(leaves[index * width : (index + 1) * width])

        return get

    def inclusion(self, index: int) -> InclusionProof:
        """Return the proof of one entry under the current checkpoint."""
        size = len(self.entries)
        path = merkle.inclusion_path(SM3, self._get(size), index=index, size=size)
        return InclusionProof(index=index, path=tuple(path), note=self.note())

    def consistency(self, old: int) -> tuple[bytes, ...]:
        """Return the proof from `old` entries to now."""
        if old in (0, len(self.entries)):
            return ()
        size = len(self.entries)
        return tuple(merkle.consistency_path(SM3, self._get(size), old=old, new=size))

    def intent(
        self, *, h: bytes, keyset: bytes, tenant: str, now: int, deadline: int, attempt: int = 1
    ) -> tuple[int, bytes]:
        """Append an INTENT and return its index and bytes."""
        index = len(self.entries)
        made = Intent(
            origin=self.origin,
            index=index,
            h=h,
            keyset=keyset,
            attempt=attempt,
            tenant=tenant,
            issued=now,
            deadline=deadline,
        )
        statement = made.sign(self.key)
        return self.append(statement), statement

    def completion(
        self, *, h: bytes, intent: int, statement: bytes, now: int
    ) -> tuple[int, bytes, bytes]:
        """Append a COMPLETION and return index, entry and promise."""
        entry = Completion(at=now, h=h, intent=intent, receipt=statement).encode()
        index = self.append(entry)
        return index, entry, self.promise(index, entry, now=now)

    def promise(self, index: int, entry: bytes, *, now: int) -> bytes:
        """Promise to keep an entry."""
        return promise.issue(
            self.key,
            origin=self.origin,
            index=index,
            leaf=SM3.leaf_hash(entry),
            issued=now,
            merge_by=now + 60,
        )

    def keyset(
        self, keyset: bytes, digest: bytes, *, evidence: bytes, now: int
    ) -> tuple[int, bytes]:
        """Append a KEYSET entry for a simulated node."""
        entry = KeysetLogged(
            at=now,
            node="node-1",
            epoch=0,
            keyset=digest,
            evidence=(evidence,),
            collateral=(),
            freshness=1,
            nonce=bytes(32),
            simulated=True,
            not_before=now,
            not_after=now + 3600,
        ).encode()
        return self.append(entry), entry


def _tree(leaves: list[Digest]) -> Digest:
    if not leaves:
        return SM3.empty_root
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return SM3.node_hash(_tree(leaves[:k]), _tree(leaves[k:]))
