"""Find the lines of text on a page: from a probability map to rectangles.

The network gives, per pixel, the probability of lying in the *shrunk core* of a line
(differentiable binarisation, Liao et al. 2020, arXiv:1911.08947). `quads` takes connected cores
and grows each back by the distance that the training shrank it by, area × ratio ÷ perimeter
(eq. 10 there). A core is taken as its smallest rectangle, so growing is adding to its sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from .image import Page, normalise

__all__ = ["Detected", "prepare", "quads"]

_STRIDE: Final = 32
"""The network halves its input five times."""
_SHORT_SIDE: Final = 736
"""Smaller pages are enlarged: below it, small print has too few pixels."""
_LONG_SIDE: Final = 2016
"""Larger pages are reduced."""
_PIXEL: Final = 0.3
"""A pixel above this probability belongs to a core."""
_LINE: Final = 0.5
"""A line whose core has a mean probability below this is dropped."""
_GROW: Final = 1.6
_MIN_CORE: Final = 3.0
_MIN_LINE: Final = 5.0
_MAX_LINES: Final = 1000
"""A page has fewer; a page of noise is cut off here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """One line of text, in pixels of the page as it came in."""

    quad: NDArray[np.float32]
    """4 × 2 corner points (x, y), clockwise from top left."""
    probability: float


def prepare(page: Page) -> NDArray[np.float32]:
    """Return the page as 1 × 3 × h × w, h and w multiples of the network's stride."""
    height, width = page.shape[:2]
    scale = max(1.0, _SHORT_SIDE / min(height, width))
    scale = min(scale, _LONG_SIDE / max(height, width))
    target = [max(_STRIDE, round(side * scale / _STRIDE) * _STRIDE) for side in (width, height)]
    resized = cv2.resize(page, target)
    return normalise(np.asarray(resized, dtype=np.uint8))[np.newaxis]


def quads(probability: NDArray[np.float32], *, width: int, height: int) -> list[Detected]:
    """Return the lines found on a page of `width` × `height`, in no particular order.

    Args:
        probability: h × w map of the network, values 0 … 1.
        width: of the page, pixels.
        height: of the page, pixels.
    """
    rows, columns = probability.shape
    to_page = np.array([width / columns, height / rows], np.float32)
    limit = np.array([width - 1, height - 1], np.float32)
    found = []
    for rectangle, mean in _cores(probability):
        centre, (w, h), angle = rectangle
        grow = w * h * _GROW / (w + h)  # twice the distance: area × ratio ÷ half perimeter
        if min(w, h) + grow < _MIN_LINE:
            continue
        corners = cv2.boxPoints((centre, (w + grow, h + grow), angle))
        quad = np.clip(_clockwise(np.asarray(corners, np.float32)) * to_page, 0, limit)
        found.append(Detected(quad=quad.astype(np.float32), probability=mean))
    return found


_Rectangle = tuple[tuple[float, float], tuple[float, float], float]


def _cores(probability: NDArray[np.float32]) -> Iterator[tuple[_Rectangle, float]]:
    """Yield each connected core as its smallest rectangle, with the mean probability in it."""
    mask = (probability > _PIXEL).astype(np.uint8)
    # One pixel of dilation joins characters that the threshold has just split.
    mask = np.asarray(cv2.dilate(mask, np.ones((2, 2), np.uint8)), np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours[:_MAX_LINES]:
        (x, y), (w, h), angle = cv2.minAreaRect(contour)
        if min(w, h) < _MIN_CORE:
            continue
        rectangle = ((float(x), float(y)), (float(w), float(h)), float(angle))
        mean = _mean_inside(probability, np.asarray(cv2.boxPoints(rectangle), np.float32))
        if mean >= _LINE:
            yield rectangle, mean


def _mean_inside(probability: NDArray[np.float32], corners: NDArray[np.float32]) -> float:
    """Return the mean of `probability` inside the polygon, looking at its bounding box only."""
    rows, columns = probability.shape
    low = np.clip(np.floor(corners.min(axis=0)), 0, [columns - 1, rows - 1]).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, [columns - 1, rows - 1]).astype(int)
    window = probability[low[1] : high[1] + 1, low[0] : high[0] + 1]
    mask = np.zeros(window.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(corners - low).astype(np.int32)], 1)
    inside = mask.astype(bool)
    return float(window[inside].mean()) if inside.any() else 0.0


def _clockwise(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Order four corners clockwise on screen, starting with the one nearest the top left."""
    centred = corners - corners.mean(axis=0)
    order = np.argsort(np.arctan2(centred[:, 1], centred[:, 0]))
    ordered = corners[order]
    return np.asarray(np.roll(ordered, -int(ordered.sum(axis=1).argmin()), axis=0), np.float32)
