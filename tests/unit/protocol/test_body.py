"""OIP bodies: binary tensors, one encoding of a number, every size checked."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.body import (
    ELEMENT_BYTES,
    MAX_DEPTH,
    MAX_RANK,
    MAX_TENSORS,
    OipBody,
    Tensor,
    join_bytes,
    loads_json,
    split_bytes,
)
from mifeng.protocol.codec import u32

X = Tensor(name="x", datatype="FP32", shape=(2,), data=bytes(8), parameters={"unit": "m"})


def raw(document: object, data: bytes = b"") -> bytes:
    """Return a body from any JSON and any bytes behind it."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return u32(len(text)) + text + data


def tensor(**changes: object) -> dict[str, object]:
    """Return the JSON of one FP32 tensor of two elements, with changes; `...` removes a key."""
    fields = {
        "name": "x",
        "datatype": "FP32",
        "shape": [2],
        "parameters": {"binary_data_size": 8},
    } | changes
    return {key: value for key, value in fields.items() if value is not ...}


@pytest.mark.parametrize("response", [False, True])
@pytest.mark.parametrize("identifier", [None, "", "7"])
def test_bodies_travel(*, response: bool, identifier: str | None) -> None:
    """Name, type, shape, data and parameters come back as they were."""
    body = OipBody(
        tensors=(X, Tensor(name="s", datatype="BYTES", shape=(), data=join_bytes([b"abc"]))),
        parameters={"p": [1, None]},
        id=identifier,
    )
    found = OipBody.decode(body.encode(response=response), response=response)
    assert (found.id, found.parameters) == (identifier, {"p": [1, None]})
    assert [bytes(each.data) for each in found.tensors] == [bytes(8), b"\3\0\0\0abc"]
    assert found.tensors[0].parameters == {"unit": "m"}
    with pytest.raises(MalformedError):
        OipBody.decode(body.encode(response=response), response=not response)
    bare = OipBody(tensors=()).encode(response=response)
    assert OipBody.decode(bare, response=response) == OipBody(tensors=())


@pytest.mark.parametrize("datatype", [name for name, size in ELEMENT_BYTES.items() if size])
def test_every_fixed_datatype_has_its_size(datatype: str) -> None:
    """Bytes are elements times size, for empty tensors and scalars too."""
    size = ELEMENT_BYTES[datatype] or 0
    for shape, count in (((), 1), ((0,), 0), ((3, 2), 6), ((2, 0, 5), 0)):
        Tensor(name="x", datatype=datatype, shape=shape, data=bytes(count * size)).check()
        with pytest.raises(MalformedError):
            Tensor(name="x", datatype=datatype, shape=shape, data=bytes(count * size + 1)).check()


@pytest.mark.parametrize(
    "wrong",
    [
        Tensor(name="x", datatype="FP99", shape=(), data=b""),
        Tensor(name="x", datatype="FP32", shape=(-1, -1), data=bytes(4)),
        Tensor(name="x", datatype="UINT8", shape=(1,) * (MAX_RANK + 1), data=b"1"),
        Tensor(name="x", datatype="BYTES", shape=(2,), data=join_bytes([b"a"])),
        Tensor(name="x", datatype="BYTES", shape=(1,), data=b"\5\0\0\0a"),
    ],
    ids=["datatype", "negative", "rank", "elements", "length"],
)
def test_a_tensor_that_disagrees_with_itself_is_not_sent(wrong: Tensor) -> None:
    """The sender's mistake is the sender's error."""
    with pytest.raises(UsageError):
        OipBody(tensors=(wrong,)).encode(response=False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0",
        u32(5) + b"{}",
        u32(2**32 - 1) + b"{}",
        u32((4 << 20) + 1) + bytes((4 << 20) + 1),
        raw(b"{"),
        raw(b"\xff"),
        raw(b"[]"),
        raw(b'{"inputs":[],"inputs":[]}'),
        raw(b'{"inputs":[],"parameters":{"p":NaN}}'),
        raw(b'{"inputs":[],"parameters":{"p":Infinity}}'),
        raw(b"[" * 100_000),
        raw({}),
        raw({"inputs": {}}),
        raw({"inputs": [1]}),
        raw({"inputs": [], "parameters": []}),
        raw({"inputs": [], "id": 7}),
        raw({"inputs": []}, b"x"),
        raw({"inputs": [tensor()]}, bytes(7)),
        raw({"inputs": [tensor()]}, bytes(9)),
        raw({"inputs": [tensor(name=...)]}, bytes(8)),
        raw({"inputs": [tensor(name=1)]}, bytes(8)),
        raw({"inputs": [tensor(datatype=None)]}, bytes(8)),
        raw({"inputs": [tensor(datatype="FP32 ")]}, bytes(8)),
        raw({"inputs": [tensor(shape=2)]}, bytes(8)),
        raw({"inputs": [tensor(shape=["2"])]}, bytes(8)),
        raw({"inputs": [tensor(shape=[True, 2])]}, bytes(8)),
        raw({"inputs": [tensor(shape=[2.0])]}, bytes(8)),
        raw({"inputs": [tensor(shape=[3])]}, bytes(8)),
        raw({"inputs": [tensor(data=[1.0, 2.0])]}, bytes(8)),
        raw({"inputs": [tensor(parameters=...)]}, bytes(8)),
        raw({"inputs": [tensor(parameters={})]}, bytes(8)),
        raw({"inputs": [tensor(parameters={"binary_data_size": -8})]}, bytes(8)),
        raw({"inputs": [tensor(parameters={"binary_data_size": True})]}, bytes(8)),
        raw({"inputs": [tensor(parameters={"binary_data_size": 8.0})]}, bytes(8)),
        raw({"inputs": [tensor(shape=[0], parameters={"binary_data_size": 0})] * 257}),
    ],
)
def test_hostile_bodies_are_refused(data: bytes) -> None:
    """One error of ours, whatever is wrong."""
    with pytest.raises(MalformedError):
        OipBody.decode(data, response=False)


def test_limits_are_what_they_say() -> None:
    """As many tensors and as much depth as allowed are allowed."""
    empty = tensor(shape=[0], parameters={"binary_data_size": 0})
    most = raw({"inputs": [empty] * MAX_TENSORS})
    assert len(OipBody.decode(most, response=False).tensors) == MAX_TENSORS
    deepest = MAX_DEPTH - 1
    assert loads_json(b"[" * deepest + b"]" * deepest)
    with pytest.raises(MalformedError):
        loads_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@given(data=st.binary(max_size=200))
def test_decoding_is_total(data: bytes) -> None:
    """Any bytes are a body or an error of ours."""
    for whole in (data, raw(data), raw({"inputs": [tensor()]}, data)):
        try:
            OipBody.decode(whole, response=False)
        except MalformedError:
            continue


@given(elements=st.lists(st.binary(max_size=20)))
def test_text_elements_travel(elements: list[bytes]) -> None:
    """BYTES elements stand behind little-endian lengths."""
    assert split_bytes(join_bytes(elements)) == elements


@given(data=st.binary(max_size=64))
def test_splitting_text_is_total_and_exact(data: bytes) -> None:
    """What splits, joins to the same bytes."""
    try:
        elements = split_bytes(data)
    except MalformedError:
        return
    assert join_bytes(elements) == data
