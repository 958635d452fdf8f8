"""Read straightened lines: which way up they are, and what they say.

Reading is connectionist temporal classification (Graves et al. 2006): the network gives one
distribution over characters per step; the best path is collapsed by merging repeats and then
dropping blanks. A line's score is the mean probability of the steps that gave a character.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from accel_backends.errors import ModelError

from .image import Page, normalise

__all__ = ["Reading", "alphabet", "collapse", "orientation_batch", "reading_batches"]

_HEIGHT: Final = 48
_ORIENTATION_WIDTH: Final = 192
_MIN_WIDTH: Final = 160
"""Shorter lines are padded. The network was trained with 320; half of it reads form fields as well
and costs a fifth less time per page."""
_MAX_WIDTH: Final = 3200
"""Longer lines are squeezed; it is 66 characters of full width."""
_STEP: Final = 32
"""Widths are rounded up to it, so that few different shapes occur."""
_BATCH: Final = 6

_BLANK: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a line says."""

    text: str
    score: float
    """0 … 1; 0 for a line with no character."""


def alphabet(listed: str, *, classes: int) -> tuple[str, ...]:
    """Return the characters by class index: blank, the listed ones, space.

    Args:
        listed: one character per line, as the model carries it.
        classes: width of the network's output, to hold the list against.

    Raises:
        ModelError: `backend.model.signature`: the counts differ.
    """
    characters = ("", *listed.split("\n"), " ")
    if len(characters) != classes:
        raise ModelError(
            "backend.model.signature",
            f"the model reads {classes} classes, its list makes {len(characters)}",
        )
    return characters


def orientation_batch(lines: Sequence[Page]) -> NDArray[np.float32]:
    """Return n × 3 × 48 × 192 for the network that tells upright from upside down."""
    return np.stack([_fit(line, _ORIENTATION_WIDTH) for line in lines])


def reading_batches(lines: Sequence[Page]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Yield batches of lines of similar length: their indices, and n × 3 × 48 × width."""
    widths = [_width(line) for line in lines]
    order = sorted(range(len(lines)), key=widths.__getitem__)
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        width = max(_MIN_WIDTH, *(widths[i] for i in chosen))
        width = -(-width // _STEP) * _STEP
        yield chosen, np.stack([_fit(lines[i], width) for i in chosen])


def collapse(steps: NDArray[np.float32], characters: Sequence[str]) -> Reading:
    """Return the best path through `steps` (time × classes), collapsed."""
    best = steps.argmax(axis=1)
    fresh = np.concatenate(([True], best[1:] != best[:-1])) & (best != _BLANK)
    if not fresh.any():
        return Reading(text="", score=0.0)
    text = "".join(characters[i] for i in best[fresh])
    return Reading(text=text, score=float(steps.max(axis=1)[fresh].mean()))


def _width(line: Page) -> int:
    height, width = line.shape[:2]
    return int(min(_MAX_WIDTH, max(1, -(-_HEIGHT * width // height))))


def _fit(line: Page, width: int) -> NDArray[np.float32]:
    """Scale a line to the networks' height, at most `width` wide, and pad it on the right."""
    own = min(width, _width(line))
    scaled = normalise(np.asarray(cv2.resize(line, (own, _HEIGHT)), dtype=np.uint8))
    return np.pad(scaled, ((0, 0), (0, 0), (0, width - own)))
