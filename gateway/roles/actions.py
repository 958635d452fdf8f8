"""Every administrative action and the one role it belongs to.

    system     keeps the service running; sees no policy, no log content, no persons
    security   decides who and what is trusted: policy, nodes, erasure
    audit      reads and exports the log, opens a person for a stated reason; changes nothing

An action that is not in the table does not exist. Source: docs/privacy.md §5.
"""

from enum import Enum
from typing import Final


class Role(Enum):
    """What an administrator may do; each has exactly one."""

    SYSTEM = "system"
    SECURITY = "security"
    AUDIT = "audit"


class Action(Enum):
    """An administrative action; its value stands in ADMIN entries."""

    STATUS = "gateway.status"
    DRAIN = "gateway.drain"
    LOG_CREATE = "log.create"
    LOG_RESTORE = "log.restore"
    LOG_MOVE = "log.move"
    LOG_PRUNE = "log.prune"
    POLICY_READ = "policy.read"
    NODE_EXPIRE = "node.expire"
    FORWARDING_READ = "forwarding.read"
    SUBJECT_ERASE = "subject.erase"
    LOG_READ = "log.read"
    LOG_EXPORT = "log.export"
    SUBJECT_OPEN = "subject.open"
    ADMINISTRATORS_READ = "administrators.read"


ROLES: Final[dict[Action, Role]] = {
    Action.STATUS: Role.SYSTEM,
    Action.DRAIN: Role.SYSTEM,
    Action.LOG_CREATE: Role.SYSTEM,
    Action.LOG_RESTORE: Role.SYSTEM,
    Action.LOG_MOVE: Role.SYSTEM,
    Action.LOG_PRUNE: Role.SYSTEM,
    Action.POLICY_READ: Role.SECURITY,
    Action.NODE_EXPIRE: Role.SECURITY,
    Action.FORWARDING_READ: Role.SECURITY,
    Action.SUBJECT_ERASE: Role.SECURITY,
    Action.LOG_READ: Role.AUDIT,
    Action.LOG_EXPORT: Role.AUDIT,
    Action.SUBJECT_OPEN: Role.AUDIT,
    Action.ADMINISTRATORS_READ: Role.AUDIT,
}
