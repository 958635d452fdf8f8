"""The long drills, by hand: `make soak`. What they gave is recorded in docs/storage.md.

50 kills of the gateway at failpoints under load; a 1 GiB body over HTTP and gRPC;
1 000 000 fuzzed inputs per parser of evidence
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FUZZ = sorted((ROOT / "tests" / "fuzz").glob("[a-z]*.py"))


def main() -> int:
    """Run everything, print each command before it runs, stop at the first failure."""
    python, env = sys.executable, os.environ | {"MIFENG_BIG_BYTES": str(1 << 30)}
    commands = [
        [python, "-m", "tests.drills.killing", "--cycles", "50"],
        [python, "-m", "pytest", "-q", "tests/e2e/test_gateway.py", "-k", "large"],
        *([python, "-m", f"tests.fuzz.{path.stem}"] for path in FUZZ),
    ]
    for command in commands:
        print("$", *command[1:], flush=True)
        status = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
