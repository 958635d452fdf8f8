"""Keep a stream's last word back: `data: [DONE]` leaves only once the receipt has verified. Pure.

A program that sees [DONE] takes the answer for complete and closes; what would come after, it
never reads. So the mark, and whatever follows it, waits for the proof.

Source: OpenAI API reference, "Streaming".
"""

from typing import Final

DONE: Final = b"data: [DONE]"


class LastWord:
    """Splits a stream into what may go now and what must wait."""

    def __init__(self) -> None:
        self._held = b""
        self._found = False

    def push(self, piece: bytes) -> bytes:
        """Return what may go now."""
        held = self._held + piece
        if self._found:
            self._held = held
            return b""
        at = held.find(DONE)
        if at >= 0:
            self._found = True
        else:
            at = len(held) - _begun(held)
        self._held = held[at:]
        return held[:at]

    def end(self) -> bytes:
        """Return what was held back."""
        return self._held


def _begun(data: bytes) -> int:
    """Return the length of the longest end of `data` that begins the mark."""
    most = min(len(data), len(DONE) - 1)
    return next((size for size in range(most, 0, -1) if data.endswith(DONE[:size])), 0)
