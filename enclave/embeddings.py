"""Embeddings behind the OpenAI API: texts or tokens in, one vector for each out.

Vectors travel as numbers or, with `encoding_format` `base64`, as little-endian FP32, which is
what the `openai` libraries ask for. What the model cannot do is refused by name.

Source: OpenAI API reference, "Embeddings".
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from concurrent.futures import Executor as ThreadPool
from dataclasses import dataclass, field
from typing import Any, Final

from accel_backends.embedding import EmbeddingModel, Vectors
from accel_backends.errors import BackendError
from mifeng.errors import MalformedError
from mifeng.protocol.body import OPENAI_EMBEDDINGS, loads_json

from .engines import EngineError, Job, Ran, Turns

MAX_TEXTS: Final = 2048
"""Texts in one request, as the reference says."""
_KEYS: Final = frozenset({"model", "input", "encoding_format", "dimensions", "user"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, understood."""

    texts: tuple[str | tuple[int, ...], ...] = field(repr=False)
    as_base64: bool
    dimensions: int | None


def parse(body: bytes | memoryview) -> Ask:
    """Return what a request asks for.

    Raises:
        EngineError: `request.malformed`, `request.unknown_key`.
    """
    try:
        document = loads_json(bytes(body))
    except MalformedError as exc:
        raise _malformed(str(exc)) from None
    if not isinstance(document, dict):
        raise _malformed("not an object")
    if not document.keys() <= _KEYS:
        raise EngineError("request.unknown_key", "the request has a key nobody knows")
    encoding = document.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise _malformed("encoding_format: float or base64")
    dimensions = document.get("dimensions")
    if dimensions is not None and type(dimensions) is not int:
        raise _malformed("dimensions")
    return Ask(
        texts=_texts(document.get("input")),
        as_base64=encoding == "base64",
        dimensions=dimensions,
    )


def _texts(value: object) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(value, str) or (_is_tokens(value) and value):
        value = [value]
    if not isinstance(value, list) or not 0 < len(value) <= MAX_TEXTS:
        raise _malformed(f"input: 1 … {MAX_TEXTS} texts")
    return tuple(_text(each) for each in value)


def _text(value: object) -> str | tuple[int, ...]:
    if isinstance(value, list) and _is_tokens(value):
        return tuple(value)
    if not isinstance(value, str) or not value:
        raise _malformed("input: text that is not empty, or tokens")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _malformed("input: half of a surrogate pair") from None
    return value


def _is_tokens(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


def _malformed(what: str) -> EngineError:
    return EngineError("request.malformed", what)


class EmbeddingEngine:
    """See `enclave.engines.Engine`."""

    operations = frozenset({OPENAI_EMBEDDINGS})

    def __init__(
        self, model: EmbeddingModel, *, name: str, backend: str, pool: ThreadPool, lane: Turns
    ) -> None:
        """Take a loaded model, the name it is served as, and who says when it may run."""
        self._model, self._name, self._pool, self._lane = model, name, pool, lane
        where = model.placement
        self.ran = Ran(
            backend=f"{backend}/{where.ep} {where.ep_version}"[:128], device=str(where.device)[:128]
        )

    async def run(self, job: Job) -> AsyncIterator[bytes]:
        """See `Engine.run`; yields once."""
        if job.stream:
            raise _malformed("stream: embeddings do not stream")
        async with self._lane.turn({}):
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._pool, self._answer, job.body)
        yield answer

    async def close(self) -> None:
        """See `Engine.close`."""
        self._model.close()

    def _answer(self, body: memoryview) -> bytes:
        ask = parse(body)
        try:
            texts = [
                self._model.tokens(each) if isinstance(each, str) else self._model.checked(each)
                for each in ask.texts
            ]
            vectors = self._model.embed(texts)
        except BackendError as exc:
            raise EngineError(exc.code, str(exc)) from None
        if ask.dimensions not in (None, vectors.shape[1]):
            raise EngineError(
                "request.unsupported.dimensions", f"this model has {vectors.shape[1]} dimensions"
            )
        return self._document(vectors, ask, sum(map(len, texts)))

    def _document(self, vectors: Vectors, ask: Ask, tokens: int) -> bytes:
        def value(row: Vectors) -> Any:  # noqa: ANN401 - JSON
            if ask.as_base64:
                return base64.b64encode(row.astype("<f4").tobytes()).decode()
            return row.tolist()

        rows = [
            {"object": "embedding", "index": index, "embedding": value(row)}
            for index, row in enumerate(vectors)
        ]
        document = {
            "object": "list",
            "data": rows,
            "model": self._name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
