"""Canonical JSON: one spelling per value, and every other spelling refused."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.jsonc import MAX_DEPTH, MAX_INT, Fields, dumps, from_base64, from_hex, loads

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INT, MAX_INT)
    | st.text(st.characters(codec="utf-8"))
)
KEYS = st.text(st.characters(max_codepoint=127), max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


@given(value=VALUES)
def test_values_round_trip(value: object) -> None:
    """What is written is read back, and is ordinary JSON."""
    data = dumps(value)
    assert loads(data) == value
    assert json.loads(data) == value


@given(data=st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_any_bytes_are_canonical_or_refused(data: bytes) -> None:
    """Hostile bytes raise MalformedError or are exactly what `dumps` would write."""
    try:
        value = loads(data)
    except MalformedError:
        return
    assert dumps(value) == data


def test_form_is_that_of_rfc_8785() -> None:
    """Keys are sorted, nothing is spaced, and text is escaped as little as JSON allows."""
    value = {"b": [1, True, None], "a": '密"\\\n\x1f\x7f\u2028/'}
    expected = '{"a":"密\\"\\\\\\n\\u001f\x7f\u2028/","b":[1,true,null]}'
    assert dumps(value) == expected.encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1\n",
        "01",
        "+1",
        "-0",
        "1.0",
        "1.5",
        "1e3",
        "NaN",
        "Infinity",
        "-Infinity",
        "9007199254740992",
        "-9007199254740992",
        "9" * 5000,
        '{"a":1,"a":1}',
        '{"a":1,"a":2}',
        '{"b":1,"a":2}',
        '{"a": 1}',
        '{"a":1,}',
        "[1,]",
        "[1,2",
        '{"é":1}',
        '"\\u0061"',
        '"\\/"',
        '"\\u00e9"',
        '"\\ud800"',
        '"\t"',
        "\ufeff1",
        "1\0",
        "'a'",
        "nul",
    ],
)
def test_other_spellings_are_refused(text: str) -> None:
    """Spaces, escapes, duplicates, fractions, big numbers and key order are all refused."""
    with pytest.raises(MalformedError) as caught:
        loads(text.encode())
    assert caught.value.code == "peer.malformed"


def test_invalid_utf8_is_refused() -> None:
    """Overlong and broken UTF-8 are not text."""
    for data in (b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"'):
        with pytest.raises(MalformedError):
            loads(data)


def test_depth_is_limited() -> None:
    """The limit is exact, and a million brackets do not exhaust the stack."""
    loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    for deep in (MAX_DEPTH + 1, 500_000):
        with pytest.raises(MalformedError):
            loads(b"[" * deep + b"]" * deep)
    with pytest.raises(MalformedError):
        loads(b'{"a":' * 100_000)


def test_length_is_limited() -> None:
    """A document over the limit is refused before it is parsed."""
    assert loads(b"[1,2]", limit=5) == [1, 2]
    with pytest.raises(MalformedError):
        loads(b"[1,22]", limit=5)


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), b"x", {1: 2}, {"é": 1}, "\ud800", MAX_INT + 1, [object()]]
)
def test_values_without_an_encoding_are_the_callers_fault(value: object) -> None:
    """Writing something outside the subset is a usage error, not bad data."""
    with pytest.raises(UsageError):
        dumps(value)


def test_base64_and_hex_have_one_spelling() -> None:
    """Slack bits, missing padding, upper case and spaces are refused."""
    assert from_base64("AAE=") == b"\0\1"
    assert from_hex("00ff") == b"\0\xff"
    for text in ("AAF=", "AAE", "A AE=", "AAE=\n", "AA==AA==", "é", "-_=="):
        assert from_base64(text) is None
    for text in ("0", "FF", "0 0", "0x00", "zz"):
        assert from_hex(text) is None


def test_fields_reads_each_type() -> None:
    """Every accessor returns a well-typed field and takes it out of the object."""
    fields = Fields(
        {
            "t": "x",
            "e": "",
            "c": "a",
            "i": 7,
            "f": True,
            "h": "00ff",
            "n": None,
            "p": "01",
            "hs": ["aa", "bb"],
            "b": "AAE=",
            "l": [1],
            "o": {"x": 1},
            "m": {"k": 1},
        },
        "thing",
    )
    assert fields.text("t") == "x"
    assert fields.text("e", empty=True) == ""
    assert fields.choice("c", ("a", "b")) == "a"
    assert fields.integer("i", high=7) == 7
    assert fields.flag("f") is True
    assert fields.hex("h", 2) == b"\0\xff"
    assert fields.hex_or_none("n", 2) is None
    assert fields.hex_or_none("p", 1) == b"\x01"
    assert fields.hexes("hs", 1, limit=2) == (b"\xaa", b"\xbb")
    assert fields.base64("b", limit=2) == b"\0\1"
    assert fields.array("l", limit=1) == [1]
    inner = fields.object("o")
    assert inner.integer("x") == 1
    inner.end()
    assert fields.map("m") == {"k": 1}
    fields.end()


@pytest.mark.parametrize(
    "read",
    [
        lambda f: f.text("i"),
        lambda f: f.text("e"),
        lambda f: f.text("t", limit=2),
        lambda f: f.text("absent"),
        lambda f: f.choice("t", ("a",)),
        lambda f: f.choice("i", ("a",)),
        lambda f: f.integer("t"),
        lambda f: f.integer("f"),
        lambda f: f.integer("i", high=6),
        lambda f: f.integer("i", low=8),
        lambda f: f.flag("i"),
        lambda f: f.hex("t", 1),
        lambda f: f.hex("h", 1),
        lambda f: f.hex("i", 1),
        lambda f: f.hex_or_none("absent", 1),
        lambda f: f.hexes("l", 1, limit=2),
        lambda f: f.hexes("l", 1, limit=0),
        lambda f: f.base64("b", limit=1),
        lambda f: f.base64("t", limit=9),
        lambda f: f.base64("i", limit=9),
        lambda f: f.array("t", limit=1),
        lambda f: f.object("t"),
        lambda f: f.map("t"),
        lambda f: f.end(),
    ],
)
def test_fields_refuses_wrong_types_ranges_and_leftovers(read: object) -> None:
    """A missing, mistyped, out-of-range or unknown field is malformed."""
    value = {"t": "xyz", "e": "", "i": 7, "f": True, "h": "00ff", "b": "AAE=", "l": ["z"]}
    with pytest.raises(MalformedError):
        read(Fields(value, "thing"))


def test_depth_does_not_hang_on_the_recursion_limit() -> None:
    """With a limit that some library raised, deep input is still an error and kills nothing."""
    says = """
import sys
sys.setrecursionlimit(10**6)
from attestation import EvidenceMalformedError, json_strict
from mifeng.client import transport
from mifeng.errors import MalformedError
from mifeng.protocol import body, jsonc
def evidence(raw): json_strict.parse(raw, what="x", code="x")
for deep in (b"[" * 500_000, b'{"a":' * 100_000, b'{"":"\\\\"",' + b"[" * 500_000):
    for read in (jsonc.loads, body.loads_json, evidence):
        try:
            read(deep)
        except (MalformedError, EvidenceMalformedError):
            continue
        raise SystemExit(1)
    assert transport._refused(400, deep, {}).code == "http.400"
"""
    done = subprocess.run(
        [sys.executable, "-c", says], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
