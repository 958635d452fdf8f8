"""The sealed side of the proxy: one client, attested ahead of need, shared by every front.

Nodes are appraised when the proxy starts and again in the background before trust in them runs
out; requests go on meanwhile with what is trusted, so none waits for an appraisal.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

from mifeng.client import Answer, AnswerStream, AsyncClient
from mifeng.errors import MifengError, RefusedError
from mifeng.protocol.body import OIP_INFER, OIP_METADATA, OipBody, loads_json

from .counts import Counts

MARGIN: Final = 0.25
"""Part of a model's remaining trust at which it is renewed."""
RETRY_S: Final = 5.0
"""When to try again after a failed renewal, and how often to look for new models."""
KEPT_S: Final = 5.0
"""How long the list of models answers questions of readiness."""


class Upstream:
    """Everything the fronts need of the sealed world."""

    def __init__(
        self, client: AsyncClient, *, strict: bool, clock: Callable[[], float] = time.time
    ) -> None:
        """Take a client; `strict` withholds streamed output until its receipt verifies."""
        self._client, self.strict, self._clock = client, strict, clock
        self._metadata: dict[str, tuple[float, dict[str, Any]]] = {}
        self._models: tuple[float, list[str]] | None = None
        self._due: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self.counts = Counts()

    def start(self) -> None:
        """Begin to attest in the background."""
        self._task = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """Stop renewing and release connections."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._client.close()

    async def models(self) -> list[str]:
        """Return the models that acceptable nodes serve; raises `MifengError`."""
        if self._models is None or self._clock() - self._models[0] > KEPT_S:
            self._models = (self._clock(), sorted(await self._client.models()))
        return self._models[1]

    async def models_or_none(self) -> list[str]:
        """Return the models that acceptable nodes serve; empty if nobody can say."""
        try:
            return await self.models()
        except MifengError:
            return []

    async def metadata(self, model: str, *, api: str) -> dict[str, Any]:
        """Return a model's OIP metadata, sealed like everything else; kept for a while."""
        asked, found = self._metadata.get(model, (0.0, {}))
        if not found or self._clock() - asked > KEPT_S:
            work = self._client.ask(model, b"", operation=OIP_METADATA, deadline_s=30)
            answer = await self._counted(work, api)
            found = loads_json(answer.body)
            self._metadata[model] = (self._clock(), found)
        return found

    async def infer(
        self, model: str, body: OipBody, *, api: str, subject: bytes | None = None
    ) -> Answer:
        """Run tensors through a model; its parameter `timeout` (µs) is the deadline too.

        `subject`, here and below: the reference to the person it is about, 32 bytes.
        """
        timeout = body.parameters.get("timeout")
        deadline_s = timeout / 1e6 if type(timeout) is int and timeout > 0 else None
        data = body.encode(response=False)
        self._noted(model)
        work = self._client.ask(
            model, data, operation=OIP_INFER, deadline_s=deadline_s, subject=subject
        )
        return await self._counted(work, api)

    async def ask(
        self, model: str, body: bytes, *, operation: str, api: str, subject: bytes | None = None
    ) -> Answer:
        """Send an OpenAI body and return the whole verified answer."""
        self._noted(model)
        work = self._client.ask(model, body, operation=operation, subject=subject)
        return await self._counted(work, api)

    async def stream(
        self, model: str, body: bytes, *, operation: str, api: str, subject: bytes | None = None
    ) -> AnswerStream:
        """Send an OpenAI body and return its answer as it arrives; see `ending`."""
        self._noted(model)
        with self._counting(api):
            return await self._client.open_stream(model, body, operation=operation, subject=subject)

    @asynccontextmanager
    async def ending(self, stream: AnswerStream, *, api: str) -> AsyncIterator[None]:
        """Read a stream in here: its end is checked, counted, and its work given up if left.

        Raises:
            MifengError: it did not verify, or the node sealed a failure.
        """
        try:
            yield
            if (problem := stream.done.problem) is not None:
                self.counts.ended(api, "refused")
                raise RefusedError(problem, "the node could not answer; its receipt says so")
            self.counts.ended(api, "verified")
        except RefusedError:
            raise
        except MifengError:
            self.counts.ended(api, "unverified")
            raise
        except BaseException:
            self.counts.ended(api, "cancelled")
            raise
        finally:
            await stream.aclose()

    async def _counted(self, work: Coroutine[Any, Any, Answer], api: str) -> Answer:
        with self._counting(api):
            answer = await work
        self.counts.ended(api, "verified")
        return answer

    @contextlib.contextmanager
    def _counting(self, api: str) -> Iterator[None]:
        """Count how a request failed, if it does."""
        try:
            yield
        except RefusedError:
            self.counts.ended(api, "refused")
            raise
        except MifengError:
            self.counts.ended(api, "unverified")
            raise
        except asyncio.CancelledError:
            self.counts.ended(api, "cancelled")
            raise

    # Attestation ahead of need.

    def _noted(self, model: str) -> None:
        self._due.setdefault(model, self._clock() + RETRY_S)

    async def _keep_fresh(self) -> None:
        for model in await self.models_or_none():
            self._due.setdefault(model, 0.0)
        while True:
            for model, due in tuple(self._due.items()):
                if self._clock() >= due:
                    await self.renew(model)
            soonest = min(self._due.values(), default=0.0) - self._clock()
            await asyncio.sleep(min(max(soonest, 0.05), RETRY_S))

    async def renew(self, model: str) -> None:
        """Appraise a model's nodes anew; a failure is left for a request to meet and report."""
        try:
            nodes = await self._client.attest(model)
        except RefusedError as exc:
            self.counts.attested(model, None)
            if exc.code == "model.unknown":
                self._due.pop(model, None)
                return
            self._due[model] = self._clock() + RETRY_S
        except MifengError:
            self.counts.attested(model, None)
            self._due[model] = self._clock() + RETRY_S
        else:
            until = min(node.valid_until for node in nodes)
            self.counts.attested(model, until)
            left = until - self._clock()
            self._due[model] = self._clock() + max(1.0, left * (1 - MARGIN))
