"""Load the configured models into engines, and name each by the digest of its manifest."""

import os
from collections.abc import Mapping
from concurrent.futures import Executor as ThreadPool
from dataclasses import dataclass
from pathlib import Path

from accel_backends import Backend, DeviceRequest, LoadOptions, OnnxPipeline, Pipeline
from accel_backends import load as load_backend
from mifeng.crypto import Sm3, sm3
from mifeng.protocol import jsonc
from mifeng.protocol.keyset import Model

from .batching import Batcher, BatchLimits
from .config import ConfigError, EmbeddingConfig, ModelConfig, NodeConfig
from .engines import Engine, EngineError, Infer, OipEngine
from .lane import Lane, LaneLimits
from .llmconfig import EngineConfig, LlmConfig
from .pacing import Pacing

BACKEND = "onnxruntime"
_OCR_FILES = ("detect", "classify", "recognise")


@dataclass(frozen=True, slots=True)
class Served:
    """Engines by model name, and what the keyset says of each."""

    engines: Mapping[str, Engine]
    models: Mapping[str, Model]


def manifest_digest(config: ModelConfig, files: Mapping[str, bytes]) -> bytes:
    """Return SM3 over the canonical manifest: name, version, kind and each file's SM3.

    Where the model runs is not part of it: the same weights on another device are the same
    model, and the device stands in the receipt.
    """
    return _digest(config, {role: sm3(data) for role, data in files.items()})


def _digest(config: ModelConfig, sums: Mapping[str, bytes]) -> bytes:
    return sm3(
        jsonc.dumps(
            {
                "v": 1,
                "name": config.name,
                "version": config.version,
                "kind": config.kind,
                "files": {role: digest.hex() for role, digest in sums.items()},
            }
        )
    )


def load(config: NodeConfig, *, pool: ThreadPool) -> Served:
    """Load every model of the configuration.

    Raises:
        ConfigError: a file cannot be read, or a kind lacks one of its files.
        BackendError: a device is not there, or a graph does not run where it must.
    """
    backend = load_backend(BACKEND, allowed=config.backends)
    lane = Lane(
        LaneLimits(width=os.cpu_count() or 1, waiting=max(1, config.limits.concurrency // 2))
    )
    engines: dict[str, Engine] = {}
    models: dict[str, Model] = {}
    for each in config.models:
        if each.engine is not None:
            engines[each.name] = _adapter(each, each.engine, lane)
            sums = {role: _sum(path) for role, path in each.files.items()}
            models[each.name] = Model(digest=_digest(each, sums), idempotent=each.idempotent)
            continue
        files = {role: _read(path) for role, path in each.files.items()}
        if each.llm is not None:
            engines[each.name] = _llm(each, each.llm, files, backend=backend, lane=lane)
            digest = manifest_digest(each, files)
            models[each.name] = Model(digest=digest, idempotent=each.idempotent)
            continue
        if each.embedding is not None:
            engines[each.name] = _embedding(
                each, each.embedding, files, backend=backend, pool=pool, lane=lane
            )
            digest = manifest_digest(each, files)
            models[each.name] = Model(digest=digest, idempotent=each.idempotent)
            continue
        pipeline = _pipeline(each, files, backend)
        engines[each.name] = OipEngine(
            pipeline,
            name=each.name,
            version=each.version,
            backend=backend.name,
            pool=pool,
            lane=lane,
            batcher=_batcher(each, pipeline, pool),
        )
        models[each.name] = Model(digest=manifest_digest(each, files), idempotent=each.idempotent)
    return Served(engines, models)


def _batcher(config: ModelConfig, pipeline: Pipeline, pool: ThreadPool) -> Infer | None:
    if (batching := config.batching) is None:
        return None
    limits = BatchLimits(
        max_batch_rows=batching.max_batch_rows,
        max_queue=batching.max_queue,
        mix_tenants=batching.mix_tenants,
        instances=batching.instances,
        preferred_batch_size=frozenset(batching.preferred_batch_size),
    )
    return Batcher(pipeline, limits=limits, pool=pool).infer


def _llm(
    config: ModelConfig,
    settings: LlmConfig,
    files: Mapping[str, bytes],
    *,
    backend: Backend,
    lane: Lane,
) -> Engine:
    from accel_backends import llm

    from .llm import LlmEngine

    if missing := {"graph", "tokenizer", "tokenizer_config"} - set(files):
        raise ConfigError(f"models.{config.name}.files: need {', '.join(sorted(missing))}")
    model = llm.load(
        backend, files, options=_options(config), limits=llm.Limits(**settings.model_dump())
    )
    return LlmEngine(
        model, name=config.name, backend=backend.name, pacing=_pacing(config), lane=lane
    )


def _embedding(
    config: ModelConfig,
    settings: EmbeddingConfig,
    files: Mapping[str, bytes],
    *,
    backend: Backend,
    pool: ThreadPool,
    lane: Lane,
) -> Engine:
    from accel_backends import embedding

    from .embeddings import EmbeddingEngine

    if missing := {"graph", "tokenizer"} - set(files):
        raise ConfigError(f"models.{config.name}.files: need {', '.join(sorted(missing))}")
    limits = embedding.EmbeddingLimits(**settings.model_dump())
    model = embedding.load(backend, files, options=_options(config), limits=limits)
    return EmbeddingEngine(model, name=config.name, backend=backend.name, pool=pool, lane=lane)


def _adapter(config: ModelConfig, settings: EngineConfig, lane: Lane) -> Engine:
    from .engine_adapter import OpenAiEngine
    from .oip_adapter import OipHttpEngine

    device = ",".join(f"{device.ep}:{device.index}" for device in config.devices)
    try:
        if config.kind == "oip-engine":
            return OipHttpEngine(settings, name=config.name, device=device, pacing=None, lane=lane)
        pacing = _pacing(config)
        return OpenAiEngine(settings, name=config.name, device=device, pacing=pacing, lane=lane)
    except (EngineError, OSError) as exc:
        raise ConfigError(f"models.{config.name}.engine: {exc}") from exc


def _pacing(config: ModelConfig) -> Pacing | None:
    settings = config.pacing
    if not settings.tick_ms:
        return None
    return Pacing(
        tick_s=settings.tick_ms / 1e3, frames=settings.frames, round_ticks=settings.round_ticks
    )


def _pipeline(config: ModelConfig, files: Mapping[str, bytes], backend: Backend) -> Pipeline:
    options = _options(config)
    if config.kind == "ocr":
        from accel_backends import ocr

        _need(config, _OCR_FILES)
        return ocr.load(backend, ocr.OcrModels(**files), options=options)
    _need(config, ("graph",))
    return OnnxPipeline(backend.load(files["graph"], options=options))


def _options(config: ModelConfig) -> LoadOptions:
    return LoadOptions(
        devices=tuple(
            DeviceRequest(
                ep=device.ep, index=device.index, vendor=device.vendor, options=device.options
            )
            for device in config.devices
        ),
        precision=config.precision,
        intra_threads=config.intra_threads,
        max_input_bytes=config.max_input_bytes,
    )


def _need(config: ModelConfig, roles: tuple[str, ...]) -> None:
    if set(config.files) != set(roles):
        raise ConfigError(f"models.{config.name}.files: need exactly {', '.join(roles)}")


def _sum(path: Path) -> bytes:
    """Return the SM3 of a file that may be larger than memory."""
    state = Sm3()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                state.update(piece)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    return state.digest()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
