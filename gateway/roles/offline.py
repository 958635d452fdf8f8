"""Actions of system administrators on the gateway's host, beside the gateway or while it is down.

They need a token of the role, and leave an ADMIN entry: it waits beside persons' keys until a
gateway that has the log open appends it. Where no administrators are configured the host's own
accounts decide, as for any other file of the gateway.

Source: docs/privacy.md §5.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

from gateway.config import ConfigError, GatewayConfig
from gateway.problems import ProblemError
from gateway.subjects.errors import SubjectsError
from gateway.subjects.store import SubjectStore
from mifeng.protocol.entries import Admin

from .actions import ROLES, Action

TOKEN_FILE: Final = "MIFENG_ADMIN_TOKEN_FILE"  # noqa: S105 - names a file


def permit(settings: GatewayConfig, action: Action, passphrase: bytes) -> None:
    """Record an action that is about to happen.

    Args:
        settings: see `config.load`.
        action: what.
        passphrase: of the log's keys.

    Raises:
        ConfigError: no token, not one of this role, or the action cannot be recorded.
    """
    office, place = settings.administration, settings.subjects
    if office is None or place is None:
        return
    try:
        token = Path(os.environ[TOKEN_FILE]).read_text("utf-8").strip()
    except KeyError:
        raise ConfigError(f"{action.value}: name a token's file in {TOKEN_FILE}") from None
    except (OSError, ValueError) as exc:
        raise ConfigError(f"{TOKEN_FILE}: cannot be read") from exc
    try:
        who = office.directory().authenticate(f"Bearer {token}")
    except ProblemError as exc:
        raise ConfigError(f"{action.value}: {exc.code}: {exc.title}") from exc
    allowed = ROLES[action] is who.role
    try:
        store = SubjectStore.open(place.database, place.key, passphrase)
        try:
            with contextlib.closing(store.hold(alone=False)):
                entry = Admin(
                    at=int(time.time()),
                    role=who.role.value,
                    actor=store.person("", who.name).subject,
                    action=action.value,
                    subject="offline",
                    success=allowed,
                )
                store.remember(entry.encode())
        finally:
            store.close()
    except SubjectsError as exc:
        raise ConfigError(f"{action.value}: {exc}") from exc
    if not allowed:
        raise ConfigError(f"{action.value}: admin.role: belongs to {ROLES[action].value}")
