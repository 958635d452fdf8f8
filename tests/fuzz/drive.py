"""Feed mutations of valid SIMULATED objects to parsers and count what comes out.

Deterministic for a seed. A target fails if anything but `AttestationError` escapes.
"""

import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

from attestation.errors import AttestationError


@dataclass(frozen=True, kw_only=True)
class Target:
    """One parser, and a valid input for it."""

    run: Callable[[bytes], object]
    valid: bytes
    cost: int = 1
    """Divide the number of inputs by this: whole verifications are slow."""


_TOKENS = (b"\0", b"\xff", b"\x30\x82", b"\xbf", b"\x9f", b"\x7f" * 4, b"{", b'"a":', b"-----")


def mutate(valid: bytes, chance: random.Random) -> bytes:
    """Return `valid` with one to four random edits."""
    data = bytearray(valid)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        size = chance.choice((1, 1, 2, 4, 24, 300))
        match chance.randrange(8):
            case 0 | 1 | 2:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 3:
                data[at : at + 1] = (
                    bytes([data[at] ^ 1 << chance.randrange(8)]) if data[at:] else b""
                )
            case 4:
                del data[at : at + size]
            case 5:
                data[at:at] = data[at : at + size]
            case 6:
                data[at:at] = chance.choice(_TOKENS)
            case _:
                del data[at:]
    return bytes(data)


def main(targets: Mapping[str, Target]) -> int:
    """Run `[INPUTS_PER_TARGET] [SEED] [TARGET...]` of the command line; return how many escaped."""
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    warnings.simplefilter("error")
    chosen = sys.argv[3:] or targets
    return sum(run(name, targets[name], inputs=inputs, seed=seed) for name in chosen)


def run(name: str, target: Target, *, inputs: int, seed: int) -> int:
    """Feed one target, print its outcomes, and return how many inputs escaped."""
    outcomes: Counter[str] = Counter()
    chance = random.Random(f"{seed}/{name}")
    begin = perf_counter()
    for number in range(inputs // target.cost):
        data = mutate(target.valid, chance)
        try:
            target.run(data)
            outcomes["parsed"] += 1
        except AttestationError as exc:
            outcomes[exc.code.removeprefix("attestation.")] += 1
        except Exception as exc:  # noqa: BLE001 - this is what the run looks for
            outcomes[f"ESCAPED {type(exc).__name__}"] += 1
            print(name, number, repr(exc)[:200])
    counts = ", ".join(f"{word} {count}" for word, count in sorted(outcomes.items()))
    print(
        f"{name}: {outcomes.total()} inputs in {perf_counter() - begin:.0f} s: {counts}", flush=True
    )
    return sum(count for word, count in outcomes.items() if word.startswith("ESCAPED"))
