"""Load the configured models into engines, and name each by the digest of its manifest."""

from collections.abc import Mapping
from concurrent.futures import Executor as ThreadPool
from dataclasses import dataclass
from pathlib import Path

from accel_backends import Backend, DeviceRequest, LoadOptions, OnnxPipeline, Pipeline
from accel_backends import load as load_backend
from mifeng.crypto import sm3
from mifeng.protocol import jsonc
from mifeng.protocol.keyset import Model

from .batching import Batcher, BatchLimits
from .config import ConfigError, ModelConfig, NodeConfig
from .engines import Engine, Infer, OipEngine

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
    return sm3(
        jsonc.dumps(
            {
                "v": 1,
                "name": config.name,
                "version": config.version,
                "kind": config.kind,
                "files": {role: sm3(data).hex() for role, data in files.items()},
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
    engines: dict[str, Engine] = {}
    models: dict[str, Model] = {}
    for each in config.models:
        files = {role: _read(path) for role, path in each.files.items()}
        pipeline = _pipeline(each, files, backend)
        engines[each.name] = OipEngine(
            pipeline,
            name=each.name,
            version=each.version,
            backend=backend.name,
            pool=pool,
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
    )
    return Batcher(pipeline, limits=limits, pool=pool).infer


def _pipeline(config: ModelConfig, files: Mapping[str, bytes], backend: Backend) -> Pipeline:
    options = LoadOptions(
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
    if config.kind == "ocr":
        from accel_backends import ocr

        _need(config, _OCR_FILES)
        return ocr.load(backend, ocr.OcrModels(**files), options=options)
    _need(config, ("graph",))
    return OnnxPipeline(backend.load(files["graph"], options=options))


def _need(config: ModelConfig, roles: tuple[str, ...]) -> None:
    if set(config.files) != set(roles):
        raise ConfigError(f"models.{config.name}.files: need exactly {', '.join(roles)}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
