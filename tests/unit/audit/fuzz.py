"""Feed mutations of valid objects to everything an auditor parses; count what comes out.

    python -m tests.unit.audit.fuzz [INPUTS_PER_TARGET] [SEED]

Targets: a whole pack (container, manifest, members), one chunk of entries, entries, statements,
notes. Only our own errors may come out. And the quick reader of common entries must never take
what the strict one refuses, nor understand it differently.
"""

import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from mifeng.audit import forms
from mifeng.audit.pack import Pack
from mifeng.audit.reading import NodeKeys, read_chunk
from mifeng.audit.verify import verify
from mifeng.errors import MifengError
from mifeng.protocol import checkpoint, dsse, entries
from mifeng.protocol.receipt import Receipt
from tests.fuzz.drive import mutate
from tests.unit.audit.flip_bytes import sample
from tests.unit.audit.made import Made

Target = Callable[[bytes], object]
T = TypeVar("T")


def strictly(read: Callable[[bytes], T], data: bytes) -> T:
    """Return what the strict reader makes of what the quick one took."""
    try:
        return read(data)
    except MifengError as exc:
        raise AssertionError("the strict reader refuses this") from exc


def same_intent(data: bytes) -> str:
    """Read an INTENT in both ways."""
    quick = forms.intent(data)
    if quick is None:
        return "left to the strict reader"
    strict = strictly(entries.decode, data)
    assert isinstance(strict, entries.SignedIntent)
    said, envelope = quick
    for name in ("origin", "index", "h", "keyset", "attempt", "tenant", "issued", "deadline"):
        assert getattr(said, name) == getattr(strict.intent, name), name
    assert envelope == strictly(dsse.parse, data)
    return "same"


def same_completion(data: bytes) -> str:
    """Read a COMPLETION in both ways."""
    quick = forms.completion(data)
    if quick is None:
        return "left to the strict reader"
    strict = strictly(entries.decode, data)
    assert isinstance(strict, entries.Completion)
    assert (quick.at, quick.h, quick.intent) == (strict.at, strict.h, strict.intent)
    assert quick.receipt == strictly(dsse.parse, strict.receipt)
    return "same"


def same_receipt(payload: bytes) -> str:
    """Read a receipt's payload in both ways."""
    quick = forms.receipt(payload)
    if quick is None:
        return "left to the strict reader"
    strict = strictly(Receipt.decode, payload)
    for name in quick.__dataclass_fields__:
        assert getattr(quick, name) == getattr(strict, name), name
    return "same"


def targets(folder: Path) -> dict[str, tuple[bytes, Target, int]]:
    """Return name → valid input, what reads it, and how many times fewer inputs it gets."""
    made, good = sample(folder)
    bent = folder / "bent.zip"

    def whole(data: bytes) -> object:
        bent.write_bytes(data)
        return verify(bent, made.trust, now=made.now)

    def chunk(data: bytes) -> object:
        with Pack(good) as pack:
            pack.entries = lambda _: [(0, data)]  # type: ignore[method-assign]
            return read_chunk(
                pack, 0, origin="log.example/audit", log_keys={}, nodes=NodeKeys(pack)
            )

    work = Made()
    work.work(1)
    intent = next(e for e in work.source.log if e.startswith(b'{"payload"'))
    done = next(e for e in work.source.log if b'"type":"COMPLETION"' in e)
    entry = entries.decode(done)
    assert isinstance(entry, entries.Completion)
    payload = dsse.parse(entry.receipt).payload
    note = made.note()
    return {
        "entry": (done, entries.decode, 1),
        "intent, both readers": (intent, same_intent, 1),
        "completion, both readers": (done, same_completion, 1),
        "receipt, both readers": (payload, same_receipt, 1),
        "note": (note, lambda data: checkpoint.verify(data, made.pin), 1),
        "chunk": (done, chunk, 10),
        "pack": (good.read_bytes(), whole, 100),
    }


def run(name: str, valid: bytes, read: Target, *, inputs: int, seed: int) -> int:
    """Read so many mutations; return how many escaped."""
    chance, outcomes, began = random.Random(seed), Counter[str](), perf_counter()
    for _ in range(inputs):
        data = mutate(valid, chance)
        try:
            found = read(data)
        except MifengError as exc:
            outcomes[exc.code] += 1
        except Exception as exc:  # noqa: BLE001 - what may not come out is counted
            outcomes[f"ESCAPED {type(exc).__name__}"] += 1
            print(name, type(exc).__name__, exc, data[:200])
        else:
            outcomes[found if isinstance(found, str) else "read"] += 1
    rate = inputs / (perf_counter() - began)
    told = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.most_common())
    print(f"{name}: {inputs} inputs, {rate:,.0f}/s: {told}")
    return sum(n for outcome, n in outcomes.items() if outcome.startswith("ESCAPED"))


def fuzz(inputs: int, seed: int) -> int:
    """Run every target; return how many inputs escaped."""
    with tempfile.TemporaryDirectory() as folder:
        return sum(
            run(name, valid, read, inputs=max(20, inputs // cost), seed=seed)
            for name, (valid, read, cost) in targets(Path(folder)).items()
        )


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    sys.exit(bool(fuzz(count, int(sys.argv[2]) if len(sys.argv) > 2 else 1)))
