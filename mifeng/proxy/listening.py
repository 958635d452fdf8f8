"""Where the proxy listens: this machine and nowhere else, and the socket file its owner's only."""

import os
import socket
from pathlib import Path
from typing import Final

from mifeng import socketfile
from mifeng.errors import UsageError

_OWNER_ONLY: Final = 0o600


def local(address: str, option: str = "--listen") -> tuple[str, int] | Path:
    """Return a listening address on this machine.

    Raises:
        UsageError: another machine could reach it: the proxy speaks plaintext.
    """
    if address.startswith("unix:"):
        return Path(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost", "[::1]") or not port.isdecimal():
        raise UsageError(
            f"{option} {address}: the proxy speaks plaintext, so it listens on this machine only: "
            "127.0.0.1:PORT, [::1]:PORT or unix:PATH"
        )
    return host.strip("[]"), int(port)


def bound(place: tuple[str, int] | Path) -> socket.socket:
    """Return a bound socket; a socket file is readable by its owner only.

    Raises:
        UsageError: somebody listens there, or it cannot be bound.
    """
    if isinstance(place, Path):
        try:
            return socketfile.bound(place, mode=_OWNER_ONLY)
        except UsageError as exc:
            raise UsageError(f"--listen {exc}") from exc
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    if os.name != "nt":
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(place)
    except OSError as exc:
        made.close()
        raise UsageError(f"--listen {place[0]}:{place[1]}: {exc.strerror}") from exc
    return made
