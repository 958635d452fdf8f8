"""Order lines as a person reads them: rows from the top, within a row from the left."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["reading_order"]

Quad = NDArray[np.float32]


def reading_order(quads: Sequence[Quad]) -> list[tuple[int, int]]:
    """Return (index, row) of every line, in reading order; rows count from 0.

    Two lines stand in one row if the middle of each lies between top and bottom of the other,
    after the slant of the page is taken out. Columns of flowing text are not told apart: this is
    for forms.

    Args:
        quads: 4 × 2 corner points each, clockwise from top left.
    """
    if not quads:
        return []
    level = np.stack(quads) @ _rotation(-_slant(quads))
    top, bottom = level[:, :, 1].min(axis=1), level[:, :, 1].max(axis=1)
    left, middle = level[:, :, 0].min(axis=1), (top + bottom) / 2
    rows: list[list[int]] = []
    for index in np.argsort(middle, kind="stable").tolist():
        # A row is represented by its lowest member: a tall one beside it spans several rows.
        for row in reversed(rows):
            other = min(row, key=lambda i: float(bottom[i] - top[i]))
            if top[other] < middle[index] < bottom[other] and (
                top[index] < middle[other] < bottom[index]
            ):
                row.append(index)
                break
        else:
            rows.append([index])
    return [
        (index, number)
        for number, row in enumerate(rows)
        for index in sorted(row, key=lambda i: float(left[i]))
    ]


def _slant(quads: Sequence[Quad]) -> float:
    """Return the median angle of the upper edges, weighted by nothing, in radians."""
    edges = np.stack([quad[1] - quad[0] for quad in quads])
    wide = edges[np.abs(edges[:, 0]) > 2 * np.abs(edges[:, 1])]
    return float(np.median(np.arctan2(wide[:, 1], wide[:, 0]))) if len(wide) else 0.0


def _rotation(angle: float) -> NDArray[np.float64]:
    """Return the matrix that turns row vectors (x, y) by `angle`."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, sine], [-sine, cosine]])
