"""The example's decoder in the forms that other engines read, from the same random weights.

`llama_folder` writes what HuggingFace transformers loads, `gguf` what llama.cpp loads. Both are the
same Llama as the ONNX graph of `examples.chat`, so every engine must say the same words.

Source: safetensors format ("Format", README); GGUF specification, version 3 (ggml, docs/gguf.md);
order of rotary halves in llama.cpp's conversion of Llama.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from examples.chat.folder import CONFIG, write
from examples.chat.graph import EPSILON, ROPE_BASE, Shape, Weights, initial
from examples.chat.train import SEED

CONTEXT: Final = 2048
_ALIGNMENT: Final = 32
_U32, _F32, _STRING, _ARRAY, _I32 = 4, 6, 8, 9, 5
Array = NDArray[np.float32]


def folder(path: Path) -> tuple[Shape, Weights, Mapping[str, Any]]:
    """Write the example's own folder; return its shape, weights and tokenizer document."""
    write(path, steps=0, context=CONTEXT)
    tokenizer = json.loads((path / "tokenizer.json").read_text("utf-8"))
    tokens = len(tokenizer["model"]["vocab"])
    shape = Shape(vocabulary=tokens, context=CONTEXT)
    return shape, initial(shape, seed=SEED), tokenizer


def llama_folder(path: Path) -> None:
    """Add to the example's folder what makes it one of transformers' Llama models."""
    shape, weights, _ = folder(path)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head,
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": EPSILON,
        "rope_theta": ROPE_BASE,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "bos_token_id": None,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    (path / "config.json").write_text(json.dumps(config), "utf-8")
    names = dict(CONFIG) | {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|end|>"}
    (path / "tokenizer_config.json").write_text(json.dumps(names), "utf-8")
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": 0}), "utf-8")
    tensors = {
        "model.embed_tokens.weight": weights["embed"],
        "model.norm.weight": weights["norm"],
        "lm_head.weight": weights["head"].T,
    }
    for n in range(shape.layers):
        layer = f"model.layers.{n}."
        tensors |= {
            f"{layer}input_layernorm.weight": weights[f"{n}.norm1"],
            f"{layer}post_attention_layernorm.weight": weights[f"{n}.norm2"],
        }
        for ours, theirs in (("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj"), ("o", "o_proj")):
            tensors[f"{layer}self_attn.{theirs}.weight"] = weights[f"{n}.{ours}"].T
        for part in ("gate", "up", "down"):
            tensors[f"{layer}mlp.{part}_proj.weight"] = weights[f"{n}.{part}"].T
    (path / "model.safetensors").write_bytes(_safetensors(tensors))


def _safetensors(tensors: Mapping[str, Array]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in tensors.items():
        raw = np.ascontiguousarray(tensor, "<f4").tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def gguf(path: Path) -> None:
    """Write the example's folder, and beside it `model.gguf`."""
    shape, weights, tokenizer = folder(path)
    vocabulary = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    special = {token["content"] for token in tokenizer["added_tokens"]}
    merges = [" ".join(pair) for pair in tokenizer["model"]["merges"]]
    fields = [
        _field("general.architecture", _STRING, "llama"),
        _field("general.name", _STRING, "example"),
        _field("llama.context_length", _U32, shape.context),
        _field("llama.embedding_length", _U32, shape.width),
        _field("llama.block_count", _U32, shape.layers),
        _field("llama.feed_forward_length", _U32, shape.inner),
        _field("llama.attention.head_count", _U32, shape.heads),
        _field("llama.attention.head_count_kv", _U32, shape.kv_heads),
        _field("llama.attention.layer_norm_rms_epsilon", _F32, EPSILON),
        _field("llama.rope.dimension_count", _U32, shape.head),
        _field("llama.rope.freq_base", _F32, ROPE_BASE),
        _field("llama.vocab_size", _U32, shape.vocabulary),
        _field("tokenizer.ggml.model", _STRING, "gpt2"),
        _field("tokenizer.ggml.pre", _STRING, "gpt-2"),
        _list("tokenizer.ggml.tokens", _STRING, vocabulary),
        _list("tokenizer.ggml.token_type", _I32, [3 if t in special else 1 for t in vocabulary]),
        _list("tokenizer.ggml.merges", _STRING, merges),
        _field("tokenizer.ggml.eos_token_id", _U32, 0),
        _field("tokenizer.ggml.bos_token_id", _U32, 0),
        _field("tokenizer.chat_template", _STRING, CONFIG["chat_template"]),
    ]
    tensors = {
        "token_embd.weight": weights["embed"],
        "output_norm.weight": weights["norm"],
        "output.weight": weights["head"].T,
    }
    for n in range(shape.layers):
        block = f"blk.{n}."
        tensors |= {
            f"{block}attn_norm.weight": weights[f"{n}.norm1"],
            f"{block}ffn_norm.weight": weights[f"{n}.norm2"],
            f"{block}attn_q.weight": _interleaved(weights[f"{n}.q"].T, shape.heads),
            f"{block}attn_k.weight": _interleaved(weights[f"{n}.k"].T, shape.kv_heads),
            f"{block}attn_v.weight": weights[f"{n}.v"].T,
            f"{block}attn_output.weight": weights[f"{n}.o"].T,
            f"{block}ffn_gate.weight": weights[f"{n}.gate"].T,
            f"{block}ffn_up.weight": weights[f"{n}.up"].T,
            f"{block}ffn_down.weight": weights[f"{n}.down"].T,
        }
    head, data = b"", b""
    for name, tensor in tensors.items():
        head += _text(name) + struct.pack("<I", tensor.ndim)
        head += struct.pack(f"<{tensor.ndim}Q", *reversed(tensor.shape))
        head += struct.pack("<IQ", 0, len(data))
        raw = np.ascontiguousarray(tensor, "<f4").tobytes()
        data += raw + bytes(-len(raw) % _ALIGNMENT)
    start = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(fields)) + b"".join(fields) + head
    (path / "model.gguf").write_bytes(start + bytes(-len(start) % _ALIGNMENT) + data)


def _interleaved(matrix: Array, heads: int) -> Array:
    """Return [out, in] with each head's halves interleaved: llama.cpp rotates neighbours."""
    rows, columns = matrix.shape
    halves = matrix.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(kind: int, value: Any) -> bytes:
    if kind == _STRING:
        return _text(value)
    return struct.pack({_U32: "<I", _I32: "<i", _F32: "<f"}[kind], value)


def _field(name: str, kind: int, value: Any) -> bytes:
    return _text(name) + struct.pack("<I", kind) + _value(kind, value)


def _list(name: str, kind: int, values: Sequence[Any]) -> bytes:
    head = _text(name) + struct.pack("<IIQ", _ARRAY, kind, len(values))
    return head + b"".join(_value(kind, value) for value in values)
