"""Receipts, refusals, tallies: who signed, which kind, every field in range."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.crypto import sm3
from mifeng.crypto.signatures import SigningKey
from mifeng.errors import MalformedError, ReceiptRejectedError
from mifeng.protocol import dsse, receipt
from mifeng.protocol.receipt import (
    MAX_STATEMENT_BYTES,
    Receipt,
    bucket_usage,
    first_prev,
    link,
    next_prev,
    verify_not_claimed,
    verify_receipt,
    verify_tally,
)
from tests.harness import samples

KEYS = {alg: SigningKey.generate(alg) for alg in ("sm2", "p256")}
Verify = Callable[..., Any]
KINDS: dict[str, tuple[Any, Verify]] = {
    "receipt": (samples.receipt(), verify_receipt),
    "not-claimed": (samples.not_claimed(), verify_not_claimed),
    "tally": (samples.tally(), verify_tally),
}


@pytest.mark.parametrize("alg", KEYS)
@pytest.mark.parametrize("kind", KINDS)
def test_statements_verify_as_what_they_are(kind: str, alg: str) -> None:
    """Signed by this key and of this kind, and as no other kind."""
    value, _ = KINDS[kind]
    statement = value.sign(KEYS[alg])
    for other, (_, verify) in KINDS.items():
        if other == kind:
            assert verify(statement, KEYS[alg].verify_key()) == value
        else:
            with pytest.raises(ReceiptRejectedError):
                verify(statement, KEYS[alg].verify_key())


@pytest.mark.parametrize("kind", KINDS)
def test_another_signer_is_refused(kind: str) -> None:
    """Another key of the same algorithm, or of the other."""
    value, verify = KINDS[kind]
    statement = value.sign(KEYS["sm2"])
    for key in (SigningKey.generate("sm2"), KEYS["p256"]):
        with pytest.raises(ReceiptRejectedError):
            verify(statement, key.verify_key())


@pytest.mark.parametrize("kind", KINDS)
def test_a_signed_thing_of_another_form_is_malformed(kind: str) -> None:
    """The right key over the wrong payload, and no envelope at all."""
    value, verify = KINDS[kind]
    payload_type = dsse.parse(value.sign(KEYS["sm2"])).payload_type
    for payload in (b"{}", b"[]", value.encode().replace(b'"v":1', b'"v":2')):
        statement = dsse.sign(payload, payload_type, KEYS["sm2"])
        with pytest.raises(MalformedError):
            verify(statement, KEYS["sm2"].verify_key())
    with pytest.raises(MalformedError):
        verify(b"{}", KEYS["sm2"].verify_key())


def test_too_long_a_statement_is_refused_unread() -> None:
    """Nobody makes us parse a megabyte."""
    with pytest.raises(ReceiptRejectedError, match="too long"):
        verify_receipt(bytes(MAX_STATEMENT_BYTES + 1), KEYS["sm2"].verify_key())


@pytest.mark.parametrize(
    "changes",
    [
        {"outcome": "done"},
        {"reason": "x" * 65},
        {"origin": ""},
        {"intent_index": -1},
        {"seq": 2**53},
        {"prev": bytes(31)},
        {"model": ""},
        {"backend": "x" * 129},
        {"device": ""},
        {"salted_request": bytes(31)},
        {"usage": {"input_bytes": 255}},
        {"usage": {"input_bytes": 300}},
        {"usage": {"input_bytes": -256}},
        {"usage": {"input_bytes": True}},
        {"usage": {"input_bytes": "256"}},
        {"usage": {f"u{n}": 256 for n in range(17)}},
        {"marks": ("UNWITNESSED", "SIMULATED")},
        {"marks": ("SIMULATED", "SIMULATED")},
        {"marks": ("simulated",)},
        {"marks": ("SIMULATED", "UNWITNESSED", "SIMULATED")},
    ],
    ids=str,
)
def test_a_field_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    """A signed receipt is still parsed as strictly as anything."""
    data = replace(samples.receipt(), **changes)
    if any(isinstance(v, int) and v > 2**53 - 1 for v in changes.values()):
        payload = samples.receipt().encode().replace(b'"seq":3', b'"seq":9007199254740992')
    else:
        payload = data.encode()
    with pytest.raises(MalformedError):
        Receipt.decode(payload)


@pytest.mark.parametrize("marks", [(), ("SIMULATED",), ("UNWITNESSED",), receipt.MARKS])
def test_marks_stand_in_order(marks: tuple[str, ...]) -> None:
    """Every subset in its one order."""
    made = replace(samples.receipt(), marks=marks)
    assert Receipt.decode(made.encode()).marks == marks


def test_optional_digests_may_be_null() -> None:
    """Large bodies have no salted digest, most requests no client key."""
    made = replace(
        samples.receipt(), salted_request=None, salted_response=None, client_auth=None, usage={}
    )
    assert Receipt.decode(made.encode()) == made


@given(amount=st.integers(1, 2**52))
def test_usage_is_rounded_up_to_a_power_of_two(amount: int) -> None:
    """At least 256, never less than what was used, never twice it, and only once."""
    rounded = bucket_usage(amount)
    assert rounded >= max(amount, 256)
    assert rounded & (rounded - 1) == 0
    assert rounded < 2 * amount or rounded == 256
    assert bucket_usage(rounded) == rounded


def test_nothing_used_is_nothing() -> None:
    """Zero stays zero: it says nothing about a body."""
    assert bucket_usage(0) == 0


def test_the_chain_starts_at_the_keyset_and_follows_what_is_signed() -> None:
    """Two keysets, or two receipts, are two chains; two signatures of one receipt are not."""
    assert first_prev(bytes(32)) != first_prev(b"\1" * 32)
    made = samples.receipt()
    one, two = (made.sign(KEYS["sm2"]) for _ in range(2))
    assert one != two, "hedged signatures differ"
    assert next_prev(one) == next_prev(two) == link(made.encode())
    other = replace(made, seq=made.seq + 1).encode()
    assert link(other) not in {link(made.encode()), sm3(other)}
