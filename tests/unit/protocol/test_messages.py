"""Messages: any cut, limits by type, and payloads that mean what they say."""

import pytest

from mifeng.errors import MalformedError
from mifeng.protocol.codec import blob, u8, u32, u64
from mifeng.protocol.messages import (
    COMMITMENT_BYTES,
    MAX_ENTRY_BYTES,
    Intent,
    Message,
    MessageParser,
    MessageType,
    Open,
    Problem,
    Record,
)
from tests.harness import samples

ALL = [*samples.messages().values(), Message(MessageType.CANCEL, b"")]
LIMITS = {
    MessageType.OPEN: 8192 + 64,
    MessageType.FRAME: 4 + 65536 + 16,
    MessageType.ANSWER: 256,
    MessageType.STATEMENT: 32 * 1024,
    MessageType.RECORD: 132 * 1024,
    MessageType.PROBLEM: 4096,
    MessageType.INTENT: 64 * 1024,
    MessageType.CANCEL: 0,
}


@pytest.mark.parametrize("cut", [1, 2, 5, 6, 64, 10_000])
def test_any_cut_gives_the_same_messages(cut: int) -> None:
    """A parser that holds nothing is idle, and only then."""
    data, parser = b"".join(message.encode() for message in ALL), MessageParser()
    found = []
    for at in range(0, len(data), cut):
        found += parser.feed(data[at : at + cut])
    assert found == ALL
    assert parser.idle
    assert parser.feed(data[:3]) == []
    assert not parser.idle


@pytest.mark.parametrize("kind", list(MessageType))
def test_each_type_has_its_limit(kind: MessageType) -> None:
    """The limit itself passes; one more byte is refused on the prefix, before it arrives."""
    whole = Message(kind, bytes(LIMITS[kind]))
    assert Message.decode(whole.encode()) == whole
    with pytest.raises(MalformedError):
        MessageParser().feed(u8(kind) + u32(LIMITS[kind] + 1))


@pytest.mark.parametrize("data", [b"", b"\1", u8(0) + u32(0), u8(9) + u32(0), u8(255) + u32(0)])
def test_what_is_not_one_message_is_refused(data: bytes) -> None:
    """Nothing, too little, and types there are none of."""
    with pytest.raises(MalformedError):
        Message.decode(data)


def test_two_messages_are_not_one() -> None:
    """Where one is wanted, nothing follows it."""
    cancel = Message(MessageType.CANCEL, b"").encode()
    for data in (cancel + cancel, cancel + b"\1"):
        with pytest.raises(MalformedError):
            Message.decode(data)


def test_payloads_have_an_end_and_limits() -> None:
    """Trailing bytes, a proof too long, a blob beyond its limit."""
    wrong = (
        (Open, blob(b"h") + bytes(COMMITMENT_BYTES + 1)),
        (Open, blob(b"h") + bytes(COMMITMENT_BYTES - 1)),
        (Open, u32(8193) + bytes(8193 + COMMITMENT_BYTES)),
        (Intent, blob(b"s") + blob(b"n") + u8(65) + bytes(65 * 32)),
        (Intent, blob(b"s") + blob(b"n") + u8(1) + bytes(31)),
        (Intent, u32(16 * 1024 + 1) + bytes(16 * 1024 + 10)),
        (Record, u64(1) + blob(bytes(MAX_ENTRY_BYTES + 1)) + blob(b"")),
        (Record, u64(1) + blob(b"") + blob(bytes(2049))),
        (Record, u64(1) + blob(b"") + blob(b"") + b"\0"),
    )
    for decoder, payload in wrong:
        with pytest.raises(MalformedError):
            decoder.decode(payload)
    longest = Intent(b"s", b"n", (bytes(32),) * 64)
    assert Intent.decode(longest.encode()) == longest


@pytest.mark.parametrize("retry", [None, 0, 3])
def test_problems_travel(retry: int | None) -> None:
    """With and without a time to wait."""
    problem = Problem("node.busy", "", retry)
    assert Problem.decode(problem.encode()) == problem


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"{}",
        b'{"code":"","message":"","retry_after_s":null}',
        b'{"code":"a","message":1,"retry_after_s":null}',
        b'{"code":"a","message":"","retry_after_s":null,"x":1}',
        b'{ "code":"a","message":"","retry_after_s":null}',
        b'{"code":"a","message":""}',
        b'{"code":"a","message":"","retry_after_s":-1}',
        b'{"code":"a","message":"","retry_after_s":"3"}',
        b'{"code":"a","message":"","retry_after_s":true}',
    ],
)
def test_a_problem_of_another_form_is_refused(payload: bytes) -> None:
    """A problem is canonical JSON with exactly three fields."""
    with pytest.raises(MalformedError):
        Problem.decode(payload)
