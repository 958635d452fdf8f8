"""Event logs as dstack writes them: a JSON list over all four runtime registers of a TD.

Boot events carry a digest and data like those of a CCEL. Runtime events (register 3) carry a
name, and their digest is SHA-384 of type, name and payload, so that both are proven.

Source: Dstack-TEE/dstack `cc-eventlog` (TdxEventLog, RuntimeEvent); checked against a real quote.
"""

import re
from hashlib import sha384
from typing import Final

from attestation import json_strict
from attestation.errors import malformed
from attestation.json_fields import Fields

from .event import HASHES, SHA384, Event

_CODE: Final = "event-log.dstack"
MAX_EVENTS: Final = 4096
RUNTIME: Final = 0x08000001
_REGISTERS: Final = 4
_MAX_U32: Final = (1 << 32) - 1
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)


def parse(raw: bytes) -> tuple[Event, ...]:
    """Return the events, with registers numbered 1 … 4 as in a CCEL.

    Raises:
        EvidenceMalformedError: not such a list, or a runtime event whose digest is not that of
            its own name and payload (codes `event-log.dstack*`).
    """
    value = json_strict.parse(raw, what="event log", code=_CODE)
    if not isinstance(value, list) or len(value) > MAX_EVENTS:
        raise malformed(f"{_CODE}.list", "event log", f"<= {MAX_EVENTS} events", "another value")
    return tuple(_event(Fields.of(each, what="event", code=_CODE)) for each in value)


def _event(fields: Fields) -> Event:
    kind = fields.number("event_type", most=_MAX_U32)
    digest = fields.hex("digest", HASHES[SHA384].size) if fields.text("digest") else b""
    text = fields.text("event_payload")
    if not _HEX.fullmatch(text):
        raise malformed(f"{_CODE}.payload", "event_payload", "hex", text[:32])
    payload, name = bytes.fromhex(text), fields.text("event")
    if kind == RUNTIME:
        named = name.encode(errors="surrogatepass")
        expected = sha384(kind.to_bytes(4, "little") + b":" + named + b":" + payload).digest()
        if digest not in (expected, b""):
            raise malformed(f"{_CODE}.digest", f"event {name!r}", expected.hex(), digest.hex())
        digest = expected
    elif not digest:
        raise malformed(f"{_CODE}.digest", "boot event", "a digest", "none")
    return Event(
        index=fields.number("imr", most=_REGISTERS - 1) + 1,
        kind=kind,
        digests={SHA384: digest},
        data=payload,
        name=name,
    )
