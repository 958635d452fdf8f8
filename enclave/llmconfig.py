"""Settings of language models in the node's configuration; `enclave.config` holds the rest."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LlmConfig(_Strict):
    """Slots of an embedded language model; see `accel_backends.llm.Limits`."""

    context: Annotated[int, Field(ge=2, le=1 << 20)]
    """Most tokens of prompt and answer together. Memory is slots × context × what a token needs."""
    slots: Annotated[int, Field(ge=1, le=256)] = 8
    chunk: Annotated[int, Field(ge=1)] = 64
    budget: Annotated[int, Field(ge=1)] = 128
    per_tenant: Annotated[int, Field(ge=0)] = 0
    per_isolation: Annotated[int, Field(ge=0)] = 0
    waiting: Annotated[int, Field(ge=1)] = 1024
    kept: Annotated[int, Field(ge=0)] = 0
    """Rows that keep a finished prompt for requests with the same isolation; 0 wipes them all."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.budget < self.chunk:
            raise ValueError("budget must hold a chunk")
        return self


class EngineConfig(_Strict):
    """An engine of others: a child of the node, or there already."""

    address: Annotated[str, Field(pattern=r"^(unix:/.+|tcp:(127\.0\.0\.1|\[::1\]):\d+)$")]
    """Where it listens. Nothing but this machine: what travels there is plaintext."""
    prefix_cache: Literal["salted", "off"]
    """`salted`: the engine keeps caches apart by `cache_salt`, which the node sets to the
    request's isolation. `off`: the engine was started without a prefix cache."""
    operations: Annotated[
        list[
            Literal[
                "openai.chat.completions",
                "openai.completions",
                "openai.embeddings",
                "oip.infer",
                "oip.metadata",
            ]
        ],
        Field(min_length=1),
    ]
    """Those of one API: all of OpenAI's kind, or all of the Open Inference Protocol's."""
    backend: Annotated[str, Field(pattern=r"^[ -~]{1,128}$")]
    """What receipts call it, e.g. `vllm 0.30`."""
    command: Annotated[list[str], Field(min_length=1)] | None = None
    """Started and kept running by the node; None if something else starts it."""
    env: dict[str, str] = {}
    """Further environment of the child; it inherits nothing but PATH."""
    key_env: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")] | None = None
    """Where the child reads its API key, which the node draws at random."""
    key_file: Path | None = None
    """API key of an engine that is there already."""
    served_model: str | None = None
    """What the engine calls the model, if not as the node does."""
    health: Annotated[str, Field(pattern=r"^/[!-~]*$")] = "/health"
    start_s: Annotated[float, Field(gt=0, le=7200)] = 600.0
    """How long it may take until `health` answers 200."""

    @model_validator(mode="after")
    def _keyed(self) -> Self:
        if self.command is None and self.key_env is not None:
            raise ValueError("key_env is for a child")
        if self.command is not None and self.key_file is not None:
            raise ValueError("key_file is for an engine that is there already")
        return self


class PacingConfig(_Strict):
    """When frames of a streamed answer leave; see `enclave.pacing`."""

    tick_ms: Annotated[float, Field(ge=0, le=1000)] = 20.0
    """0 sends every piece as it comes: sizes and times then tell tokens to whoever carries them."""
    frames: Annotated[int, Field(ge=1, le=64)] = 1
    round_ticks: Annotated[int, Field(ge=1, le=4096)] = 64
