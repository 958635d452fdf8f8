"""The Open Inference Protocol as programs speak it, to and from the sealed body."""

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.errors import MalformedError
from mifeng.protocol.body import OipBody, Tensor, join_bytes
from mifeng.proxy.oip import Wanted, decode_data, decode_request, encode_data, encode_response

ALL = Wanted(names=(), binary={}, binary_default=False)


def request(**changes: object) -> bytes:
    """Return a valid JSON request, changed."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1, 2], [3, 4.5]]}
    return json.dumps({"id": "7", "inputs": [tensor | changes]}).encode()


def test_nested_json_becomes_row_major_bytes() -> None:
    """Nested and flat data are the same tensor."""
    nested, _ = decode_request(request(), None)
    flat, _ = decode_request(request(data=[1, 2, 3, 4.5]), None)
    assert nested == flat
    assert bytes(nested.tensors[0].data) == struct.pack("<4f", 1, 2, 3, 4.5)
    assert nested.id == "7"


def test_binary_inputs_pass_as_they_are() -> None:
    """The binary extension: JSON, then the bytes of each input in order."""
    head = {
        "inputs": [
            {
                "name": name,
                "datatype": "UINT8",
                "shape": [size],
                "parameters": {"binary_data_size": size},
            }
            for name, size in (("a", 2), ("b", 3))
        ],
        "outputs": [
            {"name": "y", "parameters": {"binary_data": True}},
            {"name": "z", "parameters": {"binary_data": False}},
        ],
        "parameters": {"binary_data_output": True, "k": 1},
    }
    text = json.dumps(head).encode()
    body, wanted = decode_request(text + b"abcde", str(len(text)))
    assert [bytes(tensor.data) for tensor in body.tensors] == [b"ab", b"cde"]
    assert (wanted.names, wanted.is_binary("y"), wanted.is_binary("z")) == (("y", "z"), True, False)
    assert wanted.is_binary("other")
    assert body.parameters == {"k": 1}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"inputs":{}}',
        b'{"inputs":[1]}',
        b'{"inputs":[],"inputs":[]}',
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[NaN]}]}',
        request(shape=[3]),
        request(shape=[-1, 4]),
        request(shape=["2", 2]),
        request(datatype="COMPLEX"),
        request(datatype="BF16"),
        request(data="text"),
        request(data=None),
        request(data=[{}]),
        request(datatype="UINT8", data=[1, 2, 3, 256]),
        request(datatype="BYTES", data=[1, 2, 3, 4]),
        request(parameters={"binary_data_size": 4}),
        request(parameters=[]),
        request() + b"x",
    ],
)
def test_bad_requests_are_refused(content: bytes) -> None:
    """Each is one clear error, none a crash."""
    with pytest.raises(MalformedError):
        decode_request(content, str(len(content)) if content.endswith(b"x") else None)


@pytest.mark.parametrize("length", ["-1", "x", "99999", "", "1.0"])
def test_bad_header_lengths_are_refused(length: str) -> None:
    """`Inference-Header-Content-Length` must be a length of the body."""
    with pytest.raises(MalformedError):
        decode_request(request(), length)


def test_trailing_binary_data_is_refused() -> None:
    """Bytes that belong to no input are an error, not ignored."""
    content = request()
    with pytest.raises(MalformedError):
        decode_request(content + b"rest", str(len(content)))


@given(data=st.binary(max_size=200))
def test_decoding_requests_is_total(data: bytes) -> None:
    """Any bytes are a request or an error of ours."""
    try:
        decode_request(data, None)
    except MalformedError:
        return


def test_answers_in_json_and_binary() -> None:
    """Outputs go out as the program asked: JSON by default, binary where named."""
    tensors = (
        Tensor(name="y", datatype="INT64", shape=(2,), data=struct.pack("<2q", -1, 2)),
        Tensor(name="t", datatype="BYTES", shape=(1,), data=join_bytes(["密封".encode()])),
    )
    body = OipBody(tensors=tensors, id="9")
    content, length = encode_response(body, ALL, model="m", version="1")
    assert length is None
    document = json.loads(content)
    assert [row["data"] for row in document["outputs"]] == [[-1, 2], ["密封"]]
    assert (document["model_name"], document["id"]) == ("m", "9")
    wanted = Wanted(names=("t", "y"), binary={"y": True}, binary_default=False)
    content, length = encode_response(body, wanted, model="m", version="1")
    assert length is not None
    head = json.loads(content[:length])
    assert [row["name"] for row in head["outputs"]] == ["t", "y"]
    assert content[length:] == struct.pack("<2q", -1, 2)
    with pytest.raises(MalformedError):
        encode_response(
            body, Wanted(names=("q",), binary={}, binary_default=False), model="m", version="1"
        )


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("BOOL", [True, False]),
        ("UINT8", [0, 255]),
        ("UINT16", [0, 65535]),
        ("UINT32", [0, 2**32 - 1]),
        ("UINT64", [0, 2**64 - 1]),
        ("INT8", [-128, 127]),
        ("INT16", [-32768, 32767]),
        ("INT32", [-(2**31), 2**31 - 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("FP16", [0.5, -2.0]),
        ("FP32", [0.5, -2.0]),
        ("FP64", [0.1, -2e300]),
        ("BYTES", ["a", "密"]),
    ],
)
def test_every_datatype_round_trips(datatype: str, values: list[object]) -> None:
    """JSON values come back as they went in, at the ends of their range."""
    data = encode_data("x", datatype, values)
    tensor = Tensor(name="x", datatype=datatype, shape=(2,), data=data)
    tensor.check()
    assert list(decode_data(tensor)) == values


def test_bf16_has_no_json_form() -> None:
    """BF16 travels in the binary extension only."""
    with pytest.raises(MalformedError):
        decode_data(Tensor(name="x", datatype="BF16", shape=(1,), data=b"ab"))
