"""Libraries for EVM chains leave the process as it was."""

import subprocess
import sys
from pathlib import Path

_SAYS = """
import sys
before = sys.getrecursionlimit()
import gateway.anchors.evm, gateway.anchors.receipts, gateway.anchors.rpc
from mifeng.protocol import jsonc
from mifeng.errors import MalformedError
assert "py_ecc" in sys.modules
assert sys.getrecursionlimit() == before, sys.getrecursionlimit()
try:
    jsonc.loads(b"[" * 500_000)
except MalformedError:
    print("refused")
"""


def test_deep_input_does_not_kill_a_gateway_that_anchors() -> None:
    """The recursion limit is what it was, and a nest of brackets is an error, not a crash."""
    done = subprocess.run(
        [sys.executable, "-c", _SAYS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_they_are_imported_in_one_place() -> None:
    """No other module of the gateway imports them by itself."""
    importing = [
        path.name
        for path in Path("gateway").rglob("*.py")
        for line in path.read_text().splitlines()
        if line.strip().startswith(("from eth_", "from web3", "import eth_", "import web3"))
    ]
    assert set(importing) == {"ethereum.py"}
