"""The embeddings of the OpenAI API: its shapes, and refusals by name."""

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from accel_backends import DeviceRequest, LoadOptions
from accel_backends.embedding import EmbeddingLimits, EmbeddingModel, load
from accel_backends.ort import OrtBackend
from enclave.embeddings import MAX_TEXTS, EmbeddingEngine, parse
from enclave.engines import EngineError, Job
from enclave.lane import Lane, LaneLimits

pytest.importorskip("onnx")
WIDTH = 4
WORDS = ("[PAD]", "[UNK]", "red", "green", "blue")


def graph() -> bytes:
    """Return an encoder that looks each token up: row n of the table is n, n², n³, 1."""
    from onnx import TensorProto, helper, numpy_helper

    table = np.array([[n, n**2, n**3, 1] for n in range(len(WORDS))], np.float32)
    ids = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    out = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", WIDTH]
    )
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["looked"]),
        helper.make_node("Cast", ["token_type_ids"], ["types"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["types", "axis"], ["wide"]),
        helper.make_node("Add", ["looked", "wide"], ["last_hidden_state"]),
    ]
    constants = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([2], np.int64), "axis"),
    ]
    made = helper.make_graph(nodes, "lookup", ids, [out], constants)
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())


def tokenizer() -> bytes:
    """Return a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(
        models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return str(made.to_str()).encode()


@pytest.fixture(scope="module")
def engine() -> Iterator[EmbeddingEngine]:
    """Return the engine of a small model."""
    model: EmbeddingModel = load(
        OrtBackend(),
        {"graph": graph(), "tokenizer": tokenizer()},
        options=LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),)),
        limits=EmbeddingLimits(context=8, rows=2),
    )
    with ThreadPoolExecutor(1) as pool:
        lane = Lane(LaneLimits(width=1, waiting=1))
        yield EmbeddingEngine(model, name="words", backend="test", pool=pool, lane=lane)
    model.close()


def ask(engine: EmbeddingEngine, body: Mapping[str, Any], *, stream: bool = False) -> Any:
    """Return the answer's document."""
    data = memoryview(bytearray(json.dumps({"model": "words"} | body).encode()))
    job = Job(operation="openai.embeddings", body=data, isolation=bytes(32), stream=stream)

    async def run() -> bytes:
        return b"".join([piece async for piece in engine.run(job)])

    return json.loads(asyncio.run(run()))


def unit(*tokens: int) -> list[float]:
    """Return the mean of the rows of tokens, of length 1."""
    mean = np.mean([[n, n**2, n**3, 1] for n in tokens], axis=0)
    return list(mean / np.linalg.norm(mean))


def test_one_text_has_the_shape_of_the_reference(engine: EmbeddingEngine) -> None:
    """Every field of the reference's answer, and no other."""
    answer = ask(engine, {"input": "red blue"})
    assert answer.keys() == {"object", "data", "model", "usage"}
    assert (answer["object"], answer["model"]) == ("list", "words")
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 2}
    (row,) = answer["data"]
    assert row.keys() == {"object", "index", "embedding"}
    assert (row["object"], row["index"]) == ("embedding", 0)
    assert row["embedding"] == pytest.approx(unit(2, 4), abs=1e-6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["red", "green blue red", "blue"], [(2,), (3, 4, 2), (4,)]),
        ([2, 3], [(2, 3)]),
        ([[2], [4, 3]], [(2,), (4, 3)]),
        (["red", [3]], [(2,), (3,)]),
    ],
)
def test_lists_of_texts_and_of_tokens(
    engine: EmbeddingEngine, given: Any, expected: list[tuple[int, ...]]
) -> None:
    """All the forms of `input`; vectors in the order given, padding without effect."""
    rows = ask(engine, {"input": given})["data"]
    assert [row["index"] for row in rows] == list(range(len(expected)))
    for row, tokens in zip(rows, expected, strict=True):
        assert row["embedding"] == pytest.approx(unit(*tokens), abs=1e-6)


def test_base64_is_the_same_numbers(engine: EmbeddingEngine) -> None:
    """Little-endian FP32, as the `openai` libraries decode it."""
    plain = ask(engine, {"input": "red", "encoding_format": "float"})["data"][0]["embedding"]
    coded = ask(engine, {"input": "red", "encoding_format": "base64"})["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == pytest.approx(plain)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "request.malformed"),
        ({"input": ""}, "request.malformed"),
        ({"input": []}, "request.malformed"),
        ({"input": [""]}, "request.malformed"),
        ({"input": [1, "red"]}, "request.malformed"),
        ({"input": [True]}, "request.malformed"),
        ({"input": "\ud800"}, "request.malformed"),
        ({"input": ["red"] * (MAX_TEXTS + 1)}, "request.malformed"),
        ({"input": "red", "encoding_format": "hex"}, "request.malformed"),
        ({"input": "red", "dimensions": "4"}, "request.malformed"),
        ({"input": "red", "dimensions": 2}, "request.unsupported.dimensions"),
        ({"input": "red", "truncate": True}, "request.unknown_key"),
        ({"input": "red " * 9}, "backend.input.context"),
        ({"input": [99]}, "backend.input.value"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    engine: EmbeddingEngine, body: Mapping[str, Any], code: str
) -> None:
    """Nothing that would change a vector is ignored."""
    with pytest.raises(EngineError) as refused:
        ask(engine, body)
    assert refused.value.code == code


def test_the_models_own_dimensions_may_be_named(engine: EmbeddingEngine) -> None:
    """`dimensions` that changes nothing is no reason to refuse."""
    assert len(ask(engine, {"input": "red", "dimensions": WIDTH})["data"]) == 1


def test_embeddings_do_not_stream(engine: EmbeddingEngine) -> None:
    """A streamed request is the client's mistake."""
    with pytest.raises(EngineError):
        ask(engine, {"input": "red"}, stream=True)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"input":NaN}', b'{"input":"a","input":"b"}'])
def test_bodies_that_are_no_requests(body: bytes) -> None:
    """Each is one error of ours."""
    with pytest.raises(EngineError):
        parse(body)
