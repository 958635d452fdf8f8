"""Score transactions through any Open Inference Protocol server: an ordinary program."""

import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from examples.oip import infer

ENOUGH = 0.9
"""Share of decisions that must agree with the known outcome."""


def main(url: str, table: Path) -> int:
    """Print how one row and ten thousand were scored; return 1 if too many were wrong."""
    with np.load(table) as file:
        rows, labels = file["rows"], file["labels"]
    share = 0.0
    for count in (1, len(rows)):
        began = perf_counter()
        answer = infer(url, "risk", {"rows": rows[:count]})
        milliseconds = (perf_counter() - began) * 1e3
        share = float((answer.outputs["label"] == labels[:count]).mean())
        verified = answer.headers.get("mifeng-verified")
        print(
            f"{count:6} rows in {milliseconds:.0f} ms, {share:.1%} as known, verified: {verified}"
        )
    return int(share < ENOUGH)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
