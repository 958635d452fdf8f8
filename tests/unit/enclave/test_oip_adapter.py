"""The adapter against a real process that speaks the Open Inference Protocol."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from enclave.engines import EngineError, Job
from enclave.llmconfig import EngineConfig
from enclave.oip_adapter import OipHttpEngine
from mifeng.protocol.body import OipBody, Tensor

X = np.arange(6, dtype="<f4")


def settings(where: Path, **more: Any) -> EngineConfig:
    """Return the configuration of an engine that is there."""
    return EngineConfig(
        address=f"unix:{where}/oip.sock",
        prefix_cache="off",
        operations=["oip.infer", "oip.metadata"],
        backend="minus 1",
        health="/v2/health/ready",
        **more,
    )


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start the engine as a child and return the folder of its socket."""
    path = tmp_path_factory.mktemp("oip")
    script = Path(__file__).parent / "oip_server.py"
    config = settings(path, command=[sys.executable, str(script), f"{path}/oip.sock"], start_s=60)
    made = OipHttpEngine(config, name="minus", device="test", pacing=None)
    yield path
    assert made.supervisor is not None
    made.supervisor.close()


def job(body: bytes, operation: str = "oip.infer") -> Job:
    """Return an opened request."""
    data = memoryview(bytearray(body))
    return Job(operation=operation, body=data, isolation=bytes(32), stream=False)


def request() -> bytes:
    """Return a sealed body."""
    tensor = Tensor(name="x", datatype="FP32", shape=(2, 3), data=X.tobytes())
    return OipBody(tensors=(tensor,), id="seven").encode(response=False)


async def answer(where: Path, model: str, asked: Job) -> bytes:
    """Return what the engine answers for a model."""
    engine = OipHttpEngine(settings(where), name=model, device="test", pacing=None)
    try:
        return b"".join([piece async for piece in engine.run(asked)])
    finally:
        await engine.close()


async def test_tensors_pass_through_the_engine(where: Path) -> None:
    """The answer is tensors and id, and nothing else of what the engine wrote."""
    made = OipBody.decode(await answer(where, "minus", job(request())), response=True)
    (tensor,) = made.tensors
    assert (tensor.name, tensor.shape, made.id) == ("y", (2, 3), "seven")
    assert bytes(tensor.data) == (-X).tobytes()


async def test_metadata_pass_as_they_are(where: Path) -> None:
    """The model is asked for by its name, whatever is in it."""
    made = json.loads(await answer(where, "a b?c", job(b"", "oip.metadata")))
    assert made == {"name": "a b?c", "platform": "minus"}


@pytest.mark.parametrize("model", ["json", "wrong", "length"])
async def test_answers_that_are_none_are_refused(where: Path, model: str) -> None:
    """Without the binary extension, or with sizes that do not add up, there is no answer."""
    with pytest.raises(EngineError) as caught:
        await answer(where, model, job(request()))
    assert caught.value.code == "engine.failed"


async def test_requests_that_are_none_do_not_reach_the_engine(where: Path) -> None:
    """What does not decode is the client's fault."""
    for body in (b"", request()[:-1], request() + b"x"):
        with pytest.raises(EngineError) as caught:
            await answer(where, "minus", job(body))
        assert caught.value.code == "request.malformed"


async def test_an_engine_that_is_not_there_is_interrupted(tmp_path: Path) -> None:
    """A socket that nobody listens on is an error with a code."""
    with pytest.raises(EngineError) as caught:
        await answer(tmp_path, "minus", job(request()))
    assert caught.value.code == "engine.interrupted"
