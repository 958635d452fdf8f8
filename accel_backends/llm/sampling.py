"""The next token from logits: greedy, or drawn with temperature, top-k and top-p.

Drawing is deterministic given a seed and does not depend on what else runs: each request has a
generator of its own.
"""

import secrets
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .decoder import Logits

__all__ = ["Sampler", "Sampling"]

_SEED_BITS: Final = 128
_FEW: Final = 1024


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

    @property
    def greedy(self) -> bool:
        """Whether it always takes the most likely token, the lowest id of equals."""
        return self._sampling.temperature <= 0

    def choose(self, logits: Logits) -> int:
        """Return one token; `logits` is FP32 [V]."""
        how = self._sampling
        if self.greedy:
            return int(logits.argmax())
        scaled = logits.astype(np.float64) / how.temperature
        share = np.exp(scaled - scaled.max())
        if not how.top_k and how.top_p >= 1:
            return self._draw(share)
        order = self._likely(share)
        reached = np.cumsum(share[order])
        whole = reached[-1] if how.top_k else share.sum()
        kept = order[: int(np.searchsorted(reached, how.top_p * whole)) + 1]
        return int(kept[self._draw(share[kept])])

    def _likely(self, share: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the ids that may be drawn, the most likely first; equals in order of id.

        A vocabulary is long and the share wanted usually lies in few tokens: those are picked
        out first, and everything is sorted only if they do not hold it.
        """
        how = self._sampling
        size = min(how.top_k or _FEW, len(share))
        picked = np.sort(np.argpartition(-share, size - 1)[:size])
        if not how.top_k and share[picked].sum() < how.top_p * share.sum():
            picked = np.arange(len(share))
        ordered: NDArray[np.intp] = picked[np.argsort(-share[picked], kind="stable")]
        return ordered

    def _draw(self, share: NDArray[np.float64]) -> int:
        """Return an index with the probability of its share."""
        reached = np.cumsum(share)
        drawn = self._random.random() * reached[-1]
        return min(int(np.searchsorted(reached, drawn, side="right")), len(share) - 1)
