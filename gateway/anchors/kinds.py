"""What an anchor is: somebody else's memory for a checkpoint note.

    prepare(note)          → ticket     whatever must be durable before anything is sent
    submit(note, ticket)   → proof      send, or send again, or look whether it arrived

`submit` may be called any number of times with one ticket, also by a process that did not send it:
it never records a note twice where that matters. Both block, briefly; they run in a thread.

Source: docs/spec/anchor.md §2; docs/anchoring.md §2.
"""

from dataclasses import dataclass
from typing import Protocol, Self

from mifeng.errors import MifengError
from mifeng.protocol import note
from mifeng.protocol.checkpoint import Checkpoint
from mifeng.protocol.jsonc import Json


class AnchorError(MifengError):
    """Base of everything an anchor raises on purpose; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = f"anchor.{code}"


class AnchorUnavailableError(AnchorError):
    """It cannot be reached, or says no for now: try again later."""


class AnchorPendingError(AnchorError):
    """It is on its way: look again soon."""


class AnchorStuckError(AnchorError):
    """This ticket will not get through any more: make another."""


class AnchorRefusedError(AnchorError):
    """It will never take this note: somebody must look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A published checkpoint note."""

    data: bytes
    claim: Checkpoint

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return a note of our own log; raises `MalformedError` if it is none."""
        return cls(data=data, claim=Checkpoint.decode(note.parse(data).text))


class Anchor(Protocol):
    """One third party, as the operator configured it."""

    @property
    def name(self) -> str:
        """Unique among the anchors of a log."""
        ...

    @property
    def kind(self) -> str:
        """One of `mifeng.audit.anchors.record.KINDS`."""
        ...

    def prepare(self, note: Note, old: bytes) -> bytes:
        """Return a ticket, at least 1 byte; sends nothing that changes anything.

        Args:
            note: what to hand over.
            old: the ticket that got stuck, or nothing.

        Raises:
            AnchorUnavailableError: try again later.
            AnchorRefusedError: never.
        """
        ...

    def submit(self, note: Note, ticket: bytes) -> dict[str, Json]:
        """Return the kind's proof, once there is one.

        Raises:
            AnchorPendingError, AnchorUnavailableError, AnchorStuckError, AnchorRefusedError: see
                there. Whether anything arrived is then unknown; calling again is safe.
        """
        ...

    def close(self) -> None:
        """Release connections."""
        ...
