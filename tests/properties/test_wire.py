"""Laws over every encoding of the wire: total, canonical, and every byte counts."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attestation.bundle import Bundle
from attestation.errors import AttestationError
from mifeng.errors import PeerError
from mifeng.protocol.envelope import ResponseOpen
from mifeng.protocol.header import Header, request_digest
from mifeng.protocol.keyset import Keyset
from mifeng.protocol.link import Hello, LinkParser, NodeStatus
from mifeng.protocol.messages import Intent, Message, MessageParser, Open, Problem, Record
from mifeng.protocol.offer import Offer
from mifeng.protocol.receipt import (
    NotClaimed,
    Receipt,
    Tally,
    verify_not_claimed,
    verify_receipt,
    verify_tally,
)
from tests.harness import samples
from tests.harness.bend import bent

Decode = Callable[[bytes], Any]
VALID: dict[str, tuple[Decode, bytes]] = {
    "header": (Header.decode, samples.header().encode()),
    "keyset": (Keyset.decode, samples.keyset().encode()),
    "receipt": (Receipt.decode, samples.receipt().encode()),
    "not-claimed": (NotClaimed.decode, samples.not_claimed().encode()),
    "tally": (Tally.decode, samples.tally().encode()),
    "hello": (Hello.decode, samples.HELLO.encode()),
    "status": (NodeStatus.decode, samples.STATUS.encode()),
    "open": (Open.decode, samples.messages()["open"].payload),
    "answer": (ResponseOpen.decode, samples.messages()["answer"].payload),
    "record": (Record.decode, samples.messages()["record"].payload),
    "intent": (Intent.decode, samples.messages()["intent"].payload),
    "problem": (Problem.decode, samples.messages()["problem"].payload),
    "message": (Message.decode, samples.messages()["open"].encode()),
}
KINDS = pytest.mark.parametrize("kind", VALID)


@KINDS
def test_round_trip(kind: str) -> None:
    """What is encoded decodes to what encodes the same."""
    decode, valid = VALID[kind]
    assert decode(valid).encode() == valid


@KINDS
@settings(max_examples=120, deadline=None)
@given(data=st.binary(max_size=300))
def test_decoding_is_total_and_canonical(kind: str, data: bytes) -> None:
    """Any bytes either raise an error of ours or are the one encoding of what they decode to."""
    decode, _ = VALID[kind]
    try:
        value = decode(data)
    except PeerError:
        return
    assert value.encode() == data


@KINDS
def test_bent_bytes_are_refused_or_mean_something_else(kind: str) -> None:
    """Spoilt bytes raise an error of ours, or decode to another value, never to the same one."""
    decode, valid = VALID[kind]
    whole = decode(valid)
    for wrong in bent(valid):
        if wrong == valid:
            continue
        try:
            value = decode(wrong)
        except PeerError:
            continue
        assert value != whole
        assert value.encode() == wrong


def test_any_other_header_byte_is_another_request() -> None:
    """H covers every byte of the header, so no header can stand in for another."""
    valid = samples.header().encode()
    h = request_digest(valid)
    assert all(request_digest(wrong) != h for wrong in bent(valid))


@pytest.mark.parametrize(
    ("value", "verify"),
    [
        (samples.receipt(), verify_receipt),
        (samples.not_claimed(), verify_not_claimed),
        (samples.tally(), verify_tally),
    ],
)
def test_any_bent_byte_of_a_statement_is_refused(value: Any, verify: Any) -> None:
    """Every byte of a signed statement counts."""
    key = samples.signing_key()
    statement = value.sign(key)
    public = key.verify_key()
    assert verify(statement, public) == value
    for wrong in bent(statement, step=7):
        if wrong != statement:
            with pytest.raises(PeerError):
                verify(wrong, public)


def test_statements_of_one_kind_do_not_pass_as_another() -> None:
    """A signed tally is no receipt, whatever is in it."""
    key = samples.signing_key()
    with pytest.raises(PeerError):
        verify_receipt(samples.tally().sign(key), key.verify_key())


@given(data=st.binary(max_size=64), cuts=st.lists(st.integers(1, 40), max_size=8))
@settings(max_examples=100, deadline=None)
def test_messages_do_not_depend_on_how_the_stream_is_cut(data: bytes, cuts: list[int]) -> None:
    """A parser fed in any pieces yields what it yields fed whole."""
    all_messages = [*samples.messages().values(), samples.messages()["problem"]]
    stream = b"".join(message.encode() for message in all_messages)
    parser, got, at = MessageParser(), [], 0
    for cut in [*cuts, *data, len(stream)]:
        got += parser.feed(stream[at : at + cut])
        at += cut
    got += parser.feed(stream[at:])
    assert got == all_messages
    assert parser.idle


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_stream_parsers_are_total(data: bytes) -> None:
    """Garbage on a stream is messages, waiting, or an error of ours."""
    for parser in (MessageParser(), LinkParser()):
        try:
            parser.feed(data)
        except PeerError:
            continue


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_offers_and_bundles_are_total(data: bytes) -> None:
    """What a gateway sends as an offer decodes or is refused by an error of ours."""
    try:
        Offer.decode(data)
    except PeerError:
        pass
    else:
        raise AssertionError("random bytes are not an offer")
    with pytest.raises(AttestationError):
        Bundle.decode(data)
