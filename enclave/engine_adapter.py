"""An engine of others behind the OpenAI API: vLLM, SGLang, MindIE, llama.cpp, …, inside this TEE.

Requests and answers pass as they are, except for two keys: `model`, if the engine calls it
otherwise, and `cache_salt`, which the node sets to the request's isolation (or removes) so that a
client cannot name another's cache. The engine's words never reach a log, and its error messages
nobody: they may quote the prompt; the status becomes a code.

Closing an answer early closes the connection, which is how these engines learn of it.

Left out: what the engine does with plaintext. It is inside the trust boundary and is measured
with the node; docs/llm.md lists the switches.
"""

import asyncio
import contextlib
import http.client
import json
import logging
import math
import re
import socket
import time
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from mifeng.crypto import sm3
from mifeng.crypto.randomness import random_bytes
from mifeng.errors import MalformedError
from mifeng.protocol.body import (
    OPENAI_CHAT,
    OPENAI_COMPLETIONS,
    OPENAI_EMBEDDINGS,
    loads_json,
)

from .engine_process import Supervisor
from .engines import Alone, EngineError, Job, Ran, Turns
from .lane import tier
from .llmconfig import EngineConfig
from .pacing import Pacing

_PATHS: Final = {
    OPENAI_CHAT: "/v1/chat/completions",
    OPENAI_COMPLETIONS: "/v1/completions",
    OPENAI_EMBEDDINGS: "/v1/embeddings",
}
_CODES: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: "request.rejected",
    HTTPStatus.NOT_FOUND: "request.rejected",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request.too_large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "request.rejected",
    HTTPStatus.TOO_MANY_REQUESTS: "engine.busy",
    HTTPStatus.SERVICE_UNAVAILABLE: "engine.busy",
}
MAX_ANSWER: Final = 256 << 20
_FINISHED: Final = re.compile(rb'^data: ?\[DONE\]|"finish_reason": ?"', re.MULTILINE)
_TAIL: Final = 64
_CONNECT_S: Final = 5.0
_HEALTH_S: Final = 2.0
_HEARD_S: Final = 5.0
"""So long after its last byte an engine that answers no health check counts as busy, not ill."""


class HttpEngine:
    """What all adapters share: the connection, the key, the child."""

    def __init__(
        self,
        config: EngineConfig,
        *,
        name: str,
        device: str,
        pacing: Pacing | None,
        lane: Turns | None = None,
    ) -> None:
        """Connect to the engine, starting it if the configuration says how.

        `lane` says when a request may run.

        Raises:
            EngineError: it did not become healthy in time.
            OSError: the key's file cannot be read.
        """
        # One line per request would say nothing that the receipts do not.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        self._config, self._name = config, name
        self.lane: Turns = lane or Alone()
        self.pacing = pacing
        """See `enclave.pacing.Paced`: requests of every adapter may be given up midway."""
        self.operations = frozenset(config.operations)
        self.ran = Ran(backend=config.backend, device=device[:128])
        key = _key(config)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._headers = headers
        scheme, _, where = config.address.partition(":")
        self._socket = where if scheme == "unix" else None
        base = "http://engine" if scheme == "unix" else f"http://{where}"
        self._http = httpx.AsyncClient(
            base_url=base,
            headers=headers | {"accept-encoding": "identity"},
            # No time limit of its own: the request's deadline ends it.
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            transport=httpx.AsyncHTTPTransport(uds=self._socket),
            trust_env=False,
        )
        self._where = where
        self._heard = -math.inf
        self._supervisor: Supervisor | None = None
        if config.command is not None:
            env = dict(config.env) | ({config.key_env: key} if config.key_env and key else {})
            self._supervisor = Supervisor(config.command, env=env, healthy=self.healthy)
            if not self._supervisor.ready.wait(config.start_s):
                self._supervisor.close()
                raise EngineError("engine.unavailable", f"{name}: the engine did not start")

    @property
    def supervisor(self) -> Supervisor | None:
        """Who keeps the child running, if it is a child."""
        return self._supervisor

    def healthy(self) -> bool:
        """Ask the engine's health check, in at most two seconds. For other threads.

        An engine that is in the middle of an answer is alive, even if it answers nothing else.
        """
        return self._asked() or time.monotonic() - self._heard < _HEARD_S

    def _asked(self) -> bool:
        connection = _Connection(self._where, self._socket)
        try:
            connection.request("GET", self._config.health, headers=self._headers)
            with connection.getresponse() as answer:
                return answer.status == HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._http.aclose()
        if self._supervisor is not None:
            await asyncio.to_thread(self._supervisor.close)

    @contextlib.asynccontextmanager
    async def ask(
        self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[httpx.Response]:
        """Send one request; inside the context the answer, of status 200, can be read.

        Raises:
            EngineError: the engine is not there, refuses, or the connection breaks.
        """
        if self._supervisor is not None and not self._supervisor.ready.is_set():
            raise EngineError("engine.unavailable", "the engine is being started again")
        try:
            async with self._http.stream(method, path, content=content, headers=headers) as answer:
                if answer.status_code != HTTPStatus.OK:
                    code = _CODES.get(answer.status_code, "engine.failed")
                    raise EngineError(code, f"the engine answered {answer.status_code}")
                yield answer
        except httpx.HTTPError as exc:
            # `from None`: nothing of the request may be in a traceback.
            raise EngineError("engine.interrupted", type(exc).__name__) from None

    async def whole(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        """Yield an answer's bytes, within bounds."""
        size = 0
        async for piece in answer.aiter_bytes():
            self._heard = time.monotonic()
            size += len(piece)
            if size > MAX_ANSWER:
                raise EngineError("engine.failed", "the engine's answer is too large")
            yield piece


class OpenAiEngine(HttpEngine):
    """See `enclave.engines.Engine`."""

    async def run(self, job: Job) -> AsyncIterator[bytes]:
        """See `Engine.run`."""
        content, when = self._content(job)
        headers = {"content-type": "application/json"}
        path = _PATHS[job.operation]
        async with (
            self.lane.turn(when),
            self.ask("POST", path, content, headers) as answer,
        ):
            kind = answer.headers.get("content-type", "").partition(";")[0].strip()
            if kind != ("text/event-stream" if job.stream else "application/json"):
                raise EngineError("engine.failed", "the engine answered in another form")
            pieces = self.whole(answer)
            async for piece in _events(pieces) if job.stream else pieces:
                yield piece

    def _content(self, job: Job) -> tuple[bytes, Mapping[str, Any]]:
        """Return the request for the engine, and what its lane reads.

        The request is the client's bytes, if nothing must change.
        """
        try:
            document = loads_json(bytes(job.body))
        except MalformedError as exc:
            raise EngineError("request.malformed", str(exc)) from None
        if not isinstance(document, dict):
            raise EngineError("request.malformed", "not an object")
        if (document.get("stream") is True) is not job.stream:
            raise EngineError("request.malformed", "stream: header and body differ")
        changed: dict[str, Any] = dict(document)
        changed.pop("cache_salt", None)
        if self._config.prefix_cache == "salted":
            changed["cache_salt"] = salt(job.isolation)
        if self._config.served_model is not None:
            changed["model"] = self._config.served_model
        if changed == document:
            return bytes(job.body), tier(document)
        content = json.dumps(changed, ensure_ascii=False, separators=(",", ":"))
        return content.encode("utf-8", "surrogatepass"), tier(document)


def salt(isolation: bytes) -> str:
    """Return what an engine keeps its prefix caches apart by: it tells nothing of the secret."""
    return sm3(b"mifeng/v1/cache-salt\0" + isolation).hex()


async def _events(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the stream as it comes, and insist on its end: a cut answer must not pass.

    The end is `[DONE]`, or for engines that leave it out a reason to finish. Neither can be said
    by a model: inside its text the quotes would be escaped.
    """
    tail, ended = b"", False
    async for piece in pieces:
        window = tail + piece
        ended = ended or _FINISHED.search(window) is not None
        tail = window[-_TAIL:]
        yield piece
    if not ended:
        raise EngineError("engine.interrupted", "the engine's stream ended early")


def _key(config: EngineConfig) -> str:
    """Return the engine's API key: from its file, or new for a child, or none."""
    if config.key_file is not None:
        return Path(config.key_file).read_text("utf-8").strip()
    return random_bytes(32).hex() if config.key_env is not None else ""


class _Connection(http.client.HTTPConnection):
    """A blocking connection for health checks, over TCP or a unix socket."""

    def __init__(self, where: str, path: str | None) -> None:
        host, _, port = ("localhost", "", "80") if path else where.rpartition(":")
        super().__init__(host.strip("[]"), int(port), timeout=_HEALTH_S)
        self._path = path

    def connect(self) -> None:
        """See `HTTPConnection.connect`."""
        if self._path is None:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_HEALTH_S)
        self.sock.connect(self._path)
