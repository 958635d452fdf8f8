"""The pure-Python SM2 from inside: nonces, retries and the two multiplications."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mifeng.crypto import sm2_curve as curve
from mifeng.crypto import sm2_known_answers as known
from mifeng.crypto import sm2_portable
from mifeng.crypto.sm2_curve import G, N
from mifeng.crypto.sm2_portable import Sm2PrivateKey

if TYPE_CHECKING:
    from collections.abc import Callable

D = int.from_bytes(known.SCALAR, "big")
BAD_NONCE, GOOD_NONCE = 0x1111, 0x2222


def x_of(k: int) -> int:
    """Return the x coordinate of k·G."""
    point = curve.to_affine(curve.add_base_multiple(k))
    assert point is not None
    return point[0]


def signature_with(k: int, e: int) -> bytes:
    """Return r ‖ s for this nonce and digest, as the standard's A4 to A7 say."""
    r = (e + x_of(k)) % N
    s = pow(1 + D, -1, N) * (k - r * D) % N
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    "digest_for",
    [
        lambda k: -x_of(k) % N,
        lambda k: (-k - x_of(k)) % N,
        lambda k: (k * pow(D, -1, N) - x_of(k)) % N,
    ],
    ids=["r=0", "r+k=n", "s=0"],
)
def test_an_unlucky_nonce_is_drawn_again(
    monkeypatch: pytest.MonkeyPatch, digest_for: Callable[[int], int]
) -> None:
    """GB/T 32918.2 §6 A5, A6: r = 0, r + k = n and s = 0 would reveal the key."""
    e = digest_for(BAD_NONCE)
    nonces = iter((BAD_NONCE, GOOD_NONCE))
    monkeypatch.setattr(sm2_portable, "_nonces", lambda *_: nonces)
    signature = Sm2PrivateKey.from_scalar(known.SCALAR).sign_digest(e.to_bytes(32, "big"))
    assert signature == signature_with(GOOD_NONCE, e)


def test_the_standards_signature_comes_from_its_nonce() -> None:
    """GB/T 32918.5-2017 A.2: k of the example gives r and s of the example."""
    k = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
    assert signature_with(k, int.from_bytes(known.DIGEST, "big")) == known.SIGNATURE


def test_nonces_depend_on_key_digest_and_fresh_bytes() -> None:
    """Each input alone changes the stream; all three alike give the same stream."""
    streams = {
        tuple(itertools.islice(sm2_portable._nonces(d, e, fresh), 3))
        for d in (1, 2)
        for e in (3, 4)
        for fresh in (bytes(32), b"\1" * 32)
    }
    assert len(streams) == 8
    assert all(0 < k < N for stream in streams for k in stream)
    twice = [next(sm2_portable._nonces(1, 3, bytes(32))) for _ in range(2)]
    assert twice[0] == twice[1]


def test_a_stuck_random_source_does_not_repeat_a_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same fresh bytes twice, two messages still get two nonces: the hedge."""
    monkeypatch.setattr(sm2_portable, "random_bytes", bytes)
    key = Sm2PrivateKey.from_scalar(known.SCALAR)
    recovered = []
    for message in (b"one", b"two"):
        signature = key.sign(message)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        recovered.append((s * (1 + D) + r * D) % N)
    assert recovered[0] != recovered[1]


@settings(max_examples=30, deadline=None)
@given(k=st.integers(min_value=0, max_value=N - 1))
def test_comb_and_naf_agree(k: int) -> None:
    """Both multiplications of G by the same scalar give the same point."""
    by_comb = curve.to_affine(curve.add_base_multiple(k))
    by_naf = curve.to_affine(curve.multiply(k, curve.odd_multiples(G)))
    assert by_comb == by_naf


@pytest.mark.parametrize("k", [1, 2, 3, 15, 16, 17, 255, 256, 257, N - 2, N - 1])
def test_small_and_large_multiples_agree(k: int) -> None:
    """Scalars at the borders of windows, and their negatives."""
    by_comb = curve.to_affine(curve.add_base_multiple(k))
    assert by_comb == curve.to_affine(curve.multiply(k, curve.odd_multiples(G)))
    opposite = curve.to_affine(curve.add_base_multiple(N - k))
    assert by_comb is not None
    assert opposite == (by_comb[0], curve.P - by_comb[1])


def test_addition_is_complete() -> None:
    """Infinity, equal and opposite points add up as the group says."""
    x, y = G
    infinity = curve.add_base_multiple(0)
    assert curve.to_affine(infinity) is None
    assert curve.to_affine(curve.add_affine(infinity, G)) == G
    assert curve.to_affine(curve.add_affine((x, y, 1), (x, curve.P - y))) is None
    assert curve.add_affine((x, y, 1), G) == curve.double((x, y, 1))
    assert curve.to_affine(curve.double(infinity)) is None
