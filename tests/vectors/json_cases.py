"""Documents that canonical JSON accepts and refuses, and why each is here."""

from collections.abc import Sequence
from typing import Final

_NESTED: Final = 32
JSON_CASES: Final[Sequence[tuple[str, bytes, bool]]] = (
    ("the empty object", b"{}", True),
    ("keys in order", b'{"A":1,"a":2,"b":3}', True),
    ("every kind of value", b'[null,true,false,0,-1,"",[],{}]', True),
    ("the largest integer", b"9007199254740991", True),
    ("the smallest integer", b"-9007199254740991", True),
    ("text beyond ASCII stands as it is", '"密封 \U0001f512 \u2028"'.encode(), True),
    ("short escapes", b'"\\b\\t\\n\\f\\r\\"\\\\/"', True),
    ("control characters in lower-case hex", b'"\\u0000\\u001f\x7f"', True),
    ("as deep as allowed", b"[" * _NESTED + b"]" * _NESTED, True),
    ("nothing", b"", False),
    ("white space inside", b'{"a": 1}', False),
    ("white space before", b" 1", False),
    ("white space behind", b"1\n", False),
    ("keys out of order", b'{"b":1,"a":2}', False),
    ("a key twice", b'{"a":1,"a":1}', False),
    ("a key beyond ASCII", '{"é":1}'.encode(), False),
    ("a fraction", b"1.5", False),
    ("a fraction that is whole", b"1.0", False),
    ("an exponent", b"1e3", False),
    ("minus zero", b"-0", False),
    ("a leading zero", b"01", False),
    ("one more than the largest integer", b"9007199254740992", False),
    ("not a number", b"NaN", False),
    ("infinity", b"-Infinity", False),
    ("an escape that need not be", b'"\\u0061"', False),
    ("an escaped solidus", b'"\\/"', False),
    ("an escape in upper-case hex", b'"\\u001F"', False),
    ("a long escape where a short one exists", b'"\\u000a"', False),
    ("a raw control character", b'"\t"', False),
    ("a lone surrogate", b'"\\ud800"', False),
    ("an escaped surrogate pair", b'"\\ud83d\\udd12"', False),
    ("a byte order mark", b"\xef\xbb\xbf{}", False),
    ("UTF-8 that is none", b'"\xff"', False),
    ("an overlong encoding", b'"\xc0\xaf"', False),
    ("a trailing comma", b"[1,]", False),
    ("an open array", b"[1", False),
    ("two values", b"1 1", False),
    ("single quotes", b"{'a':1}", False),
    ("a comment", b"[]//", False),
    ("deeper than allowed", b"[" * (_NESTED + 1) + b"]" * (_NESTED + 1), False),
)


def canonical_json() -> str:
    """Return the cases of canonical JSON: a comment, the bytes in hex, what must come of them."""
    head = "# Canonical JSON (docs/spec/encoding.md §3): documents to accept and to refuse.\n"
    blocks = [
        f"\n# {name}\nbytes: {data.hex()}\nexpect: {'accept' if valid else 'reject'}\n"
        for name, data, valid in JSON_CASES
    ]
    return head + "".join(blocks)
