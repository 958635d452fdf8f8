"""Find who speaks when, through any Open Inference Protocol server: an ordinary program."""

import sys

import numpy as np

from examples.oip import infer
from examples.speech.audio import RATE, record
from examples.speech.detect import frames, utterances

LENGTHS = ((2.4,), (1.6, 3.1), (0.9, 2.2, 1.4, 3.0))
"""Utterances of each recording, in seconds: every recording is of another length."""


def main(url: str) -> int:
    """Print what was said and what was found; return how many utterances were missed."""
    missed = 0
    for number, spoken in enumerate(LENGTHS):
        recording = record(spoken, seed=number)
        state = np.zeros((1, 1, 128), np.float32)
        inputs = {"input": frames(recording.samples), "h": state, "c": state}
        answer = infer(url, "speech", inputs)
        found = utterances(answer.outputs["speech_probs"].tolist())
        seconds = len(recording.samples) / RATE
        print(f"recording of {seconds:.1f} s, verified: {answer.headers.get('mifeng-verified')}")
        for begin, end in recording.spoken:
            near = [each for each in found if each[0] < end and each[1] > begin]
            missed += not near
            told = ", ".join(f"{a:5.2f} … {b:5.2f}" for a, b in near) or "nothing"
            print(f"  spoken {begin:5.2f} … {end:5.2f} s   found {told} s")
        overlaps = sum(any(b < e and f > a for a, f in recording.spoken) for b, e in found)
        if overlaps < len(found):
            print(f"  and {len(found) - overlaps} where nobody spoke")
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
