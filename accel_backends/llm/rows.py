"""What a row of the buffers holds: a request's tokens, or a prompt that was kept."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from .request import Ticket, Usage
from .sampling import Sampler

__all__ = ["Kept", "Row", "holds", "shared_prefix"]


@dataclass(slots=True, kw_only=True)
class Row:
    """A row in use; `filled` positions of its buffer hold the tokens' keys and values."""

    ticket: Ticket
    sampler: Sampler
    filled: int
    cached: int
    answer: list[int] = field(default_factory=list)

    @property
    def decoding(self) -> bool:
        """Whether the prompt is done."""
        return bool(self.answer)

    def usage(self) -> Usage:
        """Return the tokens so far."""
        prompt = len(self.ticket.request.prompt)
        return Usage(prompt=prompt, completion=len(self.answer), cached=self.cached)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A row nobody uses that still holds the whole chunks of a prompt."""

    isolation: bytes
    tokens: tuple[int, ...]
    order: int


def shared_prefix(
    isolation: bytes, prompt: Sequence[int], owner: bytes, held: Sequence[int], *, chunk: int
) -> int:
    """Return how many tokens of `prompt` a row may lend: whole chunks, never the last token.

    0 unless both belong to one isolation domain; that is the cache's key, with the tokens.
    """
    if not hmac.compare_digest(isolation, owner):
        return 0
    same = 0
    for ours, theirs in zip(prompt[:-1], held, strict=False):
        if ours != theirs:
            break
        same += 1
    return same - same % chunk


def holds(row: Row | Kept) -> tuple[bytes, Sequence[int]]:
    """Return whose row it is and the prompt tokens it holds."""
    if isinstance(row, Kept):
        return row.isolation, row.tokens
    request = row.ticket.request
    return request.isolation, request.prompt[: row.filled]
