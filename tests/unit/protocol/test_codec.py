"""Bounded reading and canonical writing."""

import pytest

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol.codec import MAX_NAME, Reader, blob, name, u8, u16, u32, u64

NAMES = ("a", "0", "bank-a", "org/ocr:v4", "A.b_c", "x" * MAX_NAME)
NO_NAMES = ("", "-a", ".a", "_", "a b", "a\n", "密", "a\0", "x" * (MAX_NAME + 1), "a,b")


def test_integers_are_big_endian_and_bounded() -> None:
    """Each width holds its range and nothing beyond."""
    assert (u8(255), u16(258), u32(1), u64(1)) == (
        b"\xff",
        b"\x01\x02",
        b"\0\0\0\1",
        bytes(7) + b"\1",
    )
    for write, limit in ((u8, 1 << 8), (u16, 1 << 16), (u32, 1 << 32), (u64, 1 << 64)):
        assert set(write(limit - 1)) == {255}
        for value in (limit, -1):
            with pytest.raises(OverflowError):
                write(value)


@pytest.mark.parametrize("text", NAMES)
def test_names_travel(text: str) -> None:
    """A name is read as it was written."""
    reader = Reader(name(text), "test")
    assert reader.name() == text
    reader.end()


@pytest.mark.parametrize("text", NO_NAMES)
def test_what_is_no_name_is_neither_written_nor_read(text: str) -> None:
    """Names can stand in a log line, so their alphabet is narrow."""
    with pytest.raises(UsageError):
        name(text)
    data = text.encode()
    with pytest.raises(MalformedError):
        Reader(u8(len(data)) + data, "test").name()


def test_a_blob_has_a_limit_and_an_end() -> None:
    """The limit is looked at before the bytes; a length that runs past the end is refused."""
    assert Reader(blob(b"abc"), "test").blob(3) == b"abc"
    assert Reader(blob(b""), "test").blob(0) == b""
    for data, limit in ((blob(b"abc"), 2), (b"\xff\xff\xff\xff", 1 << 40), (b"\0\0\0\2a", 9)):
        with pytest.raises(MalformedError):
            Reader(data, "test").blob(limit)


def test_reading_stops_at_the_end() -> None:
    """Nothing is read twice, past the end, or left over."""
    reader = Reader(b"\1\2\3", "test")
    assert (reader.number(2), reader.take(0)) == (0x0102, b"")
    with pytest.raises(MalformedError, match="1 trailing"):
        reader.end()
    with pytest.raises(MalformedError, match="need 2 bytes at 2, got 1"):
        reader.take(2)
    assert reader.take(1) == b"\3"
    reader.end()
