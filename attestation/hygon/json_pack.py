"""Pack Hygon structures that arrive as JSON fields back into the bytes that were signed.

Agents serialise the parsed structures field by field. Packing them again decides nothing: if one
byte comes out wrong, the signature does not verify.

Source: openanolis/csv-rs (serde names of `ca::Certificate`, `csv::Certificate`).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from attestation.containers import json_bytes
from attestation.errors import malformed

Row = tuple[str, int]
"""A member's path with dots (digits index a list) and its size in bytes, in the order of the
structure."""

_KEY: Final = (("g", 4), ("x", 72), ("y", 72))


def _under(prefix: str, rows: Sequence[Row]) -> tuple[Row, ...]:
    return tuple((f"{prefix}.{path}", size) for path, size in rows)


CA: Final = (
    ("body.preamble.ver", 4),
    ("body.preamble.data.kid", 16),
    ("body.preamble.data.sid", 16),
    ("body.preamble.data.usage", 4),
    ("body.preamble.data.reserved", 24),
    *_under("body.pubkey", _KEY),
    ("body.uid_size", 2),
    ("body.user_id", 254),
    ("body.reserved", 108),
    ("signature.r", 72),
    ("signature.s", 72),
    ("_reserved", 112),
)
_SLOT: Final = (
    ("usage", 4),
    ("algo", 4),
    ("signature.r", 72),
    ("signature.s", 72),
    ("_reserved", 368),
)
CSV: Final = (
    ("body.ver", 4),
    ("body.data.firmware.major", 1),
    ("body.data.firmware.minor", 1),
    ("body.data.reserved1", 2),
    ("body.data.pubkey.usage", 4),
    ("body.data.pubkey.algo", 4),
    *_under("body.data.pubkey.key", _KEY),
    ("body.data.uid_size", 2),
    ("body.data.user_id", 254),
    ("body.data.sid", 16),
    ("body.data.reserved2", 608),
    *_under("sigs.0", _SLOT),
    *_under("sigs.1", _SLOT),
)


def pack(value: object, rows: Sequence[Row], *, what: str, code: str) -> bytes:
    """Return the bytes of one structure: from its fields, or given as bytes already.

    Args:
        value: untrusted; an object as `rows` describe it, hex or base64 text, or a byte list.
        rows: the structure.
        what: its name, for people.
        code: prefix of the finding's code.

    Raises:
        EvidenceMalformedError: a member is missing or does not fit (code `<code>.json`).
    """
    size = sum(each for _, each in rows)
    if not isinstance(value, Mapping):
        raw = json_bytes(value, what=what, code=code)
        if len(raw) != size:
            raise malformed(f"{code}.json", what, f"{size} bytes", len(raw))
        return raw
    return b"".join(
        _field(_find(value, path), size, what=f"{what} {path}", code=code) for path, size in rows
    )


def _find(value: object, path: str) -> object:
    """Return the member at `path`, or None."""
    for name in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _field(value: object, size: int, *, what: str, code: str) -> bytes:
    if type(value) is int and 0 <= value < 1 << 8 * size:
        return value.to_bytes(size, "little")
    if isinstance(value, list | str):
        raw = json_bytes(value, what=what, code=code)
        if len(raw) == size:
            return raw
    raise malformed(f"{code}.json", what, f"{size} bytes", type(value).__name__)
