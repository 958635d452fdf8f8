"""Speech activity on recordings of any length: Silero's graph on our backend."""

import numpy as np
import pytest

from accel_backends import LoadOptions
from accel_backends.ort import OrtBackend, OrtSession
from examples.speech.audio import RATE, bell, noise, record
from examples.speech.detect import FRAME_S, frames, utterances
from examples.speech.folder import ModelMissingError, write


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory, cpu: LoadOptions) -> OrtSession:
    """Return the detector."""
    folder = tmp_path_factory.mktemp("speech")
    try:
        write(folder)
    except ModelMissingError as exc:
        pytest.skip(f"no graph: {exc}")
    loaded = OrtBackend().load((folder / "model.onnx").read_bytes(), options=cpu)
    assert isinstance(loaded, OrtSession)
    return loaded


def probabilities(session: OrtSession, samples: np.ndarray) -> list[float]:
    """Return the probability of speech in each frame."""
    state = np.zeros((1, 1, 128), np.float32)
    outputs = session.run({"input": frames(samples), "h": state, "c": state}).outputs
    found: list[float] = outputs["speech_probs"].tolist()
    return found


@pytest.mark.parametrize("spoken", [(0.8,), (2.4,), (1.5, 3.1), (1.0, 2.0, 1.2)])
def test_speech_is_found_where_it_is(session: OrtSession, spoken: tuple[float, ...]) -> None:
    """Every utterance of recordings of different lengths is found, and nothing else."""
    recording = record(spoken, seed=len(spoken))
    values = probabilities(session, recording.samples)
    assert len(values) == -(-len(recording.samples) // 512)
    found = utterances(values)
    heard = [
        sum(max(0.0, min(end, b) - max(begin, a)) for a, b in found)
        for begin, end in recording.spoken
    ]
    assert all(heard)
    assert sum(heard) > 0.7 * sum(spoken)
    assert all(any(a < f and b > e for e, f in recording.spoken) for a, b in found)


def test_noise_and_bells_are_no_speech(session: OrtSession) -> None:
    """Loud is not spoken."""
    random = np.random.default_rng(1)
    samples = np.concatenate([noise(2, random), bell(1.5), noise(2, random, level=0.05)])
    assert utterances(probabilities(session, samples)) == []


def test_any_length_is_the_same_model(session: OrtSession) -> None:
    """A recording cut at a frame answers as the beginning of the whole."""
    samples = record((1.0,), seed=3).samples
    whole = probabilities(session, samples)
    part = probabilities(session, samples[: 512 * 60])
    assert np.abs(np.array(part) - whole[:60]).max() < 1e-5
    assert len(probabilities(session, samples[:1])) == 1


def test_utterances_bridge_breaths_and_drop_clicks() -> None:
    """Short pauses join, short bursts do not count."""
    burst, pause = int(0.1 / FRAME_S), int(0.1 / FRAME_S)
    speech = [0.9] * int(1 / FRAME_S)
    assert utterances([0.9] * burst + [0.0] * 30) == []
    joined = utterances([*speech, *([0.0] * pause), *speech])
    assert len(joined) == 1
    assert len(utterances([*speech, *([0.0] * 20), *speech])) == 2
    assert utterances([]) == []


def test_a_recording_says_where_it_was_spoken() -> None:
    """Same seed, same recording; samples stay within one."""
    first, second = record(seed=5), record(seed=5)
    assert (first.samples == second.samples).all()
    assert np.abs(first.samples).max() < 1
    assert first.spoken[-1][1] * RATE < len(first.samples)
