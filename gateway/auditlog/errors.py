"""Why the log did not do what it was asked.

AuditLogError
├── LogUnavailableError     nothing was acknowledged: dispatch nothing, answer 503
│   └── LogUnwitnessedError it could be, but too few witnesses have cosigned for too long
├── LogLockedError          another process owns this log
├── LogRefusedError         the store contradicts the guard, its key or its configuration
├── IntentClosedError       the intent is not open: closed already, unknown, or of another H
├── NotInLogError           no such entry, tree size or blob
└── PublishError            the place where the log is published could not be reached
    └── PublishConflictError    what is published there is not this log, or is ahead of it
"""

from mifeng.errors import MifengError


class AuditLogError(MifengError):
    """Base of everything the audit log raises on purpose."""

    code: str = "log"


class LogUnavailableError(AuditLogError):
    """The entry was not acknowledged. It may or may not be durable; act as if it is not."""

    code = "log.unavailable"


class LogUnwitnessedError(LogUnavailableError):
    """No checkpoint has its quorum of cosignatures, or the newest that has is too old.

    Whoever relies on this log would have to wait for its witnesses, or refuse: nothing new is
    begun.
    """

    code = "log.unwitnessed"


class LogLockedError(AuditLogError):
    """Another process holds the log's lock; two writers would fork it."""

    code = "log.locked"


class LogRefusedError(AuditLogError):
    """Opening would fork or corrupt the log. An operator must look; nothing was changed."""

    code = "log.refused"


class IntentClosedError(AuditLogError):
    """Each intent ends once. `closing` is the entry that ended it, or None if it never was."""

    code = "log.intent-closed"

    def __init__(self, message: str, *, closing: int | None) -> None:
        super().__init__(message)
        self.closing = closing


class NotInLogError(AuditLogError):
    """There is no such entry, tree size or blob."""

    code = "log.unknown"


class PublishError(AuditLogError):
    """A place to publish to could not be read or written; trying again is safe."""

    code = "log.publish"


class PublishConflictError(PublishError):
    """Something else is published there. An operator must look; nothing was replaced."""

    code = "log.publish-conflict"
