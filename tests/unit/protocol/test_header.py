"""The request header: ranges on both sides."""

from dataclasses import replace

import pytest

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.header import MAX_CT, MAX_HEADER_BYTES, MAX_TIME, Header, request_digest
from tests.harness import samples

VALID = samples.header()


@pytest.mark.parametrize(
    "changes",
    [
        {"keyset_digest": bytes(31)},
        {"model_digest": bytes(33)},
        {"client_policy": b""},
        {"request_id": bytes(15)},
        {"suite": -1},
        {"suite": 0x10000},
        {"flags": 2},
        {"flags": 0x8000},
        {"created": -1, "deadline": 0},
        {"created": 2, "deadline": 1},
        {"deadline": MAX_TIME + 1},
        {"ct": b""},
        {"ct": bytes(MAX_CT + 1)},
        {"tenant": ""},
        {"model": "a b"},
        {"operation": "密"},
    ],
    ids=",".join,
)
def test_a_field_out_of_range_is_not_written(changes: dict[str, object]) -> None:
    """The encoder refuses what the decoder would."""
    with pytest.raises(UsageError):
        replace(VALID, **changes).encode()  # type: ignore[arg-type]


def test_the_largest_header_fits() -> None:
    """Every field at its limit stays below the limit of the whole."""
    largest = replace(
        VALID,
        suite=0xFFFF,
        created=MAX_TIME,
        deadline=MAX_TIME,
        tenant="t" * 128,
        model="m" * 128,
        operation="o" * 128,
        ct=bytes(MAX_CT),
    )
    data = largest.encode()
    assert len(data) <= MAX_HEADER_BYTES
    assert Header.decode(data) == largest


@pytest.mark.parametrize(
    ("at", "bytes_"),
    [
        (0, b"\2"),
        (3, b"\0\2"),
        (53, bytes.fromhex("000000006b49d23d")),
        (61, bytes.fromhex("0020000000000000")),
    ],
    ids=["version", "unknown-flag", "created-after-deadline", "deadline-beyond-json"],
)
def test_a_field_out_of_range_is_not_read(at: int, bytes_: bytes) -> None:
    """What parses but means nothing is refused too."""
    data = VALID.encode()
    with pytest.raises(MalformedError):
        Header.decode(data[:at] + bytes_ + data[at + len(bytes_) :])


def test_an_empty_encapsulation_and_too_many_bytes_are_refused() -> None:
    """No ciphertext, or more than a header may have."""
    data = VALID.encode()
    with pytest.raises(MalformedError):
        Header.decode(data[: -len(VALID.ct) - 4] + bytes(4))
    with pytest.raises(MalformedError):
        Header.decode(data + bytes(MAX_HEADER_BYTES))


def test_the_request_is_named_by_its_exact_bytes() -> None:
    """Another byte is another request."""
    data = VALID.encode()
    assert len(request_digest(data)) == 32
    assert request_digest(data) != request_digest(data + b"\0")
