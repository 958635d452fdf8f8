"""Train the chat model, then talk to it on this machine: `python -m examples.chat [QUESTION …]`.

The same engine a node serves, without a gateway and without a seal.
"""

import sys
import tempfile
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter

from accel_backends import DeviceRequest, LoadOptions, llm, load
from accel_backends.llm.text import TextStream
from examples.chat.folder import write

QUESTIONS = ("What is the capital of Peru?", "法国的首都是哪里？", "Who can read my question?")


class _Screen:
    """Prints an answer as it grows."""

    def __init__(self, model: llm.LanguageModel) -> None:
        self._text = TextStream(model.tokenizer)
        self.ended: SimpleQueue[llm.Usage] = SimpleQueue()

    def token(self, token: int) -> bool:
        """See `Sink.token`."""
        print(self._text.push(token), end="", flush=True)
        return False

    def finish(self, reason: llm.Reason, usage: llm.Usage) -> None:
        """See `Sink.finish`."""
        print(f"{self._text.end()}   [{reason.value}]")
        self.ended.put(usage)


def main(questions: list[str]) -> None:
    """Print answers and how fast they came."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = perf_counter()
        write(folder, say=print)
        print(f"trained and written in {perf_counter() - begin:.1f} s")
        files = {
            "graph": (folder / "model.onnx").read_bytes(),
            "tokenizer": (folder / "tokenizer.json").read_bytes(),
            "tokenizer_config": (folder / "tokenizer_config.json").read_bytes(),
        }
    model = llm.load(
        load("onnxruntime", allowed={"onnxruntime"}),
        files,
        options=LoadOptions(devices=(DeviceRequest(ep="CPUExecutionProvider"),)),
        limits=llm.Limits(slots=4, context=512),
    )
    assert model.template is not None
    for question in questions:
        print(f"> {question}\n", end="")
        prompt = model.template.render([{"role": "user", "content": question}])
        screen = _Screen(model)
        begin = perf_counter()
        request = llm.Request(
            prompt=model.tokenizer.encode(prompt, special=False),
            isolation=bytes(32),
            most=100,
            stop=model.stop,
        )
        model.runner.submit(request, screen)
        usage = screen.ended.get()
        milliseconds = (perf_counter() - begin) * 1e3
        print(f"  {usage.prompt} + {usage.completion} tokens in {milliseconds:.1f} ms")
    model.close()


if __name__ == "__main__":
    main(sys.argv[1:] or list(QUESTIONS))
