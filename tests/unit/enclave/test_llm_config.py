"""Language models in the node's configuration."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from enclave.config import ConfigError, LimitsConfig, ModelConfig
from enclave.models import load, manifest_digest
from enclave.pacing import Pacing
from examples.chat.folder import entry, write

ENGINE = {
    "address": "unix:/run/engine.sock",
    "prefix_cache": "off",
    "operations": ["openai.embeddings"],
    "backend": "engine 1",
}


class Node:
    """What `load` reads of a node's configuration."""

    backends = ("onnxruntime",)
    limits = LimitsConfig()

    def __init__(self, *models: Mapping[str, Any]) -> None:
        self.models = [ModelConfig.model_validate(model) for model in models]


def served(*models: Mapping[str, Any]) -> Any:
    """Load models as a node does."""
    with ThreadPoolExecutor(1) as pool:
        return load(Node(*models), pool=pool)  # type: ignore[arg-type]


async def test_a_chat_folder_is_served(tmp_path: Path) -> None:
    """Operations, pacing and place are those of the configuration; the digest covers the files."""
    write(tmp_path, steps=0)
    model = entry(tmp_path, pacing={"tick_ms": 40, "frames": 2, "round_ticks": 8})
    found = served(model, entry(tmp_path, name="raw", pacing={"tick_ms": 0}))
    chat, raw = found.engines["chat"], found.engines["raw"]
    assert chat.operations == {"openai.chat.completions", "openai.completions"}
    assert chat.pacing == Pacing(tick_s=0.04, frames=2, round_ticks=8)
    assert raw.pacing is None
    assert chat.ran.backend.startswith("onnxruntime/CPUExecutionProvider")
    config = ModelConfig.model_validate(model)
    files = {role: path.read_bytes() for role, path in config.files.items()}
    assert found.models["chat"].digest == manifest_digest(config, files)
    assert found.models["chat"].digest != found.models["raw"].digest
    await chat.close()
    await raw.close()


async def test_an_engine_s_digest_covers_its_files(tmp_path: Path) -> None:
    """The files are hashed in pieces, and one changed byte is another model."""
    weights = tmp_path / "weights"
    weights.write_bytes(bytes(3 << 20))
    model = {
        "name": "big",
        "version": "1",
        "kind": "openai-engine",
        "files": {"weights": str(weights)},
        "devices": [{"ep": "CANN"}],
        "engine": ENGINE,
    }
    found = served(model)
    engine = found.engines["big"]
    assert engine.operations == {"openai.embeddings"}
    assert (engine.ran.backend, engine.ran.device) == ("engine 1", "CANN:0")
    config = ModelConfig.model_validate(model)
    assert found.models["big"].digest == manifest_digest(config, {"weights": bytes(3 << 20)})
    await engine.close()
    with pytest.raises(ConfigError):
        served(model | {"files": {"weights": str(tmp_path / "none")}})


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    """A language model needs its three files."""
    write(tmp_path, steps=0)
    model = entry(tmp_path)
    del model["files"]["tokenizer"]
    with pytest.raises(ConfigError, match="tokenizer"):
        served(model)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "onnx"},
        {"llm": None},
        {"engine": ENGINE},
        {"kind": "openai-engine"},
        {"kind": "oip-engine", "llm": None, "engine": ENGINE},
        {"llm": {"context": 1}},
        {"llm": {"context": 64, "budget": 8, "chunk": 16}},
        {"llm": {"context": 64, "surprise": 1}},
        {"pacing": {"tick_ms": -1}},
        {"pacing": {"frames": 0}},
    ],
)
def test_settings_belong_to_their_kind(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """Kinds and settings that do not go together are refused."""
    with pytest.raises(ValidationError):
        ModelConfig.model_validate(entry(tmp_path) | wrong)
