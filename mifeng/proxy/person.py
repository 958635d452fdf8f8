"""Whom a request is about, as the program says beside it: passed on, never kept. Pure.

A program sends the header `mifeng-subject` (gRPC: metadata), as it would to the gateway. What is no
reference is refused here, so a name or an identity number does not leave this machine by mistake.

Source: docs/privacy.md §1.
"""

import re
from collections.abc import Sequence
from typing import Final

from mifeng.errors import RefusedError
from mifeng.protocol.subject import HEADER, REFERENCE_BYTES

__all__ = ["HEADER", "SubjectError", "subject"]

_REFERENCE: Final = re.compile(rf"[0-9a-f]{{{2 * REFERENCE_BYTES}}}", re.ASCII)


class SubjectError(RefusedError):
    """The header is no reference; what it held is not repeated."""

    def __init__(self) -> None:
        what = f"{HEADER}: need {REFERENCE_BYTES} bytes of lower-case hex, once"
        super().__init__("subject.malformed", what)


def subject(values: Sequence[str | bytes]) -> bytes | None:
    """Return the reference that the header's values carry, 32 bytes; None if there are none.

    Raises:
        SubjectError: see the class.
    """
    if not values:
        return None
    (value, *more) = values
    if more or not isinstance(value, str) or _REFERENCE.fullmatch(value) is None:
        raise SubjectError
    return bytes.fromhex(value)
