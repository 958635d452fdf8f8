"""Promises: signed, about one entry of one log, and short."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, PeerError, PromiseRejectedError
from mifeng.protocol import promise
from mifeng.protocol.merkle import SM3
from mifeng.protocol.promise import MAX_SKEW_S, Promise
from tests.unit.protocol.bend import bent

KEY = SigningKey.generate("sm2")
OLD = SigningKey.generate("sm2")
ORIGIN = "log.example"
LEAF = SM3.leaf_hash(b"entry")
NOW = 1_800_000_000


def issue(*, issued: int = NOW, merge_by: int = NOW + 60) -> bytes:
    """Return a promise by the log."""
    return promise.issue(KEY, origin=ORIGIN, index=7, leaf=LEAF, issued=issued, merge_by=merge_by)


def verify(data: bytes, *, now: int = NOW) -> Promise:
    """Verify as a client does that pins two keys of the log."""
    keys = (OLD.verify_key(), KEY.verify_key())
    return promise.verify(data, origin=ORIGIN, leaf=LEAF, keys=keys, now=now)


def test_a_promise_verifies_and_round_trips() -> None:
    """Fields come back as issued, under any pinned key."""
    data = issue()
    found = verify(data)
    assert (found.index, found.issued, found.merge_by) == (7, NOW, NOW + 60)
    assert found.encode() == data


def test_signed_bytes_are_as_specified() -> None:
    """Domain, length-prefixed origin, index, leaf hash, issued, merge_by."""
    assert verify(issue()).signed_bytes() == (
        b"mifeng/v1/promise\0"
        b"\0\0\0\x0blog.example"
        + (7).to_bytes(8, "big")
        + LEAF
        + NOW.to_bytes(8, "big")
        + (NOW + 60).to_bytes(8, "big")
    )


def test_every_bent_byte_is_refused() -> None:
    """Nothing in a promise can change."""
    for wrong in bent(issue()):
        with pytest.raises(PeerError):
            verify(wrong)


def test_a_promise_about_something_else_is_refused() -> None:
    """Another entry, another log and another key are not what was asked for."""
    data, keys = issue(), (KEY.verify_key(),)
    with pytest.raises(PromiseRejectedError):
        promise.verify(data, origin="other", leaf=LEAF, keys=keys, now=NOW)
    with pytest.raises(PromiseRejectedError):
        promise.verify(data, origin=ORIGIN, leaf=SM3.leaf_hash(b""), keys=keys, now=NOW)
    with pytest.raises(PromiseRejectedError):
        promise.verify(data, origin=ORIGIN, leaf=LEAF, keys=(OLD.verify_key(),), now=NOW)


@pytest.mark.parametrize(
    ("issued", "merge_by"),
    [(NOW, NOW + 61), (NOW, NOW - 1), (NOW + MAX_SKEW_S + 1, NOW + MAX_SKEW_S + 2)],
)
def test_a_promise_that_gives_itself_time_is_refused(issued: int, merge_by: int) -> None:
    """More than a minute, a reversed interval, and a date in the future are refused."""
    with pytest.raises(PromiseRejectedError):
        verify(issue(issued=issued, merge_by=merge_by))


def test_clocks_may_differ_a_little() -> None:
    """A log ahead of us by up to the allowed skew is believed."""
    verify(issue(issued=NOW + MAX_SKEW_S, merge_by=NOW + MAX_SKEW_S + 60))


@given(data=st.binary(max_size=200))
def test_decode_is_total_and_canonical(data: bytes) -> None:
    """Any bytes are malformed, or the one encoding of what they decode to."""
    for candidate in (data, b"\0\0\0\1o" + data.ljust(120, b"\0")):
        try:
            assert Promise.decode(candidate).encode() == candidate
        except MalformedError:
            continue


def test_fields_out_of_range_are_malformed() -> None:
    """Indexes and times that JSON could not hold, and an origin that is not text, are refused."""
    fixed = bytes(32) + bytes(8) + bytes(8) + bytes(64)
    good = b"\0\0\0\1o" + bytes(8) + fixed
    Promise.decode(good)
    for wrong in (
        b"\0\0\0\1\xff" + bytes(8) + fixed,
        b"\0\0\0\1o" + b"\xff" * 8 + fixed,
        b"\0\0\0\1o" + bytes(8) + bytes(40) + b"\xff" * 8 + bytes(64),
        b"\0\0\1\0" + b"o" * 256 + bytes(8) + fixed,
        good[:-1],
    ):
        with pytest.raises(MalformedError):
            Promise.decode(wrong)
