"""Points around an anchor's external write at which a test can fail or end the process.

See `gateway.auditlog.failpoints`: whoever builds the service hands in what happens there.
"""

from typing import Final

SENDING: Final = "anchor.sending"
"""The ticket is durable; nothing has left. Failing here: the write fails and did not persist."""
SENT: Final = "anchor.sent"
"""The third party has it; our record is not written. Failing here: it fails but persisted."""

ANCHOR_POINTS: Final = (SENDING, SENT)
