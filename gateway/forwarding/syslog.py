"""Write an event as a syslog message, RFC 5424.

Values go into structured data, where only three characters need escaping and no value can end its
element; the message is a constant text. So whatever a value holds, a receiver reads one message
with those values (CWE-117).

Source: RFC 5424 §6; docs/forwarding.md §3.
"""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from .event import Event

FACILITY: Final = 13
"""log audit, RFC 5424 §6.2.1."""
DOCUMENTATION_PEN: Final = 32473
"""Private enterprise number for examples, RFC 5612; an operator configures its own."""
MAX_VALUE: Final = 256
MAX_BYTES: Final = 2048
"""What every receiver should accept, RFC 5424 §6.1."""
_ESCAPED: Final = re.compile(r'(["\\\]])')
_BACKSLASH: Final = r"\\\1"
_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who sends."""

    host: str
    app: str = "mifeng-gateway"
    enterprise: int = DOCUMENTATION_PEN


def plain(value: str | int) -> str:
    """Return a value on one line: unprintable becomes U+FFFD, and its length is bounded."""
    text = str(value)[: MAX_VALUE + 1]
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    # A lone surrogate has no UTF-8.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= MAX_VALUE else text[: MAX_VALUE - 1] + "…"


def header_field(text: str, limit: int) -> str:
    """Return text as a field of the header: printable ASCII without blanks, `-` if it is empty."""
    return re.sub(r"[^!-~]", "_", text)[:limit] or "-"


def header(event: Event, source: Source) -> str:
    """Return everything before the structured data."""
    priority = FACILITY * 8 + event.kind.severity
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    return " ".join(
        (
            f"<{priority}>1",
            at.replace("+00:00", "Z"),
            header_field(source.host, 255),
            header_field(source.app, 48),
            str(os.getpid()),
            header_field(event.name, 32),
        )
    )


def message(event: Event, source: Source) -> bytes:
    """Return the message, at most `MAX_BYTES`; parameters that do not fit are left out whole."""
    start = f"{header(event, source)} [{header_field(f'mifeng@{source.enterprise}', 32)}"
    end = f"] \ufeff{event.kind.title}".encode()
    room = MAX_BYTES - len(start.encode()) - len(end)
    data = bytearray(start.encode())
    for name, value in (("event", event.name), *event.fields):
        param = f' {_NAME.sub("_", name)[:32]}="{_ESCAPED.sub(_BACKSLASH, plain(value))}"'.encode()
        if len(param) <= room:
            data += param
            room -= len(param)
    return bytes(data) + end
