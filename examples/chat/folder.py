"""Write the example model as a folder in HuggingFace's form, with the decoder as ONNX.

Three files.

    model.onnx               the decoder (`graph`)
    tokenizer.json           byte-level BPE, learned from the dialogues
    tokenizer_config.json    chat template, end-of-sequence token
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from threadpoolctl import threadpool_limits

from .graph import Shape, initial, to_onnx
from .text import dialogues
from .train import SEED, train

__all__ = ["CONFIG", "STEPS", "TEMPLATE", "entry", "write"]

STEPS: Final = 60
CONTEXT: Final = 512
_VOCABULARY: Final = 480
_END: Final = "<|end|>"
_ROLES: Final = ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE: Final = (
    "{%- for message in messages -%}"
    "{%- if message.role not in ('system', 'user', 'assistant') -%}"
    "{{ raise_exception('unknown role') }}"
    "{%- endif -%}"
    "{{ '<|' + message.role + '|>' + message.content + '<|end|>' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)
CONFIG: Final = {"eos_token": _END, "chat_template": TEMPLATE}


def _tokenizer() -> Any:  # noqa: ANN401  # untyped library
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[_END, *_ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for pair in dialogues() for text in pair), trainer)
    return tokenizer


def write(
    folder: Path,
    *,
    steps: int = STEPS,
    context: int = CONTEXT,
    sizes: Mapping[str, int] | None = None,
    say: Callable[[str], Any] = lambda _: None,
) -> None:
    """Train for `steps` and write the folder.

    Args:
        folder: where to; made if need be.
        steps: 0 leaves random weights, for tests and measurements.
        context: most tokens of prompt and answer.
        sizes: further fields of `graph.Shape`.
        say: told how training goes.
    """
    tokenizer = _tokenizer()
    rows = []
    for question, answer in dialogues():
        prompt = tokenizer.encode(f"<|user|>{question}{_END}<|assistant|>").ids
        rows.append((prompt + tokenizer.encode(answer + _END).ids, len(prompt)))
    shape = Shape(vocabulary=tokenizer.get_vocab_size(), context=context, **(sizes or {}))
    # Matrices this small are slower on two threads than on one.
    with threadpool_limits(1):
        weights = train(shape, rows, steps=steps, say=say) if steps else initial(shape, seed=SEED)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(to_onnx(shape, weights))
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")
    text = json.dumps(CONFIG, indent=1, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(f"{text}\n", "utf-8")


def entry(folder: Path, *, name: str = "chat", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the entry of a node's `models` list that serves the folder."""
    return {
        "name": name,
        "version": "1",
        "kind": "llm",
        "files": {
            "graph": str(folder / "model.onnx"),
            "tokenizer": str(folder / "tokenizer.json"),
            "tokenizer_config": str(folder / "tokenizer_config.json"),
        },
        "devices": [{"ep": "CPUExecutionProvider"}],
        "llm": {"context": CONTEXT, "slots": 8},
        **more,
    }
