"""Body digests: the cut does not matter, every byte and the length do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mifeng.protocol.bodydigest import LEAF_BYTES, BodyDigest, body_digest, salted

EDGES = (0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 200_000)


@pytest.mark.parametrize("size", EDGES)
def test_the_cut_does_not_matter(size: int) -> None:
    """Fed whole, in odd pieces, or from other buffers, the digest is the same."""
    data = bytes(at % 251 for at in range(size))
    expected = body_digest(data)
    for step in (4096, 4099, 65_556):
        whole = BodyDigest()
        for at in range(0, size, step):
            whole.update(memoryview(data)[at : at + step])
        assert whole.digest() == expected
        assert whole.digest() == expected, "reading a digest changes nothing"


@given(pieces=st.lists(st.binary(max_size=2 * LEAF_BYTES), max_size=12))
def test_any_pieces(pieces: list[bytes]) -> None:
    """Digests of prefixes may be read on the way."""
    whole = BodyDigest()
    for piece in pieces:
        whole.update(bytearray(piece))
        whole.digest()
    assert whole.digest() == body_digest(b"".join(pieces))


def test_different_bodies_differ() -> None:
    """Zeros of another length, another order of leaves, another byte."""
    a, b = b"a" * LEAF_BYTES, b"b" * LEAF_BYTES
    bodies = [b"", b"\0", bytes(2), a, a + b, b + a, a + a, bytes(LEAF_BYTES), a + b"b"]
    assert len({body_digest(body) for body in bodies}) == len(bodies)


def test_salt_and_direction_separate() -> None:
    """The same text asked and answered has two digests, and they say nothing without the salt."""
    digest = body_digest(b"yes")
    made = {
        salted(digest, salt=bytes([salt]) * 32, direction=direction)
        for salt in (1, 2)
        for direction in (b"request", b"response")
    }
    assert len(made) == 4
