"""The node's measured configuration: one YAML file, every key known, security keys without default.

The digest of the file's exact bytes stands in every keyset (`software.config`).
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mifeng.crypto import sm3
from mifeng.crypto.suites import SUITES
from mifeng.pins import PinDocument

from .llmconfig import EngineConfig, LlmConfig, PacingConfig

SUITE_IDS = {suite.name: suite.id for suite in SUITES.values()}


class ConfigError(ValueError):
    """The configuration is unusable; the message says which key."""

    code = "config"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeviceConfig(_Strict):
    """One line of a model's device list, in order of preference."""

    ep: str
    index: Annotated[int, Field(ge=0)] = 0
    vendor: str | None = None
    options: dict[str, str] = {}


class BatchingConfig(_Strict):
    """Dynamic batching of one tensor model (docs/batching.md)."""

    max_batch_rows: Annotated[int, Field(ge=2, le=65_536)]
    preferred_batch_size: list[Annotated[int, Field(ge=1)]] = []
    max_queue: Annotated[int, Field(ge=1, le=65_536)] = 256
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    mix_tenants: bool
    """Let requests of different isolation share a batch. Rows never mix inside a model that
    treats them one by one; whether a model does is for whoever configures this to know."""

    @model_validator(mode="after")
    def _attainable(self) -> Self:
        if any(size > self.max_batch_rows for size in self.preferred_batch_size):
            raise ValueError("preferred_batch_size: more than max_batch_rows")
        return self


class EmbeddingConfig(_Strict):
    """An encoder of texts; see `accel_backends.embedding.EmbeddingLimits`."""

    context: Annotated[int, Field(ge=2, le=1 << 17)]
    """Most tokens of a text; a longer one is refused."""
    rows: Annotated[int, Field(ge=1, le=4096)] = 32
    pooling: Literal["mean", "first"] = "mean"


class ModelConfig(_Strict):
    """One served model."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$")]
    version: str
    kind: Literal["onnx", "ocr", "llm", "embedding", "openai-engine", "oip-engine"]
    files: Annotated[dict[str, Path], Field(min_length=1)]
    """Role → path. `onnx`: `graph`. `ocr`: `detect`, `classify`, `recognise`. `llm`: `graph`,
    `tokenizer`, `tokenizer_config`, and the graph's external data by the names it uses.
    `embedding`: `graph`, `tokenizer`, and external data likewise.
    `openai-engine`, `oip-engine`: what its digest is to cover; the engine reads the files."""
    devices: Annotated[list[DeviceConfig], Field(min_length=1)]
    precision: Literal["native", "reduced"] = "native"
    intra_threads: Annotated[int, Field(ge=1, le=256)] = 1
    idempotent: bool = True
    max_input_bytes: Annotated[int, Field(ge=1)] = 256 << 20
    batching: BatchingConfig | None = None
    llm: LlmConfig | None = None
    """Needed by kind `llm`."""
    embedding: EmbeddingConfig | None = None
    """Needed by kind `embedding`."""
    engine: EngineConfig | None = None
    """Needed by kinds `openai-engine` and `oip-engine`."""
    pacing: PacingConfig = PacingConfig()
    """Streams of `llm` and `openai-engine`."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind == "llm") is not (self.llm is not None):
            raise ValueError("kind llm and its settings come together")
        if (self.kind == "embedding") is not (self.embedding is not None):
            raise ValueError("kind embedding and its settings come together")
        if self.kind.endswith("-engine") is not (self.engine is not None):
            raise ValueError(f"kind {self.kind} and settings of an engine do not fit")
        if self.engine is not None:
            api = self.kind.removesuffix("-engine")
            if any(not name.startswith(f"{api}.") for name in self.engine.operations):
                raise ValueError(f"engine.operations: not all are of kind {self.kind}")
        return self


class KeysetConfig(_Strict):
    """How long keys live, in seconds."""

    life_s: Annotated[int, Field(ge=10, le=86_400)]
    active_s: Annotated[int, Field(ge=5, le=86_400)]

    @model_validator(mode="after")
    def _drains(self) -> Self:
        if self.active_s >= self.life_s:
            raise ValueError("active_s must be less than life_s, or nothing has time to drain")
        return self


class LimitsConfig(_Strict):
    """Bounds of one node."""

    concurrency: Annotated[int, Field(ge=1, le=4096)] = 32
    max_body_bytes: Annotated[int, Field(ge=1)] = 256 << 20
    first_frame_s: Annotated[float, Field(gt=0)] = 10.0
    max_salted_bytes: Annotated[int, Field(ge=0)] = 1 << 20


class TeeConfig(_Strict):
    """Which hardware vouches for this node."""

    kind: Literal["unsafe-simulated", "linux-tsm", "csv-guest"]
    accelerators: Literal["none", "unsafe-simulated", "nvidia", "dcu"]
    simulated_accelerators: Annotated[int, Field(ge=0, le=8)] = 0


class NodeConfig(_Strict):
    """See the module."""

    node_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    listen: Annotated[str, Field(pattern=r"^(unix:.+|tcp:.+:\d+)$")]
    tee: TeeConfig
    log: PinDocument
    suites: Annotated[list[str], Field(min_length=1)]
    keyset: KeysetConfig
    backends: Annotated[list[str], Field(min_length=1)]
    """Accelerator backends this node may load, by name."""
    models: Annotated[list[ModelConfig], Field(min_length=1)]
    require_constant_time_crypto: bool
    policy: Path | None = None
    """A document whose digest the node reports as its own policy."""
    limits: LimitsConfig = LimitsConfig()
    tally_s: Annotated[float, Field(gt=0, le=60)] = 10.0
    drain_s: Annotated[float, Field(ge=0, le=600)] = 30.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if unknown := [name for name in self.suites if name not in SUITE_IDS]:
            raise ValueError(f"suites: unknown {unknown}; there are {sorted(SUITE_IDS)}")
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError("models: a name is used twice")
        self.log.pin()
        return self

    @property
    def suite_ids(self) -> tuple[int, ...]:
        """The suites by number, in the order given."""
        return tuple(SUITE_IDS[name] for name in self.suites)


def load(path: Path) -> tuple[NodeConfig, bytes]:
    """Return the configuration in a file and the digest of its bytes.

    Raises:
        ConfigError: unreadable, not YAML, or a key is missing, unknown or out of range.
    """
    try:
        raw = path.read_bytes()
        tree: Any = yaml.safe_load(raw)
        return NodeConfig.model_validate(tree), sm3(raw)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (yaml.YAMLError, ValidationError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
