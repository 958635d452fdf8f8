"""The last word of a stream is held back, however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.proxy.sse import DONE, LastWord

EVENT = b'data: {"choices":[{"delta":{"content":"data: [DONE]"}}]}\n\n'


def cut(stream: bytes, sizes: list[int]) -> list[bytes]:
    """Return a stream in pieces."""
    pieces = []
    for size in sizes:
        pieces.append(stream[:size])
        stream = stream[size:]
    return [*pieces, stream]


@given(sizes=st.lists(st.integers(1, 30), max_size=20))
def test_nothing_of_the_last_word_leaves_early(sizes: list[int]) -> None:
    """Whole, byte by byte, or cut inside the mark: everything before it goes, it stays."""
    stream = EVENT * 3 + DONE + b"\n\n" + b": more\n\n"
    last = LastWord()
    went = b"".join(last.push(piece) for piece in cut(stream, sizes))
    assert went == EVENT * 3
    assert went + last.end() == stream


@pytest.mark.parametrize("stream", [b"", EVENT, EVENT + b"data: [D", b"data: "])
def test_a_stream_without_it_loses_nothing(stream: bytes) -> None:
    """What only looked like the beginning comes at the end."""
    last = LastWord()
    went = b"".join(last.push(bytes([byte])) for byte in stream)
    assert went + last.end() == stream


def test_events_do_not_wait_for_each_other() -> None:
    """An event that is no mark leaves at once, whole."""
    last = LastWord()
    assert last.push(EVENT) == EVENT


def test_half_an_event_waits_for_its_other_half() -> None:
    """What may follow it is an error event, which must not be read as part of it."""
    last = LastWord()
    assert last.push(EVENT + EVENT[:20]) == EVENT
    assert last.push(EVENT[20:-1]) == b""
    assert last.push(EVENT[-1:]) == EVENT
    windows = EVENT.replace(b"\n", b"\r\n")
    assert last.push(windows + b"data") == windows
