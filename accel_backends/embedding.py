"""Texts to vectors: a tokenizer and an encoder graph, one unit vector for each text.

The graph is an encoder as sentence-transformers and Optimum export it: `input_ids`,
`attention_mask` and perhaps `token_type_ids`, INT64 [batch, sequence], in; out either
`sentence_embedding` FP32 [batch, width], or FP32 [batch, sequence, width], which is pooled here.

Left out: cutting long texts into parts. A text that is too long is refused, since the vector of
its beginning would be another text's.

Source: Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, §3; HuggingFace `tokenizers`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from .base import Backend, LoadOptions, Placement, Session
from .errors import InputError, ModelError
from .llm.errors import ContextError
from .llm.text import Tokenizer

__all__ = ["EmbeddingLimits", "EmbeddingModel", "load"]

Pooling = Literal["mean", "first"]
Vectors = NDArray[np.float32]
_NEEDED: Final = frozenset({"input_ids", "attention_mask"})
_KNOWN: Final = _NEEDED | {"token_type_ids"}
_READY: Final = "sentence_embedding"
_MATRIX: Final = 2
_EPSILON: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingLimits:
    """How one model is used."""

    context: int
    """Most tokens of a text, special ones included."""
    rows: int = 32
    """Texts in one run."""
    pooling: Pooling = "mean"
    """`mean` over the tokens of a text, or its `first` token. Not used if the graph pools."""


class EmbeddingModel:
    """A loaded encoder. `embed` may be called from many threads at once."""

    def __init__(
        self, session: Session, tokenizer: Tokenizer, limits: EmbeddingLimits, output: str
    ) -> None:
        self._session, self._limits, self._output = session, limits, output
        self._names = frozenset(spec.name for spec in session.inputs)
        self.tokenizer = tokenizer

    @property
    def placement(self) -> Placement:
        """Where the graph runs."""
        return self._session.placement

    def tokens(self, text: str) -> tuple[int, ...]:
        """Return a text's tokens, special ones included; raises `ContextError`."""
        return self.checked(self.tokenizer.encode(text, special=True))

    def checked(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """Return tokens that the model can take.

        Raises:
            ContextError: none, or more than the context.
            InputError: one that the vocabulary does not have.
        """
        if not 0 < len(tokens) <= self._limits.context:
            raise ContextError(f"a text has at least one and at most {self._limits.context} tokens")
        if not all(0 <= token < self.tokenizer.size for token in tokens):
            raise InputError("backend.input.value", "a token that the model does not have")
        return tokens

    def embed(self, texts: Sequence[tuple[int, ...]]) -> Vectors:
        """Return one vector of length 1 for each text.

        Args:
            texts: tokens of each, as `tokens` or `checked` returned them.

        Returns:
            FP32 [texts, width], in the order of the texts.

        Raises:
            BackendError: the device failed.
        """
        # Texts of like length share a run, so that little is spent on padding.
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        size = self._limits.rows
        runs = [order[at : at + size] for at in range(0, len(order), size)]
        joined = np.concatenate([self._run([texts[each] for each in run]) for run in runs])
        vectors = np.empty_like(joined)
        vectors[order] = joined
        return vectors

    def _run(self, texts: Sequence[tuple[int, ...]]) -> Vectors:
        longest = max(map(len, texts))
        ids = np.zeros((len(texts), longest), np.int64)
        mask = np.zeros((len(texts), longest), np.int64)
        for row, tokens in enumerate(texts):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        inputs = {name: given[name] for name in self._names}
        made = self._session.run(inputs).outputs[self._output]
        if made.ndim != _MATRIX:
            made = _pool(made, mask, self._limits.pooling)
        vectors: Vectors = made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), _EPSILON)
        return vectors

    def close(self) -> None:
        """Release the graph."""
        self._session.close()


def _pool(hidden: Vectors, mask: NDArray[np.int64], pooling: Pooling) -> Vectors:
    """Return [batch, width] of [batch, sequence, width]; padding counts for nothing."""
    if pooling == "first":
        return hidden[:, 0]
    weights = mask[:, :, None].astype(np.float32)
    pooled: Vectors = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    return pooled


def load(
    backend: Backend,
    files: Mapping[str, bytes],
    *,
    options: LoadOptions,
    limits: EmbeddingLimits,
) -> EmbeddingModel:
    """Load an encoder.

    Args:
        backend: runs the graph.
        files: `graph`, `tokenizer` (tokenizer.json); further ones are external data of the graph.
        options: devices, threads.
        limits: context and rows.

    Raises:
        ModelError: a file is not what it should be, or they do not fit each other.
        BackendError: the graph does not run where it must.
    """
    tokenizer = Tokenizer(files["tokenizer"])
    external = {name: data for name, data in files.items() if name not in ("graph", "tokenizer")}
    session = backend.load(files["graph"], options=options, external=external)
    names = {spec.name for spec in session.inputs if spec.datatype == "INT64"}
    if not names >= _NEEDED or {spec.name for spec in session.inputs} - _KNOWN:
        raise ModelError("backend.model.signature", "not the inputs of a text encoder")
    outputs = {spec.name: spec for spec in session.outputs if spec.datatype == "FP32"}
    if not outputs:
        raise ModelError("backend.model.signature", "no FP32 output")
    output = _READY if _READY in outputs else next(iter(outputs))
    if len(outputs[output].shape) not in (_MATRIX, 3):
        raise ModelError("backend.model.signature", "the output is neither vectors nor states")
    return EmbeddingModel(session, tokenizer, limits, output)
