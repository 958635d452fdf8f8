"""Company changes nothing: the same tokens alone, in a crowd, joined late, and on a kept prefix."""

from collections.abc import Callable

import numpy as np
import pytest

from accel_backends.llm import Limits, Request, Sampling, SlotEngine
from accel_backends.llm.decoder import OrtDecoder

from .conftest import DRAWN, GREEDY, Tokens, finish, limits

Make = Callable[[Limits], OrtDecoder]
BOUNDS = limits(slots=8, context=128, chunk=16, budget=32)


def asks(sampling: Sampling, count: int = 12) -> list[Request]:
    """Return requests of many lengths; their prompts come from a fixed generator."""
    random = np.random.default_rng(11)
    return [
        Request(
            prompt=tuple(int(token) for token in random.integers(0, 97, 1 + 9 * n)),
            isolation=bytes(31) + bytes([n % 3]),
            most=5 + 3 * n,
            sampling=sampling,
        )
        for n in range(count)
    ]


def alone(tiny: Make, sampling: Sampling) -> list[list[int]]:
    """Return every request's answer on an engine of its own turn."""
    answers = []
    decoder = tiny(BOUNDS)
    for each in asks(sampling):
        engine = SlotEngine(decoder, BOUNDS)
        engine.submit(each, sink := Tokens())
        finish(engine)
        answers.append(sink.tokens)
    decoder.close()
    return answers


@pytest.mark.parametrize("sampling", [GREEDY, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("kept", [0, 3])
def test_answers_do_not_depend_on_company(tiny: Make, sampling: Sampling, kept: int) -> None:
    """Twelve requests that join one after another answer as each does alone, token for token."""
    bounds = limits(slots=8, context=128, chunk=16, budget=32, kept=kept)
    engine = SlotEngine(tiny(bounds), bounds)
    sinks = []
    for each in asks(sampling):
        for _ in range(2):
            sinks.append(Tokens())
            engine.submit(each, sinks[-1])
            for _ in range(4):
                engine.step(0)
    finish(engine)
    expected = [answer for answer in alone(tiny, sampling) for _ in range(2)]
    assert [sink.tokens for sink in sinks] == expected
    assert sum(sink.end[1].cached for sink in sinks if sink.end) > 100


def test_a_row_computes_the_same_bits_in_any_batch(tiny: Make) -> None:
    """Logits of one row are equal bit for bit in batches of one to eight, at any place."""
    decoder = tiny(limits(slots=8, context=128, chunk=40))
    prompt = list(range(40))
    decoder.prefill(0, prompt, at=0)
    single = decoder.decode([7], [41])[0].copy()
    for count in (2, 3, 4, 8):
        for place in {0, count // 2, count - 1}:
            for row in range(count):
                decoder.prefill(row, prompt if row == place else [row] * (3 * row + 1), at=0)
            lengths = [41 if row == place else 3 * row + 2 for row in range(count)]
            logits = decoder.decode([7] * count, lengths)
            assert np.array_equal(logits[place], single)
    decoder.close()


def test_chunks_add_up_to_the_whole_prompt(tiny: Make) -> None:
    """A prompt in chunks gives the logits of the prompt at once, to rounding."""
    bounds = limits(slots=2, context=128, chunk=128)
    decoder = tiny(bounds)
    prompt = [int(token) for token in np.random.default_rng(3).integers(0, 97, 50)]
    whole = decoder.prefill(0, prompt, at=0).copy()
    for at in range(0, 50, 16):
        last = decoder.prefill(1, prompt[at : at + 16], at=at)
    assert np.allclose(last, whole, atol=1e-4)
    decoder.close()
