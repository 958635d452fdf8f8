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
from .wording import printable

BOM: Final = "\ufeff"
COLUMNS: Final = (
    "index",
    "type",
    "at",
    "request",
    "intent",
    "tenant",
    "node",
    "keyset",
    "outcome",
    "model",
    "reason",
    "marks",
)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def json_lines(path: Path) -> Iterator[str]:
    """Yield one line per entry: its index and its document; INTENTs with their payload open."""
    with Pack(path) as pack:
        for number in pack.chunks:
            for index, data in pack.entries(number):
                document = json.dumps(_document(index, data), ensure_ascii=False)
                yield document + "\n"


def _document(index: int, data: bytes) -> dict[str, Any]:
    try:
        found = jsonc.loads(data, limit=entries.MAX_ENTRY)
        if isinstance(found, dict) and "payloadType" in found:
            payload = jsonc.loads(dsse.from_json(found).payload)
            return {"index": index, "entry": found, "payload": payload}
        return {"index": index, "entry": found}
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
        return cells | about | {"intent": index, "keyset": said.keyset.hex()}
    for name in ("at", "node", "tenant", "intent", "reason"):
        cells[name] = getattr(entry, name, "")
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
