"""Run a batch: a bounded number of items in flight, each retried, each with its receipt."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mifeng.client import AsyncClient
from mifeng.errors import (
    InterruptedRequestError,
    PeerError,
    RefusedError,
    TransportError,
    UsageError,
)
from mifeng.protocol.body import OIP_INFER, OIP_METADATA, OipBody, loads_json

from . import items
from .manifest import Done, Manifest

RETRIES: Final = 8
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
_FINAL: Final = ("backend.input.", "request.", "model.unknown", "operation.unknown", "tenant.")


@dataclass(slots=True)
class Summary:
    """How a run went."""

    total: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    retried: int = 0
    codes: dict[str, int] = field(default_factory=dict)


async def run(
    client: AsyncClient,
    manifest: Manifest,
    paths: Iterable[Path],
    *,
    input_name: str | None,
    jobs: int,
    on_item: Callable[[Summary], None],
) -> Summary:
    """Work through every item that the manifest does not hold yet.

    Args:
        client: asks.
        manifest: remembers.
        paths: files, in a fixed order: an item's place is its name.
        input_name: BYTES input for files; the model's only one if None.
        jobs: items in flight.
        on_item: told after each item.

    Raises:
        UsageError: the model has no single BYTES input and none was named.
        PeerError: something unacceptable came back: nothing more is sent.
    """
    summary = Summary(skipped=sum(each.ok for each in manifest.done.values()))
    name = input_name
    waiting: asyncio.Queue[items.Item | None] = asyncio.Queue(maxsize=jobs * 2)

    async def work() -> None:
        nonlocal name
        while (item := await waiting.get()) is not None:
            if name is None and item.line is None:
                name = await _only_bytes_input(client, manifest.model)
            done, result, receipt = await _one(client, manifest, item, name or "", summary)
            await asyncio.to_thread(manifest.finish, done, result=result, receipt=receipt)
            summary.done += done.ok
            summary.failed += not done.ok
            if done.code:
                summary.codes[done.code] = summary.codes.get(done.code, 0) + 1
            on_item(summary)

    async def feed() -> None:
        for item in items.read(paths):
            summary.total += 1
            before = manifest.done.get(item.index)
            if before is None or not before.ok:
                await waiting.put(item)
        for _ in range(jobs):
            await waiting.put(None)

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        for _ in range(jobs):
            group.create_task(work())
    return summary


async def _one(
    client: AsyncClient, manifest: Manifest, item: items.Item, name: str, summary: Summary
) -> tuple[Done, bytes | None, bytes | None]:
    """Ask for one item until it is answered or refused for good."""
    pause, attempt = FIRST_PAUSE_S, 0
    while True:
        attempt += 1
        try:
            tensors = await asyncio.to_thread(item.tensors, name)
            body = OipBody(tensors=tensors, id=manifest.item_id(item.index))
            answer = await client.ask(
                manifest.model, body.encode(response=False), operation=OIP_INFER, deadline_s=600
            )
        except PeerError:
            raise
        except UsageError as exc:
            return _failed(item, exc.code), None, None
        except (RefusedError, TransportError, InterruptedRequestError) as exc:
            if attempt > RETRIES or exc.code.startswith(_FINAL):
                return _failed(item, exc.code), None, None
            summary.retried += 1
            wait = exc.retry_after_s if isinstance(exc, RefusedError) else None
            await asyncio.sleep(wait or pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
            continue
        done = Done(
            index=item.index, source=item.source, ok=True, code="", log_index=answer.done.index
        )
        return done, items.result_json(dict(answer.tensors)), answer.done.statement


def _failed(item: items.Item, code: str) -> Done:
    return Done(index=item.index, source=item.source, ok=False, code=code, log_index=None)


async def _only_bytes_input(client: AsyncClient, model: str) -> str:
    answer = await client.ask(model, b"", operation=OIP_METADATA, deadline_s=60)
    inputs = loads_json(answer.body)["inputs"]
    names = [str(each["name"]) for each in inputs if each["datatype"] == "BYTES"]
    if len(names) != 1:
        raise UsageError(f"model {model!r} has {len(names)} BYTES inputs; name one with --input")
    return names[0]
