"""Make a recording whose speech is where we know it is: voices of formants, noise, a bell.

No recording of a person is needed, and none is carried. A voice here is the classic source and
filter: pulses of the vocal folds with a moving pitch, shaped by the resonances of vowels, in
syllables with noise for consonants. It is not intelligible; a detector takes it for speech.

Source: Klatt, "Software for a cascade/parallel formant synthesizer", JASA 67(3), 1980.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["RATE", "Recording", "bell", "noise", "record", "voice"]

RATE: Final = 16_000
"""Samples per second."""
_VOWELS: Final = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
)
"""First three resonances in Hz of a, i, u, e, o (Peterson and Barney, 1952)."""
_BANDS: Final = (80.0, 100.0, 140.0)
_SYLLABLE_S: Final = 0.21
Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Samples in -1 … 1 and where somebody speaks."""

    samples: Samples
    spoken: tuple[tuple[float, float], ...]
    """Begin and end of each utterance, in seconds."""


def voice(seconds: float, random: np.random.Generator, *, pitch: float = 125.0) -> Samples:
    """Return somebody saying nothing in particular."""
    pieces = []
    made = 0
    while made < seconds * RATE:
        length = int(RATE * _SYLLABLE_S * random.uniform(0.75, 1.3))
        pieces.append(_syllable(length, random, pitch * random.uniform(0.85, 1.2)))
        made += length
    samples = np.concatenate(pieces)[: int(seconds * RATE)]
    return (0.35 * samples / np.abs(samples).max()).astype(np.float32)


def _syllable(length: int, random: np.random.Generator, pitch: float) -> NDArray[np.float64]:
    """Return a consonant of noise and a vowel gliding into another."""
    time = np.arange(length) / RATE
    glide = pitch * (1 + 0.12 * np.sin(np.pi * time / time[-1]) + 0.004 * random.standard_normal())
    phase = np.cumsum(glide) / RATE
    pulses = np.diff(np.floor(phase), prepend=0.0)
    source = pulses + 0.01 * random.standard_normal(length)
    first, second = random.choice(len(_VOWELS), 2)
    share = time / time[-1]
    vowel = _shaped(source, _VOWELS[first]) * (1 - share) + _shaped(source, _VOWELS[second]) * share
    loud = np.clip(np.minimum(share / 0.15, (1 - share) / 0.35), 0, 1)
    hiss = random.standard_normal(length) * np.exp(-((share - 0.06) ** 2) / 0.003) * 0.04
    top = np.abs(vowel).max()
    return np.asarray(vowel / top * loud + hiss)


def _shaped(source: NDArray[np.float64], formants: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return a source after a cascade of resonators and the fall of the glottal spectrum."""
    spectrum = np.fft.rfft(source, 2 * len(source))
    hertz = np.fft.rfftfreq(2 * len(source), 1 / RATE)
    gain = 1 / (1 + (hertz / 500) ** 2) ** 0.5
    response = gain.astype(complex)
    for centre, band in zip(formants, _BANDS, strict=True):
        response *= centre**2 / (centre**2 - hertz**2 + 1j * hertz * band)
    return np.fft.irfft(spectrum * response)[: len(source)]


def noise(seconds: float, random: np.random.Generator, *, level: float = 0.003) -> Samples:
    """Return the hiss of a quiet room."""
    return (level * random.standard_normal(int(seconds * RATE))).astype(np.float32)


def bell(seconds: float) -> Samples:
    """Return a telephone's bell: loud, and no speech."""
    time = np.arange(int(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 480 * time)
    rising = np.minimum(time / 0.1, 1)
    return (0.12 * rising * tone * (1.2 + np.sin(2 * np.pi * 20 * time)) / 2).astype(np.float32)


def record(utterances: tuple[float, ...] = (2.4, 3.1), *, seed: int = 7) -> Recording:
    """Return a recording: a bell, then utterances of so many seconds with pauses between."""
    random = np.random.default_rng(seed)
    pieces = [noise(1.0, random), bell(1.0), noise(1.2, random)]
    spoken = []
    for number, seconds in enumerate(utterances):
        begin = sum(map(len, pieces)) / RATE
        pieces.append(voice(seconds, random, pitch=(120.0, 205.0)[number % 2]))
        spoken.append((begin, begin + seconds))
        pieces.append(noise(1.5, random))
    samples = np.concatenate(pieces)
    return Recording(samples=samples + noise(len(samples) / RATE, random), spoken=tuple(spoken))
