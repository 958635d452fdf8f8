"""Checkpoints: a log's signed claim that its tree of so many leaves has this root.

`LogPin` is what a client, node or auditor trusts: origin, keys, witnesses. `verify` believes
the log's own signature; `verify_witnessed` also wants the pin's quorum of cosignatures;
`check_consistent` catches a log that rewrote itself and keeps the evidence.

Source: c2sp.org/tlog-checkpoint; docs/spec/log.md §5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from mifeng.errors import LogInconsistentError, MalformedError, PeerError

from . import merkle, note
from .jsonc import from_base64, to_base64
from .merkle import DIGEST_BYTES, Digest, HashWorld
from .note import NoteKey, NoteSigner, Signed

MAX_ORIGIN: Final = 255
_MIN_LINES: Final = 3
_MAX_EXTENSIONS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A claim by `origin` that its tree of `size` leaves has this root."""

    origin: str
    size: int
    root: Digest
    extensions: tuple[str, ...] = ()
    """Further lines that other logs may sign. Ours has none."""

    def encode(self) -> bytes:
        """Return the note text that is signed."""
        lines = (self.origin, str(self.size), to_base64(self.root), *self.extensions)
        return "".join(line + "\n" for line in lines).encode()

    @classmethod
    def decode(cls, text: bytes) -> Self:
        """Return the checkpoint that a note text encodes.

        Parses leniently, then insists that encoding the result gives `text` back: one
        comparison refuses "+7", "1_0", stray spaces, CRLF and slack base64 alike.

        Raises:
            MalformedError: for any bytes that are not a canonical checkpoint.
        """
        try:
            lines = text.decode().split("\n")[:-1]
            size = int(lines[1]) if len(lines) >= _MIN_LINES else -1
        except ValueError as exc:  # UnicodeDecodeError is a ValueError
            raise MalformedError("checkpoint: not lines of origin, size, root") from exc
        if not 0 <= size <= merkle.MAX_SIZE:
            raise MalformedError("checkpoint: fewer than three lines, or size out of range")
        origin, _, root, *extensions = lines
        digest = from_base64(root)
        if digest is None or len(digest) != DIGEST_BYTES:
            raise MalformedError("checkpoint: root is not a digest")
        if not 0 < len(origin) <= MAX_ORIGIN:
            raise MalformedError("checkpoint: origin is empty or too long")
        if not all(extensions) or len(extensions) > _MAX_EXTENSIONS:
            raise MalformedError("checkpoint: extension lines are empty or too many")
        found = cls(origin=origin, size=size, root=Digest(digest), extensions=tuple(extensions))
        if found.encode() != text:
            raise MalformedError("checkpoint: not canonical")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPin:
    """A log as its verifier knows it beforehand: never taken from what is being verified."""

    origin: str
    world: HashWorld
    keys: tuple[NoteKey, ...]
    """Any one of them signs for the log; more than one while a key rotates."""

    witnesses: tuple[NoteKey, ...]
    quorum: int
    """How many of `witnesses` must have cosigned; 0 makes every result UNWITNESSED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint that a pinned log key signed, and who else vouched for it."""

    checkpoint: Checkpoint
    note: bytes
    """The whole note: what is kept as evidence."""

    cosigned: tuple[Signed, ...]
    """Valid cosignatures by pinned witnesses, each with its time. One for each name: a witness with
    several keys is still one."""


def sign(checkpoint: Checkpoint, signers: Sequence[NoteSigner]) -> bytes:
    """Return `checkpoint` as a note signed by each of `signers`."""
    return note.sign(checkpoint.encode(), signers)


def verify(data: bytes, pin: LogPin) -> SignedCheckpoint:
    """Return the checkpoint in `data` if the pinned log signed it.

    Does not ask for witnesses: the log may have shown somebody else another history.

    Args:
        data: untrusted; any bytes.
        pin: the log and the witnesses this verifier trusts.

    Raises:
        MalformedError: not a note, or not a checkpoint.
        PeerError: not signed by the log, a wrong cosignature, or about another log.
    """
    parsed = note.parse(data)
    signed = note.verify(parsed, (*pin.keys, *pin.witnesses))
    if not any(line.key in pin.keys for line in signed):
        raise PeerError(f"checkpoint: not signed by {pin.origin}")
    checkpoint = Checkpoint.decode(parsed.text)
    if checkpoint.origin != pin.origin:
        raise PeerError(f"checkpoint: of {checkpoint.origin}, not {pin.origin}")
    cosigned: dict[str, Signed] = {}
    for line in signed:
        if line.key in pin.witnesses:
            cosigned.setdefault(line.key.name, line)
    return SignedCheckpoint(checkpoint=checkpoint, note=data, cosigned=tuple(cosigned.values()))


def verify_witnessed(data: bytes, pin: LogPin) -> SignedCheckpoint:
    """Return what `verify` does if enough pinned witnesses cosigned.

    Raises:
        MalformedError: as `verify`.
        PeerError: as `verify`, or fewer witnesses than `pin.quorum`.
    """
    signed = verify(data, pin)
    if (count := len(signed.cosigned)) < pin.quorum:
        raise PeerError(f"checkpoint: {count} witnesses, need {pin.quorum}")
    return signed


def check_consistent(
    world: HashWorld,
    old: SignedCheckpoint,
    new: SignedCheckpoint,
    path: Sequence[Digest],
) -> SignedCheckpoint:
    """Return `new` if its tree has the tree of `old` as a prefix.

    Args:
        world: the log's hash.
        old: the newest checkpoint this verifier has seen.
        new: the one it was offered.
        path: consistency proof between the two; empty for equal sizes and from size 0.

    Raises:
        MalformedError: no proof between trees of these sizes has this length.
        PeerError: another log, or older than `old`.
        LogInconsistentError: the two cannot be of one history; carries both notes and the path.
    """
    a, b = old.checkpoint, new.checkpoint
    if a.origin != b.origin or a.size > b.size:
        raise PeerError(
            f"checkpoint: {b.origin} at {b.size} does not follow {a.origin} at {a.size}"
        )
    if 0 < a.size < b.size:
        roots = merkle.roots_from_consistency(
            world, old=a.size, new=b.size, old_root=a.root, path=path
        )
        consistent = roots == (a.root, b.root)
    else:
        if path:
            raise MalformedError("consistency: path too long")
        consistent = a.root == (b.root if a.size else world.empty_root)
    if not consistent:
        raise LogInconsistentError(
            f"{a.origin}: the trees of {a.size} and {b.size} leaves do not share a history",
            evidence=(old.note, new.note, *path),
        )
    return new
