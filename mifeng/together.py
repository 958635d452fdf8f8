"""Do at once what several tasks ask for in one turn of the event loop.

Eight SM2 operations side by side cost little more than one alone. What tasks ask for while the
loop runs through those that are ready is done together right after; nobody waits for a timer, and
who is alone is served by a single operation. An answer depends on its own question only.

Source: docs/native-sm2.md.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Job = TypeVar("Job")
Key = TypeVar("Key")
Rest = TypeVar("Rest")
Result = TypeVar("Result")


class Together(Generic[Job, Result]):
    """Gathers the jobs of one turn. Belongs to one event loop."""

    def __init__(self, work: Callable[[Sequence[Job]], Sequence[Result | Exception]]) -> None:
        """Take what does many jobs: a result or a failure for each, in order."""
        self._work = work
        self._waiting: list[tuple[Job, asyncio.Future[Result]]] = []

    def submit(self, job: Job) -> asyncio.Future[Result]:
        """Return the future of a job's result; it is set in the loop's next turn."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._flush)
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((job, future))
        return future

    def _flush(self) -> None:
        waiting = [each for each in self._waiting if not each[1].done()]
        self._waiting.clear()
        results: Sequence[Result | Exception]
        try:
            results = self._work([job for job, _ in waiting])
        except Exception as exc:  # noqa: BLE001 - whoever waits must hear of it
            results = [exc] * len(waiting)
        for (_, future), result in zip(waiting, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def by_key(
    jobs: Sequence[tuple[Key, Rest]],
    work: Callable[[Key, list[Rest]], Sequence[Result | Exception]],
) -> list[Result | Exception]:
    """Do the jobs of each key at once and return all results in the order of `jobs`."""
    groups: dict[int, list[int]] = {}
    for place, (key, _) in enumerate(jobs):
        groups.setdefault(id(key), []).append(place)
    results: dict[int, Result | Exception] = {}
    for places in groups.values():
        done = work(jobs[places[0]][0], [jobs[place][1] for place in places])
        results.update(zip(places, done, strict=True))
    return [results[place] for place in range(len(jobs))]
