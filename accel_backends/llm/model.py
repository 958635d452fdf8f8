"""A language model from the files of a HuggingFace-style folder, with its decoder as ONNX."""

import json
from collections.abc import Mapping
from typing import Any, Final

from accel_backends.base import Backend, LoadOptions, Placement
from accel_backends.errors import ModelError
from accel_backends.ort import OrtSession

from .decoder import OrtDecoder
from .request import Limits
from .runner import Runner
from .slots import SlotEngine
from .text import ChatTemplate, Tokenizer

__all__ = ["FILES", "LanguageModel", "load"]

FILES: Final = ("graph", "tokenizer", "tokenizer_config")
_SPECIAL: Final = ("bos_token", "eos_token", "unk_token", "pad_token")


class LanguageModel:
    """A running engine with the text side of its model."""

    def __init__(
        self,
        runner: Runner,
        *,
        tokenizer: Tokenizer,
        template: ChatTemplate | None,
        stop: frozenset[int],
        limits: Limits,
        placement: Placement,
    ) -> None:
        self.runner, self.tokenizer, self.template = runner, tokenizer, template
        self.stop = stop
        """Tokens that end an answer."""
        self.limits, self.placement = limits, placement

    def close(self) -> None:
        """End every request, wipe the buffers, release the graph."""
        self.runner.close()


def load(
    backend: Backend, files: Mapping[str, bytes], *, options: LoadOptions, limits: Limits
) -> LanguageModel:
    """Load a model and start its engine.

    Args:
        backend: the ONNX Runtime backend.
        files: `graph`, `tokenizer` (tokenizer.json), `tokenizer_config` (tokenizer_config.json);
            further ones are external data of the graph, by the name it uses.
        options: devices, threads.
        limits: slots and their bounds.

    Raises:
        ModelError: a file is not what it should be, or they do not fit each other.
        BackendError: the graph does not run where it must.
    """
    config = _config(files["tokenizer_config"])
    tokenizer = Tokenizer(files["tokenizer"])
    special = {name: text for name in _SPECIAL if (text := _text(config.get(name)))}
    ends = _ends(config, special)
    stop = frozenset(found for text in ends if (found := tokenizer.token(text)) is not None)
    if not stop:
        raise ModelError("backend.model.invalid", "no end-of-sequence token")
    template = config.get("chat_template")
    external = {name: data for name, data in files.items() if name not in FILES}
    session = backend.load(files["graph"], options=options, external=external)
    if not isinstance(session, OrtSession):
        raise ModelError("backend.model.signature", "the slot engine needs ONNX Runtime")
    decoder = OrtDecoder(session, slots=limits.slots, context=limits.context, chunk=limits.chunk)
    if tokenizer.size > decoder.vocabulary:
        raise ModelError("backend.model.signature", "the tokenizer has more tokens than the graph")
    return LanguageModel(
        Runner(SlotEngine(decoder, limits), decoder),
        tokenizer=tokenizer,
        template=ChatTemplate(template, special) if isinstance(template, str) else None,
        stop=stop,
        limits=limits,
        placement=decoder.placement,
    )


def _config(content: bytes) -> Mapping[str, Any]:
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise ModelError("backend.model.invalid", "tokenizer_config is no JSON") from exc
    if not isinstance(config, dict):
        raise ModelError("backend.model.invalid", "tokenizer_config is no object")
    return config


def _text(token: object) -> str:
    """Return a special token's text; the file has it plain or as an object."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) else ""


def _ends(config: Mapping[str, Any], special: Mapping[str, str]) -> set[str]:
    """Return the tokens that end an answer: `eos_token`, and `stop_tokens` if the file has them."""
    more = config.get("stop_tokens", [])
    listed = {text for text in more if isinstance(text, str)} if isinstance(more, list) else set()
    return listed | ({special["eos_token"]} if "eos_token" in special else set())
