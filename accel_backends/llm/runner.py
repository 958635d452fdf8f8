"""A thread that steps a `SlotEngine` while it has work, and sleeps while it has none."""

import threading
import time

from accel_backends.errors import ClosedError

from .decoder import OrtDecoder
from .request import Request, Sink, Ticket
from .slots import SlotEngine

__all__ = ["Runner"]


class Runner:
    """Owns the engine and its decoder. `submit` and `cancel` may be called from any thread."""

    def __init__(self, engine: SlotEngine, decoder: OrtDecoder) -> None:
        """Start the thread."""
        self.engine, self._decoder = engine, decoder
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="llm-steps", daemon=True)
        self._thread.start()

    def submit(self, request: Request, sink: Sink) -> Ticket:
        """See `SlotEngine.submit`.

        Raises:
            ClosedError: `close` was called, or a step broke down.
        """
        if not self._thread.is_alive():
            raise ClosedError("the engine has stopped")
        ticket = self.engine.submit(request, sink)
        self._wake.set()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """See `SlotEngine.cancel`."""
        self.engine.cancel(ticket)
        self._wake.set()

    def close(self) -> None:
        """End every request as cancelled, wipe the buffers, release the graph. Idempotent."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _loop(self) -> None:
        try:
            while not self._stopping:
                # Cleared first: what is submitted during the step wakes the next one.
                self._wake.clear()
                if not self.engine.step(time.monotonic()):
                    self._decoder.forget()
                    self._wake.wait()
        finally:
            self.engine.close()
            self._decoder.close()
