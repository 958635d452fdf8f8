"""Turn a file of evidence into tables of names and values, without judging it.

`reading_kinds` takes evidence of each kind apart, `reading_files` what travels beside it. What
their parsers return is walked generically, so that a field a parser learns is shown without
anybody touching this file.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from typing import Final

from rich.text import Text

from attestation import AttestationError, Collateral, Evidence, EvidenceKind, json_strict
from attestation.containers import normalise

from .reading_files import EVENT_LOG, FILES, preview
from .reading_kinds import GUESSES, KINDS
from .reading_table import Grid, Part, Reading, Sections

_MAX_BYTES: Final = 96
_HEAD_BYTES: Final = 32
_MAX_TEXT: Final = 512


def describe(data: bytes, kind: EvidenceKind | None) -> Reading:
    """Return what a file says, as the given kind or the first whose parser takes it.

    Args:
        data: untrusted; any bytes.
        kind: what the caller says it is, or None to guess; then collateral is recognised, too.

    Returns: a reading without parts if it is not of the given kind; one that is not `known` if
        nothing recognised it.
    """
    if kind is not None:
        try:
            return Reading(title=kind.value, parts=tuple(_evidence(data, kind)))
        except AttestationError as exc:
            return Reading(title=f"{kind.value}: {exc}", parts=(), known=False)
    for title, read in _attempts(data):
        try:
            return Reading(title=title, parts=tuple(read()))
        except AttestationError:
            continue
    return _unknown(data)


def _attempts(data: bytes) -> Iterator[tuple[str, Callable[[], Iterator[Part]]]]:
    """Yield what the file may be, files with a signature of their own first."""
    for name, read in FILES.items():
        if name == EVENT_LOG:
            yield name, partial(_parts, "", read(data))
    for kind in GUESSES:
        yield kind.value, partial(_evidence, data, kind)
    for name, read in FILES.items():
        yield name, partial(_parts, "", read(data))


def _evidence(data: bytes, kind: EvidenceKind) -> Iterator[Part]:
    units = normalise(Evidence(kind, data), Collateral())
    for index, unit in enumerate(units):
        raw = unit.evidence.raw
        name = f"device {index}" if len(units) > 1 else "evidence"
        carried = [
            (f"carries {role.value}", f"{len(item)} bytes") for role, item in unit.collateral.items
        ]
        yield Part(title=f"{name}: file", rows=(*_head(raw), *carried))
        yield from _parts(f"{name}: ", KINDS[kind](raw))


def _parts(prefix: str, sections: Sections) -> Iterator[Part]:
    for title, content in sections:
        if isinstance(content, Grid):
            rows = tuple(tuple(map(_text, row)) for row in content.rows)
            yield Part(title=prefix + title, rows=rows, headings=content.headings)
        else:
            yield Part(title=prefix + title, rows=tuple(_rows("", content)))


def _unknown(data: bytes) -> Reading:
    try:
        tree = json_strict.parse(data, what="file", code="file")
    except AttestationError:
        rows = (*_head(data), *preview(data))
        return Reading(
            title=f"unknown, {len(data)} bytes", parts=(Part(title="file", rows=rows),), known=False
        )
    return Reading(title="JSON", parts=(Part(title="document", rows=tuple(_rows("", tree))),))


def _head(raw: bytes) -> tuple[tuple[str, str], ...]:
    return (("bytes", str(len(raw))), ("sha-256", hashlib.sha256(raw).hexdigest()))


def _rows(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    """Walk whatever a parser returned into dotted names and text."""
    if is_dataclass(value) and not isinstance(value, type):
        for each in fields(value):
            yield from _rows(_join(prefix, each.name), getattr(value, each.name))
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _rows(_join(prefix, str(name)), each)
    elif isinstance(value, list | tuple) and not all(isinstance(each, int) for each in value):
        for index, each in enumerate(value):
            yield from _rows(f"{prefix}[{index}]", each)
    else:
        yield prefix, _text(value)


def printable(text: str) -> Text:
    """Return untrusted text as it is safe to print: no markup, no control characters."""
    return Text(
        "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )
    )


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _text(value: object) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bytes):
        if len(value) <= _MAX_BYTES:
            return value.hex()
        return f"{value[:_HEAD_BYTES].hex()}… ({len(value)} bytes)"
    text = "–" if value is None else str(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}… ({len(text)} characters)"
