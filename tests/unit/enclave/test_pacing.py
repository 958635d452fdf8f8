"""What leaves when: frames of a stream against a clock that tests turn."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.pacing import FRAME_BYTES, Beat, Paced, Pacing, attended, paced
from mifeng.protocol.stream import MIN_BUCKET, FrameType, bucket


async def parts(pieces: Sequence[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces at once."""
    for piece in pieces:
        yield piece


async def nap(_: float) -> None:
    """Let other tasks run instead of sleeping."""
    await asyncio.sleep(0)


async def frames(pieces: AsyncIterator[bytes], pacing: Pacing) -> list[tuple[bytes, bool]]:
    """Return every frame's contents."""
    return [frame async for frame in paced(pieces, pacing, sleep=nap)]


@given(
    pieces=st.lists(st.binary(max_size=900), max_size=12),
    count=st.integers(1, 5),
    rounds=st.integers(1, 6),
)
def test_any_answer_arrives_whole_in_equal_frames(
    pieces: list[bytes], count: int, rounds: int
) -> None:
    """Frames add up to the answer, fit the smallest bucket, end at a power of two rounds."""
    pacing = Pacing(tick_s=0.001, frames=count, round_ticks=rounds)
    made = asyncio.run(frames(parts(pieces), pacing))
    assert b"".join(data for data, _ in made) == b"".join(pieces)
    assert all(bucket(len(data)) == MIN_BUCKET for data, _ in made)
    times, rest = divmod(len(made), count * rounds)
    assert rest == 0
    assert times.bit_count() == 1
    assert [final for _, final in made] == [False] * (len(made) - 1) + [True]


@pytest.mark.parametrize(("ticks", "drawn"), [(1, 3), (2, 3), (4, 6), (7, 12), (13, 24)])
async def test_answers_are_drawn_out_to_powers_of_two(ticks: int, drawn: int) -> None:
    """With rounds of three ticks an answer ends after 3, 6, 12, 24, … and nowhere else."""
    pieces = parts([bytes(FRAME_BYTES)] * ticks)
    assert len(await frames(pieces, Pacing(tick_s=0.001, round_ticks=3))) == drawn


async def test_a_tick_without_anything_sends_a_frame_all_the_same() -> None:
    """While the model thinks, empty frames leave; content waits for the next tick."""
    more = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"one"
        await more.wait()
        yield b"two"

    seen = []
    async for data, final in paced(slow(), Pacing(tick_s=0.001, round_ticks=2), sleep=nap):
        seen.append(data)
        if len(seen) == 5:
            more.set()
        if final:
            break
    assert seen[:5] == [b"one", b"", b"", b"", b""]
    assert b"".join(seen) == b"onetwo"
    assert FrameType.DATA == 0


async def test_nothing_leaves_before_the_first_token() -> None:
    """The first frame is the first token's; waiting for it sends nothing."""
    ready = asyncio.Event()

    async def late() -> AsyncIterator[bytes]:
        await ready.wait()
        yield b"x"

    stream = paced(late(), Pacing(tick_s=0.001), sleep=nap)
    first = asyncio.ensure_future(anext(stream))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not first.done()
    ready.set()
    assert await first == (b"x", False)
    await stream.aclose()


async def test_a_source_is_read_no_further_than_needed() -> None:
    """What the model makes beyond a tick's worth stays with the model."""
    made = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal made
        while True:
            made += 1
            yield bytes(100)

    stream = paced(endless(), Pacing(tick_s=0.001, frames=2), sleep=nap)
    for _ in range(20):
        await anext(stream)
    assert made * 100 <= 20 * FRAME_BYTES + 3 * 2 * FRAME_BYTES
    await stream.aclose()


async def test_what_a_tick_made_is_one_piece() -> None:
    """An engine that waits for the beat is asked once a tick, however often it could answer."""
    beat, made = Beat(), 0

    async def counts() -> AsyncIterator[bytes]:
        nonlocal made
        for number in range(40):
            if number:
                await beat.wait()
            made += 1
            yield b"%d," % number

    async def settled(_: float) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    seen: list[bytes] = []
    stream = paced(counts(), Pacing(tick_s=20, round_ticks=8), beat=beat, sleep=settled)
    async for data, _ in stream:
        seen.append(data)
        assert made == min(len(seen), 40)
    assert seen[:41] == [b"%d," % number for number in range(40)] + [b""]


async def test_the_beat_comes_shortly_before_the_frame() -> None:
    """Each tick sleeps, strikes, and sleeps for a rest in which the piece can be made."""
    beat, struck = Beat(), []

    async def note(_: float) -> None:
        struck.append(beat._event.is_set())
        beat._event.clear()

    stream = paced(parts([b"x"]), Pacing(tick_s=20), beat=beat, sleep=note)
    async for _ in stream:
        if len(struck) == 6:
            break
    assert struck == [False, True] * 3


async def test_an_error_of_the_model_comes_through_and_closes_it() -> None:
    """What was made before arrives, then the error."""
    closed = asyncio.Event()

    async def breaks() -> AsyncIterator[bytes]:
        try:
            yield b"before"
            await asyncio.sleep(0)
            raise ValueError("broken")
        finally:
            closed.set()

    seen = []
    with pytest.raises(ValueError, match="broken"):
        async for data, _ in paced(breaks(), Pacing(tick_s=0.001), sleep=nap):
            seen.append(data)
    assert seen[0] == b"before"
    assert closed.is_set()


async def test_leaving_early_closes_the_model() -> None:
    """The source's own cleaning up has happened when closing returns, wherever it waited."""
    for stuck in (True, False):
        closed = asyncio.Event()

        async def source(
            closed: asyncio.Event = closed, *, stuck: bool = stuck
        ) -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(500)
                    if stuck:
                        await asyncio.Event().wait()
            finally:
                closed.set()

        stream = paced(source(), Pacing(tick_s=0.001), sleep=nap)
        await anext(stream)
        await stream.aclose()
        assert closed.is_set()


async def test_the_peer_leaving_ends_a_wait_for_the_model() -> None:
    """`attended` raises in the middle of a piece, and the model is closed by then."""
    closed, gone = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def leaves() -> None:
        await gone.wait()
        raise ConnectionError

    seen = []
    with pytest.raises(ConnectionError):
        async for piece in attended(source(), leaves):
            seen.append(piece)
            gone.set()
    assert seen == [b"x"]
    assert closed.is_set()


async def test_an_attended_answer_is_the_answer() -> None:
    """With the peer there, pieces pass, and the end is the end."""

    async def stays() -> None:
        await asyncio.Event().wait()

    pieces = [b"a", b"", b"c"]
    assert [piece async for piece in attended(parts(pieces), stays)] == pieces


def test_an_engine_says_that_it_is_paced() -> None:
    """Engines without the attribute are left alone."""

    class Chat:
        pacing = Pacing()

    assert isinstance(Chat(), Paced)
    assert not isinstance(object(), Paced)
