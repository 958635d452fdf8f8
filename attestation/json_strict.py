"""JSON as verifiers need it: nothing said twice, nothing deep, nothing large, exact bytes kept.

Two parsers that disagree about a document are an attack, so what others tolerate is refused
here: repeated keys, `NaN`, text that is not UTF-8, a byte-order mark, anything after the value.

Source: RFC 8259; docs/spec/appraisal.md §4.
"""

import json
import re
from typing import Final, NoReturn

from .errors import malformed

MAX_JSON_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 32
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_BRACKET: Final = re.compile(r"[\[\]{}]")
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


class _RepeatedKeyError(ValueError):
    """An object names one key twice."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise _RepeatedKeyError("a key occurs twice")
    return table


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)


def parse(raw: bytes, *, what: str, code: str) -> object:
    """Return the one JSON value `raw` holds.

    Args:
        raw: untrusted; any bytes.
        what: the document's name, for people.
        code: prefix of the finding's code, e.g. `intel-tdx.tcb-info`.

    Raises:
        EvidenceMalformedError: not strict JSON (codes `<code>.size`, `.depth`,
            `.duplicate-key`, `.json`).
    """
    text = _text(raw, what=what, code=code)
    start = _skip(text, 0)
    value, end = _decode(text, start, what=what, code=code)
    if _skip(text, end) != len(text):
        raise malformed(f"{code}.json", what, "nothing after the value", f"more at {end}")
    return value


def parse_object(raw: bytes, *, what: str, code: str) -> dict[str, object]:
    """Return the one JSON object `raw` holds; raises as `parse`."""
    value = parse(raw, what=what, code=code)
    if not isinstance(value, dict):
        raise malformed(f"{code}.json", what, "an object", type(value).__name__)
    return value


def members(raw: bytes, *, what: str, code: str) -> dict[str, bytes]:
    """Return the exact bytes of each member's value of the one object `raw` holds.

    Vendors sign the bytes of a member as they were delivered; re-serialising would change them.

    Raises:
        EvidenceMalformedError: as `parse_object`.
    """
    parse_object(raw, what=what, code=code)
    text = _text(raw, what=what, code=code)
    # The document is known to be one strict object, so every step below finds what it expects.
    spans: dict[str, bytes] = {}
    at = _skip(text, _skip(text, 0) + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        spans[str(key)] = text[at:end].encode()
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return spans


def depth(text: str) -> int:
    """Return the deepest nesting of arrays and objects in `text`, counted without recursion.

    Parsers written in C nest on the C stack, and what bounds them is the interpreter's recursion
    limit, which any library in the process may have raised: ask before parsing.
    """
    opened = text.count("[") + text.count("{")
    if opened <= 1:
        return opened
    deepest = level = 0
    for char in _BRACKET.findall(_STRING.sub("", text)):
        level += 1 if char in "[{" else -1
        deepest = max(deepest, level)
    return deepest


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _text(raw: bytes, *, what: str, code: str) -> str:
    if len(raw) > MAX_JSON_BYTES:
        raise malformed(f"{code}.size", what, f"<= {MAX_JSON_BYTES} bytes", len(raw))
    try:
        text = raw.decode()
    except UnicodeDecodeError as exc:
        raise malformed(f"{code}.json", what, "UTF-8", "other bytes") from exc
    if depth(text) > MAX_DEPTH:
        raise malformed(f"{code}.depth", what, f"depth <= {MAX_DEPTH}", "deeper")
    return text


def _decode(text: str, at: int, *, what: str, code: str) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except _RepeatedKeyError as exc:
        raise malformed(f"{code}.duplicate-key", what, "each key once", "a key twice") from exc
    except ValueError as exc:  # JSONDecodeError, and integers with too many digits
        raise malformed(f"{code}.json", what, "strict JSON", str(exc)[:200]) from exc
