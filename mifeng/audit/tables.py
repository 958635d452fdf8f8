"""Entries of a pack as JSON lines or as a table that a spreadsheet opens.

The CSV has a byte order mark, so that Chinese shows in spreadsheets, and no cell that one would
take for a formula. Both are views for people and tools; the pack is the evidence.

Source: docs/auditing.md; RFC 4180; OWASP on CSV injection.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from mifeng.errors import MalformedError
from mifeng.protocol import dsse, entries, jsonc
from mifeng.protocol.receipt import Receipt

from .pack import Pack
from .wording import moment, printable

BOM: Final = "\ufeff"
COLUMNS: Final = (
    "index",
    "type",
    "at",
    "time",
    "request",
    "intent",
    "tenant",
    "node",
    "keyset",
    "outcome",
    "model",
    "reason",
    "subject",
    "marks",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def json_lines(path: Path) -> Iterator[str]:
    """Yield one line per entry: its index, type and document, and what a statement in it says."""
    with Pack(path) as pack:
        for number in pack.chunks:
            for index, data in pack.entries(number):
                document = json.dumps(_document(index, data), ensure_ascii=False)
                yield document + "\n"


def _document(index: int, data: bytes) -> dict[str, Any]:
    try:
        entry = entries.decode(data)
        document: dict[str, Any] = {"index": index, "type": entries.entry_type(entry)}
        document["entry"] = jsonc.loads(data, limit=entries.MAX_ENTRY)
        held = (getattr(entry, name, None) for name in ("statement", "receipt"))
        if (statement := next((each for each in held if each is not None), None)) is not None:
            document["payload"] = jsonc.loads(dsse.parse(statement).payload)
        return document
    except MalformedError:
        return {"index": index, "malformed": data.hex()}


def csv_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a table, the first with the byte order mark and the names."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    yield BOM + _taken(out)
    with Pack(path) as pack:
        for number in pack.chunks:
            for index, data in pack.entries(number):
                cells = _cells(index, data)
                writer.writerow([_safe(cells.get(name, "")) for name in COLUMNS])
                yield _taken(out)


def _taken(out: io.StringIO) -> str:
    line = out.getvalue()
    out.seek(0)
    out.truncate()
    return line


def _cells(index: int, data: bytes) -> dict[str, object]:
    cells: dict[str, object] = {"index": index}
    try:
        entry = entries.decode(data)
    except MalformedError:
        return cells | {"type": "?"}
    cells["type"] = entries.entry_type(entry)
    if isinstance(entry, entries.SignedIntent):
        said = entry.intent
        about = {"at": said.issued, "request": said.h.hex(), "tenant": said.tenant}
        cells["time"] = moment(said.issued)
        return cells | about | {"intent": index, "keyset": said.keyset.hex()}
    for name in ("at", "node", "tenant", "intent", "reason"):
        cells[name] = getattr(entry, name, "")
    cells["time"] = moment(entry.at)
    if isinstance(entry, entries.PolicyActivated | entries.Release):
        cells["subject"] = entry.name
    elif isinstance(entry, entries.Admin):
        cells["subject"] = f"{entry.action} {entry.subject}"
    if isinstance(keyset := getattr(entry, "keyset", None), bytes):
        cells["keyset"] = keyset.hex()
    if isinstance(h := getattr(entry, "h", None), bytes):
        cells["request"] = h.hex()
    if isinstance(entry, entries.Completion | entries.Late):
        try:
            made = Receipt.decode(dsse.parse(entry.receipt).payload)
        except MalformedError:
            return cells
        cells |= {"keyset": made.keyset.hex(), "outcome": made.outcome, "model": made.model}
        cells |= {"reason": made.reason, "marks": " ".join(made.marks)}
    return cells


def _safe(value: object) -> object:
    """Defuse text that a spreadsheet would run, or that would steer a terminal."""
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value)
