"""The sealed side of the proxy: one client, attested ahead of need, shared by every front.

Keysets are renewed in the background before they run out, so that no request waits for an
appraisal; the first one for a model does.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any, Final

from mifeng.client import Answer, AnswerStream, AsyncClient
from mifeng.errors import MifengError
from mifeng.protocol.body import OIP_INFER, OIP_METADATA, OipBody, loads_json
from mifeng.protocol.session import Done

REFRESH_S: Final = 20.0
MARGIN: Final = 0.25
"""Part of a keyset's remaining life at which it is renewed."""


@dataclass(slots=True)
class Counts:
    """What the proxy has done, for `/metrics`."""

    requests: int = 0
    verified: int = 0
    refused: int = 0
    unverified: int = 0


class Upstream:
    """Everything the fronts need of the sealed world."""

    def __init__(self, client: AsyncClient, *, strict: bool) -> None:
        """Take a client; `strict` withholds streamed output until its receipt verifies."""
        self._client, self.strict = client, strict
        self._metadata: dict[str, dict[str, Any]] = {}
        self._known: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.counts = Counts()

    def start(self) -> None:
        """Begin to renew keysets in the background."""
        self._task = asyncio.create_task(self._keep_fresh())

    async def close(self) -> None:
        """Stop renewing and release connections."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._client.close()

    async def models(self) -> list[str]:
        """Return the models that acceptable nodes serve now."""
        return sorted(await self._client.models())

    async def metadata(self, model: str) -> dict[str, Any]:
        """Return a model's OIP metadata, asked once, sealed like everything else."""
        if model not in self._metadata:
            answer = await self._counted(
                self._client.ask(model, b"", operation=OIP_METADATA, deadline_s=30)
            )
            self._metadata[model] = loads_json(answer.body)
        return self._metadata[model]

    async def infer(self, model: str, body: OipBody, *, deadline_s: float | None) -> Answer:
        """Run tensors through a model."""
        data = body.encode(response=False)
        self._known.setdefault(model, 0)
        return await self._counted(
            self._client.ask(model, data, operation=OIP_INFER, deadline_s=deadline_s)
        )

    async def ask(self, model: str, body: bytes, *, operation: str) -> Answer:
        """Send an OpenAI body and return the whole verified answer."""
        self._known.setdefault(model, 0)
        return await self._counted(self._client.ask(model, body, operation=operation))

    async def stream(self, model: str, body: bytes, *, operation: str) -> AnswerStream:
        """Send an OpenAI body and return its answer as it arrives."""
        self._known.setdefault(model, 0)
        self.counts.requests += 1
        try:
            return await self._client.open_stream(model, body, operation=operation)
        except MifengError:
            self.counts.refused += 1
            raise

    def finished(self, done: Done | None) -> None:
        """Count the end of a stream: verified, or not."""
        if done is None:
            self.counts.unverified += 1
        else:
            self.counts.verified += 1

    async def _counted(self, work: Any) -> Answer:  # noqa: ANN401 - a coroutine of Answer
        self.counts.requests += 1
        try:
            answer: Answer = await work
        except MifengError:
            self.counts.refused += 1
            raise
        self.counts.verified += 1
        return answer

    async def _keep_fresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            for model, renewed in tuple(self._known.items()):
                if time.time() < renewed:
                    continue
                with contextlib.suppress(MifengError):  # a request will meet and report it
                    nodes = await self._client.attest(model)
                    life = min(node.valid_until for node in nodes) - time.time()
                    self._known[model] = int(time.time() + life * (1 - MARGIN))
