"""Socket files of the gateway: open to its user and group; who else may connect joins that group.

Source: docs/operating.md, Listening.
"""

import socket
from pathlib import Path
from typing import Final

from mifeng import socketfile
from mifeng.errors import UsageError

from .config import ConfigError

SOCKET_MODE: Final = 0o660


def bound(path: Path) -> socket.socket:
    """Return a socket bound to a file of `SOCKET_MODE`, not listening; raises `ConfigError`."""
    try:
        return socketfile.bound(path, mode=SOCKET_MODE)
    except UsageError as exc:
        raise ConfigError(f"listen: {exc}") from exc


def restrict(listen: str) -> None:
    """Give the socket file of an address `SOCKET_MODE`; nothing to do for others."""
    scheme, _, rest = listen.partition(":")
    if scheme == "unix":
        Path(rest).chmod(SOCKET_MODE)
