"""Socket files of the gateway: bound by us, so that their mode is what we say from the start.

A server that makes its own socket file decides its mode, and opens it to every account of the
host. Ours is open to the gateway's user and group; who else may connect is put in that group.

Source: docs/operating.md, Listening.
"""

import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from .config import ConfigError

SOCKET_MODE: Final = 0o660


def bound(path: Path) -> socket.socket:
    """Return a socket bound to a file of mode `SOCKET_MODE`, whatever the umask; not listening.

    Nobody connects before it listens, so nobody connects under another mode.

    Raises:
        ConfigError: somebody listens there, it is something else, or it cannot be bound.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        made.bind(str(path))
        path.chmod(SOCKET_MODE)
    except OSError as exc:
        made.close()
        raise ConfigError(f"listen: unix:{path}: {exc.strerror or exc}") from exc
    except BaseException:
        made.close()
        raise
    return made


def restrict(listen: str) -> None:
    """Give the socket file of an address `SOCKET_MODE`; nothing to do for others."""
    scheme, _, rest = listen.partition(":")
    if scheme == "unix":
        Path(rest).chmod(SOCKET_MODE)


def _clear(path: Path) -> None:
    """Remove what a process that is gone left behind."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"listen: unix:{path}: is there and is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise ConfigError(f"listen: unix:{path}: somebody listens there already")
        path.unlink()
