"""The slot engine against onnxruntime-genai on the same decoder: tokens per second by streams.

Part of `stream`. Both on ONNX Runtime, one thread, greedy, tokens only; turn by turn, the best of
some rounds each. Two loads: `alike`, as many requests as streams, all of one length; `mixed`, three
times as many, of different lengths, so that places become free while others go on. genai is in an
environment of its own (`tests/interop/engines/setup.sh genai`); without it only our side is run.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from accel_backends import DeviceRequest, LoadOptions, load
from accel_backends.llm import Limits, Reason, Request, SlotEngine, Usage
from accel_backends.llm.decoder import OrtDecoder
from accel_backends.ort import OrtSession
from examples.chat.folder import write
from examples.chat.graph import Shape
from mifeng.demo.cluster import ROOT

STREAMS: Final = (1, 4, 8, 16)
ALIKE: Final = 96
MIXED: Final = (96, 16, 32)
CONTEXT: Final = 512
DECODERS: Final[Mapping[str, Mapping[str, int]]] = {
    "0.1 M": {},
    "12 M": {"width": 512, "layers": 4, "heads": 8, "kv_heads": 4, "inner": 1408},
}
GENAI: Final = ROOT / ".cache" / "engines" / "genai" / "bin" / "python"
WAYS: Final = ("genai engine", "genai batch")
PROMPT: Final = (9, 10, 11)
"""With the request's number + 5 behind it, the prompt; `genai_worker` has the same."""


def measure(folder: Path, *, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Return tokens per second by decoder, load and number of streams."""
    found: dict[str, Any] = {}
    for name, sizes in DECODERS.items():
        place = folder / f"slots {name}"
        write(place, steps=0, context=CONTEXT, sizes=sizes)
        shape = Shape(vocabulary=_vocabulary(place), context=CONTEXT, **sizes)
        for streams in STREAMS[-1:] if quick else STREAMS:
            say(f"{name}, {streams} streams, against genai")
            loads = {"alike": [ALIKE] * streams, "mixed": [*MIXED] * streams}
            for load_name, lengths in loads.items():
                key = f"{name}, {load_name}, {streams}"
                found[key] = _compare(place, shape, streams, lengths, rounds=1 if quick else 2)
    return found


def _compare(
    folder: Path, shape: Shape, streams: int, lengths: Sequence[int], *, rounds: int
) -> dict[str, Any]:
    ways = ["engine", "batch"] if len(set(lengths)) == 1 else ["engine"]
    row: dict[str, Any] = {"slots": 0}
    for _ in range(rounds):
        rate, first = _ours(folder, streams, lengths)
        row["slots"] = max(row["slots"], rate)
        for way in ways if GENAI.exists() else ():
            made = _theirs(folder, shape, streams, way, lengths)
            assert made["first"] == first, "not the same tokens"
            row[f"genai {way}"] = max(row.get(f"genai {way}", 0), made["tokens_per_s"])
    if "genai engine" in row:
        row["ratio"] = round(row["slots"] / row["genai engine"], 2)
    return row


def table(result: Mapping[str, Any]) -> Table:
    """Return the table of one result."""
    made = Table(title="tokens per second: decoder, load, streams")
    for column in ("", "slots", "genai engine", "genai batch", "slots / engine"):
        made.add_column(column, justify="left" if not column else "right")
    for name, row in result.items():
        cells = [f"{row[key]:,}" if key in row else "–" for key in ("slots", *WAYS)]
        made.add_row(name, *cells, str(row.get("ratio", "–")))
    return made


class _Tokens:
    """A sink that keeps tokens."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    def token(self, token: int) -> bool:
        """See `Sink`."""
        self.tokens.append(token)
        return False

    def finish(self, reason: Reason, usage: Usage) -> None:
        """See `Sink`."""


def _ours(folder: Path, streams: int, lengths: Sequence[int]) -> tuple[int, list[int]]:
    options = LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),))
    graph = (folder / "model.onnx").read_bytes()
    session = load("onnxruntime", allowed={"onnxruntime"}).load(graph, options=options)
    assert isinstance(session, OrtSession)
    limits = Limits(slots=streams, context=CONTEXT)
    decoder = OrtDecoder(session, slots=streams, context=CONTEXT, chunk=limits.chunk)
    engine = SlotEngine(decoder, limits)
    best = 0.0
    for _ in range(2):
        sinks = [_Tokens() for _ in lengths]
        for number, (length, sink) in enumerate(zip(lengths, sinks, strict=True)):
            prompt, isolation = (*PROMPT, number + 5), number.to_bytes(32, "big")
            engine.submit(Request(prompt=prompt, isolation=isolation, most=length), sink)
        begin = time.perf_counter()
        while engine.step(0):
            pass
        taken = time.perf_counter() - begin
        best = max(best, sum(len(sink.tokens) for sink in sinks) / taken)
    decoder.close()
    return round(best), sinks[0].tokens


def _theirs(
    folder: Path, shape: Shape, streams: int, way: str, lengths: Sequence[int]
) -> dict[str, Any]:
    text = json.dumps(_config(shape, streams), indent=1)
    (folder / "genai_config.json").write_text(text, "utf-8")
    worker = Path(__file__).with_name("genai_worker.py")
    done = subprocess.run(
        [str(GENAI), str(worker), str(folder), way, json.dumps(list(lengths)), "2"],
        env={"PATH": os.environ["PATH"], "ORT_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        check=True,
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def _config(shape: Shape, streams: int) -> dict[str, Any]:
    """Return genai's description of the folder."""
    caches = {
        f"{way}_{kind}_names": f"{way if way == 'present' else 'past_key_values'}.%d.{kind}"
        for way in ("past", "present")
        for kind in ("key", "value")
    }
    inputs = {name: name for name in ("input_ids", "attention_mask")}
    inputs |= {name: text for name, text in caches.items() if name.startswith("past")}
    outputs = {"logits": "logits"}
    outputs |= {name: text for name, text in caches.items() if name.startswith("present")}
    return {
        "model": {
            "type": "llama",
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": 0,
            "vocab_size": shape.vocabulary,
            "context_length": shape.context,
            "decoder": {
                "filename": "model.onnx",
                "head_size": shape.head,
                "hidden_size": shape.width,
                "num_attention_heads": shape.heads,
                "num_key_value_heads": shape.kv_heads,
                "num_hidden_layers": shape.layers,
                "session_options": {
                    "intra_op_num_threads": 1,
                    "inter_op_num_threads": 1,
                    "provider_options": [],
                },
                "inputs": inputs,
                "outputs": outputs,
            },
        },
        "search": {
            "max_length": shape.context,
            "past_present_share_buffer": True,
            "do_sample": False,
        },
        "engine": {"static_batching": {"max_batch_size": streams}},
    }


def _vocabulary(folder: Path) -> int:
    document = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    return len(document["model"]["vocab"])
