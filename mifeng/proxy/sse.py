"""Keep a stream's last word back: `data: [DONE]` leaves only once the receipt has verified. Pure.

A program that sees [DONE] takes the answer for complete and closes; what would come after, it
never reads. So the mark, and whatever follows it, waits for the proof. Before it only whole
events leave: an error event behind half an event would be read as part of it.

Source: OpenAI API reference, "Streaming"; WHATWG HTML, "Server-sent events".
"""

from typing import Final

DONE: Final = b"data: [DONE]"
_ENDS: Final = (b"\n\n", b"\r\n\r\n")
"""Blank lines, which end an event."""


class LastWord:
    """Splits a stream into what may go now and what must wait."""

    def __init__(self) -> None:
        self._held = b""
        self._found = False

    def push(self, piece: bytes) -> bytes:
        """Return what may go now: whole events before the mark."""
        self._held += piece
        if self._found:
            return b""
        whole = max(
            (self._held.rfind(end) + len(end) for end in _ENDS if end in self._held), default=0
        )
        at = _mark(self._held)
        self._found = 0 <= at <= whole
        cut = at if self._found else whole
        ready, self._held = self._held[:cut], self._held[cut:]
        return ready

    def end(self) -> bytes:
        """Return what was held back."""
        return self._held


def _mark(data: bytes) -> int:
    """Return where the mark begins a line, or -1."""
    if data.startswith(DONE):
        return 0
    at = data.find(b"\n" + DONE)
    return at + 1 if at >= 0 else -1
