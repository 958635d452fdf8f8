"""What a generation is: the request, the bounds it runs under, where its tokens go, how it ends."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from .sampling import Sampling

__all__ = ["Limits", "Reason", "Request", "Sink", "Ticket", "Usage"]


class Reason(Enum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one request."""

    prompt: int
    completion: int
    cached: int
    """Of the prompt, tokens that a kept prefix of the same isolation domain supplied."""


class Sink(Protocol):
    """Where tokens go. Called by the thread that steps; must not block."""

    def token(self, token: int) -> bool:
        """Take one token; return True to end the generation with it."""
        ...

    def finish(self, reason: Reason, usage: Usage) -> None:
        """Take the end. Called once, last."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one engine."""

    slots: int
    """Requests computed at once, ≥ 1."""
    context: int
    """Most tokens of prompt and answer together, ≥ 2."""
    chunk: int = 64
    """Tokens of a prompt computed in one go."""
    budget: int = 128
    """Most prompt tokens per step, ≥ `chunk`: bounds what a long prompt adds to one token's
    latency in the other rows."""
    per_tenant: int = 0
    """Most slots of one tenant; 0 sets no bound below `slots`."""
    per_isolation: int = 0
    """Most slots of one isolation domain; 0 sets no bound below `slots`."""
    waiting: int = 1024
    """Most requests in the queue."""
    kept: int = 0
    """Most rows that keep a prompt's chunks after their request. 0 wipes every row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One generation."""

    prompt: tuple[int, ...] = field(repr=False)
    isolation: bytes = field(repr=False)
    """Requests share key-value rows only if these are equal."""
    most: int
    """Most tokens of the answer, ≥ 1."""
    tenant: str = ""
    """Who takes turns with others for slots; shares nothing, see `queue`."""
    idle: bool = False
    """It takes a slot only if nobody else's request wants one, and never the last."""
    stop: frozenset[int] = frozenset()
    """Tokens that end the answer; they are not part of it."""
    sampling: Sampling = field(default_factory=Sampling)
    deadline: float | None = None
    """On the clock of `step`."""


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """A submitted request."""

    request: Request
    sink: Sink
    cancelled: bool = False
