"""From a recording to frames, and from the detector's probabilities to utterances. Pure.

The graph takes any number of frames of 32 ms, each behind the last 4 ms of the one before.

Source: silero-vad 6.2, `silero_vad_16k_sequence.onnx`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .audio import RATE

__all__ = ["FRAME_S", "frames", "utterances"]

_FRAME: Final = 512
_CONTEXT: Final = 64
FRAME_S: Final = _FRAME / RATE
_BEGIN: Final = 0.5
_END: Final = 0.35
"""Speech begins above the first probability and ends below the second."""
_SHORTEST_S: Final = 0.25
_PAUSE_S: Final = 0.2
Samples = NDArray[np.float32]


def frames(samples: Samples) -> Samples:
    """Return [frames, 576] of a recording at 16 kHz, the last one filled up with silence."""
    count = -(-len(samples) // _FRAME)
    rows = np.zeros((count, _FRAME), np.float32)
    rows.reshape(-1)[: len(samples)] = samples
    before = np.zeros((count, _CONTEXT), np.float32)
    before[1:] = rows[:-1, -_CONTEXT:]
    return np.concatenate((before, rows), axis=1)


def utterances(probabilities: Sequence[float]) -> list[tuple[float, float]]:
    """Return begin and end in seconds of each stretch of speech; short ones do not count."""
    found: list[list[int]] = []
    speaking = False
    for number, probability in enumerate(probabilities):
        if probability >= _BEGIN and not speaking:
            speaking = True
            if found and (number - found[-1][1]) * FRAME_S < _PAUSE_S:
                found[-1][1] = number + 1
            else:
                found.append([number, number + 1])
        elif probability < _END:
            speaking = False
        if speaking:
            found[-1][1] = number + 1
    return [
        (begin * FRAME_S, end * FRAME_S)
        for begin, end in found
        if (end - begin) * FRAME_S >= _SHORTEST_S
    ]
