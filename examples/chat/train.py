"""Train the decoder of `graph` in numpy: forward, backward by hand, Adam; under a minute on a core.

Every dialogue is one row of one batch; the loss counts the answers' tokens only. The arithmetic
is that of the graph: RMS norm, rotary positions, grouped heads, gated linear units.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .graph import EPSILON, Shape, Weights, angles, initial

__all__ = ["SEED", "train"]

SEED: Final = 20260417
_PEAK: Final = 1e-2
_WARM: Final = 20
_BETAS: Final = (0.9, 0.98)
Array = NDArray[np.float32]


class _Norm:
    """x / rms(x) · scale."""

    def __init__(self, x: Array, scale: Array) -> None:
        self.root = np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON)
        self.unit, self.scale = x / self.root, scale
        self.out = self.unit * scale

    def back(self, d: Array) -> tuple[Array, Array]:
        """Return the gradients of x and scale."""
        d_scale = (d * self.unit).reshape(-1, d.shape[-1]).sum(0)
        d_unit = d * self.scale
        inward = (d_unit * self.unit).mean(-1, keepdims=True)
        return (d_unit - self.unit * inward) / self.root, d_scale


def _rotate(x: Array, cosines: Array, sines: Array) -> Array:
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    return np.concatenate((a * cosines - b * sines, b * cosines + a * sines), -1)


class _Attention:
    """Causal attention; q [B, G, R, T, D], k and v [B, G, 1, T, D]."""

    def __init__(self, q: Array, k: Array, v: Array, turn: tuple[Array, Array]) -> None:
        self.turn, self.v = turn, v
        self.q, self.k = _rotate(q, *turn), _rotate(k, *turn)
        size = q.shape[-2]
        hidden = np.triu(np.full((size, size), -1e9, np.float32), 1)
        score = self.q @ self.k.swapaxes(-1, -2) / np.sqrt(q.shape[-1]).astype(np.float32) + hidden
        score = np.exp(score - score.max(-1, keepdims=True))
        self.share = score / score.sum(-1, keepdims=True)
        self.out = self.share @ v

    def back(self, d: Array) -> tuple[Array, Array, Array]:
        """Return the gradients of q, k and v."""
        d_v = (self.share.swapaxes(-1, -2) @ d).sum(2, keepdims=True)
        d_share = d @ self.v.swapaxes(-1, -2)
        d_score = self.share * (d_share - (d_share * self.share).sum(-1, keepdims=True))
        d_score /= np.sqrt(self.q.shape[-1]).astype(np.float32)
        d_q = d_score @ self.k
        d_k = (d_score.swapaxes(-1, -2) @ self.q).sum(2, keepdims=True)
        cosines, sines = self.turn
        return _rotate(d_q, cosines, -sines), _rotate(d_k, cosines, -sines), d_v


class _Linear:
    """x · w."""

    def __init__(self, x: Array, w: Array) -> None:
        self.x, self.w = x, w
        self.out = x @ w

    def back(self, d: Array) -> tuple[Array, Array]:
        """Return the gradients of x and w."""
        flat = self.x.reshape(-1, self.x.shape[-1])
        return d @ self.w.T, flat.T @ d.reshape(-1, d.shape[-1])


class _Layer:
    """One block: attention, then a gated pair of matrices."""

    def __init__(
        self, shape: Shape, weights: Weights, n: int, x: Array, turn: tuple[Array, Array]
    ) -> None:
        self.shape, self.n = shape, n
        self.norm1 = _Norm(x, weights[f"{n}.norm1"])
        self.qkv = [_Linear(self.norm1.out, weights[f"{n}.{name}"]) for name in "qkv"]
        q, k, v = (self._split(each.out) for each in self.qkv)
        self.attention = _Attention(q, k, v, turn)
        self.o = _Linear(self._join(self.attention.out), weights[f"{n}.o"])
        middle = x + self.o.out
        self.norm2 = _Norm(middle, weights[f"{n}.norm2"])
        self.gate = _Linear(self.norm2.out, weights[f"{n}.gate"])
        self.up = _Linear(self.norm2.out, weights[f"{n}.up"])
        self.sigmoid = 1 / (1 + np.exp(-self.gate.out))
        self.down = _Linear(self.gate.out * self.sigmoid * self.up.out, weights[f"{n}.down"])
        self.out = middle + self.down.out

    def back(self, d: Array, found: Weights) -> Array:
        """File the gradients of this block's weights and return that of its input."""
        n = self.n
        d_inner, found[f"{n}.down"] = self.down.back(d)
        silu = self.gate.out * self.sigmoid
        slope = self.sigmoid * (1 + self.gate.out * (1 - self.sigmoid))
        d_gate, found[f"{n}.gate"] = self.gate.back(d_inner * self.up.out * slope)
        d_up, found[f"{n}.up"] = self.up.back(d_inner * silu)
        d_middle, found[f"{n}.norm2"] = self.norm2.back(d_gate + d_up)
        d_middle += d
        d_joined, found[f"{n}.o"] = self.o.back(d_middle)
        parts = self.attention.back(self._split(d_joined))
        d_h = np.zeros_like(self.norm1.out)
        for name, linear, part in zip("qkv", self.qkv, parts, strict=True):
            d_x, found[f"{n}.{name}"] = linear.back(self._join(part))
            d_h += d_x
        d_x, found[f"{n}.norm1"] = self.norm1.back(d_h)
        return d_x + d_middle

    def _split(self, x: Array) -> Array:
        """[B, T, G·R·D] → [B, G, R, T, D]."""
        batch, size, _ = x.shape
        return x.reshape(batch, size, self.shape.kv_heads, -1, self.shape.head).transpose(
            0, 2, 3, 1, 4
        )

    @staticmethod
    def _join(x: Array) -> Array:
        """[B, G, R, T, D] → [B, T, G·R·D]."""
        return x.transpose(0, 3, 1, 2, 4).reshape(x.shape[0], x.shape[3], -1)


def gradients(
    shape: Shape, weights: Weights, ids: NDArray[np.int64], counted: NDArray[np.bool_]
) -> tuple[float, Weights]:
    """Return the mean loss over the counted tokens and its gradient for every weight.

    Args:
        shape: sizes of the decoder.
        weights: as `graph.initial` names them.
        ids: [rows, tokens].
        counted: [rows, tokens]: this token is to be predicted from those before it.
    """
    given, wanted, mask = ids[:, :-1], ids[:, 1:], counted[:, 1:]
    turn = angles(shape, given.shape[1])
    x = weights["embed"][given]
    layers = []
    for n in range(shape.layers):
        layers.append(_Layer(shape, weights, n, x, turn))
        x = layers[-1].out
    norm = _Norm(x, weights["norm"])
    head = _Linear(norm.out, weights["head"])
    share = np.exp(head.out - head.out.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    rows, columns = np.nonzero(mask)
    picked = share[rows, columns, wanted[rows, columns]]
    d = np.zeros_like(share)
    d[rows, columns] = share[rows, columns]
    d[rows, columns, wanted[rows, columns]] -= 1
    d /= len(rows)
    found: Weights = {}
    d_x, found["head"] = head.back(d)
    d_x, found["norm"] = norm.back(d_x)
    for layer in reversed(layers):
        d_x = layer.back(d_x, found)
    found["embed"] = np.zeros_like(weights["embed"])
    np.add.at(found["embed"], given, d_x)
    return float(-np.log(picked + 1e-12).mean()), found


def train(
    shape: Shape,
    rows: Sequence[tuple[Sequence[int], int]],
    *,
    steps: int,
    say: Callable[[str], Any] = lambda _: None,
) -> Weights:
    """Return weights after `steps` of Adam over all rows at once.

    Args:
        shape: sizes of the decoder.
        rows: tokens of a dialogue, and how many of them are the question.
        steps: how often to go over all rows.
        say: told the loss every 20 steps.
    """
    longest = max(len(tokens) for tokens, _ in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    counted = np.zeros((len(rows), longest), np.bool_)
    for row, (tokens, question) in enumerate(rows):
        ids[row, : len(tokens)] = tokens
        counted[row, question : len(tokens)] = True
    weights = initial(shape, seed=SEED)
    first = {name: np.zeros_like(value) for name, value in weights.items()}
    second = {name: np.zeros_like(value) for name, value in weights.items()}
    for step in range(1, steps + 1):
        loss, found = gradients(shape, weights, ids, counted)
        rate = _PEAK * min(step / _WARM, (1 - step / (steps + 1)) * 2, 1)
        for name, slope in found.items():
            first[name] += (slope - first[name]) * np.float32(1 - _BETAS[0])
            second[name] += (slope * slope - second[name]) * np.float32(1 - _BETAS[1])
            mean = first[name] / np.float32(1 - _BETAS[0] ** step)
            spread = np.sqrt(second[name] / np.float32(1 - _BETAS[1] ** step))
            weights[name] -= np.float32(rate) * mean / (spread + np.float32(1e-8))
        if step % 20 == 0:
            say(f"step {step}: loss {loss:.4f}")
    return weights
