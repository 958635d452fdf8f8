"""A run: whose fault a failure is, what is asked again, and what never is."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mifeng.batch import run as module
from mifeng.batch.manifest import Manifest
from mifeng.batch.run import Options, Summary, run
from mifeng.errors import (
    InterruptedRequestError,
    MifengError,
    RefusedError,
    StreamRejectedError,
    TransportError,
    UsageError,
)
from mifeng.protocol.body import OipBody

Answer = Callable[[int], MifengError | None]


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses."""
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.0)


class Client:
    """Answers with the input; `say` fails the nth question for an item's first value."""

    def __init__(self, say: Answer = lambda _: None, *, idempotent: bool = True) -> None:
        self._say, self._idempotent = say, idempotent
        self.asked: list[OipBody] = []
        self.busy = self.busiest = 0

    async def attest(self, model: str) -> list[Any]:
        """Return one node."""
        served = SimpleNamespace(idempotent=self._idempotent)
        return [SimpleNamespace(keyset=SimpleNamespace(models={model: served}))]

    async def ask(self, model: str, body: bytes, *, operation: str, deadline_s: float) -> Any:
        """Answer, or fail as told."""
        del model, deadline_s
        if operation == "oip.metadata":
            document = {"inputs": [{"name": "image", "datatype": "BYTES"}]}
            return SimpleNamespace(body=json.dumps(document).encode())
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        await asyncio.sleep(0.005)
        self.busy -= 1
        asked = OipBody.decode(body, response=False)
        self.asked.append(asked)
        if (error := self._say(len(self.asked))) is not None:
            raise error
        done = SimpleNamespace(index=len(self.asked), statement=b"receipt")
        return SimpleNamespace(tensors={t.name: t for t in asked.tensors}, done=done)


def lines(folder: Path, count: int) -> Path:
    """Return a file of so many items."""
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps({"inputs": {"x": [n]}}) + "\n" for n in range(count)))
    return path


async def go(client: Any, folder: Path, *paths: Path, **options: Any) -> Summary:
    """Run a job in `folder / out`."""
    manifest = Manifest.open(folder / "out", model="m")
    try:
        return await run(client, manifest, paths, Options(**options), told=lambda _: None)
    finally:
        manifest.close()


def refusals(*codes: str) -> Answer:
    """Return the first questions' failures."""

    def say(number: int) -> MifengError | None:
        return RefusedError(codes[number - 1], "no") if number <= len(codes) else None

    return say


async def test_items_say_that_they_are_idle_and_which_they_are(tmp_path: Path) -> None:
    """Priority 8 and an id of the job's own stand inside the seal; so many at once."""
    client = Client()
    summary = await go(client, tmp_path, lines(tmp_path, 9), jobs=3)
    assert (summary.done, summary.total, summary.settled) == (9, 9, 9)
    assert {body.parameters["priority"] for body in client.asked} == {8}
    assert len({body.id for body in client.asked}) == 9
    assert client.busiest == 3


async def test_files_become_the_model_s_only_bytes_input(tmp_path: Path) -> None:
    """The input's name is asked once."""
    (tmp_path / "a.png").write_bytes(b"picture")
    client = Client()
    summary = await go(client, tmp_path, tmp_path / "a.png")
    assert summary.done == 1
    (tensor,) = client.asked[0].tensors
    assert (tensor.name, tensor.datatype) == ("image", "BYTES")
    line = json.loads((tmp_path / "out/manifest.jsonl").read_text().splitlines()[1])
    assert line["result"] == "00000/00000000.json"
    assert len(line["input_sm3"]) == 64


@pytest.mark.parametrize("code", ["backend.input.shape", "request.malformed"])
async def test_an_item_s_own_fault_is_not_asked_again(tmp_path: Path, code: str) -> None:
    """It is recorded, the others go on, and the next run asks it again."""
    client = Client(refusals(code))
    summary = await go(client, tmp_path, lines(tmp_path, 3), jobs=1)
    assert (summary.done, summary.failed, summary.codes) == (2, 1, {code: 1})
    assert len(client.asked) == 3
    again = await go(Client(), tmp_path, tmp_path / "in.jsonl")
    assert (again.done, again.skipped, again.failed) == (1, 2, 0)


async def test_a_bad_line_is_its_own_fault(tmp_path: Path) -> None:
    """The rest of the file goes through."""
    path = lines(tmp_path, 2)
    path.write_text(path.read_text() + "{}\n")
    summary = await go(Client(), tmp_path, path)
    assert (summary.done, summary.codes) == (2, {"usage": 1})


async def test_a_failing_model_is_asked_a_few_times(tmp_path: Path) -> None:
    """Then the item is failed for good."""
    client = Client(refusals(*["engine.failed"] * 3))
    summary = await go(client, tmp_path, lines(tmp_path, 1))
    assert (summary.done, summary.retried) == (1, 3)
    client = Client(lambda _: RefusedError("engine.failed", "no"))
    (tmp_path / "b").mkdir()
    summary = await go(client, tmp_path / "b", lines(tmp_path / "b", 1))
    assert (summary.failed, len(client.asked)) == (1, module.RETRIES + 1)


async def test_nobody_to_ask_is_waited_out(tmp_path: Path) -> None:
    """However often: it is not the item's fault."""
    codes = ["node.unavailable", "gateway.draining", "queue.full", "node.busy", "model.unknown"]
    summary = await go(Client(refusals(*codes * 8)), tmp_path, lines(tmp_path, 2))
    assert (summary.done, summary.failed, summary.codes) == (2, 0, {})


async def test_patience_ends_and_blames_no_item(tmp_path: Path) -> None:
    """Nothing is recorded, so the next run asks."""
    client = Client(lambda number: TransportError("gone") if number > 2 else None)
    with pytest.raises(TransportError):
        await go(client, tmp_path, lines(tmp_path, 5), jobs=1, patience_s=0.0)
    summary = await go(Client(), tmp_path, tmp_path / "in.jsonl")
    assert (summary.skipped, summary.done, summary.failed) == (2, 3, 0)


async def test_what_was_lost_is_asked_again_if_it_may_run_twice(tmp_path: Path) -> None:
    """An idempotent model: one result in the end."""
    client = Client(lambda number: InterruptedRequestError("gone") if number == 1 else None)
    summary = await go(client, tmp_path, lines(tmp_path, 1))
    assert (summary.done, len(client.asked)) == (1, 2)
    assert client.asked[0].id == client.asked[1].id


async def test_what_was_lost_is_never_asked_again_if_it_may_not(tmp_path: Path) -> None:
    """A model that must not run twice: reported now, and in every run after."""
    client = Client(
        lambda number: InterruptedRequestError("gone") if number == 1 else None, idempotent=False
    )
    summary = await go(client, tmp_path, lines(tmp_path, 2), jobs=1)
    assert (summary.done, summary.interrupted, len(client.asked)) == (1, 1, 2)
    client = Client(idempotent=False)
    summary = await go(client, tmp_path, tmp_path / "in.jsonl")
    assert (summary.skipped, summary.interrupted, client.asked) == (1, 1, [])


async def test_a_kill_between_sending_and_answer_counts_as_lost(tmp_path: Path) -> None:
    """The line is written before the item leaves."""

    class Killed(Exception):  # noqa: N818 - stands for SIGKILL
        pass

    class Dies(Client):
        async def ask(self, *_: Any, **__: Any) -> Any:
            raise Killed

    with pytest.raises(Killed):
        await go(Dies(idempotent=False), tmp_path, lines(tmp_path, 1))
    client = Client(idempotent=False)
    summary = await go(client, tmp_path, tmp_path / "in.jsonl")
    assert (summary.interrupted, client.asked) == (1, [])


async def test_something_unacceptable_stops_everything(tmp_path: Path) -> None:
    """Nothing more is sent to whoever lies."""
    client = Client(lambda _: StreamRejectedError("forged"))
    with pytest.raises(StreamRejectedError):
        await go(client, tmp_path, lines(tmp_path, 50), jobs=2)
    assert len(client.asked) <= 2


async def test_an_unknown_model_is_said_at_once(tmp_path: Path) -> None:
    """Before anything is sent, it is a typing error and no outage."""

    class Unknown(Client):
        async def attest(self, model: str) -> list[Any]:
            raise RefusedError("model.unknown", model)

    with pytest.raises(RefusedError):
        await go(Unknown(), tmp_path, lines(tmp_path, 1))


async def test_several_bytes_inputs_need_a_name(tmp_path: Path) -> None:
    """Which one a file becomes is not guessed."""

    class Two(Client):
        async def ask(self, *_: Any, **__: Any) -> Any:
            rows = [{"name": name, "datatype": "BYTES"} for name in "ab"]
            return SimpleNamespace(body=json.dumps({"inputs": rows}).encode())

    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="--input"):
        await go(Two(), tmp_path, tmp_path / "a.png")
