"""Times of small things, and percentiles of many."""

import math
from collections.abc import Mapping, Sequence
from time import thread_time
from timeit import Timer
from typing import Any, Final

_MOST_CALLS: Final = 1_000_000


class Contestant:
    """One statement to be timed beside others."""

    def __init__(self, statement: str, names: Mapping[str, Any]) -> None:
        """Take a statement and the names in it; it is compiled, so no call is added to it.

        The clock is this thread's processor time: what a neighbour runs meanwhile is not ours.
        """
        self._timer = Timer(statement, globals=dict(names), timer=thread_time)
        self._calls = 0
        self.best_s = math.inf
        """Seconds of one execution in the fastest batch so far."""

    def turn(self, batch_s: float) -> None:
        """Run one batch of about `batch_s` seconds."""
        if not self._calls:
            once = max(self._timer.timeit(1), 1e-9)
            self._calls = max(1, min(_MOST_CALLS, round(batch_s / once)))
            if self._calls > 1:
                each = self._timer.timeit(self._calls) / self._calls
                self._calls = max(1, min(_MOST_CALLS, round(batch_s / each)))
        self.best_s = min(self.best_s, self._timer.timeit(self._calls) / self._calls)


def contest(
    contestants: Mapping[str, Contestant], *, rounds: int, batch_s: float = 0.002
) -> dict[str, float]:
    """Let everybody run in turn, `rounds` times over, and return each one's best seconds.

    The best batch, not the mean: on a shared machine the mean measures the neighbours.
    """
    for _ in range(rounds):
        for contestant in contestants.values():
            contestant.turn(batch_s)
    return {name: each.best_s for name, each in contestants.items()}


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted values; 0 < share ≤ 1."""
    if not sorted_values:
        return math.nan
    return sorted_values[max(0, math.ceil(share * len(sorted_values)) - 1)]
