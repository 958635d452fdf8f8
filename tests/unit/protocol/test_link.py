"""The node link: cutting, windows, and the two things a node says of itself."""

import pytest

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.codec import u8, u32
from mifeng.protocol.link import (
    MAX_BUNDLE_FRAME,
    MAX_PAYLOAD,
    WINDOW_BYTES,
    Hello,
    LinkFrame,
    LinkKind,
    LinkParser,
    NodeStatus,
    ReceiveWindow,
    SendWindow,
)
from mifeng.protocol.messages import MessageType
from tests.harness import samples

FRAMES = [
    LinkFrame(0, LinkKind.HELLO, samples.HELLO.encode()),
    LinkFrame(7, MessageType.FRAME, bytes(300)),
    LinkFrame(2**32 - 1, LinkKind.WINDOW, u32(1)),
    LinkFrame(3, MessageType.CANCEL, b""),
]


@pytest.mark.parametrize("cut", [1, 2, 8, 9, 10, 100, 10_000])
def test_any_cut_gives_the_same_frames(cut: int) -> None:
    """Frames do not depend on how the connection delivers their bytes."""
    data, parser = b"".join(frame.encode() for frame in FRAMES), LinkParser()
    found = [f for at in range(0, len(data), cut) for f in parser.feed(data[at : at + cut])]
    assert found == FRAMES


@pytest.mark.parametrize(
    "data",
    [
        u32(4) + bytes(5),
        u32(6) + u32(1) + u8(99) + b"x",
        u32(6) + u32(1) + u8(0) + b"x",
        u32(MAX_PAYLOAD + 6) + u32(1) + u8(MessageType.FRAME),
        u32(MAX_BUNDLE_FRAME + 6) + u32(1) + u8(LinkKind.BUNDLE),
        b"\xff" * 9,
    ],
    ids=["short", "unknown", "zero", "long", "long-bundle", "ones"],
)
def test_an_impossible_frame_closes_the_link(data: bytes) -> None:
    """Refused on its first nine bytes: nobody makes us wait for the rest, or hold it."""
    with pytest.raises(MalformedError):
        LinkParser().feed(data)


def test_a_bundle_may_be_large() -> None:
    """Evidence with collateral is larger than any message."""
    frame = LinkFrame(1, LinkKind.BUNDLE, bytes(MAX_PAYLOAD + 1))
    assert LinkParser().feed(frame.encode()) == [frame]


def test_a_sender_keeps_the_window() -> None:
    """One frame may overdraw it; then it waits; credit never exceeds the window."""
    window = SendWindow()
    states = [window.open]
    for size in (WINDOW_BYTES - 1, 100):
        window.sent(size)
        states.append(window.open)
    assert states == [True, True, False]
    with pytest.raises(UsageError):
        window.sent(1)
    window.granted(u32(100))
    window.granted(u32(WINDOW_BYTES - 1))
    for payload in (u32(1), b"", bytes(5)):
        with pytest.raises(MalformedError):
            window.granted(payload)


def test_a_receiver_confirms_in_halves_and_notices_a_flood() -> None:
    """Few confirmations, none lost; a peer that ignores them is caught."""
    window = ReceiveWindow()
    half = WINDOW_BYTES // 2
    window.received(half)
    assert window.consumed(half - 1) is None
    assert window.consumed(1) == u32(half)
    assert window.consumed(half - 1) is None
    flood = ReceiveWindow()
    flood.received(WINDOW_BYTES - 1)
    flood.received(1000)  # the frame that overdraws
    exact = ReceiveWindow()
    exact.received(WINDOW_BYTES)
    for full in (flood, exact):
        with pytest.raises(MalformedError):
            full.received(1)


def test_windows_agree_over_a_long_stream() -> None:
    """Whatever is sent is confirmed in the end, so a stream of any length passes."""
    sender, receiver = SendWindow(), ReceiveWindow()
    for size in [65_556] * 100 + [276] * 100:
        assert sender.open
        sender.sent(size)
        receiver.received(size)
        if (payload := receiver.consumed(size)) is not None:
            sender.granted(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"capacity":0,"log_size":0,"node_id":"n","v":1}',
        b'{"capacity":1,"log_size":0,"node_id":"n","v":2}',
        b'{"capacity":1,"log_size":0,"node_id":"","v":1}',
        b'{"capacity":1,"log_size":0,"node_id":"n","v":1,"x":1}',
        b"[]",
    ],
)
def test_a_hello_out_of_range_is_refused(payload: bytes) -> None:
    """Every field is bounded and known."""
    with pytest.raises(MalformedError):
        Hello.decode(payload)


def test_a_status_out_of_range_is_refused() -> None:
    """The same for the status, whose digest is 32 bytes."""
    assert Hello.decode(samples.HELLO.encode()) == samples.HELLO
    valid = samples.STATUS.encode()
    assert NodeStatus.decode(valid) == samples.STATUS
    for old, new in ((b'"capacity":8', b'"capacity":0'), (b"01", b"1"), (b"false", b"0")):
        with pytest.raises(MalformedError):
            NodeStatus.decode(valid.replace(old, new, 1))
