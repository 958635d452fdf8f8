"""DSSE envelopes: the specification's encoding, one signature, every byte counted."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, PeerError
from mifeng.protocol import dsse
from mifeng.protocol.jsonc import dumps
from tests.unit.protocol.bend import bent

TYPE = "application/vnd.mifeng.test+json"
KEY = SigningKey.generate("sm2")
VERIFY = KEY.verify_key()
VALID = dsse.sign(b'{"a":1}', TYPE, KEY)


def test_pae_is_that_of_the_specification() -> None:
    """The example of protocol.md, and lengths counted in bytes, not characters."""
    assert (
        dsse.pae("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert dsse.pae("é", "密".encode()) == "DSSEv1 2 é 3 密".encode()
    assert dsse.pae("", b"") == b"DSSEv1 0  0 "


@pytest.mark.parametrize("alg", ["sm2", "p256"])
def test_what_is_signed_is_returned(alg: str) -> None:
    """Both algorithms sign; the envelope is ordinary DSSE JSON."""
    key = SigningKey.generate(alg)
    envelope = dsse.sign(b"payload", TYPE, key)
    assert dsse.verify(envelope, TYPE, key.verify_key()) == b"payload"
    assert dsse.parse(envelope).payload == b"payload"
    document = json.loads(envelope)
    assert document["payloadType"] == TYPE
    assert document["signatures"][0]["keyid"].startswith(alg + ":")


def test_another_type_or_key_is_refused() -> None:
    """A statement of one type by one key does not count as another's."""
    with pytest.raises(PeerError):
        dsse.verify(VALID, TYPE + "x", VERIFY)
    with pytest.raises(PeerError):
        dsse.verify(VALID, TYPE, SigningKey.generate("sm2").verify_key())


def test_every_bent_byte_is_refused() -> None:
    """Payload, type, key id, signature and punctuation: nothing can change."""
    dsse.verify(VALID, TYPE, VERIFY)
    for wrong in bent(VALID):
        with pytest.raises(PeerError):
            dsse.verify(wrong, TYPE, VERIFY)


SIGNATURE = {"keyid": "k", "sig": "A" * 85 + "A=="}


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"payload": "", "payloadType": "t", "signatures": []},
        {"payload": "", "payloadType": "t", "signatures": [SIGNATURE, SIGNATURE]},
        {"payload": "", "payloadType": "", "signatures": [SIGNATURE]},
        {"payload": "", "payloadType": "é", "signatures": [SIGNATURE]},
        {"payload": "", "payloadType": "a\nb", "signatures": [SIGNATURE]},
        {"payload": "A", "payloadType": "t", "signatures": [SIGNATURE]},
        {"payload": 1, "payloadType": "t", "signatures": [SIGNATURE]},
        {"payload": "", "payloadType": "t", "signatures": [1]},
        {"payload": "", "payloadType": "t", "signatures": [SIGNATURE | {"sig": "AAAA"}]},
        {"payload": "", "payloadType": "t", "signatures": [SIGNATURE | {"x": 1}]},
        {"payload": "", "payloadType": "t", "signatures": [SIGNATURE], "x": 1},
    ],
)
def test_other_shapes_are_malformed(document: object) -> None:
    """No, several, or short signatures, unknown fields and odd types are refused."""
    with pytest.raises(MalformedError):
        dsse.parse(dumps(document))


def test_the_shape_these_differ_from_parses() -> None:
    """The table above is refused for what each row changes, not for something shared."""
    good = {"payload": "", "payloadType": "t", "signatures": [SIGNATURE]}
    assert dsse.parse(dumps(good)).signature == bytes(64)


@given(data=st.binary(max_size=100))
def test_parse_is_total(data: bytes) -> None:
    """Any bytes parse or are malformed."""
    try:
        assert dsse.parse(data).encode() == data
    except MalformedError:
        return


def test_many_are_verified_as_one_by_one() -> None:
    """Good ones return their payload; another type, key or signature is refused in its place."""
    other = SigningKey.generate("p256")
    claims = [(dsse.parse(VALID), TYPE, VERIFY)] * 12
    claims[2] = (dsse.parse(VALID), TYPE + "x", VERIFY)
    claims[5] = (dsse.parse(VALID), TYPE, other.verify_key())
    bad = dsse.parse(VALID)
    claims[7] = (replace(bad, signature=bytes(64)), TYPE, VERIFY)
    claims[9] = (dsse.parse(dsse.sign(b"other", TYPE, other)), TYPE, other.verify_key())
    found = dsse.verify_each(claims)
    assert [at for at, each in enumerate(found) if isinstance(each, PeerError)] == [2, 5, 7]
    for at, (envelope, kind, key) in enumerate(claims):
        if at in {2, 5, 7}:
            with pytest.raises(PeerError, match=re.escape(str(found[at]))):
                dsse.verify_parsed(envelope, kind, key)
        else:
            assert found[at] == dsse.verify_parsed(envelope, kind, key)
