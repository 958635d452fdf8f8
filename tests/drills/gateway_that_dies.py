"""A gateway that kills itself at a failpoint: `python -m tests.drills.gateway_that_dies`.

The production entry point has no way to arm one; this module hands the hook in by itself.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway import events
from gateway.config import load
from gateway.main import run


class Killer:
    """Ends the process, without any clean-up, at the nth reach of one point."""

    def __init__(self, point: str, nth: int) -> None:
        self._point, self._left = point, nth

    def reach(self, point: str) -> None:
        """Count, and kill."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    events.configure()
    asyncio.run(run(load(Path(sys.argv[1])), points=Killer(sys.argv[2], int(sys.argv[3]))))
