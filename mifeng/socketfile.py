"""Unix sockets whose file has the mode its owner means, from before anybody can connect.

A server that makes its own socket file decides its mode, and usually opens it to every account of
the host. Here it is bound first, given its mode, and only then listened on.

Source: docs/operating.md, Listening; docs/proxy.md.
"""

import socket
import stat
from contextlib import suppress
from pathlib import Path

from mifeng.errors import UsageError


def bound(path: Path, *, mode: int) -> socket.socket:
    """Return a socket bound to a file of `mode`, whatever the umask; not listening.

    What a process that is gone left behind is replaced; nobody connects before somebody listens,
    so nobody connects under another mode.

    Raises:
        UsageError: somebody listens there, it is something else, or it cannot be bound.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError(f"unix:{path}: this system has no unix sockets")
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        made.bind(str(path))
        path.chmod(mode)
    except OSError as exc:
        made.close()
        raise UsageError(f"unix:{path}: {exc.strerror or exc}") from exc
    except BaseException:
        made.close()
        raise
    return made


def _clear(path: Path) -> None:
    """Remove what a process that is gone left behind."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UsageError(f"unix:{path}: is there and is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise UsageError(f"unix:{path}: somebody listens there already")
        path.unlink()
