"""The same client for programs without an event loop: one loop in one background thread."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from mifeng.errors import UsageError
from mifeng.protocol.body import Tensor
from mifeng.protocol.session import Done, Proven, TrustedNode

from .aio import AsyncClient, Progress
from .answer import Answer
from .config import ClientConfig

T = TypeVar("T")


class Client:
    """See `AsyncClient`; every method blocks. Safe to use from many threads."""

    def __init__(self, config: ClientConfig | Path | str) -> None:
        """Take a configuration or the path of one; raises `UsageError`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mifeng", daemon=True)
        self._thread.start()
        try:
            self._client = self._run(self._make(config))
        except BaseException:
            self._stop()
            raise

    async def _make(self, config: ClientConfig | Path | str) -> AsyncClient:
        return AsyncClient.from_config(config)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if not self._thread.is_alive():
            work.close()
            raise UsageError("the client is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release connections and end the background thread."""
        if self._thread.is_alive():
            self._run(self._client.close())
            self._stop()

    def attest(self, model: str) -> list[TrustedNode]:
        """See `AsyncClient.attest`."""
        return self._run(self._client.attest(model))

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Any] | Iterable[Tensor],
        *,
        parameters: Mapping[str, object] | None = None,
        deadline_s: float | None = None,
        subject: bytes | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """See `AsyncClient.infer`."""
        return self._run(
            self._client.infer(
                model,
                inputs,
                parameters=parameters,
                deadline_s=deadline_s,
                subject=subject,
                progress=progress,
            )
        )

    def ask(
        self, model: str, body: bytes, *, operation: str, deadline_s: float | None = None
    ) -> Answer:
        """See `AsyncClient.ask`."""
        return self._run(self._client.ask(model, body, operation=operation, deadline_s=deadline_s))

    def prove(self, answer: Answer | Done, *, wait_s: float = 90.0) -> Proven:
        """See `AsyncClient.prove`."""
        return self._run(self._client.prove(answer, wait_s=wait_s))
