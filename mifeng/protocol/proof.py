"""Proofs that travel: an inclusion proof with its checkpoint, as text and as JSON.

The text form is c2sp.org/tlog-proof, for files and for public tools; for the SM3 log its first
line names our variant, since that specification means SHA-256. The JSON form is what HTTP and
bundles carry. Both hold the checkpoint note verbatim.

Source: c2sp.org/tlog-proof; docs/spec/log.md §6.
"""

from dataclasses import dataclass
from typing import Final, Self

from mifeng.errors import LogInconsistentError, MalformedError

from . import checkpoint, merkle
from .checkpoint import LogPin, SignedCheckpoint
from .jsonc import Fields, Json, dumps, from_base64, loads, to_base64
from .merkle import DIGEST_BYTES, Digest, HashWorld
from .note import MAX_NOTE

MAX_PATH: Final = 64
MAX_EXTRA: Final = 1 << 16
_HEADERS: Final = {
    "sha256": "c2sp.org/tlog-proof@v1",
    "sm3": "mifeng/v1/tlog-proof-sm3",
}
_MAX_JSON: Final = 2 * MAX_NOTE + 2 * MAX_EXTRA


@dataclass(frozen=True, slots=True, kw_only=True)
class InclusionProof:
    """Where an entry stands in a log, and the digests that show it. Unverified."""

    index: int
    path: tuple[Digest, ...]
    note: bytes
    """The checkpoint note, verbatim."""

    extra: bytes | None = None
    """Opaque and unauthenticated; the entry itself, in the files we write."""

    def encode(self, world: HashWorld) -> bytes:
        """Return the text form for a log of `world`."""
        lines = [_HEADERS[world.name]]
        if self.extra is not None:
            lines.append(f"extra {to_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += map(to_base64, self.path)
        return "\n".join([*lines, "", ""]).encode() + self.note

    @classmethod
    def decode(cls, data: bytes, world: HashWorld) -> Self:
        """Return the proof a text form encodes.

        Raises:
            MalformedError: not the canonical text of a proof for a log of `world`.
        """
        if len(data) > _MAX_JSON:
            raise MalformedError(f"proof: {len(data)} bytes, limit {_MAX_JSON}")
        head, gap, note = data.partition(b"\n\n")
        try:
            first, *lines = head.decode().split("\n")
        except UnicodeDecodeError as exc:
            raise MalformedError("proof: not UTF-8") from exc
        if not gap or first != _HEADERS[world.name]:
            raise MalformedError(f"proof: not a {_HEADERS[world.name]}")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = from_base64(lines.pop(0).removeprefix("extra "))
            if extra is None or len(extra) > MAX_EXTRA:
                raise MalformedError("proof: extra is not base64, or too long")
        index = lines.pop(0).removeprefix("index ") if lines else ""
        if not (index.isascii() and index.isdecimal() and len(index) <= len(str(merkle.MAX_SIZE))):
            raise MalformedError("proof: no index")
        proof = cls(index=int(index), path=_digests(lines), note=note, extra=extra)
        if proof.encode(world) != data:
            raise MalformedError("proof: not canonical")
        return proof

    def to_json(self) -> dict[str, Json]:
        """Return the JSON form, to stand alone or inside another object."""
        return {
            "checkpoint": self.note.decode(),
            "index": self.index,
            "path": [to_base64(digest) for digest in self.path],
        }

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Return the proof a JSON value holds.

        Raises:
            MalformedError: not the form `to_json` gives.
        """
        fields = Fields(value, "proof")
        note = fields.text("checkpoint", limit=MAX_NOTE).encode()
        index = fields.integer("index", high=merkle.MAX_SIZE - 1)
        path = _digests(fields.array("path", limit=MAX_PATH))
        fields.end()
        return cls(index=index, path=path, note=note)

    def dumps(self) -> bytes:
        """Return the JSON form as canonical bytes."""
        return dumps(self.to_json())

    @classmethod
    def loads(cls, data: bytes) -> Self:
        """Return the proof that canonical JSON bytes hold; raises `MalformedError`."""
        return cls.from_json(loads(data, limit=_MAX_JSON))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyProof:
    """Digests that show one tree to be the start of another. Unverified."""

    old: int
    new: int
    path: tuple[Digest, ...]

    def to_json(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {"new": self.new, "old": self.old, "path": [to_base64(d) for d in self.path]}

    @classmethod
    def from_json(cls, value: Json) -> Self:
        """Return the proof a JSON value holds.

        Raises:
            MalformedError: not the form `to_json` gives.
        """
        fields = Fields(value, "consistency")
        new = fields.integer("new", high=merkle.MAX_SIZE)
        old = fields.integer("old", high=new)
        path = _digests(fields.array("path", limit=MAX_PATH))
        fields.end()
        return cls(old=old, new=new, path=path)


def verify_included(proof: InclusionProof, leaf: Digest, pin: LogPin) -> SignedCheckpoint:
    """Return the witnessed checkpoint under which an entry with this leaf hash is logged.

    Args:
        proof: untrusted.
        leaf: `pin.world.leaf_hash(entry)`, computed by the caller from the entry it cares about.
        pin: the log and the witnesses this verifier trusts; its quorum applies.

    Raises:
        MalformedError: no tree of that size has a path of that length.
        PeerError: the checkpoint is not the log's, or lacks witnesses.
        LogInconsistentError: the path leads to another root; carries note, leaf hash and path.
    """
    signed = checkpoint.verify_witnessed(proof.note, pin)
    claim = signed.checkpoint
    implied = merkle.root_from_inclusion(
        pin.world, leaf, index=proof.index, size=claim.size, path=proof.path
    )
    if implied != claim.root:
        raise LogInconsistentError(
            f"{claim.origin}: entry {proof.index} is not under the checkpoint at {claim.size}",
            evidence=(proof.note, leaf, *proof.path),
        )
    return signed


def _digests(values: list[Json] | list[str]) -> tuple[Digest, ...]:
    if len(values) > MAX_PATH:
        raise MalformedError(f"proof: {len(values)} digests, limit {MAX_PATH}")
    path = []
    for value in values:
        raw = from_base64(value) if isinstance(value, str) else None
        if raw is None or len(raw) != DIGEST_BYTES:
            raise MalformedError("proof: not a digest in base64")
        path.append(Digest(raw))
    return tuple(path)
