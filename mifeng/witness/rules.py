"""Whether a witness cosigns. Pure: what it remembers is a parameter.

    404  a log it does not know              400  malformed, or old size above the new one
    403  no signature by that log's keys     409  it is at another size, or at this size with
    422  the proof does not hold                  another root

Source: c2sp.org/tlog-witness; docs/spec/witness.md §3.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mifeng.errors import LogInconsistentError, MalformedError, PeerError
from mifeng.protocol import checkpoint, note
from mifeng.protocol.checkpoint import Checkpoint, LogPin, SignedCheckpoint
from mifeng.protocol.note import Note, Signature

from .wire import AddCheckpoint


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """The witness does not cosign; `status` is what HTTP says.

    `size` is, of a 409, the size the witness is at. `evidence` says that the log's signature was
    valid: the request may prove that the log misbehaves.
    """

    def __init__(
        self, *, status: int, reason: str, size: int | None = None, evidence: bool = False
    ) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason
        self.size, self.evidence = size, evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A checkpoint to remember, then to cosign."""

    origin: str
    signed: SignedCheckpoint


def origin_of(request: AddCheckpoint) -> str:
    """Return the origin that a request's checkpoint names; raises `Refusal` (400)."""
    try:
        return Checkpoint.decode(note.parse(request.note).text).origin
    except MalformedError as exc:
        raise Refusal(status=400, reason=str(exc)) from exc


def decide(
    request: AddCheckpoint, logs: Mapping[str, LogPin], latest: SignedCheckpoint | None
) -> Accepted:
    """Return what to remember and cosign.

    Args:
        request: untrusted.
        logs: the logs this witness serves, by origin.
        latest: the newest checkpoint it cosigned for the request's origin; None if it never did.

    Raises:
        Refusal: it does not cosign this.
    """
    origin = origin_of(request)
    pin = logs.get(origin)
    if pin is None:
        raise Refusal(status=404, reason=f"unknown log {origin}")
    try:
        offered = checkpoint.verify(request.note, pin)
    except MalformedError as exc:
        raise Refusal(status=400, reason=str(exc)) from exc
    except PeerError as exc:
        raise Refusal(status=403, reason=str(exc)) from exc
    claim = offered.checkpoint
    if request.old > claim.size:
        raise Refusal(status=400, reason="the old size is above the new one")
    size = latest.checkpoint.size if latest else 0
    if request.old != size:
        raise Refusal(status=409, reason=f"at {size}, not {request.old}", size=size)
    before = latest or _empty(pin)
    if claim.size == size and claim.root != before.checkpoint.root:
        raise Refusal(status=409, reason="another root at this size", size=size, evidence=True)
    try:
        checkpoint.check_consistent(pin.world, before, offered, request.path)
    except LogInconsistentError as exc:
        raise Refusal(status=422, reason=str(exc), evidence=True) from exc
    except PeerError as exc:
        raise Refusal(status=422, reason=str(exc)) from exc
    return Accepted(origin=origin, signed=offered)


def _empty(pin: LogPin) -> SignedCheckpoint:
    """Return what a witness knows of a log before it has seen anything of it."""
    nothing = Checkpoint(origin=pin.origin, size=0, root=pin.world.empty_root)
    return SignedCheckpoint(checkpoint=nothing, note=b"", cosigned=())


def cosign(signed: SignedCheckpoint, signers: tuple[note.Cosigner, ...]) -> bytes:
    """Return the signature lines of the answer."""
    text = signed.checkpoint.encode()
    lines = note.add(Note(text=text, signatures=()), signers).signatures
    return b"".join(map(Signature.encode, lines))
