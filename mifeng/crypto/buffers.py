"""The byte types that cross the crypto boundary, and the refusals every secret shares.

`Buffer` is what functions of this package accept as input; what they return is `bytes`.
"""

from __future__ import annotations

import hmac
from typing import NoReturn, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
WritableBuffer: TypeAlias = bytearray | memoryview


def constant_time_equal(left: Buffer, right: Buffer) -> bool:
    """Whether two byte strings are equal, in time that depends on their lengths only."""
    return hmac.compare_digest(left, right)


class Secret:
    """Base of objects that hold a key: they do not print, pickle, copy or compare by value.

    Python copies and moves `bytes` and `int` as it likes, so pure-Python holders of a key cannot
    promise that it is gone from memory after use. The native core can, for the memory it owns.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: secret>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and is not serialised")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        self.__reduce__()
