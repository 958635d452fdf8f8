"""Order the nodes that could serve a model. Pure.

The gateway ranks and the client chooses and seals: route first, seal second (docs/adr/0003).
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One node as the scheduler sees it."""

    node_id: str
    active: int
    queued: int
    capacity: int
    draining: bool

    @property
    def load(self) -> float:
        """Work per unit of capacity; 1.0 is full."""
        return (self.active + self.queued) / self.capacity


def rank(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the usable candidates, least loaded first; equal load by name, so order is stable."""
    usable = (candidate for candidate in candidates if not candidate.draining)
    return sorted(usable, key=lambda candidate: (candidate.load, candidate.node_id))
