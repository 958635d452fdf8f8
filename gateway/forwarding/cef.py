r"""Write an event in the Common Event Format, version 0, as the message of a syslog line.

Header fields escape `\` and `|`, extension values `\` and `=`; line breaks cannot occur, since
values are made printable first.

Source: Micro Focus, Implementing ArcSight Common Event Format, version 25; docs/forwarding.md §4.
"""

import re
from typing import Final

from mifeng.version import VERSION

from .event import Event
from .syslog import MAX_BYTES, Source, header, plain

SEVERITIES: Final = {0: 10, 1: 10, 2: 9, 3: 7, 4: 5, 5: 3, 6: 1, 7: 0}
"""Syslog's severity → CEF's, 0 low … 10 very high."""
KEYS: Final = {
    "node": "dhost",
    "tenant": "suser",
    "code": "reason",
    "operation": "act",
    "index": "cn1",
    "tier": "cs1",
    "size": "cn2",
    "model": "cs2",
    "instance": "dvchost",
    "status": "outcome",
}
LABELS: Final = {"cn1": "entry", "cs1": "assurance tier", "cn2": "log size", "cs2": "model"}
_HEADER: Final = re.compile(r"([\\|])")
_VALUE: Final = re.compile(r"([\\=])")
_ESCAPE: Final = r"\\\1"


def message(event: Event, source: Source) -> bytes:
    """Return the line, at most 2048 bytes; fields that do not fit are left out whole."""
    fields = ("mifeng", "gateway", VERSION, event.name, event.kind.title)
    shown = "|".join(_HEADER.sub(_ESCAPE, plain(value)) for value in fields)
    severity = SEVERITIES[event.kind.severity]
    data = (
        f"{header(event, source)} - CEF:0|{shown}|{severity}|rt={round(event.at * 1000)}".encode()
    )
    for name, value in event.fields:
        key = KEYS.get(name)
        if key is None:
            continue
        pair = f" {key}={_VALUE.sub(_ESCAPE, plain(value))}"
        if key in LABELS:
            pair += f" {key}Label={LABELS[key]}"
        if len(data) + len(pair.encode()) <= MAX_BYTES:
            data += pair.encode()
    return data
