"""The next token from logits: greedy, or drawn with temperature, top-k and top-p.

Drawing is deterministic given a seed and does not depend on what else runs: each request has a
generator of its own.
"""

import secrets
from dataclasses import dataclass
from typing import Final

import numpy as np

from .decoder import Logits

__all__ = ["Sampler", "Sampling"]

_SEED_BITS: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are chosen."""

    temperature: float = 0.0
    """0 takes the most likely token (the lowest id of equals), ≤ 2 otherwise."""
    top_p: float = 1.0
    """Of the most likely tokens, the fewest that hold this probability; 0 < top_p ≤ 1."""
    top_k: int = 0
    """Of the most likely tokens, so many; 0 keeps all."""
    seed: int | None = None
    """The same seed draws the same tokens. None draws from the system's randomness."""


class Sampler:
    """Chooses the tokens of one request."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        seed = secrets.randbits(_SEED_BITS) if sampling.seed is None else sampling.seed
        self._random = np.random.Generator(np.random.Philox(seed % (1 << _SEED_BITS)))

    def choose(self, logits: Logits) -> int:
        """Return one token; `logits` is FP32 [V]."""
        how = self._sampling
        if how.temperature <= 0:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / how.temperature
        # Stable: equal logits keep the order of their ids.
        order = np.argsort(-scaled, kind="stable")
        if how.top_k:
            order = order[: how.top_k]
        share = np.exp(scaled[order] - scaled[order[0]])
        reached = np.cumsum(share / share.sum())
        kept = int(np.searchsorted(reached, how.top_p)) + 1
        reached = np.cumsum(share[:kept])
        drawn = self._random.random() * reached[-1]
        return int(order[min(int(np.searchsorted(reached, drawn, side="right")), kept - 1)])
