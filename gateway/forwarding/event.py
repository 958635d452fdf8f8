"""What is told to a security centre: a table of event names, nothing that is not in it.

Fields are those that the gateway's own log may hold (`gateway.events`): names from configuration,
codes from tables, numbers. Content, references to persons and exception texts have no way in.

Source: docs/forwarding.md §2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple


class Kind(NamedTuple):
    """How an event is presented."""

    severity: int
    """Of RFC 5424 §6.2.1: 2 critical … 6 informational."""
    title: str


KINDS: Final[dict[str, Kind]] = {
    "node.admitted": Kind(6, "Attestation passed, node admitted"),
    "node.rejected": Kind(4, "Attestation failed, node rejected"),
    "node.expired": Kind(5, "Node no longer used"),
    "node.lost": Kind(4, "Node connection lost"),
    "node.wrong_id": Kind(3, "A node answered under another name"),
    "node.malformed": Kind(4, "A node sent malformed evidence"),
    "node.failed": Kind(3, "Admission of a node failed"),
    "receipt.foreign": Kind(3, "A receipt of another request appeared"),
    "tenant.unauthenticated": Kind(4, "Request without valid credentials"),
    "tenant.mismatch": Kind(4, "A tenant used the name of another"),
    "tenant.forbidden": Kind(4, "A tenant asked for a model it may not use"),
    "request.replayed": Kind(4, "A request was replayed"),
    "admin.action": Kind(5, "Administrative action"),
    "admin.refused": Kind(3, "Administrative action refused"),
    "subject.erased": Kind(5, "A person's key was destroyed"),
    "log.unpublished": Kind(3, "The audit log cannot be published"),
    "relay.failed": Kind(3, "An exchange failed inside the gateway"),
    "witness.alarm": Kind(2, "A witness saw another history of this log"),
    "anchor.refused": Kind(3, "An anchor refused a checkpoint"),
    "anchor.failed": Kind(4, "A checkpoint could not be anchored"),
    "collateral.failed": Kind(4, "Collateral could not be fetched"),
    "gateway.listening": Kind(5, "Gateway started"),
    "gateway.draining": Kind(5, "Gateway is shutting down"),
    "gateway.stopped": Kind(5, "Gateway stopped"),
    "forwarding.dropped": Kind(3, "Events were dropped before they could be forwarded"),
}
_SKIPPED: Final = frozenset({"event", "level", "timestamp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event."""

    name: str
    """A key of `KINDS`."""
    at: float
    """Unix seconds."""
    fields: tuple[tuple[str, str | int], ...] = ()

    @property
    def kind(self) -> Kind:
        """How it is presented."""
        return KINDS[self.name]


def of_log(logged: Mapping[str, Any], *, now: float) -> Event | None:
    """Return the event of a line in the gateway's own log; None if it is not one to forward.

    Args:
        logged: after `events.keep_listed`.
        now: Unix seconds.
    """
    name = logged.get("event")
    if not isinstance(name, str) or name not in KINDS:
        return None
    fields = tuple(
        (key, value)
        for key, value in sorted(logged.items())
        if key not in _SKIPPED and isinstance(value, str | int)
    )
    return Event(name=name, at=now, fields=fields)
