"""The one text form that iTrustee signs: JSON as the C library cJSON prints it.

Pretty-printed with tabs, members in the order received. What that library would print in a way
that depends on its build (fractions, large numbers) is refused.

Source: cJSON 1.7 `cJSON_Print`; checked against two real signatures.
"""

from base64 import urlsafe_b64encode
from typing import Final

from attestation.errors import malformed

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r"} | {
    "\t": "\\t"
}
_FIRST_PRINTABLE: Final = " "
_INT: Final = range(-(1 << 31), 1 << 31)


def signed_form(value: object, *, code: str) -> bytes:
    """Return what is signed of a JSON value: unpadded base64url of its printed text.

    Raises:
        EvidenceMalformedError: a value whose printed form is not certain (code `<code>.json`).
    """
    text = _print(value, 0, code).encode(errors="surrogatepass")
    return urlsafe_b64encode(text).rstrip(b"=")


def _print(value: object, depth: int, code: str) -> str:
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case int() if value in _INT:
            return str(value)
        case str():
            return _quoted(value)
        case list():
            return "[" + ", ".join(_print(each, depth + 1, code) for each in value) + "]"
        case dict():
            indent = "\t" * (depth + 1)
            members = ",\n".join(
                f"{indent}{_quoted(name)}:\t{_print(each, depth + 1, code)}"
                for name, each in value.items()
            )
            return "{\n" + (f"{members}\n" if members else "") + "\t" * depth + "}"
        case _:
            raise malformed(f"{code}.json", "signed JSON", "small integers and text", repr(value))


def _quoted(text: str) -> str:
    escaped = (
        _ESCAPES.get(char, char if char >= _FIRST_PRINTABLE else f"\\u{ord(char):04x}")
        for char in text
    )
    return '"' + "".join(escaped) + '"'
