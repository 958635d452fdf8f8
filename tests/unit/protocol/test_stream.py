"""Frames: sizes, order, padding, and what ends a stream."""

import pytest

from mifeng.crypto.suites import SUITES, Aead
from mifeng.errors import MalformedError, StreamRejectedError, UsageError
from mifeng.protocol import stream
from mifeng.protocol.codec import u32
from mifeng.protocol.stream import (
    MAX_DATA,
    FrameOpener,
    FrameSealer,
    FrameType,
    bucket,
    split_header,
)

KEY, BASE = bytes(16), bytes(range(12))


def aead() -> Aead:
    """Return SM4-GCM under a fixed key."""
    return SUITES[1].aead(KEY)


def pair() -> tuple[FrameSealer, FrameOpener]:
    """Return both ends of one direction."""
    return FrameSealer(aead(), BASE), FrameOpener(aead(), BASE)


@pytest.mark.parametrize(
    ("size", "inner"),
    [
        (0, 256),
        (252, 256),
        (253, 512),
        (508, 512),
        (509, 1024),
        (32_764, 32_768),
        (MAX_DATA, 65536),
    ],
)
def test_sizes_are_rounded_to_powers_of_two(size: int, inner: int) -> None:
    """The wire shows the bucket, not the size."""
    sealer, opener = pair()
    assert bucket(size) == inner
    frame = sealer.seal(FrameType.DATA, bytes(size), final=True)
    assert len(frame) == 4 + inner + 16
    assert opener.open(frame).data == bytes(size)
    opener.finish()


def test_a_sealer_stops_where_it_must() -> None:
    """After the final frame, beyond the largest frame, and when the counter is used up."""
    sealer, _ = pair()
    with pytest.raises(UsageError):
        sealer.seal(FrameType.DATA, bytes(MAX_DATA + 1), final=False)
    sealer.seal(FrameType.DATA, b"", final=True)
    with pytest.raises(UsageError):
        sealer.seal(FrameType.DATA, b"", final=False)
    full, _ = pair()
    full._counter = stream.MAX_FRAMES
    with pytest.raises(UsageError):
        full.seal(FrameType.DATA, b"", final=True)


def test_a_stream_without_an_end_is_no_stream() -> None:
    """A cut is noticed, and nothing follows the end."""
    sealer, opener = pair()
    first = sealer.seal(FrameType.DATA, b"1", final=False)
    last = sealer.seal(FrameType.DATA, b"2", final=True)
    opener.open(first)
    with pytest.raises(StreamRejectedError, match="before its final"):
        opener.finish()
    opener.open(last)
    opener.finish()
    with pytest.raises(StreamRejectedError, match="after the end"):
        opener.open(last)


def test_one_wrong_frame_ends_a_stream_for_good() -> None:
    """Not even the right frame is taken after a wrong one."""
    sealer, opener = pair()
    frame = sealer.seal(FrameType.DATA, b"1", final=False)
    with pytest.raises(StreamRejectedError):
        opener.open(frame[:-1] + bytes([frame[-1] ^ 1]))
    with pytest.raises(StreamRejectedError):
        opener.open(frame)


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        (u32(0) + b"\1".rjust(252, b"\0"), "a byte of padding is not zero"),
        (u32(253) + bytes(252), "more data than there is room for"),
        (u32(0) + bytes(508), "a larger bucket than needed"),
        (u32(0xFFFF_FFFF) + bytes(252), "an absurd size"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_padding_has_one_form(inner: bytes, why: str) -> None:
    """Even a sealer that holds the key cannot hide bytes in the padding."""
    header = u32(len(inner) + 16)
    frame = header + aead().seal(BASE, inner, header)
    with pytest.raises(StreamRejectedError):
        FrameOpener(aead(), BASE).open(frame)
        pytest.fail(why)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0\0\0",
        u32(16) + bytes(16),
        u32(271) + bytes(271),
        u32(272) + bytes(271),
        u32(272) + bytes(273),
        u32(65_553) + bytes(65_553),
        u32(6 << 24 | 272) + bytes(272),
        u32(0x7F << 24 | 272) + bytes(272),
    ],
    ids=["empty", "short", "tag-only", "small", "cut", "long", "large", "type-6", "type-127"],
)
def test_a_header_that_no_frame_has_is_refused(frame: bytes) -> None:
    """Length and type are checked before anything is decrypted."""
    with pytest.raises(MalformedError):
        split_header(frame)
    with pytest.raises(StreamRejectedError):
        FrameOpener(aead(), BASE).open(frame)


def test_type_and_end_are_public() -> None:
    """The gateway reads them to hold the final frame back."""
    sealer, _ = pair()
    assert split_header(sealer.seal(FrameType.SALT, bytes(32), final=False)) == (
        FrameType.SALT,
        False,
    )
    assert split_header(sealer.seal(FrameType.ERROR, b"{}", final=True)) == (FrameType.ERROR, True)
