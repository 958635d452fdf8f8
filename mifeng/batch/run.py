"""Run a batch: a bounded number of items in flight, each retried, each with its receipt.

    the item's own fault            recorded as failed; the others go on
    the model or the node failed    asked again a few times, then recorded as failed
    nobody is there to ask          waited for; the item is not to blame and is not marked
    it may have run                 asked again if the model is idempotent, else recorded as such
    something unacceptable came     everything stops: `PeerError`

Items are sent with priority 8, so that a node runs them when it has nothing better to do.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from mifeng.client import Answer, AsyncClient
from mifeng.crypto import sm3
from mifeng.errors import (
    InterruptedRequestError,
    MifengError,
    RefusedError,
    TransportError,
    UsageError,
)
from mifeng.protocol.body import OIP_INFER, OIP_METADATA, OipBody, loads_json

from . import items
from .manifest import INTERRUPTED, Done, Manifest, State

RETRIES: Final = 5
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
PATIENCE_S: Final = 1800.0
IDLE: Final = 8
_ITS_OWN: Final = ("backend.input.", "request.", "operation.unknown")
_NOBODY: Final = (
    "model.unknown",
    "node.unavailable",
    "node.busy",
    "node.draining",
    "gateway.",
    "keyset.",
    "queue.",
    "quota.",
    "log.",
    "freshness.",
    "backend.busy",
    "engine.busy",
    "engine.unavailable",
)
"""Refusals that come before anything ran. A model that was there when the run began counts: a
gateway that has just started knows none."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to run a batch."""

    input_name: str | None = None
    """BYTES input for files; the model's only one if None."""
    jobs: int = 4
    """Items in flight."""
    deadline_s: float = 600.0
    """How long one item may take, waiting for its turn included."""
    patience_s: float = PATIENCE_S
    """How long to wait for somebody to ask before giving up; nothing is lost by it."""


@dataclass(slots=True)
class Summary:
    """How a run goes, and in the end how it went."""

    total: int = 0
    done: int = 0
    skipped: int = 0
    """Done by runs before."""
    failed: int = 0
    interrupted: int = 0
    """May have run, and must not run twice; those of runs before included."""
    retried: int = 0
    waiting: str = ""
    """Code of what the run waits out now; empty while items finish."""
    codes: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, str] = field(default_factory=dict)
    """Of each code, the first item that ended with it."""

    @property
    def settled(self) -> int:
        """Items that need nothing more in this run."""
        return self.done + self.skipped + self.failed + self.interrupted


async def run(
    client: AsyncClient,
    manifest: Manifest,
    paths: Iterable[Path],
    options: Options,
    *,
    told: Callable[[Summary], None],
) -> Summary:
    """Work through every item that the manifest does not hold as done.

    Args:
        client: asks.
        manifest: remembers.
        paths: files or directories, in a fixed order: an item's place is its name.
        options: see the class.
        told: called after each item and when waiting begins.

    Raises:
        UsageError: the model has no single BYTES input and none was named, or the files are
            not the job's.
        PeerError: something unacceptable came back: nothing more is sent.
        RefusedError, TransportError: nobody could be asked for `patience_s`.
    """
    work = _Run(client, manifest, options, told)
    try:
        return await work.all(tuple(paths))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


@dataclass(slots=True)
class _Run:
    """One run over one job."""

    client: AsyncClient
    manifest: Manifest
    options: Options
    told: Callable[[Summary], None]
    summary: Summary = field(default_factory=Summary)
    input_name: str = ""
    idempotent: bool = True
    progressed: float = field(default_factory=time.monotonic)

    async def all(self, paths: tuple[Path, ...]) -> Summary:
        await self._prepare(paths)
        waiting: asyncio.Queue[items.Item | None] = asyncio.Queue(maxsize=self.options.jobs * 2)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed(paths, waiting))
            for _ in range(self.options.jobs):
                group.create_task(self._work(waiting))
        return self.summary

    async def _prepare(self, paths: tuple[Path, ...]) -> None:
        """Ask once what every item needs to know: may the model run twice, what is its input."""
        model = self.manifest.model
        nodes = await self._patiently(lambda: self.client.attest(model), but="model.unknown")
        served = [node.keyset.models.get(model) for node in nodes]
        self.idempotent = all(each is not None and each.idempotent for each in served)
        self.input_name = self.options.input_name or ""
        if not self.input_name and any(item.line is None for item in items.read(paths)):
            self.input_name = await self._patiently(lambda: _only_bytes_input(self.client, model))

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, _T]], *, but: str = "") -> _T:
        """Ask until somebody is there to answer."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                return await ask()
            except (RefusedError, TransportError) as exc:
                if not _nobody(exc) or exc.code == but:
                    raise
                pause = await self._wait(exc, pause)

    async def _wait(self, exc: MifengError, pause: float) -> float:
        """Wait out that nobody can be asked; return the next pause, or raise `exc`."""
        if time.monotonic() - self.progressed > self.options.patience_s:
            raise exc
        if self.summary.waiting != exc.code:
            self.summary.waiting = exc.code
            self.told(self.summary)
        hint = exc.retry_after_s if isinstance(exc, RefusedError) else None
        await asyncio.sleep(max(hint or 0, pause))
        return min(pause * 2, LONGEST_PAUSE_S)

    async def _feed(
        self, paths: tuple[Path, ...], waiting: "asyncio.Queue[items.Item | None]"
    ) -> None:
        for item in items.read(paths):
            self.summary.total += 1
            match self.manifest.state(item.index, item.source):
                case State.OK:
                    self.summary.skipped += 1
                case State.SENT if not self.idempotent:
                    self.summary.interrupted += 1
                case _:
                    await waiting.put(item)
        for _ in range(self.options.jobs):
            await waiting.put(None)

    async def _work(self, waiting: "asyncio.Queue[items.Item | None]") -> None:
        while (item := await waiting.get()) is not None:
            done, result, receipt = await self._one(item)
            await asyncio.to_thread(self.manifest.finish, done, result=result, receipt=receipt)
            self.summary.waiting, self.progressed = "", time.monotonic()
            self.summary.done += done.ok
            self.summary.interrupted += done.code == INTERRUPTED
            self.summary.failed += not done.ok and done.code != INTERRUPTED
            if done.code:
                self.summary.codes[done.code] = self.summary.codes.get(done.code, 0) + 1
                self.summary.firsts.setdefault(done.code, done.source)
            self.told(self.summary)

    async def _one(self, item: items.Item) -> tuple[Done, bytes | None, bytes | None]:
        """Ask for one item until it is answered or refused for good."""
        ready = Done(
            index=item.index,
            source=item.source,
            ok=False,
            code="",
            input_sm3="",
            result="",
            log_index=None,
        )
        try:
            content = await asyncio.to_thread(item.content)
            ready = replace(ready, input_sm3=sm3(content).hex())
            tensors = await asyncio.to_thread(item.tensors, content, self.input_name)
        except UsageError as exc:
            return replace(ready, code=exc.code), None, None
        body = OipBody(
            tensors=tensors,
            parameters={"priority": IDLE},
            id=self.manifest.item_id(item.index),
        ).encode(response=False)
        if not self.idempotent:
            await asyncio.to_thread(self.manifest.sending, item.index, item.source)
        try:
            answer = await self._ask(body)
        except (RefusedError, InterruptedRequestError) as exc:
            if isinstance(exc, RefusedError) and _nobody(exc):
                raise
            return replace(ready, code=exc.code), None, None
        path, index = self.manifest.path(item.index), answer.done.index
        done = replace(ready, ok=True, result=path, log_index=index)
        return done, items.result_json(dict(answer.tensors)), answer.done.statement

    async def _ask(self, body: bytes) -> Answer:
        """Return an item's answer; raises what it failed with for good."""
        failures, pause = 0, FIRST_PAUSE_S
        while True:
            try:
                return await self.client.ask(
                    self.manifest.model,
                    body,
                    operation=OIP_INFER,
                    deadline_s=self.options.deadline_s,
                )
            except (RefusedError, TransportError, InterruptedRequestError) as exc:
                self.summary.retried += 1
                if _nobody(exc):
                    pause = await self._wait(exc, pause)
                    continue
                failures += 1
                if failures > RETRIES or not self.idempotent or exc.code.startswith(_ITS_OWN):
                    self.summary.retried -= 1
                    raise
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)


def _nobody(exc: MifengError) -> bool:
    """Whether a failure only says that nobody can be asked now."""
    if isinstance(exc, RefusedError):
        return exc.code.startswith(_NOBODY)
    return isinstance(exc, TransportError)


async def _only_bytes_input(client: AsyncClient, model: str) -> str:
    answer = await client.ask(model, b"", operation=OIP_METADATA, deadline_s=60)
    inputs = loads_json(answer.body)["inputs"]
    names = [str(each["name"]) for each in inputs if each["datatype"] == "BYTES"]
    if len(names) != 1:
        raise UsageError(f"model {model!r} has {len(names)} BYTES inputs; name one with --input")
    return names[0]
