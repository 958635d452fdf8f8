"""Named points at which a test can stop, fail or kill the process.

A point does nothing unless whoever builds the log hands in an object that says otherwise; there
is no environment variable and no global to switch one on in production.
"""

from typing import Final, Protocol


class Failpoints(Protocol):
    """Told each time a point is reached; may raise, block or end the process."""

    def reach(self, point: str) -> None:
        """Do nothing, usually."""
        ...


class Unarmed:
    """Does nothing, at every point."""

    __slots__ = ()

    def reach(self, point: str) -> None:
        """Do nothing."""


UNARMED: Final = Unarmed()

PLANNED: Final = "append.planned"
"""Entries built and hashed; nothing written."""
WRITTEN: Final = "append.written"
"""Rows are in the open transaction."""
COMMITTED: Final = "append.committed"
"""The transaction is durable; the guard is not moved."""
GUARD_WRITTEN: Final = "guard.written"
"""The guard's new mark is written, not yet flushed."""
GUARDED: Final = "append.guarded"
"""The guard is durable; nobody has been told."""
ACKNOWLEDGED: Final = "append.acknowledged"
"""Callers have been told."""
PUBLISHING: Final = "publish.signed"
"""A checkpoint is signed, not yet shown."""
WITNESSED: Final = "publish.witnessed"
"""Enough witnesses have cosigned a checkpoint; it is not yet shown."""

APPEND_POINTS: Final = (PLANNED, WRITTEN, COMMITTED, GUARD_WRITTEN, GUARDED, ACKNOWLEDGED)
