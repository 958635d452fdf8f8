"""Keysets: one spelling, every field in range, keys present."""

from dataclasses import replace

import pytest

from mifeng.errors import MalformedError
from mifeng.protocol.checkpoint import LogPin
from mifeng.protocol.keyset import (
    MAX_KEYSET_BYTES,
    Keyset,
    LogIdentity,
    keyset_digest,
    verify_keys,
)
from mifeng.protocol.merkle import SM3
from mifeng.protocol.note import Sm2NoteSigner
from tests.harness import samples

VALID = samples.keyset()
TEXT = VALID.encode()


def test_a_keyset_travels_and_is_named_by_its_bytes() -> None:
    """Decoding gives the value; the digest is over the bytes."""
    assert Keyset.decode(TEXT) == VALID
    assert keyset_digest(TEXT) != keyset_digest(TEXT + b" ")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"v":1', b'"v":2'),
        (b'"0001"', b'"001"'),
        (b'"0001"', b'"000A"'),
        (b'"0001"', b'"zzzz"'),
        (b'"quorum":1', b'"quorum":256'),
        (b'"simulated":false', b'"simulated":0'),
        (b'"idempotent":true', b'"idempotent":1'),
        (b'"node_id":"node-1"', b'"node_id":""'),
        (b'"epoch":7', b'"epoch":-1'),
        (b'"image":"01', b'"image":"0101'),
        (b'"name":"pay"', b'"name":"ocr"'),
        (b'"not_after":1800003600', b'"not_after":1800000000'),
        (b'"not_before":1800000000,', b""),
    ],
)
def test_a_field_out_of_range_is_refused(old: bytes, new: bytes) -> None:
    """Versions, ids, ranges, types, and a model that is listed twice."""
    assert old in TEXT
    with pytest.raises(MalformedError):
        Keyset.decode(TEXT.replace(old, new, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        replace(VALID, suites={}),
        replace(VALID, sign={}),
        replace(VALID, suites={1: b""}),
        replace(VALID, log=replace(VALID.log, keys=())),
        replace(VALID, not_before=VALID.not_after),
    ],
    ids=["suites", "sign", "empty-key", "log-keys", "life"],
)
def test_a_keyset_without_keys_or_life_is_none(wrong: Keyset) -> None:
    """What parses must also be of use."""
    with pytest.raises(MalformedError):
        Keyset.decode(wrong.encode())


def test_keys_are_base64_in_one_spelling() -> None:
    """A number is no key, and padding has one form."""
    for new in (b'"sm2":1', b'"sm2":"BA="', b'"sm2":"B==="'):
        start = TEXT.index(b'"sm2":')
        end = TEXT.index(b"}", start)
        with pytest.raises(MalformedError):
            Keyset.decode(TEXT[:start] + new + TEXT[end:])


def test_too_long_a_keyset_is_refused_unread() -> None:
    """The limit is on bytes."""
    with pytest.raises(MalformedError, match="limit"):
        Keyset.decode(b"[" * (MAX_KEYSET_BYTES + 1))


def test_a_pin_and_a_node_agree_on_a_log_in_any_order() -> None:
    """Keys are compared as sorted digests; each of them checks statements."""
    signers = [Sm2NoteSigner("log.example/a", samples.signing_key()) for _ in range(3)]
    keys = tuple(signer.key for signer in signers)
    pins = [
        LogPin(origin="log.example/a", world=SM3, keys=order, witnesses=(), quorum=0)
        for order in (keys, keys[::-1])
    ]
    one, other = (LogIdentity.of(pin) for pin in pins)
    assert one == other
    assert list(one.keys) == sorted(one.keys)
    assert {key.public_bytes for key in verify_keys(pins[0])} == {key.public for key in keys}
