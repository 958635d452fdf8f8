"""Recognise the common entries whole: INTENT, COMPLETION and the receipt inside.

Nearly all of a log is these three, in canonical JSON, of which each has one spelling. A regular
expression per kind accepts a part of those spellings, namely plain ASCII text, no escapes, and
integers of at most 15 digits, and takes the fields out in the same pass. What it accepts, the
strict reader accepts and understands in the same way; for what it does not, ask the strict reader.
No expression has two ways to match anything, so time is linear in the input.

Source: docs/spec/log.md §1, §2, §8; docs/spec/receipt.md; docs/spec/audit-pack.md §7.
"""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mifeng.errors import MalformedError
from mifeng.protocol import dsse, jsonc
from mifeng.protocol.entries import INTENT_TYPE, MAX_ENTRY
from mifeng.protocol.receipt import MARKS, MAX_STATEMENT_BYTES, OUTCOMES, bucket_usage

_SIGNATURE_BYTES: Final = 64
_MAX_USAGE_KEYS: Final = 16


def _object(fields: Mapping[str, str]) -> str:
    """Return the pattern of an object: names ascending, as canonical JSON has them."""
    if list(fields) != sorted(fields):
        raise ValueError("names are not in canonical order")
    inner = ",".join(f'"{name}":{pattern}' for name, pattern in fields.items())
    return r"\{" + inner + r"\}"


def _text(low: int, high: int, name: str = "") -> str:
    pattern = rf"[ !#-\[\]-~]{{{low},{high}}}"
    return f'"(?P<{name}>{pattern})"' if name else f'"{pattern}"'


def _digest(name: str = "") -> str:
    return f'"(?P<{name}>[0-9a-f]{{64}})"' if name else '"[0-9a-f]{64}"'


def _integer(name: str = "") -> str:
    pattern = "(?:0|[1-9][0-9]{0,14})"
    return f"(?P<{name}>{pattern})" if name else pattern


def _maybe(pattern: str) -> str:
    return f"(?:null|{pattern})"


_ENVELOPE: Final = _object(
    {
        "payload": '"(?P<payload>[A-Za-z0-9+/]+={0,2})"',
        "payloadType": _text(1, 128, "payload_type"),
        "signatures": r"\["
        + _object({"keyid": _text(1, 128, "keyid"), "sig": '"(?P<sig>[A-Za-z0-9+/]{86}==)"'})
        + r"\]",
    }
)
_STATEMENT: Final = re.compile(_ENVELOPE.encode())
_COMPLETION: Final = re.compile(
    _object(
        {
            "at": _integer("at"),
            "h": _digest("h"),
            "intent": _integer("intent"),
            "receipt": _ENVELOPE,
            "type": '"COMPLETION"',
            "v": "1",
        }
    ).encode()
)
_INTENT: Final = re.compile(
    _object(
        {
            "attempt": "(?P<attempt>[1-9][0-9]?)",
            "deadline": _integer("deadline"),
            "h": _digest("h"),
            "index": _integer("index"),
            "issued": _integer("issued"),
            "keyset": _digest("keyset"),
            "origin": _text(1, 255, "origin"),
            "tenant": _text(1, 128, "tenant"),
            "type": '"INTENT"',
            "v": "1",
        }
    ).encode()
)
_RECEIPT: Final = re.compile(
    _object(
        {
            "backend": _text(1, 128),
            "client_auth": _maybe(_digest()),
            "client_policy": _digest(),
            "device": _text(1, 128),
            "finished": _integer("finished"),
            "h": _digest("h"),
            "intent": _object({"index": _integer("index"), "origin": _text(1, 255, "origin")}),
            "keyset": _digest("keyset"),
            "log": _object({"root": _digest("root"), "size": _integer("size")}),
            "marks": r"(?P<marks>\[[A-Z\",]*\])",
            "model": _object({"digest": _digest(), "name": _text(1, 128, "model")}),
            "node_policy": _digest(),
            "outcome": f'"(?P<outcome>{"|".join(OUTCOMES)})"',
            "prev": _digest("prev"),
            "reason": _text(0, 64),
            "salted_request": _maybe(_digest()),
            "salted_response": _maybe(_digest()),
            "sealed_request": _digest(),
            "sealed_response": _digest(),
            "seq": _integer("seq"),
            "started": _integer("started"),
            "usage": r"(?P<usage>\{[a-z0-9_\",:]*\})",
            "v": "1",
        }
    ).encode()
)


@dataclass(frozen=True, slots=True)
class SaidIntent:
    """Of `entries.Intent` what an auditor states."""

    origin: str
    index: int
    h: bytes
    keyset: bytes
    attempt: int
    tenant: str
    issued: int
    deadline: int


@dataclass(frozen=True, slots=True)
class SaidReceipt:
    """Of `receipt.Receipt` what an auditor states."""

    h: bytes
    outcome: str
    origin: str
    intent_index: int
    seq: int
    prev: bytes
    keyset: bytes
    model: str
    started: int
    finished: int
    log_size: int
    log_root: bytes
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SaidCompletion:
    """Of `entries.Completion` what an auditor states; its receipt is a parsed envelope."""

    at: int
    h: bytes
    intent: int
    receipt: dsse.Envelope


def intent(data: bytes) -> tuple[SaidIntent, dsse.Envelope] | None:
    """Return the INTENT that an entry is, or None if that is left to the strict reader."""
    envelope = statement(data)
    if envelope is None or envelope.payload_type != INTENT_TYPE:
        return None
    said = _INTENT.fullmatch(envelope.payload)
    if said is None:
        return None
    made = SaidIntent(
        origin=said["origin"].decode(),
        index=int(said["index"]),
        h=_raw(said["h"]),
        keyset=_raw(said["keyset"]),
        attempt=int(said["attempt"]),
        tenant=said["tenant"].decode(),
        issued=int(said["issued"]),
        deadline=int(said["deadline"]),
    )
    return made, envelope


def completion(data: bytes) -> SaidCompletion | None:
    """Return the COMPLETION that an entry is, or None if that is left to the strict reader."""
    said = _COMPLETION.fullmatch(data) if len(data) <= MAX_ENTRY else None
    envelope = _envelope(said) if said else None
    if said is None or envelope is None:
        return None
    return SaidCompletion(int(said["at"]), _raw(said["h"]), int(said["intent"]), envelope)


def statement(data: bytes) -> dsse.Envelope | None:
    """Return the envelope that `data` is, or None if that is left to the strict reader."""
    said = _STATEMENT.fullmatch(data) if len(data) <= MAX_ENTRY else None
    return _envelope(said) if said else None


def receipt(payload: bytes) -> SaidReceipt | None:
    """Return the receipt that a payload is, or None if that is left to the strict reader."""
    said = _RECEIPT.fullmatch(payload) if len(payload) <= MAX_STATEMENT_BYTES else None
    if said is None or not _usage(said["usage"]) or (marks := _marks(said["marks"])) is None:
        return None
    return SaidReceipt(
        h=_raw(said["h"]),
        outcome=said["outcome"].decode(),
        origin=said["origin"].decode(),
        intent_index=int(said["index"]),
        seq=int(said["seq"]),
        prev=_raw(said["prev"]),
        keyset=_raw(said["keyset"]),
        model=said["model"].decode(),
        started=int(said["started"]),
        finished=int(said["finished"]),
        log_size=int(said["size"]),
        log_root=_raw(said["root"]),
        marks=marks,
    )


def _envelope(said: re.Match[bytes]) -> dsse.Envelope | None:
    """Return the envelope if its base64 has the one spelling of its bytes."""
    try:
        payload, signature = a2b_base64(said["payload"]), a2b_base64(said["sig"])
    except ValueError:
        return None
    spelt = (b2a_base64(payload, newline=False), b2a_base64(signature, newline=False))
    if spelt != (said["payload"], said["sig"]) or len(signature) != _SIGNATURE_BYTES:
        return None
    return dsse.Envelope(
        payload=payload,
        payload_type=said["payload_type"].decode(),
        keyid=said["keyid"].decode(),
        signature=signature,
    )


def _raw(digits: bytes) -> bytes:
    return bytes.fromhex(digits.decode())


@lru_cache(maxsize=4096)
def _usage(raw: bytes) -> bool:
    """Whether the strict reader takes this usage; it is one of few."""
    try:
        values = jsonc.loads(raw)
    except MalformedError:
        return False
    return (
        isinstance(values, dict)
        and len(values) <= _MAX_USAGE_KEYS
        and all(type(n) is int and n == bucket_usage(n) for n in values.values())
    )


@lru_cache(maxsize=64)
def _marks(raw: bytes) -> tuple[str, ...] | None:
    """Return the marks if the strict reader takes them; they are one of few."""
    try:
        values = jsonc.loads(raw)
    except MalformedError:
        return None
    marks = tuple(mark for mark in MARKS if isinstance(values, list) and mark in values)
    return marks if isinstance(values, list) and list(marks) == values else None
