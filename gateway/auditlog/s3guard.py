"""A guard in an S3-compatible store: one object, swapped with `If-Match`.

For gateways on several hosts without a second database. Every group of entries waits for one
write to the store.

Source: docs/spec/log.md §10.
"""

from typing import Final, Self

from mifeng.crypto import sm3

from .errors import LogRefusedError, PublishConflictError, PublishError
from .guard import Mark, decode_mark, encode_mark
from .places import S3Place
from .s3 import S3Target

_NAME: Final = "guard"


class S3Guard:
    """See `Guard`."""

    def __init__(self, place: S3Place, origin: str) -> None:
        """Open an existing guard.

        Raises:
            LogRefusedError: there is none.
        """
        try:
            self._target, self._log = S3Target(place), sm3(origin.encode())
            if self._target.read(_NAME) is None:
                raise LogRefusedError("guard: there is none in the bucket")
        except PublishError as exc:
            raise LogRefusedError(f"guard: {exc}") from exc

    @classmethod
    def create(cls, place: S3Place, origin: str, first: Mark) -> Self:
        """Make a guard and open it; raises `LogRefusedError` if there is one."""
        try:
            S3Target(place).swap(_NAME, None, encode_mark(sm3(origin.encode()), 0, first))
        except PublishError as exc:
            raise LogRefusedError(f"guard: {exc}") from exc
        return cls(place, origin)

    def read(self) -> Mark:
        """See `Guard`; raises `OSError` if the store cannot be reached."""
        return self._stored()[1]

    def swap(self, old: Mark, new: Mark) -> None:
        """See `Guard`."""
        count, stored, version = self._stored()
        if stored != old:
            raise LogRefusedError(f"guard is at {stored.size}, not {old.size}: another writer")
        try:
            self._target.swap(_NAME, version, encode_mark(self._log, count + 1, new))
        except PublishConflictError as exc:
            raise LogRefusedError("guard moved meanwhile: another writer") from exc
        except PublishError as exc:
            raise OSError(f"guard: {exc}") from exc

    def close(self) -> None:
        """See `Guard`; nothing is held."""

    def _stored(self) -> tuple[int, Mark, str]:
        try:
            found = self._target.read(_NAME)
        except PublishError as exc:
            raise OSError(f"guard: {exc}") from exc
        decoded = decode_mark(self._log, found.data) if found else None
        if found is None or decoded is None:
            raise LogRefusedError("guard is missing, damaged, or of another log")
        return *decoded, found.version
