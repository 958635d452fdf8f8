"""The directory in which a gateway keeps its anchors, as anybody may read it.

    records/<size, 16 digits>-<kind>-<name>.json   what third parties answered: anchor records
    queue/<name>/<size>.json                       what waits for anchor <name>
    stopped/<name>/<size>.json                     what an anchor refused for good, and why

Writing is the gateway's. Files appear whole, by rename.

Source: docs/anchoring.md §3.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from mifeng.errors import MalformedError, UsageError
from mifeng.protocol import jsonc, note
from mifeng.protocol.jsonc import Fields, from_base64, to_base64

from .record import KINDS, MAX_RECORD, NAME, AnchorRecord

RECORDS: Final = "records"
QUEUE: Final = "queue"
STOPPED: Final = "stopped"
VERSION: Final = 1
_MAX_TICKET: Final = 256 << 10
_FILE: Final = re.compile(r"([0-9]{16})\.json")
_RECORD: Final = re.compile(rf"([0-9]{{16}})-(?:{'|'.join(KINDS)})-({NAME})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A note on its way to one anchor."""

    note: bytes
    size: int
    made: int
    """Unix seconds at which it was queued."""
    ticket: bytes = b""
    """What is sent, kept before it is sent: a signed transaction, a request. Empty: none made."""
    ticket_at: int = 0
    """Unix seconds at which the ticket was made."""
    stopped: str = ""
    """Code of the refusal, if it was refused for good."""

    def encode(self) -> bytes:
        """Return the canonical bytes."""
        return jsonc.dumps(
            {
                "v": VERSION,
                "note": self.note.decode(),
                "size": self.size,
                "made": self.made,
                "ticket": to_base64(self.ticket),
                "ticket_at": self.ticket_at,
                "stopped": self.stopped,
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return what `data` encodes; raises `MalformedError`."""
        fields = Fields(jsonc.loads(data), "waiting")
        fields.integer("v", low=VERSION, high=VERSION)
        ticket = from_base64(fields.text("ticket", limit=_MAX_TICKET, empty=True))
        if ticket is None:
            raise MalformedError("waiting: ticket is not base64")
        waiting = cls(
            note=fields.text("note", limit=note.MAX_NOTE).encode(),
            size=fields.integer("size"),
            made=fields.integer("made"),
            ticket=ticket,
            ticket_at=fields.integer("ticket_at"),
            stopped=fields.text("stopped", limit=64, empty=True),
        )
        fields.end()
        return waiting


def file_name(size: int) -> str:
    """Return the name under which a note of `size` waits."""
    return f"{size:016d}.json"


def record_name(size: int, kind: str, name: str) -> str:
    """Return the name under which a record is kept."""
    return f"{size:016d}-{kind}-{name}.json"


def size_of(file: str) -> int | None:
    """Return the size in a name that `file_name` made; None for any other."""
    made = _FILE.fullmatch(file)
    return int(made[1]) if made else None


def recorded(file: str) -> tuple[int, str] | None:
    """Return size and anchor in a name that `record_name` made; None for any other."""
    made = _RECORD.fullmatch(file)
    return (int(made[1]), made[2]) if made else None


def records(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the records below a gateway's directory, or in a published log's, by size.

    Raises:
        UsageError: one cannot be read, or is too large to be one.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            if path.stat().st_size > MAX_RECORD:
                raise UsageError(f"{path}: not an anchor record")
            yield path, path.read_bytes()
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc


def waiting(folder: Path, name: str) -> list[Waiting]:
    """Return what waits, or was stopped, for anchor `name` below `queue` or `stopped`, by size.

    Files of other names are not the gateway's and are left alone; one that is gone by the time it
    is read waits no longer: the gateway kept its record first.

    Raises:
        UsageError: a file is damaged.
    """
    found = []
    for path in sorted((folder / name).glob("*.json")):
        if size_of(path.name) is None:
            continue
        try:
            found.append(Waiting.decode(path.read_bytes()))
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        except MalformedError as exc:
            raise UsageError(f"{path}: {exc}") from exc
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How one anchor stands."""

    name: str
    kind: str
    records: int
    newest: int
    """Size of the newest checkpoint it holds; 0 if none."""
    at: int
    """Unix seconds of that record, the gateway's word."""
    waiting: int
    oldest: int
    """Unix seconds since which the oldest waits; 0 if none does."""
    stopped: tuple[str, ...]
    """Codes of refusals."""


def states(folder: Path) -> list[State]:
    """Return how each anchor of a gateway's directory stands, by name.

    Raises:
        UsageError: not such a directory, or something in it is damaged.
    """
    if not (folder / RECORDS).is_dir():
        raise UsageError(f"{folder}: not a gateway's directory of anchors")
    held: dict[str, list[AnchorRecord]] = {}
    for path, data in records(folder / RECORDS):
        try:
            record = AnchorRecord.decode(data)
        except MalformedError as exc:
            raise UsageError(f"{path}: {exc}") from exc
        held.setdefault(record.name, []).append(record)
    names = {*held, *(path.name for part in (QUEUE, STOPPED) for path in (folder / part).glob("*"))}
    found = []
    for name in sorted(names):
        mine = held.get(name, [])
        queued = waiting(folder / QUEUE, name)
        found.append(
            State(
                name=name,
                kind=mine[-1].kind if mine else "",
                records=len(mine),
                newest=mine[-1].claim.size if mine else 0,
                at=mine[-1].at if mine else 0,
                waiting=len(queued),
                oldest=queued[0].made if queued else 0,
                stopped=tuple(each.stopped for each in waiting(folder / STOPPED, name)),
            )
        )
    return found
