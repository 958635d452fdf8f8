"""`stream`: what a streamed answer tells whoever carries it, and what sealing it costs.

Three parts.

    privacy    answers about two subjects; a classifier sees sizes, counts and times of the frames
               as the gateway does and guesses the subject. AUC 0.5 is chance, 1 is certainty.
               Engine and its speed are SIMULATED (`talker`), frames and node are not.
    cost       time to the first token and between tokens, through gateway and node, against the
               same engine over plain HTTP (`cost`).
    engine     tokens per second, a crowd, tenants, kept prefixes (`crowd`), and the slot engine
               against onnxruntime-genai (`slots`).
"""

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

import policies
from attestation.bundle import Freshness
from gateway.link import Link
from mifeng.crypto.randomness import random_bytes
from mifeng.demo.cluster import ROOT, Process
from mifeng.protocol.body import OPENAI_CHAT
from mifeng.protocol.messages import MessageType
from mifeng.protocol.session import Ask, Terms, TrustedNode, Waiting, WaitRecord, begin, step, trust

from . import cost, crowd, slots
from .direct import SM, TENANT, MemoryOnlyLog
from .systems import _running, node_alone, sealed
from .talker import SUBJECTS

PACINGS: Final[Mapping[str, Mapping[str, float]]] = {
    "as they come": {"tick_ms": 0},
    "paced, to 16·2ⁿ ticks": {"tick_ms": 20, "round_ticks": 16},
    "paced, to 64·2ⁿ ticks": {"tick_ms": 20, "round_ticks": 64},
    "paced, to 256·2ⁿ ticks": {"tick_ms": 20, "round_ticks": 256},
}
BARE: Final = "events in TLS, unsealed"
_STREAMS: Final = 16
_SIZES: Final = {"width": 512, "layers": 4, "heads": 8, "kv_heads": 4, "inner": 1408}
"""An engine slow enough that a token costs milliseconds, as everywhere."""
_HEAD: Final = 48
"""Frames from the beginning whose sizes and gaps are features one by one."""

Trace = list[tuple[float, int]]
"""Arrival in seconds since the first, and size in bytes, of what passed by."""


def run(*, quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure privacy, then cost."""
    with tempfile.TemporaryDirectory(prefix="mifeng-") as name:
        folder = Path(name)
        return {
            "privacy": asyncio.run(_privacy(folder, trials=48 if quick else 192, say=say)),
            "cost": asyncio.run(cost.measure(folder, rounds=5 if quick else 40, say=say)),
            "engine": asyncio.run(crowd.measure(folder, quick=quick, say=say)),
            "genai": slots.measure(folder, quick=quick, say=say),
        }


# Privacy.


async def _privacy(folder: Path, *, trials: int, say: Callable[[str], None]) -> dict[str, Any]:
    socket = folder / "talker.sock"
    talker = Process("talker", ("benchmarks.talker", str(socket)), folder / "talker.log")
    models = [
        {
            "name": f"talker-{number}",
            "version": "1",
            "kind": "openai-engine",
            "files": {"code": str(ROOT / "benchmarks" / "talker.py")},
            "devices": [{"ep": "SIMULATED"}],
            "engine": {
                "address": f"unix:{socket}",
                "prefix_cache": "off",
                "operations": [OPENAI_CHAT],
                "backend": "talker",
            },
            "pacing": pacing,
        }
        for number, pacing in enumerate(PACINGS.values())
    ]
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(_running(talker, socket))
        cluster = stack.enter_context(sealed(models, folder / "privacy"))
        reach, _ = stack.enter_context(node_alone(cluster))
        carrier = await Carrier.dial(reach)
        labels = [number % 2 for number in range(trials)]
        for number, name in enumerate(PACINGS):
            traces: list[Trace] = []
            bare: list[Trace] = []
            for at in range(0, trials, _STREAMS):
                say(f"{name}: {at} of {trials}")
                group = range(at, min(at + _STREAMS, trials))
                both = await asyncio.gather(
                    *(carrier.watch(f"talker-{number}", labels[n], seed=n) for n in group)
                )
                traces += [seen for seen, _ in both]
                bare += [inside for _, inside in both]
            if number == 0:
                found[BARE] = _row(bare, labels)
            found[name] = _row(traces, labels)
        await carrier.close()
    return found


class Carrier:
    """What the gateway is to a node: it sees every frame pass.

    This one also is the client, so that the answer is checked to its end.
    """

    def __init__(self, link: Link, log: MemoryOnlyLog, node: TrustedNode) -> None:
        self._link, self._log, self._node = link, log, node
        self._running: asyncio.Task[None]

    @classmethod
    async def dial(cls, reach: Mapping[str, str]) -> "Carrier":
        """Connect to a node and appraise it."""
        log = MemoryOnlyLog(b64decode(reach["log_key"]))
        link = await Link.dial(reach["address"], on_frame=lambda _: None)
        await link.hello()
        running = asyncio.create_task(link.run())
        freshness = Freshness(kind=1, x=random_bytes(32))
        offer = log.offer(await link.attest(b"\1" + freshness.x))
        terms = Terms(policy=policies.shipped("unsafe-simulated"), log=log.pin, suites=(SM,))
        node = trust(offer, terms, nonce32s={freshness.nonce32}, now=int(time.time()))
        carrier = cls(link, log, node)
        carrier._running = running
        return carrier

    async def close(self) -> None:
        """Hang up."""
        self._running.cancel()
        await asyncio.wait((self._running,))

    async def watch(self, model: str, label: int, *, seed: int) -> tuple[Trace, Trace]:
        """Return what passes by during one answer: sealed frames, and the bytes inside them."""
        subject = list(SUBJECTS)[label]
        document = {
            "model": model,
            "messages": [{"role": "user", "content": f"{subject}|{seed}"}],
            "stream": True,
        }
        now = int(time.time())
        wish = Ask(
            tenant=TENANT, model=model, operation=OPENAI_CHAT, deadline=now + 60, stream=True
        )
        state: Waiting = begin(self._node, wish, now=now)
        stream = self._link.open_stream()
        trace: Trace = []
        inside: Trace = []
        try:
            await stream.send(self._log.intent(self._node, state.exchange.h, now + 60))
            await stream.send(state.exchange.opening())
            for message in state.exchange.body([json.dumps(document).encode()]):
                await stream.send(message)
            while not isinstance(state, WaitRecord):
                message = await stream.receive()
                at = time.perf_counter()
                if message.type is MessageType.FRAME:
                    trace.append((at, len(message.payload)))
                after, plain = step(state, message, now=now)
                if plain:
                    inside.append((at, len(plain)))
                assert isinstance(after, Waiting)
                state = after
        finally:
            stream.close()
        assert state.receipt.outcome == "completed"
        # The salt's frame leaves before the model has begun.
        return _from_first(trace[1:]), _from_first(inside)


def _from_first(trace: Trace) -> Trace:
    return [(at - trace[0][0], size) for at, size in trace]


def _row(traces: Sequence[Trace], labels: Sequence[int]) -> dict[str, Any]:
    """Return the AUC by kind of feature, and what the answers cost on the wire."""
    kinds = {
        "sizes": lambda t: [*_head([s for _, s in t]), *_summary([s for _, s in t])],
        "counts": lambda t: [len(t), sum(s for _, s in t)],
        "times": lambda t: [*_head(_gaps(t)), *_summary(_gaps(t)), t[-1][0]],
    }
    tables = {kind: np.array([make(t) for t in traces]) for kind, make in kinds.items()}
    tables["all"] = np.hstack(list(tables.values()))
    return {
        "auc": {kind: round(_auc(table, labels), 3) for kind, table in tables.items()},
        "bytes": round(statistics.mean(sum(s for _, s in t) for t in traces)),
        "seconds": round(statistics.mean(t[-1][0] for t in traces), 2),
        "trials": len(traces),
    }


def _auc(table: Any, labels: Sequence[int]) -> float:  # noqa: ANN401 - an array
    """Return the cross-validated area under the curve of a forest that guesses the subject."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    forest = RandomForestClassifier(n_estimators=100, min_samples_leaf=2, random_state=0)
    folds = StratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    guessed = cross_val_predict(forest, table, np.array(labels), cv=folds, method="predict_proba")
    return float(roc_auc_score(labels, guessed[:, 1]))


def _gaps(trace: Trace) -> list[float]:
    return [after - before for (before, _), (after, _) in pairwise(trace)]


def _head(values: Sequence[float]) -> list[float]:
    return [*values[:_HEAD], *[-1.0] * (_HEAD - len(values))]


def _summary(values: Sequence[float]) -> list[float]:
    if not values:
        return [0.0] * 6
    return [float(np.mean(values)), float(np.std(values)), *np.percentile(values, [5, 25, 75, 95])]


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print the tables."""
    privacy = Table(title="guessing the subject from what passes by: AUC (0.5 = chance)")
    for column in ("", "sizes", "counts", "times", "all", "bytes", "seconds"):
        privacy.add_column(column, justify="left" if not column else "right")
    for name, row in result["privacy"].items():
        auc = row["auc"]
        cells = [f"{auc[kind]:.2f}" for kind in ("sizes", "counts", "times", "all")]
        privacy.add_row(name, *cells, f"{row['bytes']:,}", f"{row['seconds']:.2f}")
    console.print(privacy)
    console.print(cost.table(result["cost"]))
    engine = result["engine"]
    rates = ", ".join(f"{n} slots {rate:,}" for n, rate in engine["tokens_per_s"].items())
    console.print(f"tokens per second: {rates}")
    for name, waited in engine["crowd"].items():
        console.print(
            f"{waited['streams']} streams at once, 16 slots, {name}: first token after "
            f"{waited['median_ms']:,} ms in the middle, {waited['max_ms']:,} ms at most "
            f"(× {waited['max_to_median']})"
        )
    turns = ", ".join(f"{who} {ms:,} ms" for who, ms in engine["tenants"].items())
    console.print(f"first token in the middle, one tenant with 400 requests, ten with 10: {turns}")
    prefix = ", ".join(f"{whose} {ms} ms" for whose, ms in engine["prefix"].items())
    console.print(f"first token after the same prompt was: {prefix}")
    console.print(slots.table(result["genai"]))


if __name__ == "__main__":
    sys.exit("python -m benchmarks stream")
