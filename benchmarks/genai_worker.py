"""onnxruntime-genai on the same decoder, for `slots`: run by the Python of its own environment.

    python genai_worker.py FOLDER WAY LENGTHS ROUNDS

LENGTHS is JSON: tokens to generate for each request. `engine` is its request engine; `batch` its
generator over one batch in lockstep, which no server can use and which shows the most its loop can
do. Both greedy, on the threads that `genai_config.json` says. Prints JSON: tokens per second of
the best round, and the first request's tokens.

Source: onnxruntime_genai 0.18, docstrings.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime_genai as og

PROMPT = (9, 10, 11)


def prompt(number: int) -> list[int]:
    """Return the prompt of one request; `slots` has the same."""
    return [*PROMPT, number + 5]


def engine(model: og.Model, lengths: list[int]) -> list[list[int]]:
    """Run requests together; return the tokens of each."""
    runs = og.Engine(model)
    places = {}
    requests = []
    made: list[list[int]] = [[] for _ in lengths]
    for number, length in enumerate(lengths):
        request = runs.create_request()
        wishes = og.TurnOptions(request)
        wishes.set_do_sample(False)
        wishes.set_max_generated_tokens(length)
        wishes.set_min_generated_tokens(length)
        request.begin_turn(np.array(prompt(number), np.int32), wishes)
        places[id(request)] = number
        requests.append(request)
    events = runs.create_event_buffer(64)
    while runs.has_pending_requests():
        for event in runs.run(events) or ():
            if event.flags.value & og.EngineEventFlags.TOKEN.value:
                made[places[id(event.request)]].append(event.token)
    for request in requests:
        request.close()
    return made


def batch(model: og.Model, lengths: list[int]) -> list[list[int]]:
    """Run one batch in lockstep; return the tokens of each row."""
    (length,) = set(lengths)
    parameters = og.GeneratorParams(model)
    size = len(PROMPT) + 1 + length
    parameters.set_search_options(
        batch_size=len(lengths), do_sample=False, max_length=size, min_length=size
    )
    generator = og.Generator(model, parameters)
    generator.append_tokens(np.array([prompt(number) for number in range(len(lengths))], np.int32))
    while not generator.is_done():
        generator.generate_next_token()
    rows = range(len(lengths))
    return [list(map(int, generator.get_sequence(row)[-length:])) for row in rows]


def main(folder: Path, way: str, lengths: list[int], rounds: int) -> None:
    """Measure one way."""
    model = og.Model(str(folder))
    best, made = 0.0, []
    for _ in range(rounds):
        begin = time.perf_counter()
        made = {"engine": engine, "batch": batch}[way](model, lengths)
        best = max(best, sum(map(len, made)) / (time.perf_counter() - begin))
    print(json.dumps({"tokens_per_s": round(best), "first": made[0]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4]))
