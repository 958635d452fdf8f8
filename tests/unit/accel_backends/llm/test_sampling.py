"""How the next token is chosen."""

from collections import Counter

import numpy as np
import pytest

from accel_backends.llm.sampling import Sampler, Sampling

LOGITS = np.log(np.array([0.1, 0.4, 0.2, 0.3], np.float32))


def drawn(sampling: Sampling, count: int = 4000) -> Counter[int]:
    """Return how often each token was chosen."""
    sampler = Sampler(sampling)
    return Counter(sampler.choose(LOGITS) for _ in range(count))


def test_greedy_takes_the_most_likely_and_the_lowest_of_equals() -> None:
    """Temperature 0 needs no randomness."""
    assert drawn(Sampling(), 10) == {1: 10}
    assert Sampler(Sampling()).choose(np.zeros(5, np.float32)) == 0


def test_drawing_follows_the_probabilities() -> None:
    """At temperature 1 the frequencies are those of the distribution."""
    counts = drawn(Sampling(temperature=1.0, seed=1))
    assert [counts[n] / 4000 for n in range(4)] == pytest.approx([0.1, 0.4, 0.2, 0.3], abs=0.03)


def test_temperature_sharpens_and_flattens() -> None:
    """Low temperatures prefer the most likely token more than high ones do."""
    shares = [drawn(Sampling(temperature=t, seed=1))[1] for t in (0.3, 1.0, 2.0)]
    assert shares[0] > shares[1] > shares[2]


@pytest.mark.parametrize(
    ("sampling", "left"),
    [
        (Sampling(temperature=2.0, top_k=1, seed=1), {1}),
        (Sampling(temperature=2.0, top_k=2, seed=1), {1, 3}),
        (Sampling(temperature=1.0, top_p=0.39, seed=1), {1}),
        (Sampling(temperature=1.0, top_p=0.65, seed=1), {1, 3}),
        (Sampling(temperature=1.0, top_p=0.85, seed=1), {1, 2, 3}),
        (Sampling(temperature=1.0, top_p=1.0, seed=1), {0, 1, 2, 3}),
        (Sampling(temperature=1.0, top_p=0.85, top_k=2, seed=1), {1, 3}),
    ],
)
def test_top_k_and_top_p_leave_the_most_likely(sampling: Sampling, left: set[int]) -> None:
    """Only the tokens inside both bounds are ever drawn, and each of them is."""
    assert set(drawn(sampling)) == left


def test_a_long_vocabulary_is_cut_where_the_share_is_reached() -> None:
    """Whether few tokens hold the share or many are needed, only those inside it are drawn."""
    likely = np.zeros(5000, np.float32)
    likely[[7, 4000]] = 12
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.9, seed=1))
    assert {sampler.choose(likely) for _ in range(200)} == {7, 4000}
    flat = np.zeros(5000, np.float32)
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.5, seed=1))
    drawn = {sampler.choose(flat) for _ in range(2000)}
    assert max(drawn) < 2501
    assert len(drawn) > 1024


def test_a_seed_repeats_and_no_seed_does_not() -> None:
    """Two samplers of one seed agree; two without a seed differ."""

    def sequence(seed: int | None) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.5, seed=seed))
        return [sampler.choose(LOGITS) for _ in range(64)]

    assert sequence(5) == sequence(5) != sequence(6)
    assert sequence(-1) == sequence(-1)
    assert sequence(None) != sequence(None)
